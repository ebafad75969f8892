"""Many calls with one answer for all. Runs in: host, programs that embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jshost.exceptions import RemoteError
from jshost.pool.pending_call import PendingCall
from jshost.pool.pool import Pool
from jshost.pool.registry import Route
from jshost.protocol import frames, values

__all__ = ["Batch", "Outcome"]

Run = tuple[str, str, list[bytes]]
"""A function's name, the content type of its arguments, and the arguments of each call: as
`multipart.Run`."""
Outcome = bytes | RemoteError
"""A RESULT frame's payload, or the error of the call."""

CONCURRENCY = 256
"""Calls of one batch that run at once; the rest follow, so that a batch cannot fill the queue."""


class Batch:
    """The calls of a batch, and their outcomes.

    Args:
        runs: the calls.
        route_of: where a function's calls go; raises `RemoteError`.
        request_id: the id of all of its calls.
        timeout_s: the time limit of each call, unless its route has a smaller one; None: no limit.
        traceparent: the caller's trace context.
        on_done: called once the last call has ended.

    Attributes:
        answers: the outcomes of the calls, in their order.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        route_of: Callable[[str], Route],
        request_id: str,
        timeout_s: float | None,
        traceparent: str,
        on_done: Callable[[], None],
    ) -> None:
        self._runs = list(reversed(runs))
        self._route_of = route_of
        self._request_id = request_id
        self._timeout_s = timeout_s
        self._traceparent = traceparent
        self._on_done = on_done
        self._missing = sum(len(contents) for _, _, contents in runs)
        self.answers: list[Outcome] = [b""] * self._missing
        self._next = 0
        self._taken = 0
        """How many calls of the last of `_runs` have begun."""
        self._is_filling = False
        self._running: dict[int, tuple[Pool, PendingCall]] = {}

    def start(self) -> None:
        """Begin as many calls as may run at once."""
        if not self._missing:
            self._on_done()
        self._fill()

    def answered(self, index: int, outcome: Outcome) -> None:
        self._running.pop(index, None)  # it is missing if Ctrl-C struck before it was noted
        self.answers[index] = outcome
        self._missing -= 1
        if not self._missing:
            self._on_done()
        elif self._runs and not self._is_filling:
            self._fill()

    def cancel(self, cancel: Callable[[Pool, PendingCall], None]) -> None:
        """Begin no more calls, and `cancel` each one that runs."""
        self._runs = []
        # The last ones first: they may wait in the queue, and would get the place of one that ends.
        for pool, pending in reversed(list(self._running.values())):
            cancel(pool, pending)

    def _fill(self) -> None:
        self._is_filling = True
        while self._runs and len(self._running) < CONCURRENCY:
            name, content_type, contents = self._runs[-1]
            room = CONCURRENCY - len(self._running)
            some = contents[self._taken : self._taken + room]
            try:
                begun, refusal, pool = self._begin(name, content_type, some)
            except RemoteError as error:
                begun, refusal, pool = 0, error, None
            self._next += begun
            self._taken += begun
            if refusal is not None:
                if refusal.code == "queue_full" and self._running:
                    break  # it is tried again when one of our calls has ended
                if pool is not None:
                    pool.calls.count_refusal(refusal, name)
                self._refuse(refusal, name)
            if self._taken == len(contents):
                self._runs.pop()
                self._taken = 0
        self._is_filling = False

    def _begin(
        self, name: str, content_type: str, bodies: Sequence[bytes]
    ) -> tuple[int, RemoteError | None, Pool | None]:
        """Begin calls. Returns how many have begun, the error of the next one, and its pool."""
        route = self._route_of(name)
        callers = [_Item(self, index) for index in range(self._next, self._next + len(bodies))]
        is_json = content_type in (values.JSON_TYPE, "text/plain")  # curl -F names none for JSON
        pending, refusal = route.pool.call_many(
            name,
            bodies,
            route.limit_s(self._timeout_s),
            self._request_id,
            callers,
            None if is_json else content_type,
            self._traceparent,
        )
        pool = route.pool
        self._running.update(
            (index, (pool, each)) for index, each in enumerate(pending, self._next)
        )
        return len(pending), refusal, pool

    def _refuse(self, error: RemoteError, name: str) -> None:
        error.name = error.name or name
        error.request_id = self._request_id
        self.answers[self._next] = error
        self._next += 1
        self._taken += 1
        self._missing -= 1
        if not self._missing:
            self._on_done()


class _Item:
    """One call of a batch, as its pool sees it."""

    __slots__ = ("_batch", "_index")

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    def on_result(self, payload: bytes) -> None:
        self._batch.answered(self._index, payload)

    def on_chunk(self, payload: bytes) -> None:
        raise frames.FrameError("a CHUNK came for a call that asked for no stream")

    def on_error(self, error: RemoteError) -> None:
        self._batch.answered(self._index, error)
