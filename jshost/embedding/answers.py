"""Who waits for a call's answer: a thread or a task. Runs in: programs that embed a host.

Each is the caller that a pool answers to. What comes is kept as it came; it is made a `Response`,
or the events of a stream, where it is read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jshost.client.http.messages import Response
from jshost.embedding.reactor import Waiter
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError
from jshost.protocol import frames, values
from jshost.protocol.events import error_event, event

if TYPE_CHECKING:
    import asyncio

    from jshost.embedding.loops import LoopWatch
    from jshost.pool.pool import PendingCall, Pool

__all__ = [
    "Answer",
    "AsyncAnswer",
    "AsyncReader",
    "AsyncStreamAnswer",
    "StreamAnswer",
    "error_response",
]

CREDIT_BYTES = frames.STREAM_WINDOW_BYTES // 4
STREAM_HEADERS = {"content-type": "text/event-stream"}
JSON_HEADERS = {"content-type": values.JSON_TYPE}
_KNOWN_HEADERS = {
    form: {"content-type": values.content_type_of(form)}
    for form in (values.JSON, values.TEXT, values.BYTES)
}


def error_response(error: RemoteError) -> Response:
    headers = {**JSON_HEADERS, "retry-after": "1"} if error.status == 503 else JSON_HEADERS
    return Response(error.status, headers, json.dumps(error.envelope()).encode())


class Answer(Waiter):
    """One call's answer, for the thread that waits for it."""

    __slots__ = ("_error", "_payload", "_runtime", "pending", "pool")

    def __init__(self, runtime: Runtime, pool: Pool) -> None:
        self.is_done = False
        self.signal = None
        self.pool = pool
        self.pending: PendingCall | None = None
        self._runtime = runtime
        self._payload = b""
        self._error: RemoteError | None = None

    def on_result(self, payload: bytes) -> None:
        self.pending = None  # which refers to us: the garbage collector would have to find it
        self._payload = payload
        self._tell()

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self._error = error
        self._tell()

    def on_chunk(self, payload: bytes) -> None:
        raise frames.FrameError("a CHUNK came for a call that asked for no stream")

    def _tell(self) -> None:
        self._runtime.reactor.done(self)

    def leave(self) -> None:
        """Nobody waits for it any more: the call is cancelled."""
        self._runtime.reactor.leave(self)
        self._runtime.cancel(self)

    def response(self) -> Response:
        payload = self._payload
        if self._error is not None:
            self._runtime.care()
            return error_response(self._error)
        headers = _KNOWN_HEADERS.get(payload[:1])
        if headers is None:
            headers = {"content-type": values.content_type_of(payload)}
        return Response(200, headers, payload[1:])


class AsyncAnswer(Answer):
    """One call's answer, for the task that awaits it."""

    __slots__ = ("_future", "_watch")

    def __init__(self, runtime: Runtime, pool: Pool, watch: LoopWatch) -> None:
        super().__init__(runtime, pool)
        self._watch = watch
        self._future: asyncio.Future[None] = watch.loop.create_future()

    def _tell(self) -> None:
        self._watch.set_result(self._future)

    async def arrive(self) -> None:
        """Await it; a task that is cancelled cancels the call."""
        try:
            await self._future
        except BaseException:
            self._runtime.cancel(self)
            raise


class _Events(Waiter):
    """What has come of a stream, and has not been read; a `transport.OpenResponse`."""

    __slots__ = ("_error", "_events", "_has_ended", "_owed", "_runtime", "pending", "pool")

    status_code = 200
    headers = STREAM_HEADERS

    def __init__(self, runtime: Runtime, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.pending: PendingCall | None = None
        self._runtime = runtime
        self._events: list[bytes] = []
        self._has_ended = False
        self._owed = 0
        self._error: RemoteError | None = None

    def on_chunk(self, payload: bytes) -> None:
        self._events.append(event(b"chunk", payload))
        self._owed += len(payload) + frames.HEADER.size
        self._tell()

    def on_result(self, payload: bytes) -> None:
        self.pending = None
        self._events.append(event(b"result", payload))
        self._has_ended = True
        self._tell()

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self._has_ended = True
        if self._events:
            self._events.append(error_event(error))
        else:
            self._error = error
        self._tell()

    def _tell(self) -> None:
        raise NotImplementedError

    @property
    def _has_come(self) -> bool:
        return bool(self._events) or self._has_ended

    def refusal(self) -> Response | None:
        """What is answered in the place of the stream, where nothing was sent before an error."""
        error, self._error = self._error, None
        if error is None:
            return None
        self._runtime.care()
        return error_response(error)

    def _take(self) -> bytes:
        """Under the lock: what has come; it makes room for more."""
        events, self._events = self._events, []
        if self._error is not None:
            events.append(error_event(self._error))
            self._error = None
        if self._owed >= CREDIT_BYTES and not self._has_ended and self.pending is not None:
            self.pool.credit(self.pending, self._owed)
            self._owed = 0
        return b"".join(events)

    def leave(self) -> None:
        """Stop reading: the function is told. From any thread, and from finalizers."""
        if not self._has_ended:
            self._runtime.cancel_soon(self)


class StreamAnswer(_Events):
    """A stream for the thread that reads it."""

    __slots__ = ()

    def _tell(self) -> None:
        self._runtime.reactor.done(self)

    def wait(self) -> None:
        """Wait until something has come."""
        try:
            self._runtime.reactor.wait_after(self, self._look)
        except BaseException:
            self.leave()
            raise

    def _look(self) -> None:
        self.is_done = self._has_come

    def read(self) -> bytes:
        if not self._has_come:
            self.wait()
        reactor = self._runtime.reactor
        with reactor.lock:
            data = self._take()
            reactor.settle()
        reactor.released()
        return data

    def close(self) -> None:
        self.leave()


class AsyncStreamAnswer(_Events):
    """A stream for the task that reads it."""

    __slots__ = ("_future", "_watch")

    def __init__(self, runtime: Runtime, pool: Pool, watch: LoopWatch) -> None:
        super().__init__(runtime, pool)
        self._watch = watch
        self._future: asyncio.Future[None] | None = None

    def _tell(self) -> None:
        if self._future is not None:
            self._watch.set_result(self._future)

    async def arrive(self) -> None:
        """Await something."""
        try:
            while not self._has_come:
                future = self._watch.loop.create_future()
                with self._runtime.reactor:
                    self._future = future
                    if self._has_come:
                        return
                await future
        except BaseException:
            self.leave()
            raise
        finally:
            self._future = None

    async def read(self) -> bytes:
        if not self._has_come:
            await self.arrive()
        with self._runtime.reactor:
            return self._take()


class AsyncReader:
    """A stream as its reader has it, who may leave without a word: the pool knows the answer, but
    not this. A `transport_async.AsyncOpenResponse`."""

    status_code = 200
    headers = STREAM_HEADERS

    def __init__(self, answer: AsyncStreamAnswer) -> None:
        self._answer = answer
        self.read = answer.read

    async def close(self) -> None:
        self._answer.leave()

    def __del__(self) -> None:
        self._answer.leave()
