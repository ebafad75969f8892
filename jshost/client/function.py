"""A function on a host, as callers have it. Runs in: callers."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from jshost.client.call import NOT_GIVEN, Call
from jshost.client.host import default_host
from jshost.client.settings import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    HostUnavailable,
    JSHostError,
    ProcessError,
    RemoteError,
    from_envelope,
)
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.host import Host
    from jshost.client.response import Response
    from jshost.client.streams import AsyncStream, Stream

__all__ = ["Function"]

logger = logging.getLogger("jshost.function")

LONGEST_S = 1e9
FALLBACK_FOR = (ConnectionError, HostUnavailable, FunctionTimeout, ProcessError)


class Function:
    """A function on a host, by name; in whichever language it is written.

    Args:
        name: its name in the config file.
        host: the host to call; None: `jshost.host.host`, looked up at the first call.
        timeout: seconds that a call may take, or None for no limit; by default the setting
            FUNCTION_TIMEOUT.
        exception_cls: what to raise when the function fails, instead of `FunctionError`.
        fallback: what `call` and `acall` return when the host is down or too slow: a value, or a
            callable that is given the arguments. It is logged and counted in `fallbacks`.
        fallback_for: the exceptions that it stands in for; by default `ConnectionError`,
            `HostUnavailable`, `FunctionTimeout` and `ProcessError`, not `FunctionError`.

    Example:
        >>> double = Function("double", timeout=2)
        >>> double.call(number=20)
        40
    """

    __module__ = "jshost.function"  # where users import it, and where pickles find it

    encoder: type[json.JSONEncoder] = values.Encoder
    """What encodes the arguments; a subclass of `jshost.wire.Encoder` adds types to it."""

    def __init__(
        self,
        name: str,
        host: Host | None = None,
        timeout: float | None = NOT_GIVEN,
        exception_cls: type[Exception] | None = None,
        *,
        fallback: Any = NOT_GIVEN,
        fallback_for: type[Exception] | tuple[type[Exception], ...] = FALLBACK_FOR,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"Function needs the name of a function, not {name!r}")
        _check_timeout(timeout, f"Function({name!r})")
        self.name = name
        self.host = host
        self.timeout = timeout
        self.exception_cls = exception_cls
        self.fallback = fallback
        self.fallback_for = fallback_for
        self._fallbacks = [0]

    def __repr__(self) -> str:
        return f"<Function {self.name}>"

    def get_host(self) -> Host:
        """The host that calls go to: `self.host`, else `jshost.host.host`."""
        return self.host if self.host is not None else default_host()

    def get_timeout(self) -> float | None:
        """Seconds that a call may take, or None for no limit."""
        if self.timeout is NOT_GIVEN:
            limit: float | None = settings.FUNCTION_TIMEOUT
            return limit
        return self.timeout

    @property
    def fallbacks(self) -> int:
        """How often the fallback has answered, for this function and its copies `with_timeout`."""
        return self._fallbacks[0]

    def with_timeout(self, timeout: float | None) -> Self:
        """The same function with another limit, in seconds, or None for no limit.

        Example:
            >>> render.with_timeout(0.5).call(component="App")
        """
        _check_timeout(timeout, f"{self.name}.with_timeout()")
        other = copy.copy(self)
        other.timeout = timeout
        return other

    # One call

    def call(self, /, **arguments: Any) -> Any:
        """Call the function with one object of arguments and return its decoded result.

        Returns:
            What the function returned: str for a string, bytes for bytes, else the JSON value.
            For a function that streams: its final result where it has one, else the list of its
            values. With the setting RETURN_TEXT, the response's text.

        Raises:
            TypeError, ValueError: an argument that cannot be carried; nothing was sent.
            FunctionError: the function failed (or `exception_cls`).
            FunctionTimeout: no answer in time.
            RemoteError: anything else that the host refused or that went wrong on it; see
                `jshost.exceptions`.
            ConnectionError: no host answers.
        """
        call = Call(self, arguments)
        try:
            return call.result_of(call.host.call(call.request))
        except Exception as error:  # noqa: BLE001  raised again, or stood in for
            result = self._rescued(call, error)
            if hasattr(result, "__await__"):
                result.close()
                raise TypeError(
                    f"{self.name}: its fallback is async, which only acall() can await; call() "
                    "needs a plain function or a value"
                ) from None
            return result
        except BaseException as error:
            call.left(error)
            raise

    async def acall(self, /, **arguments: Any) -> Any:
        """As `call`, from any asyncio loop; cancelling the task cancels the call."""
        # The twin of `call`: one flow for both would add two Python calls, 4 % of an embedded one.
        call = Call(self, arguments)
        try:
            return call.result_of(await call.host.acall(call.request))
        except Exception as error:  # noqa: BLE001  raised again, or stood in for
            result = self._rescued(call, error)
            return await result if hasattr(result, "__await__") else result
        except BaseException as error:
            call.left(error)
            raise

    def send_request(self, /, **arguments: Any) -> Response:
        """As `call`, with the HTTP response, whatever its status: `.status_code`, `.text`.

        Raises:
            TypeError, ValueError, FunctionTimeout, ConnectionError: as `call`.
        """
        call = Call(self, arguments)
        try:
            answer = call.host.call(call.request)
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            raise call.failed(error) from None
        call.answered(answer)
        call.succeeded()
        return answer.response()

    def _rescued(self, call: Call, error: Exception) -> Any:
        """The fallback's answer in the place of an error; raises the error where there is none."""
        raised = call.failed(error)
        if self.fallback is NOT_GIVEN or not isinstance(raised, self.fallback_for):
            try:
                if raised is error:
                    raise error
                raise raised from None
            finally:
                del error, raised  # whose traceback refers to this frame
        self._fallbacks[0] += 1
        logger.warning("%s: the fallback answers, for: %s", self.name, raised)
        if callable(self.fallback):
            return self.fallback(**call.arguments)
        return self.fallback

    # Streams

    def stream(self, /, **arguments: Any) -> Stream:
        """Call a function that streams; iterate over what it sends, as it comes.

        The limit counts for the whole stream. Raises: as `call`; an error in mid-stream is raised
        by the iteration.

        Example:
            >>> for line in Function("tail").stream(path="app.log"):
            ...     print(line)
        """
        from jshost.client.streams import Stream

        call = Call(self, arguments)
        try:
            return Stream(call, call.host.stream(call.request))
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            raise call.failed(error) from None

    def astream(self, /, **arguments: Any) -> AsyncStream:
        """As `stream`, for ``async for``; the call is made when the first value is asked for."""
        from jshost.client.streams import AsyncStream

        call = Call(self, arguments)
        return AsyncStream(call, lambda: call.host.astream(call.request))

    # Many calls

    def map(self, calls: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Call the function once for each object of arguments, in one request.

        Returns:
            The results in order; in the place of a call that failed, its exception.

        Example:
            >>> Function("double").map([{"number": 1}, {}, {"number": 3}])
            [2, FunctionError('No number was provided'), 6]
        """
        from jshost.client.batch import batch

        return batch((self, arguments) for arguments in calls)

    async def amap(self, calls: Iterable[Mapping[str, Any]]) -> list[Any]:
        """As `map`, from any asyncio loop."""
        from jshost.client.batch import abatch

        return await abatch((self, arguments) for arguments in calls)

    def failure(self, error: JSHostError) -> Exception:
        """The exception to raise for an answer's error: an `exception_cls` where one is set."""
        if isinstance(error, RemoteError):
            error.name = error.name or self.name
        if self.exception_cls is None or not isinstance(error, FunctionError):
            return error
        if issubclass(self.exception_cls, RemoteError):
            return from_envelope(error.envelope(), name=self.name, cls=self.exception_cls)
        own = self.exception_cls(str(error))
        own.__cause__ = error
        return own


def _check_timeout(timeout: object, what: str) -> None:
    is_number = isinstance(timeout, int | float) and 0 < timeout < LONGEST_S
    if not (is_number or timeout is None or timeout is NOT_GIVEN):
        raise ValueError(
            f"{what}: timeout must be a number above 0, or None for no limit, not {timeout!r}"
        )
