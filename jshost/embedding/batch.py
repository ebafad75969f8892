"""Many calls in one request, on an embedded host. Runs in: programs that embed a host."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from jshost import wire
from jshost.embedding.requests import Meta, smaller
from jshost.embedding.runtime import Runtime
from jshost.exceptions import RemoteError
from jshost.multipart import Part
from jshost.workers.pool import PendingCall, Pool

__all__ = ["Batch"]

CONCURRENCY = 256
"""Calls of one batch that run at once; the rest follow, so that a batch cannot fill a queue."""


class Batch:
    """The calls of a batch and their answers, in order.

    Args:
        tell: called under the lock once the last answer has come.
    """

    def __init__(
        self,
        runtime: Runtime,
        parts: Sequence[Part],
        meta: Meta,
        request_id: str,
        tell: Callable[[], None],
    ) -> None:
        self.answers: list[Part] = [Part("", "", b"")] * len(parts)
        self.has_failures = False
        self._runtime = runtime
        self._parts = parts
        self._meta = meta
        self._request_id = request_id
        self._tell = tell
        self._missing = len(parts)
        self._next = 0
        self._is_filling = False
        self._running: dict[int, Item] = {}

    def start(self) -> None:
        """Under the lock: begin as many calls as may run at once."""
        if not self._parts:
            self._tell()
        self._fill()

    def answered(self, index: int, answer: Part) -> None:
        del self._running[index]
        self.answers[index] = answer
        self._missing -= 1
        if not self._missing:
            self._tell()
        elif self._next < len(self._parts) and not self._is_filling:
            self._fill()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._next = len(self._parts)
        # Those that wait first: another thread may give them the place of one that ends.
        for item in reversed(list(self._running.values())):
            self._runtime.cancel(item)

    def _fill(self) -> None:
        self._is_filling = True
        count = len(self._parts)
        while self._next < count and len(self._running) < CONCURRENCY:
            index = self._next
            self._next += 1
            item = self._running[index] = Item(self, index)
            try:
                self._begin(item, self._parts[index])
            except RemoteError as error:
                if error.code == "queue_full" and len(self._running) > 1:
                    del self._running[index]
                    self._next = index  # it has its turn when one of ours is answered
                    break
                error.name = error.name or self._parts[index].name
                item.on_error(error)
        self._is_filling = False

    def _begin(self, item: Item, part: Part) -> None:
        route = self._runtime.pools.route(part.name)
        item.pool = route.pool
        item.pending = route.pool.call(
            part.name,
            part.data,
            smaller(self._meta.timeout_s, route.timeout_s),
            self._request_id,
            item,
            content_type=None if part.content_type == wire.JSON_TYPE else part.content_type,
            traceparent=self._meta.traceparent,
            one_of_many=True,
        )


class Item:
    """One call of a batch, as its pool sees it."""

    __slots__ = ("_batch", "_index", "pending", "pool")

    pool: Pool

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index
        self.pending: PendingCall | None = None

    def on_result(self, payload: bytes) -> None:
        answer = Part("result", wire.content_type_of(payload), payload[1:])
        self._batch.answered(self._index, answer)

    def on_chunk(self, payload: bytes) -> None:
        raise AssertionError("a call that asked for no stream was sent a chunk")

    def on_error(self, error: RemoteError) -> None:
        self._batch.has_failures = True
        answer = Part("error", wire.JSON_TYPE, json.dumps(error.envelope()).encode())
        self._batch.answered(self._index, answer)
