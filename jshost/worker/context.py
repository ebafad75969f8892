"""What functions see of their call and their host. Runs in: Python workers."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from jshost.exceptions import ConfigError

__all__ = [
    "CallCancelled",
    "CallContext",
    "HostContext",
    "Signal",
    "Sink",
    "current_call",
    "current_call_or_none",
    "enter",
]

_current: contextvars.ContextVar[CallContext | None] = contextvars.ContextVar(
    "jshost_call", default=None
)


class CallCancelled(Exception):
    """`CallContext.send` raises it when the caller has given up: the chunk has no reader."""


class Sink(Protocol):
    """Takes the chunks of a call whose caller streams."""

    def send(self, chunk: Any) -> None: ...
    async def asend(self, chunk: Any) -> None: ...


class Signal:
    """Whether the caller has given up: the deadline passed, or the connection closed.

    A plain function in a long loop checks `aborted` now and then, and returns. An ``async def``
    function gets an `asyncio.CancelledError` instead and need not check.
    """

    __slots__ = ("aborted",)

    def __init__(self) -> None:
        self.aborted = False


class HostContext:
    """The host as functions see it: ``config`` (the config file's module) and ``logger``."""

    def __init__(self, config: ModuleType, functions: dict[str, Callable[..., Any]]) -> None:
        self.config = config
        self.functions = functions
        logger = getattr(config, "logger", None)
        self.logger: logging.Logger = logger if logger is not None else logging.getLogger("host")

    def add_function(self, name: str, function: Callable[..., Any]) -> None:
        """Serve one more function; for `extend_host`, before the host listens.

        Raises:
            ConfigError: the name is taken, or `function` is not callable.
        """
        if name in self.functions:
            raise ConfigError(f'A function has already been defined with the name "{name}"')
        if not callable(function):
            raise ConfigError(
                f'add_function("{name}", …) needs a callable, not a {type(function).__name__}.'
            )
        self.functions[name] = function

    addFunction = add_function  # the name in js-host


class CallContext:
    """What a function sees of its call.

    Attributes:
        name: the function's name.
        request_id: the id that both sides' logs carry; the caller's X-Request-ID where it sent one.
        timeout_s: seconds that the call had when it arrived, or None: no deadline.
        traceparent: the W3C trace context header that the caller sent, or None.
        signal: see `Signal`.
        host: see `HostContext`.
    """

    __slots__ = (
        *("chunks", "host", "name", "request_id", "settled", "signal", "sink"),
        *("timeout_s", "traceparent", "warned"),
    )

    def __init__(
        self,
        name: str,
        request_id: str,
        timeout_s: float | None,
        host: HostContext,
        traceparent: str | None = None,
    ) -> None:
        self.name = name
        self.request_id = request_id
        self.timeout_s = timeout_s
        self.traceparent = traceparent
        self.signal = Signal()
        self.host = host
        self.sink: Sink | None = None
        self.chunks: list[Any] | None = None
        self.settled = False
        self.warned = False

    def send(self, chunk: Any) -> None:
        """Send one value to the caller before the call is over.

        A caller that does not stream gets the list of all chunks, if the function returns None.
        In a plain function it waits until the caller's buffers have room; in an async one it
        queues the chunk, and `asend` waits.

        Args:
            chunk: a JSON value, or bytes.

        Raises:
            CallCancelled: the caller has given up.
            TypeError, ValueError: the chunk has no JSON form.
            RuntimeError: in an async function: too much is queued.

        Example:
            >>> def report(rows):
            ...     for done, row in enumerate(rows, 1):
            ...         work(row)
            ...         jshost.current_call().send({"done": done})
        """
        if self._takes_chunks():
            if self.sink is None:
                self._collect(chunk)
            else:
                self.sink.send(chunk)

    async def asend(self, chunk: Any) -> None:
        """As `send`, for async functions: waits until there is room for more."""
        if self._takes_chunks():
            if self.sink is None:
                self._collect(chunk)
            else:
                await self.sink.asend(chunk)

    def _collect(self, chunk: Any) -> None:
        if self.chunks is None:
            self.chunks = []
        self.chunks.append(chunk)

    def _takes_chunks(self) -> bool:
        if self.settled:
            if not self.warned:
                self.warned = True
                self.host.logger.warning("%s: send() after the call was over is ignored", self.name)
            return False
        if self.signal.aborted:
            raise CallCancelled(f"{self.name}: the caller has given up")
        return True

    def __repr__(self) -> str:
        return f"<Call {self.name} {self.request_id}>"


def current_call() -> CallContext:
    """The call that the running function answers.

    Raises:
        RuntimeError: no call runs here.

    Example:
        >>> def slow_sum(numbers):
        ...     total = 0
        ...     for number in numbers:
        ...         if jshost.current_call().signal.aborted:
        ...             break
        ...         total += number
        ...     return total
    """
    call = _current.get()
    if call is None:
        raise RuntimeError(
            "current_call() works inside a function that a jshost host runs; no call runs here."
        )
    return call


def current_call_or_none() -> CallContext | None:
    """As `current_call`, but None where no call runs."""
    return _current.get()


def enter(call: CallContext) -> None:
    """Make `call` the current one, in the current `contextvars` context."""
    _current.set(call)
