"""A thread or a task that waits for a call's answer. Runs in: programs that embed a host.

Each is the caller that a pool answers to. Threads and tasks share what they do with an answer, and
differ in how they wait and how they are woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jshost.client.host import Answer
from jshost.embedding.engine import Engine
from jshost.embedding.reactor import Waiter
from jshost.exceptions import RemoteError
from jshost.protocol import frames, values

if TYPE_CHECKING:
    import asyncio

    from jshost.client.host import Chunk
    from jshost.embedding.loops import LoopWatch
    from jshost.pool.pending_call import PendingCall
    from jshost.pool.pool import Pool

__all__ = [
    "KNOWN_TYPES",
    "AsyncCallWaiter",
    "AsyncReader",
    "AsyncStreamWaiter",
    "CallWaiter",
    "StreamWaiter",
]

CREDIT_BYTES = frames.STREAM_WINDOW_BYTES // 4
KNOWN_TYPES = {
    form: values.content_type_of(form) for form in (values.JSON, values.TEXT, values.BYTES)
}


class CallWaiter(Waiter):
    """One call's answer, for the thread that waits for it."""

    __slots__ = ("_engine", "_error", "_payload", "pending", "pool")

    def __init__(self, engine: Engine, pool: Pool) -> None:
        self.is_done = False
        self.signal = None
        self.pool = pool
        self.pending: PendingCall | None = None
        self._engine = engine
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
        self._engine.reactor.done(self)

    def leave(self) -> None:
        """Wait no more: the call is cancelled."""
        self._engine.reactor.leave(self)
        self._engine.cancel(self)

    def answer(self) -> Answer:
        """What has come."""
        error, self._error = self._error, None
        if error is not None:
            self._engine.care()
            return Answer.of_error(error)
        payload = self._payload
        content_type = KNOWN_TYPES.get(payload[:1]) or values.content_type_of(payload)
        return Answer(content_type, payload[1:])


class AsyncCallWaiter(CallWaiter):
    """One call's answer, for the task that awaits it."""

    __slots__ = ("_future", "_watch")

    def __init__(self, engine: Engine, pool: Pool, watch: LoopWatch) -> None:
        super().__init__(engine, pool)
        self._watch = watch
        self._future: asyncio.Future[None] = watch.loop.create_future()

    def _tell(self) -> None:
        self._watch.set_result(self._future)

    async def arrive(self) -> None:
        """Await it; a task that is cancelled cancels the call."""
        try:
            await self._future
        except BaseException:
            self._engine.cancel(self)
            raise


class _Items(Waiter):
    """What has come of a stream, and has not been read."""

    __slots__ = ("_engine", "_items", "_owed", "_tell", "has_ended", "pending", "pool", "refusal")

    def __init__(self, engine: Engine, pool: Pool, tell: Callable[[Any], None]) -> None:
        self._tell = tell
        self.is_done = False
        self.signal = None
        self.pool = pool
        self.pending: PendingCall | None = None
        self.has_ended = False
        """Whether the last item has come, read or not."""
        self.refusal: Answer | None = None
        """What is answered in the place of the stream: an error before anything was sent."""
        self._engine = engine
        self._items: deque[Chunk | Answer] = deque()
        self._owed = 0

    def on_chunk(self, payload: bytes) -> None:
        self._items.append((KNOWN_TYPES[payload[:1]], payload[1:]))
        self._owed += len(payload) + frames.HEADER.size
        if not self.is_done:
            self._tell(self)

    def on_result(self, payload: bytes) -> None:
        self.pending = None
        self.has_ended = True
        content_type = KNOWN_TYPES.get(payload[:1]) or values.content_type_of(payload)
        self._items.append(Answer(content_type, payload[1:]))
        if not self.is_done:
            self._tell(self)

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self.has_ended = True
        answer = Answer.of_error(error)
        if not self._items:
            self.refusal = answer
        self._items.append(answer)
        if not self.is_done:
            self._tell(self)

    def _credit(self) -> None:
        """Make room for more."""
        with self._engine.reactor:
            if not self.has_ended and self.pending is not None:
                self.pool.credit(self.pending, self._owed)
            self._owed = 0

    def leave(self) -> None:
        """Stop reading: the function is cancelled. From any thread, and from finalizers."""
        if not self.has_ended:
            self._engine.cancel_soon(self)


class StreamWaiter(_Items):
    """A stream for the thread that reads it; a `host.AnswerStream`."""

    __slots__ = ()

    def read(self) -> list[Chunk | Answer]:
        if not self._items:
            self._wait()
        if self._owed >= CREDIT_BYTES:
            self._credit()
        items, come = [], self._items
        while come:  # other threads may add to it meanwhile, but only its reader takes
            items.append(come.popleft())
        return items

    def _wait(self) -> None:
        try:
            self._engine.reactor.wait_after(self, self._look)
        except BaseException:
            self.leave()
            raise

    def _look(self) -> None:
        self.is_done = bool(self._items)

    def close(self) -> None:
        self.leave()


class AsyncStreamWaiter(_Items):
    """A stream for the task that reads it."""

    __slots__ = ("_future", "_watch")

    def __init__(self, engine: Engine, pool: Pool, watch: LoopWatch) -> None:
        super().__init__(engine, pool, _wake_reader)
        self._watch = watch
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self._future is not None:
            self._watch.set_result(self._future)

    async def arrive(self) -> None:
        """Await something."""
        try:
            while not self._items:
                future = self._watch.loop.create_future()
                with self._engine.reactor:
                    self._future = future
                    if self._items:
                        return
                await future
        except BaseException:
            self.leave()
            raise
        finally:
            self._future = None

    async def read(self) -> list[Chunk | Answer]:
        if not self._items:
            await self.arrive()
        if self._owed >= CREDIT_BYTES:
            self._credit()
        items, come = [], self._items
        while come:  # other threads may add to it meanwhile, but only its reader takes
            items.append(come.popleft())
        return items


def _wake_reader(waiter: AsyncStreamWaiter) -> None:
    waiter.wake()


class AsyncReader:
    """A stream as its reader has it: dropping this ends the stream. The pool refers to the
    `AsyncStreamWaiter`, but not to this."""

    def __init__(self, answer: AsyncStreamWaiter) -> None:
        self._answer = answer
        self.read = answer.read

    async def close(self) -> None:
        self._answer.leave()

    def __del__(self) -> None:
        self._answer.leave()
