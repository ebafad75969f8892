"""Hooks, which run before and after every call: for logging, metrics, tracing. Runs in: callers.

Calls that travel in one request (`Function.map`, `jshost.batch`) count as one call.

Example:
    >>> @jshost.before_call
    ... def trace(call):
    ...     call.headers["traceparent"] = current_trace_context()
    >>> @jshost.after_call
    ... def count(call):
    ...     statsd.timing(f"jshost.{call.name}", call.spent_s * 1000, failed=call.error is not None)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from jshost.client.host import Answer, BatchAnswer
    from jshost.client.response import Response

__all__ = ["OutgoingCall", "after_call", "before_call"]


class OutgoingCall:
    """One call as hooks see it.

    Attributes:
        name: the function's name; "batch" for a request with calls of several functions.
        arguments: what it is called with, not to be changed; {} for many calls in one request.
        headers: HTTP headers to send along; a hook before the call may add some. ``traceparent``
            and ``X-Request-ID`` reach the function's context and the logs of host and function.
        timeout_s: seconds that it may take, or None.
        response: the answer as an HTTP response, once it has come.
        error: the exception that it ends in, or None; `asyncio.CancelledError` where its task was
            cancelled.
        spent_s: seconds that it took; 0.0 before.
    """

    __slots__ = (
        "_began",
        "answer",
        "arguments",
        "error",
        "headers",
        "name",
        "spent_s",
        "timeout_s",
    )

    def __init__(self, name: str, arguments: dict[str, Any], timeout_s: float | None) -> None:
        self.name = name
        self.arguments = arguments
        self.timeout_s = timeout_s
        self.headers: dict[str, str] = {}
        self.answer: Answer | BatchAnswer | None = None
        self.error: BaseException | None = None
        self.spent_s = 0.0
        self._began = time.monotonic()

    def __repr__(self) -> str:
        return f"<OutgoingCall {self.name}>"

    @property
    def response(self) -> Response | None:
        return self.answer.response() if self.answer is not None else None

    @classmethod
    def begin(
        cls, name: str, arguments: dict[str, Any], timeout_s: float | None
    ) -> OutgoingCall | None:
        """Tell the hooks that a call begins; None: there are none."""
        if not (before or after):
            return None
        call = cls(name, arguments, timeout_s)
        for hook in before:
            hook(call)
        return call

    def end(self, error: BaseException | None) -> None:
        """Tell the hooks that it has ended."""
        self.error = error
        self.spent_s = time.monotonic() - self._began
        for hook in after:
            hook(self)


Hook = Callable[[OutgoingCall], object]
H = TypeVar("H", bound=Hook)

before: list[Hook] = []
after: list[Hook] = []


def before_call(hook: H) -> H:
    """Have `hook(call)` called before every call is sent, in the thread that makes it.

    What it raises ends the call. It returns the hook, so it can be used as a decorator.
    """
    before.append(hook)
    return hook


def after_call(hook: H) -> H:
    """Have `hook(call)` called after every call, whether it failed or not; see `before_call`."""
    after.append(hook)
    return hook
