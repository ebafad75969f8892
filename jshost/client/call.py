"""One call of a `Function`, from its arguments to its result. Runs in: callers."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from jshost.client import hooks
from jshost.client.activity import report
from jshost.client.http.messages import DeadlinePassed, FrozenHeaders, Request
from jshost.client.settings import settings
from jshost.client.verbosity import FUNCTION_CALL
from jshost.exceptions import FunctionTimeout, from_stranger
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.client.http.messages import Response
    from jshost.function import Function
    from jshost.protocol.multipart import Run

__all__ = [
    "HOST_ANSWERS_FIRST_S",
    "JSON_ANSWERS",
    "NOT_GIVEN",
    "STREAMED_ANSWERS",
    "Call",
    "HttpCall",
    "PreparedBatch",
    "PreparedCall",
    "report_call",
    "timed_out",
]

logger = logging.getLogger("jshost.function")

HOST_ANSWERS_FIRST_S = 0.25
"""How much longer than the call's deadline we listen: the host's 504 says more than our clock."""
JSON_ANSWERS = "application/json, */*"
STREAMED_ANSWERS = "text/event-stream, application/json"
_NO_HEADERS: Mapping[str, str] = {}


class _NotGiven:
    """Tells "nothing was given" from `None`, which may mean something."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        return "NOT_GIVEN"  # a copy, or what was unpickled, is still the one object


NOT_GIVEN: Any = _NotGiven()


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
    """A call, or a batch, as a served host takes it."""

    def request(self) -> Request:
        """What is sent; see `JSHost.request`."""


class PreparedBatch(Protocol):
    """A batch as an embedded host takes it."""

    runs: list[Run]
    """The calls: each run's name is the function's, and its contents are the arguments."""
    timeout_s: float | None
    """How long each may take, or None."""

    @property
    def headers(self) -> Mapping[str, str]:
        """As `PreparedCall.headers`."""


class Call:
    """One call on its way; a `PreparedCall`, an `HttpCall`, and a `streams.Owner`."""

    __slots__ = (
        "_accept",
        "_arguments",
        "_began",
        "_function",
        "_hooked",
        "_is_reported",
        "body",
        "content_type",
        "host",
        "name",
        "timeout_s",
    )

    def __init__(self, function: Function, arguments: dict[str, Any], accept: str) -> None:
        self.body, self.content_type = values.encode_call(arguments, function.encoder)
        self.timeout_s = function.get_timeout()
        self.name = function.name
        self.host = function.get_host()
        self._accept = accept
        self._function = function
        self._arguments = arguments
        self._is_reported = False
        self._began = time.monotonic()
        self._hooked = hooks.OutgoingCall.begin(function.name, arguments, self.timeout_s)

    @property
    def headers(self) -> Mapping[str, str]:
        """What hooks have added, by the names that they gave."""
        return self._hooked.headers if self._hooked is not None else _NO_HEADERS

    def request(self) -> Request:
        """See `HttpCall`."""
        timeout_s = self.timeout_s
        headers = _headers(timeout_s, self._accept, self.content_type)
        if self._hooked is not None:
            headers = {**headers, **self._hooked.headers}
        return Request(
            "POST",
            self._function._target + values.body_hash(self.body),
            headers,
            self.body,
            None if timeout_s is None else timeout_s + HOST_ANSWERS_FIRST_S,
        )

    def answered(self, response: Response) -> None:
        if settings.VERBOSITY >= FUNCTION_CALL:
            self._is_reported = True
            report_call(self.name, response, self._began)
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
        if self._accept is STREAMED_ANSWERS:
            self._report("streamed")
        if self._hooked is not None:
            self._tell_hooks(None)

    def left(self, error: BaseException | None = None) -> None:
        """Its caller does not wait for its end."""
        self._report("left")
        if self._hooked is not None:
            self._tell_hooks(error)

    def failed(self, error: Exception) -> Exception:
        """The call is over; returns what is raised for `error`."""
        if isinstance(error, DeadlinePassed):
            error = timed_out(self.name, self.timeout_s, self._began)
        self._report(type(error).__name__)
        if self._hooked is not None:
            self._tell_hooks(error)
        return error

    def rescued(self, error: Exception) -> Any:
        """The fallback's answer in the place of an error; raises the error where there is none."""
        raised = self.failed(error)
        function = self._function
        if function.fallback is NOT_GIVEN or not isinstance(raised, function.fallback_for):
            try:
                if raised is error:
                    raise error
                raise raised from None
            finally:
                del error, raised  # whose traceback refers to this frame
        function._fallbacks[0] += 1
        logger.warning("%s: the fallback answers, for: %s", self.name, raised)
        if callable(function.fallback):
            return function.fallback(**self._arguments)
        return function.fallback

    def _report(self, outcome: str) -> None:
        """Say it once, where calls are reported; an answer has been."""
        if settings.VERBOSITY >= FUNCTION_CALL and not self._is_reported:
            self._is_reported = True
            report_call(self.name, outcome, self._began)

    def _tell_hooks(self, error: BaseException | None) -> None:
        hooked, self._hooked = self._hooked, None
        assert hooked is not None
        hooked.end(error)


def report_call(what: str, outcome: Response | str, began: float) -> None:
    """Say how a request of this program ended; it `began` then (monotonic seconds)."""
    spent_ms = (time.monotonic() - began) * 1000
    request_id = ""
    if not isinstance(outcome, str):
        request_id = outcome.headers.get("x-request-id", "")
        outcome = str(outcome.status_code)
    report(FUNCTION_CALL, "%s: %s", what, f"{outcome}, {spent_ms:.1f} ms {request_id}".rstrip())


def timed_out(name: str, timeout_s: float | None, began: float) -> FunctionTimeout:
    """What is raised for a `DeadlinePassed`, of a request that `began` (monotonic seconds)."""
    spent = time.monotonic() - began
    text = f"no answer within the limit of {timeout_s:g} s ({spent:.2f} s spent)"
    return FunctionTimeout(text, name=name)


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
