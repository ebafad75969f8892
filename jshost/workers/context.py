"""What a Python function can learn of the call that it runs for. Runs in: Python workers."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

from jshost.exceptions import ConfigError

__all__ = ["Call", "HostContext", "Signal", "current_call"]

_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("jshost_call", default=None)


class Signal:
    """Whether the caller has given up: the deadline passed, or the connection closed.

    A plain function in a long loop looks at `aborted` now and then and returns; an ``async def``
    function gets an `asyncio.CancelledError` instead and need not look.
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

    addFunction = add_function  # the name that js-host users know


class Call:
    """One call: what the function's name is, who asked, and until when.

    Attributes:
        name: the function's name.
        request_id: the id that both sides' logs carry; the caller's X-Request-ID where it sent one.
        timeout_s: seconds that the call had when it arrived, or None: no deadline.
        signal: see `Signal`.
        host: see `HostContext`.
    """

    __slots__ = ("host", "name", "request_id", "signal", "timeout_s")

    def __init__(
        self, name: str, request_id: str, timeout_s: float | None, host: HostContext
    ) -> None:
        self.name = name
        self.request_id = request_id
        self.timeout_s = timeout_s
        self.signal = Signal()
        self.host = host

    def __repr__(self) -> str:
        return f"<Call {self.name} {self.request_id}>"


def current_call() -> Call:
    """The call that the running function answers.

    Raises:
        RuntimeError: no call is running here: the code runs outside of a function on a host.

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


def running_call() -> Call | None:
    """As `current_call`, with None where no call runs."""
    return _current.get()


def enter(call: Call) -> None:
    """Make `call` the current one of this context."""
    _current.set(call)
