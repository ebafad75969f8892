"""A host as a `Function` calls it: calls and answers are values. Runs in: callers.

`jshost.host.JSHost` sends them over HTTP, an embedded host hands them to its own workers, and
`override_function` answers them in the test's process. Only the first of these knows HTTP.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from jshost.client.response import Response
from jshost.exceptions import JSHostError, RemoteError
from jshost.protocol import values

if TYPE_CHECKING:
    from jshost.protocol.multipart import Run

__all__ = [
    "NO_HEADERS",
    "Answer",
    "AnswerRun",
    "AnswerStream",
    "AsyncAnswerStream",
    "BatchAnswer",
    "BatchRequest",
    "CallRequest",
    "Chunk",
    "DeadlinePassed",
    "Host",
    "choose_default_host",
    "default_host",
]

NO_HEADERS: Mapping[str, str] = {}


class CallRequest(NamedTuple):
    """A call on its way to a host.

    Attributes:
        name: the function's name.
        body, content_type: the encoded arguments.
        timeout_s: how long the call may take, or None for no limit.
        headers: what hooks have added, by the names that they gave.
    """

    name: str
    body: bytes
    content_type: str = values.JSON_TYPE
    timeout_s: float | None = None
    headers: Mapping[str, str] = NO_HEADERS


class BatchRequest(NamedTuple):
    """Many calls on their way to a host.

    Attributes:
        runs: the calls: each run's name is the function's, and its contents are the arguments.
        timeout_s, headers: as `CallRequest`; the limit is each call's.
    """

    runs: Sequence[Run]
    timeout_s: float | None = None
    headers: Mapping[str, str] = NO_HEADERS


class Answer:
    """What came back of a call: a result's bytes, or an error.

    Attributes:
        content_type, content: the encoded result.
        error: a `RemoteError` of the function or the host; any other `JSHostError` where no host
            answered.
    """

    __slots__ = ("_response", "content", "content_type", "error")

    def __init__(
        self,
        content_type: str,
        content: bytes,
        error: JSHostError | None = None,
        response: Response | None = None,
    ) -> None:
        self.content_type = content_type
        self.content = content
        self.error = error
        self._response = response

    @classmethod
    def of_error(cls, error: RemoteError) -> Answer:
        """It is a value now: it is raised, if at all, from another place."""
        return cls("", b"", error.with_traceback(None))

    def response(self) -> Response:
        """The answer as HTTP shows it."""
        if self._response is None:
            if isinstance(self.error, RemoteError):
                self._response = _error_response(self.error)
            else:
                self._response = Response(200, {"content-type": self.content_type}, self.content)
        return self._response


class AnswerRun(NamedTuple):
    """Answers of a batch that follow each other and are alike: results of one content type, or
    errors."""

    content_type: str
    contents: Sequence[bytes]
    errors: Sequence[RemoteError] = ()


class BatchAnswer:
    """What came back of a batch.

    Attributes:
        runs: the answers, in the order of the calls.
        error: why there are none.
    """

    __slots__ = ("_response", "error", "runs")

    def __init__(
        self,
        runs: Sequence[AnswerRun],
        error: JSHostError | None = None,
        response: Response | None = None,
    ) -> None:
        self.runs = runs
        self.error = error
        self._response = response

    def response(self) -> Response:
        """The answer as HTTP shows it."""
        if self._response is None:
            if isinstance(self.error, RemoteError):
                self._response = _error_response(self.error)
            else:
                from jshost.protocol.multipart import encode_runs

                content_type, content = encode_runs([_as_parts(run) for run in self.runs])
                self._response = Response(200, {"content-type": content_type}, content)
        return self._response


Chunk = tuple[str, bytes]
"""One value that a function sent: its content type and its bytes."""


class AnswerStream(Protocol):
    """The values of a stream, as they come."""

    def read(self) -> list[Chunk | Answer]:
        """What has come since: one item at least. An `Answer`, the last item of all, is the
        function's result, or its error.

        Raises:
            ConnectionError, DeadlinePassed, UnexpectedResponse: as `Host.call`.
        """

    def close(self) -> None:
        """Stop reading: the function is cancelled. From any thread, and from finalizers."""


class AsyncAnswerStream(Protocol):
    """As `AnswerStream`, for a task."""

    async def read(self) -> list[Chunk | Answer]: ...

    async def close(self) -> None: ...


class DeadlinePassed(Exception):
    """No answer within the time that the call had."""


class Host(Protocol):
    """Answers calls; each method has an async form for any asyncio loop.

    All of them raise:
        ConnectionError: no host answers.
        DeadlinePassed: it does not answer in time.
        UnexpectedResponse: what answers is no host.
    """

    def call(self, request: CallRequest) -> Answer:
        """Have a function called; its error is an answer, too."""

    async def acall(self, request: CallRequest) -> Answer: ...

    def stream(self, request: CallRequest) -> AnswerStream | Answer:
        """Have a function called that streams; an `Answer` where it does not, or has failed before
        it sent anything."""

    async def astream(self, request: CallRequest) -> AsyncAnswerStream | Answer: ...

    def batch(self, request: BatchRequest) -> BatchAnswer:
        """Have many calls made at the same time."""

    async def abatch(self, request: BatchRequest) -> BatchAnswer: ...


def _error_response(error: RemoteError) -> Response:
    headers = {"content-type": values.JSON_TYPE}
    if error.status == 503:
        headers["retry-after"] = "1"
    return Response(error.status, headers, json.dumps(error.envelope()).encode())


def _as_parts(run: AnswerRun) -> Run:
    from jshost.protocol.multipart import Run

    if not run.errors:
        return Run("result", run.content_type, list(run.contents))
    envelopes = [json.dumps(error.envelope()).encode() for error in run.errors]
    return Run("error", values.JSON_TYPE, envelopes)


# The default host


_choose: Callable[[], Host] | None = None


def choose_default_host(choose: Callable[[], Host]) -> None:
    """Have `choose` say which host functions without one of their own call."""
    global _choose
    _choose = choose
    default_host.cache_clear()


@functools.cache
def default_host() -> Host:
    """The host of functions that have none of their own; settings that change clear this cache."""
    if _choose is None:
        raise RuntimeError("no default host is known yet: import jshost.function first.")
    return _choose()
