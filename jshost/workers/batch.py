"""Many calls that are answered together. Runs in: host (and any program that owns a pool)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jshost.exceptions import RemoteError
from jshost.workers.pool import PendingCall, Pool

__all__ = ["Batch", "BatchItem"]

CONCURRENCY = 256
"""Calls of one batch that run at once; the rest follow, so that a batch cannot fill a queue."""


class Batch:
    """The calls of a batch, and their answers: RESULT frames' payloads, or errors.

    Args:
        names: the functions' names.
        request_id: the id of all of its calls.
        begin: begins the call of an index for the caller that it is given; raises `RemoteError`.
        cancel: cancels the call of an item.
        tell: called once the last answer has come.
    """

    def __init__(
        self,
        names: Sequence[str],
        request_id: str,
        begin: Callable[[int, BatchItem], None],
        cancel: Callable[[BatchItem], None],
        tell: Callable[[], None],
    ) -> None:
        self.answers: list[bytes | RemoteError] = [b""] * len(names)
        self._names = names
        self._request_id = request_id
        self._begin = begin
        self._cancel = cancel
        self._tell = tell
        self._missing = len(names)
        self._next = 0
        self._is_filling = False
        self._running: dict[int, BatchItem] = {}

    def start(self) -> None:
        """Begin as many calls as may run at once."""
        if not self._names:
            self._tell()
        self._fill()

    def answered(self, index: int, answer: bytes | RemoteError) -> None:
        del self._running[index]
        self.answers[index] = answer
        self._missing -= 1
        if not self._missing:
            self._tell()
        elif self._next < len(self._names) and not self._is_filling:
            self._fill()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._next = len(self._names)
        # Those that wait first: another thread may give them the place of one that ends.
        for item in reversed(list(self._running.values())):
            self._cancel(item)

    def _fill(self) -> None:
        self._is_filling = True
        count = len(self._names)
        while self._next < count and len(self._running) < CONCURRENCY:
            index = self._next
            self._next += 1
            item = self._running[index] = BatchItem(self, index)
            try:
                self._begin(index, item)
            except RemoteError as error:
                if error.code == "queue_full" and len(self._running) > 1:
                    del self._running[index]
                    self._next = index  # it has its turn when one of ours is answered
                    break
                error.name = error.name or self._names[index]
                error.request_id = self._request_id
                item.on_error(error)
        self._is_filling = False


class BatchItem:
    """One call of a batch, as its pool sees it."""

    __slots__ = ("_batch", "_index", "pending", "pool")

    pool: Pool

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index
        self.pending: PendingCall | None = None

    def on_result(self, payload: bytes) -> None:
        self.pending = None  # which refers to us: work for the garbage collector otherwise
        self._batch.answered(self._index, payload)

    def on_chunk(self, payload: bytes) -> None:
        raise AssertionError("a call that asked for no stream was sent a chunk")

    def on_error(self, error: RemoteError) -> None:
        self.pending = None
        self._batch.answered(self._index, error)
