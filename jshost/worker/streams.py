"""Chunks of calls on their way to the host. Runs in: Python workers.

An `OutgoingStream` belongs to a call whose caller streams. Two things happen to its frames:

- They wait for room. The host says how many bytes its reader has taken (credit); at most
  `WINDOW_BYTES` and one chunk are on their way. A thread that sends blocks until there is
  room; async code queues its frames and awaits.
- They are gathered. A chunk is sent at once if the last one was sent `GATHER_S` ago. Chunks that
  follow faster are sent together. The `Flusher`'s thread sends what is left, so that no chunk waits
  for the next one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from jshost.protocol import frames
from jshost.worker.channel import Channel
from jshost.worker.context import CallCancelled, CallContext
from jshost.worker.encoding import encode_chunk

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Generator

__all__ = ["Flusher", "OutgoingStream", "run_async_generator", "run_generator"]

WINDOW_BYTES = 256 * 1024
QUEUE_LIMIT_BYTES = 64 * 1024 * 1024
GATHER_BYTES = 16 * 1024
GATHER_S = 0.001
STEPS_PER_TURN = 64
"""After so many chunks of an async generator the loop's other tasks get a turn."""


class Flusher:
    """A thread that sends what streams have gathered for `GATHER_S`."""

    def __init__(self) -> None:
        self._due: deque[OutgoingStream] = deque()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._over = False

    def watch(self, stream: OutgoingStream) -> None:
        """Flush the stream soon."""
        self._due.append(stream)
        self._wanted.set()
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._loop, name="jshost-flush", daemon=True
                    )
                    self._thread.start()

    def stop(self) -> None:
        """End the thread; what is gathered now is still sent."""
        self._over = True
        self._wanted.set()

    def _loop(self) -> None:
        while not self._over:
            self._wanted.wait()
            self._wanted.clear()
            time.sleep(GATHER_S)
            while self._due:
                self._due.popleft().flush_gathered()


