"""Calling a host's functions. Runs in: callers."""

from __future__ import annotations

import copy
import functools
import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote

from jshost import hooks, wire
from jshost.conf import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    HostUnavailable,
    ProcessError,
    RemoteError,
    UnexpectedResponse,
    from_envelope,
    from_stranger,
)
from jshost.response import DeadlinePassed, FrozenHeaders
from jshost.verbosity import FUNCTION_CALL, report

if TYPE_CHECKING:
    from jshost.host import JSHost
    from jshost.response import Response
    from jshost.streams import AsyncStream, Stream

__all__ = ["Function"]

logger = logging.getLogger("jshost.function")

HOST_ANSWERS_FIRST_S = 0.25
"""How much longer than the call's deadline we listen: the host's 504 says more than our clock."""
LONGEST_S = 1e9
JSON_ANSWERS = "application/json, */*"
STREAMED_ANSWERS = "text/event-stream, application/json"
_NO_HEADERS: Mapping[str, str] = {}
FALLBACK_FOR = (ConnectionError, HostUnavailable, FunctionTimeout, ProcessError)


class _NotGiven:
    """Tells "nothing was given" from `None`, which may mean something."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        return "NOT_GIVEN"  # a copy, or what was unpickled, is still the one object


NOT_GIVEN: Any = _NotGiven()


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

    encoder: type[json.JSONEncoder] = wire.Encoder
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
        call = _Call(self, arguments, JSON_ANSWERS)
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
        call = _Call(self, arguments, JSON_ANSWERS)
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
        call = _Call(self, arguments, JSON_ANSWERS)
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
        from jshost.streams import Stream

        call = _Call(self, arguments, STREAMED_ANSWERS)
        try:
            return Stream(call, call.host.stream(*call.request()))
        except Exception as error:  # noqa: BLE001  raised again, as callers know it
            raise call.failed(error) from None

    def astream(self, /, **arguments: Any) -> AsyncStream:
        """As `stream`, for ``async for``; the call is made when the first value is asked for."""
        from jshost.streams import AsyncStream

        call = _Call(self, arguments, STREAMED_ANSWERS)
        return AsyncStream(call, lambda: call.host.astream(*call.request()))

    # Many calls

    def map(self, calls: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Call the function once for each object of arguments, in one request.

        Returns:
            The results in order; in the place of a call that failed, its exception.

        Example:
            >>> Function("double").map([{"number": 1}, {}, {"number": 3}])
            [2, FunctionError('No number was provided'), 6]
        """
        from jshost.batches import batch

        return batch((self, arguments) for arguments in calls)

    async def amap(self, calls: Iterable[Mapping[str, Any]]) -> list[Any]:
        """As `map`, from any asyncio loop."""
        from jshost.batches import abatch

        return await abatch((self, arguments) for arguments in calls)

    # What an answer means

    def decoded(self, content_type: str, content: bytes) -> Any:
        """A result's value. Raises: UnexpectedResponse: it cannot be read."""
        try:
            return wire.decode_result(content_type, content)
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


class PreparedCall(Protocol):
    """A call as an embedded host takes it."""

    name: str
    body: bytes
    content_type: str
    timeout_s: float | None
    """How long it may take, or None."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What else is said of it, as HTTP has it."""


class HttpCall(Protocol):
    """A call as a served host takes it."""

    def request(self) -> tuple[str, str, Mapping[str, str], bytes, float | None]:
        """The arguments of `JSHost.request`."""


