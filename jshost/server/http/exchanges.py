"""Answers to calls: one result, a stream of values, a batch. Runs in: host.

Each exchange is the `Caller` that a pool answers, and the `Exchange` that a connection waits for.
"""

from __future__ import annotations

from collections.abc import Callable

from jshost.exceptions import RemoteError
from jshost.pool.batch import Batch
from jshost.pool.pending_call import PendingCall
from jshost.pool.pool import Pool
from jshost.protocol import frames, values
from jshost.protocol.events import error_event, event
from jshost.protocol.multipart import encode_runs
from jshost.server.http.handler import Responder, ResultSender
from jshost.server.http.responses import (
    LAST_CHUNK,
    http_chunk,
    stream_head,
)

__all__ = ["BatchExchange", "CallExchange", "StreamExchange"]

CREDIT_BYTES = frames.STREAM_WINDOW_BYTES // 4


class CallExchange:
    """One call, one answer."""

    __slots__ = ("_sender", "pending", "pool")

    def __init__(self, sender: ResultSender, pool: Pool) -> None:
        self._sender = sender
        self.pool = pool
        self.pending: PendingCall | None = None

    def on_result(self, payload: bytes) -> None:
        self.pending = None  # breaks a reference cycle: no work for the garbage collector
        self._sender.send_result(payload)

    def on_chunk(self, payload: bytes) -> None:
        raise frames.FrameError("a CHUNK arrived for a call that is not a stream")

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self._sender.send_error(error)

    def abandon(self) -> None:
        if self.pending is not None:
            self.pool.cancel(self.pending)

    def resume(self) -> None:
        pass


class StreamExchange:
    """One call whose values are sent as they arrive, as fast as the client reads them.

    Values that arrive in one read of the worker's channel are sent as one HTTP chunk. The worker
    may be at most a window of bytes ahead of the client: it gets credit only for bytes written
    while the connection was not full.

    Args:
        chunked: whether the client understands chunked transfer coding (HTTP/1.1).
        soon: runs a function in the next turn of the loop (`loop.call_soon`).
    """

    __slots__ = ("_chunked", "_connection", "_events", "_owed", "_request_id", "_soon", "_started",
                 "pending", "pool")  # fmt: skip

    def __init__(
        self,
        connection: Responder,
        pool: Pool,
        request_id: str,
        chunked: bool,
        soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self._connection = connection
        self._request_id = request_id
        self._chunked = chunked
        self._soon = soon
        self._events: list[bytes] = []
        self._owed = 0
        self._started = False
        self.pool = pool
        self.pending: PendingCall | None = None

    def on_chunk(self, payload: bytes) -> None:
        if not self._events:
            self._soon(self._flush)
        self._events.append(event(b"chunk", payload))
        self._owed += len(payload) + frames.HEADER.size

    def on_result(self, payload: bytes) -> None:
        self.pending = None
        self._events.append(event(b"result", payload))
        self._end()

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        if not (self._started or self._events):  # nothing is sent yet: answer with a status
            self._connection.send_error(error)
            return
        redacted = self._connection.redact(error, self._request_id)
        self._events.append(error_event(redacted))
        self._end()

    def abandon(self) -> None:
        if self.pending is not None:
            self.pool.cancel(self.pending)

    def resume(self) -> None:
        self._flush()

    def _flush(self) -> None:
        if self._events:
            data = b"".join(self._events)
            self._events = []
            if not self._started:
                self._started = True
                origin = self._connection.origin
                self._connection.write(stream_head(self._request_id, self._chunked, origin))
            self._connection.write(http_chunk(data) if self._chunked else data)
        if self._owed >= CREDIT_BYTES and not self._connection.is_full and self.pending:
            self.pool.credit(self.pending, self._owed)
            self._owed = 0

    def _end(self) -> None:
        self._owed = 0
        self._flush()
        if self._chunked:
            self._connection.write(LAST_CHUNK)
        self._connection.finish(200)


class BatchExchange:
    """A batch of calls: many in one request, answered in one response.

    Args:
        make: makes the batch; its argument is called once every call is answered.
    """

    def __init__(
        self,
        connection: Responder,
        request_id: str,
        make: Callable[[Callable[[], None]], Batch],
    ) -> None:
        self._connection = connection
        self._request_id = request_id
        self._batch: Batch | None
        batch = self._batch = make(self._send)
        batch.start()

    def abandon(self) -> None:
        if self._batch is not None:
            self._batch.cancel(lambda pool, pending: pool.cancel(pending))

    def resume(self) -> None:
        pass

    def _send(self) -> None:
        batch, self._batch = (
            self._batch,
            None,
        )  # breaks a reference cycle that holds all the answers
        assert batch is not None
        answers = [
            answer
            if isinstance(answer, bytes)
            else self._connection.redact(answer, self._request_id)
            for answer in batch.answers
        ]
        content_type, body = encode_runs(values.answer_runs(answers))
        headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", self._request_id.encode()),
        ]
        self._connection.send_response(200, headers, body)