class OutgoingStream:
    """One call's chunks on their way to the host.

    Args:
        loop_thread: the id of the event loop's thread, which must not block.
    """

    def __init__(
        self,
        channel: Channel,
        call_id: int,
        call: CallContext,
        flusher: Flusher,
        loop_thread: int,
    ) -> None:
        self._channel = channel
        self._call_id = call_id
        self._call = call
        self._flusher = flusher
        self._loop_thread = loop_thread
        self._changed = threading.Condition(threading.Lock())
        """Guards all that follows; notified when there is room, and when the call is cancelled."""
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._watched = False
        self._sent_at = 0.0
        self._unconfirmed = 0
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False

    # From functions

    def send(self, chunk: Any) -> None:
        """See `CallContext.send`."""
        payload = encode_chunk(chunk)
        if threading.get_ident() == self._loop_thread:
            with self._changed:
                self._enqueue(payload)
        else:
            with self._changed:
                self._wait_for_room()
                self._gather(payload)

    async def asend(self, chunk: Any) -> None:
        """See `CallContext.asend`."""
        payload = encode_chunk(chunk)
        with self._changed:
            self._enqueue(payload)
        if not self._has_room():
            await self._wait_until(self._has_room)

    def wait_for_room(self) -> None:
        """Block while the reader is behind.

        Raises:
            CallCancelled: the caller has given up.
        """
        if not self._has_room():
            with self._changed:
                self._wait_for_room()

    async def drained(self) -> None:
        """Like `drain`, without blocking the event loop."""
        if self._queue:
            await self._wait_until(lambda: not self._queue)

    # From the host

    def credit(self, size: int) -> None:
        """The reader has taken `size` bytes."""
        with self._changed:
            self._unconfirmed -= size
            while self._queue and self._unconfirmed < WINDOW_BYTES:
                payload = self._queue.popleft()
                self._queue_bytes -= len(payload)
                self._gather(payload)
            self._notify()

    def cancel(self) -> None:
        """The reader is gone: wake those that wait for room. `Signal.aborted` is set before."""
        with self._changed:
            self._queue.clear()
            self._queue_bytes = 0
            self._notify()

    # From the runtime

    def drain(self) -> None:
        """Block until the queue is empty; async code has awaited `drained` before."""
        with self._changed:
            while self._queue:
                self._changed.wait()

    def finish(self, kind: int, payload: bytes) -> None:
        """Send the call's last frame behind its chunks. Raises: OSError: the host is gone."""
        with self._changed:
            self._closed = True
            header = frames.encode_header(kind, self._call_id, len(payload))
            self._gathered += [header, payload]
            self._gathered_bytes += len(header) + len(payload)
            self._flush()

    def flush_gathered(self) -> None:
        """Send what is gathered; called by the flusher's thread."""
        with self._changed:
            self._watched = False
            try:
                self._flush()
            except OSError:  # the host is gone: the thread that reads the channel sees it
                self._closed = True

    async def _wait_until(self, is_true: Callable[[], bool]) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._call.signal.aborted:
                    raise CallCancelled(f"{self._call.name}: the caller has given up")
                if is_true():
                    return
                self._flush()
                future = loop.create_future()
                self._waiting.append((loop, future))
            await future

    # The rest is called with the lock held.

    def _has_room(self) -> bool:
        return self._unconfirmed < WINDOW_BYTES and not self._queue

    def _wait_for_room(self) -> None:
        while not self._call.signal.aborted:
            if self._has_room():
                return
            self._flush()
            self._changed.wait()
        raise CallCancelled(f"{self._call.name}: the caller has given up")

    def _notify(self) -> None:
        self._changed.notify_all()
        for loop, future in self._waiting:
            loop.call_soon_threadsafe(_wake, future)
        self._waiting.clear()

    def _enqueue(self, payload: bytes) -> None:
        if self._has_room():
            self._gather(payload)
        elif self._queue_bytes + len(payload) > QUEUE_LIMIT_BYTES:
            raise RuntimeError(
                f"{self._call.name}: send() has queued {self._queue_bytes >> 20} MiB that the "
                "caller has not read yet; use `await current_call().asend(chunk)`"
            )
        else:
            self._queue.append(payload)
            self._queue_bytes += len(payload)

    def _gather(self, payload: bytes) -> None:
        if self._closed:
            return
        header = frames.encode_header(frames.CHUNK, self._call_id, len(payload))
        size = len(header) + len(payload)
        self._unconfirmed += size
        self._gathered.append(header)
        self._gathered.append(payload)
        self._gathered_bytes += size
        if self._gathered_bytes >= GATHER_BYTES or time.monotonic() - self._sent_at >= GATHER_S:
            self._flush()
        elif not self._watched:
            self._watched = True
            self._flusher.watch(self)

    def _flush(self) -> None:
        if self._gathered:
            pieces, self._gathered = self._gathered, []
            size, self._gathered_bytes = self._gathered_bytes, 0
            self._sent_at = time.monotonic()
            self._channel.send_pieces(pieces, size)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def run_generator(
    call: CallContext, stream: OutgoingStream | None, generator: Generator[Any, Any, Any]
) -> Any:
    """Send what the generator yields; returns what it returns."""
    if call.chunks is None:
        call.chunks = []
    try:
        while True:
            if stream is not None:
                stream.wait_for_room()
            try:
                chunk = next(generator)
            except StopIteration as end:
                return end.value
            call.send(chunk)
    finally:
        generator.close()


async def run_async_generator(call: CallContext, generator: AsyncGenerator[Any, Any]) -> None:
    """Send what the generator yields, on the event loop."""
    import asyncio

    if call.chunks is None:
        call.chunks = []
    steps = 0
    try:
        async for chunk in generator:
            await call.asend(chunk)
            steps += 1
            if steps % STEPS_PER_TURN == 0:
                await asyncio.sleep(0)
    finally:
        await generator.aclose()