class _Call:
    """One call on its way; a `PreparedCall`, an `HttpCall`, and a `streams.Owner`."""

    __slots__ = (
        "_accept",
        "_arguments",
        "_began",
        "_function",
        "_hooked",
        "body",
        "content_type",
        "host",
        "name",
        "timeout_s",
    )

    def __init__(self, function: Function, arguments: dict[str, Any], accept: str) -> None:
        self.body, self.content_type = wire.encode_call(arguments, function.encoder)
        self.timeout_s = function.get_timeout()
        self.name = function.name
        self.host = function.get_host()
        self._accept = accept
        self._function = function
        self._arguments = arguments
        self._began = time.monotonic()
        self._hooked = hooks.OutgoingCall.begin(function.name, arguments, self.timeout_s)

    @property
    def headers(self) -> Mapping[str, str]:
        """What hooks have added, by the names that they gave."""
        return self._hooked.headers if self._hooked is not None else _NO_HEADERS

    def request(self) -> tuple[str, str, Mapping[str, str], bytes, float | None]:
        """See `HttpCall`."""
        timeout_s = self.timeout_s
        headers = _headers(timeout_s, self._accept, self.content_type)
        if self._hooked is not None:
            headers = {**headers, **self._hooked.headers}
        return (
            "POST",
            self._function._target + wire.body_hash(self.body),
            headers,
            self.body,
            None if timeout_s is None else timeout_s + HOST_ANSWERS_FIRST_S,
        )

    def answered(self, response: Response) -> None:
        if settings.VERBOSITY >= FUNCTION_CALL:
            spent_ms = (time.monotonic() - self._began) * 1000
            outcome = f"{response.status_code}, {spent_ms:.1f} ms"
            request_id = response.headers.get("x-request-id", "")
            report(FUNCTION_CALL, "%s: %s", self.name, f"{outcome} {request_id}".rstrip())
        if self._hooked is not None:
            self._hooked.response = response

    def result_of(self, response: Response) -> Any:
        """The value of an answer; raises what it says instead."""
        self.answered(response)
        if response.status_code == 200:
            value = (
                response.text
                if settings.RETURN_TEXT
                else self._function.decoded(response.content_type, response.content)
            )
            self.succeeded()
            return value
        try:
            envelope = response.json()
        except ValueError:
            envelope = None
        if not isinstance(envelope, Mapping) or "code" not in envelope:
            raise from_stranger(self.name, response.status_code, response.text)
        raise self._function.failure(envelope)

    def error_of(self, envelope: Mapping[str, Any]) -> Exception:
        return self._function.failure(envelope)

    def succeeded(self) -> None:
        if self._hooked is not None:
            self._tell_hooks(None)

    def left(self, error: BaseException | None = None) -> None:
        """Its caller does not wait for its end."""
        if self._hooked is not None:
            self._tell_hooks(error)

    def failed(self, error: Exception) -> Exception:
        """The call is over; returns what is raised for `error`."""
        if isinstance(error, DeadlinePassed):
            spent = time.monotonic() - self._began
            error = FunctionTimeout(
                f"no answer within the limit of {self.timeout_s:g} s ({spent:.2f} s spent)",
                name=self.name,
            )
        if self._hooked is not None:
            self._tell_hooks(error)
        return error

    def rescued(self, error: Exception) -> Any:
        """The fallback's answer in the place of an error; raises the error where there is none."""
        raised = self.failed(error)
        function = self._function
        if function.fallback is NOT_GIVEN or not isinstance(raised, function.fallback_for):
            if raised is error:
                raise error
            raise raised from None
        function._fallbacks[0] += 1
        logger.warning("%s: the fallback answers, for: %s", self.name, raised)
        if callable(function.fallback):
            return function.fallback(**self._arguments)
        return function.fallback

    def _tell_hooks(self, error: BaseException | None) -> None:
        hooked, self._hooked = self._hooked, None
        assert hooked is not None
        hooked.end(error)


@functools.cache
def default_host() -> JSHost:
    """The host of the settings; they clear this cache when they change."""
    if settings.EMBEDDED:
        from jshost.embedding import api

        return api.default_host()  # type: ignore[return-value]  # but all that a call needs
    from jshost.host import host

    return host


def _check_timeout(timeout: object, what: str) -> None:
    is_number = isinstance(timeout, int | float) and 0 < timeout < LONGEST_S
    if not (is_number or timeout is None or timeout is NOT_GIVEN):
        raise ValueError(
            f"{what}: timeout must be a number above 0, or None for no limit, not {timeout!r}"
        )


@functools.lru_cache(maxsize=64)
def _known_headers(timeout_s: float | None, accept: str) -> FrozenHeaders:
    headers = FrozenHeaders({"Content-Type": "application/json", "Accept": accept})
    if timeout_s is not None:
        headers["JSHost-Timeout"] = repr(float(timeout_s))  # numpy's has a repr of its own
    return headers


def _headers(timeout_s: float | None, accept: str, content_type: str) -> Mapping[str, str]:
    known = _known_headers(timeout_s, accept)
    if content_type == "application/json":
        return known
    return {**known, "Content-Type": content_type}
