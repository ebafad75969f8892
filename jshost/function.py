"""Calling a host's functions. Runs in: callers."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from jshost.client.call import JSON_ANSWERS, NOT_GIVEN, STREAMED_ANSWERS, Call
from jshost.client.settings import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    HostUnavailable,
    ProcessError,
    RemoteError,
    UnexpectedResponse,
    from_envelope,
)
from jshost.protocol import results, values

if TYPE_CHECKING:
    from jshost.client.http.messages import Response
    from jshost.client.streams import AsyncStream, Stream
    from jshost.host import JSHost

__all__ = ["Function"]

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

    encoder: type[json.JSONEncoder] = values.Encoder
    """What encodes the arguments; a subclass of `jshost.wire.Encoder` adds types to it."""

    def __init__(
        self,
        name: str,
        host: JSHost | None = None,
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
        self._target = f"/function/{quote(name, safe='')}?hash="

    def __repr__(self) -> str:
        return f"<Function {self.name}>"

    def get_host(self) -> JSHost:
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
        call = Call(self, arguments, JSON_ANSWERS)
        try:
            return call.result_of(call.host.send_call(call))
        except Exception as error:  # noqa: BLE001  raised again, or stood in for
            result = call.rescued(error)
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
        call = Call(self, arguments, JSON_ANSWERS)
        try:
            return call.result_of(await call.host.asend_call(call))
        except Exception as error:  # noqa: BLE001  raised again, or stood in for
            result = call.rescued(error)
            return await result if hasattr(result, "__await__") else result
        except BaseException as error:
            call.left(error)
            raise

    def send_request(self, /, **arguments: Any) -> Response:
        """As `call`, with the HTTP response, whatever its status: `.status_code`, `.text`.

        Raises:
            TypeError, ValueError, FunctionTimeout, ConnectionError: as `call`.
        """
        call = Call(self, arguments, JSON_ANSWERS)
        try:
            response = call.host.send_call(call)
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            raise call.failed(error) from None
        call.answered(response)
        call.succeeded()
        return response

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

        call = Call(self, arguments, STREAMED_ANSWERS)
        try:
            return Stream(call, call.host.stream(call.request()))
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            raise call.failed(error) from None

    def astream(self, /, **arguments: Any) -> AsyncStream:
        """As `stream`, for ``async for``; the call is made when the first value is asked for."""
        from jshost.client.streams import AsyncStream

        call = Call(self, arguments, STREAMED_ANSWERS)
        return AsyncStream(call, lambda: call.host.astream(call.request()))

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

    # What an answer means

    def decoded(self, content_type: str, content: bytes) -> Any:
        """A result's value. Raises: UnexpectedResponse: it cannot be read."""
        try:
            return results.decode_result(content_type, content)
        except RecursionError:
            raise UnexpectedResponse(
                f"{self.name}: the result is nested too deeply for Python to read"
            ) from None
        except ValueError as error:
            raise UnexpectedResponse(
                f"{self.name}: the answer is not a jshost host's: {error}"
            ) from error

    def failure(self, envelope: Mapping[str, Any]) -> Exception:
        """The exception that an error envelope stands for; an `exception_cls` where one is set."""
        error = from_envelope(envelope, name=self.name)
        if isinstance(error, ProcessError) and (logfile := self.get_host().managed_logfile):
            error.message += f"\nThe host's log: {logfile}"
        if self.exception_cls is None or not isinstance(error, FunctionError):
            return error
        if issubclass(self.exception_cls, RemoteError):
            return from_envelope(envelope, name=self.name, cls=self.exception_cls)
        own = self.exception_cls(str(error))
        own.__cause__ = error
        return own


@functools.cache
def default_host() -> JSHost:
    """The host of the settings, until they change."""
    if settings.EMBEDDED:
        from jshost.embedding import api

        return api.default_host()  # type: ignore[return-value]  # but all that a call needs
    from jshost.host import host

    return host


settings.on_change(default_host.cache_clear)


def _check_timeout(timeout: object, what: str) -> None:
    is_number = isinstance(timeout, int | float) and 0 < timeout < LONGEST_S
    if not (is_number or timeout is None or timeout is NOT_GIVEN):
        raise ValueError(
            f"{what}: timeout must be a number above 0, or None for no limit, not {timeout!r}"
        )
