"""Who answers a request: one call, a stream, a batch of calls. Runs in: host.

Each is the caller that a pool's call answers to, and the exchange that a connection waits for.
"""

from __future__ import annotations

from collections.abc import Callable

from jshost.exceptions import RemoteError
from jshost.pool.batch import Batch
from jshost.pool.pool import PendingCall, Pool
from jshost.protocol import frames, values
from jshost.protocol.multipart import encode_runs
from jshost.server.http.connection import ServerConnection
from jshost.server.http.responses import (
    LAST_CHUNK,
    error_event,
    event,
    http_chunk,
    stream_head,
)

__all__ = ["BatchExchange", "CallExchange", "StreamExchange"]

CREDIT_BYTES = frames.STREAM_WINDOW_BYTES // 4


class CallExchange:
    """One call, one answer."""

    __slots__ = ("_connection", "pending", "pool")

    def __init__(self, connection: ServerConnection, pool: Pool) -> None:
        self._connection = connection
        self.pool = pool
        self.pending: PendingCall | None = None

    def on_result(self, payload: bytes) -> None:
        self.pending = None  # which refers to us: work for the garbage collector otherwise
        self._connection.send_result(payload)

    def on_chunk(self, payload: bytes) -> None:
        raise frames.FrameError("a CHUNK came for a call that asked for no stream")

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self._connection.send_error(error)

    def abandon(self) -> None:
        if self.pending is not None:
            self.pool.cancel(self.pending)

    def resume(self) -> None:
        pass


class StreamExchange:
    """One call whose values are sent as they come, as fast as its reader takes them.

    What one read of the worker's channel brought is sent as one HTTP chunk. The worker may be a
    window's bytes ahead of the reader: it is given credit only for what was written while the
    connection was not full.
    """

    __slots__ = ("_chunked", "_connection", "_events", "_owed", "_request_id", "_soon", "_started",
                 "pending", "pool")  # fmt: skip

    def __init__(
        self,
        connection: ServerConnection,
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
        if not (self._started or self._events):  # nothing was sent: a status says it better
            self._connection.send_error(error)
            return
        told = self._connection.conceal(error, self._request_id)
        self._events.append(error_event(told))
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
    """A batch of calls in one request; they are answered in one response.

    Args:
        make: makes the batch, given what to call once it is answered.
    """

    def __init__(
        self,
        connection: ServerConnection,
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
        batch, self._batch = self._batch, None  # which refers to us, and has all the answers
        assert batch is not None
        answers = [
            answer
            if isinstance(answer, bytes)
            else self._connection.conceal(answer, self._request_id)
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
