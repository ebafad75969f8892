"""One call of a `Function`, from its arguments to its result. Runs in: callers."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol

from jshost.client import hooks
from jshost.client.activity import report
from jshost.client.host import NO_HEADERS, CallRequest, DeadlinePassed
from jshost.client.settings import settings
from jshost.client.verbosity import FUNCTION_CALL
from jshost.exceptions import FunctionTimeout, UnexpectedResponse
from jshost.protocol import values
from jshost.protocol.results import decode_result

if TYPE_CHECKING:
    from jshost.client.host import Answer, BatchAnswer, Host
    from jshost.exceptions import JSHostError

__all__ = ["NOT_GIVEN", "Call", "Callee", "report_call", "timed_out"]


class _NotGiven:
    """Tells "nothing was given" from `None`, which may mean something."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"

    def __reduce__(self) -> str:
        return "NOT_GIVEN"  # a copy, or what was unpickled, is still the one object


NOT_GIVEN: Any = _NotGiven()


class Callee(Protocol):
    """What a call needs of its `Function`."""

    name: str
    encoder: type[json.JSONEncoder]

    def get_timeout(self) -> float | None: ...

    def get_host(self) -> Host: ...

    def failure(self, error: JSHostError) -> Exception: ...


class Call:
    """One call on its way."""

    __slots__ = (
        "_began",
        "_function",
        "_hooked",
        "_is_reported",
        "arguments",
        "host",
        "request",
    )

    def __init__(self, function: Callee, arguments: dict[str, Any]) -> None:
        body, content_type = values.encode_call(arguments, function.encoder)
        timeout_s = function.get_timeout()
        self.host = function.get_host()
        self._function = function
        self.arguments = arguments
        self._is_reported = False
        self._began = time.monotonic()
        self._hooked = hooked = (
            hooks.OutgoingCall.begin(function.name, arguments, timeout_s)
            if hooks.before or hooks.after
            else None
        )
        headers = NO_HEADERS if hooked is None else hooked.headers
        # As `CallRequest(...)` does it, but without a Python call in between.
        facts = (function.name, body, content_type, timeout_s, headers)
        self.request = tuple.__new__(CallRequest, facts)

    @property
    def name(self) -> str:
        return self.request.name

    def answered(self, answer: Answer) -> None:
        if settings.VERBOSITY >= FUNCTION_CALL:
            self._is_reported = True
            report_call(self.name, answer, self._began)
        if self._hooked is not None:
            self._hooked.answer = answer

    def result_of(self, answer: Answer) -> Any:
        """The value of an answer; raises its error instead."""
        if self._hooked is not None or settings.VERBOSITY >= FUNCTION_CALL:
            self.answered(answer)
        error = answer.error
        if error is not None:
            del answer  # its error would refer to itself, by way of this frame
            try:
                raise self._function.failure(error)
            finally:
                del error
        if settings.RETURN_TEXT:
            value: Any = answer.content.decode("utf-8", "replace")
        else:
            value = self.decoded(answer)
        if self._hooked is not None:
            self._tell_hooks(None)
        return value

    def ending_of(self, answer: Answer) -> Any:
        """The result that a stream has ended with; raises its error instead."""
        error, answer.error = answer.error, None  # which would refer to itself, by frames
        if error is not None:
            try:
                raise self._function.failure(error)
            finally:
                del error
        result = None if answer.content == b"null" else self.decoded(answer)
        if self._hooked is not None or settings.VERBOSITY >= FUNCTION_CALL:
            self.succeeded()
        return result

    def decoded(self, answer: Answer) -> Any:
        """A result's value. Raises: UnexpectedResponse: it cannot be read."""
        try:
            return decode_result(answer.content_type, answer.content)
        except RecursionError:
            raise UnexpectedResponse(
                f"{self.name}: the result is nested too deeply for Python to read"
            ) from None
        except ValueError as problem:
            raise UnexpectedResponse(
                f"{self.name}: the answer is not a jshost host's: {problem}"
            ) from problem

    def succeeded(self) -> None:
        self._report("streamed")
        if self._hooked is not None:
            self._tell_hooks(None)

    def left(self, error: BaseException | None = None) -> None:
        """The caller left before the call ended. Does nothing if the call has ended."""
        self._report("left")
        if self._hooked is not None:
            self._tell_hooks(error)

    def failed(self, error: Exception) -> Exception:
        """The call has failed. Returns the exception to raise for `error`."""
        if isinstance(error, DeadlinePassed):
            error = timed_out(self.name, self.request.timeout_s, self._began)
        self._report(type(error).__name__)
        if self._hooked is not None:
            self._tell_hooks(error)
        return error

    def _report(self, outcome: str) -> None:
        """Say it once, where calls are reported; an answer has been."""
        if settings.VERBOSITY >= FUNCTION_CALL and not self._is_reported:
            self._is_reported = True
            report_call(self.name, outcome, self._began)

    def _tell_hooks(self, error: BaseException | None) -> None:
        hooked, self._hooked = self._hooked, None
        assert hooked is not None
        hooked.end(error)


def report_call(what: str, outcome: Answer | BatchAnswer | str, began: float) -> None:
    """Say how a request of this program ended; it `began` then (monotonic seconds)."""
    spent_ms = (time.monotonic() - began) * 1000
    request_id = ""
    if not isinstance(outcome, str):
        response = outcome.response()
        request_id = response.headers.get("x-request-id", "")
        outcome = str(response.status_code)
    report(FUNCTION_CALL, "%s: %s", what, f"{outcome}, {spent_ms:.1f} ms {request_id}".rstrip())


def timed_out(name: str, timeout_s: float | None, began: float) -> FunctionTimeout:
    """The exception to raise for a `DeadlinePassed`; `began` is in monotonic seconds."""
    spent = time.monotonic() - began
    text = f"no answer within the limit of {timeout_s:g} s ({spent:.2f} s spent)"
    return FunctionTimeout(text, name=name)
