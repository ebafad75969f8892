"""Batches as pools see them: what is left of one whose caller was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jshost.pool.batch import Batch


class Pool:
    """Takes calls, and has Ctrl-C strike once it has."""

    timeout_s = None

    def __init__(self) -> None:
        self.pool = self
        self.taken: list[Any] = []

    def limit_s(self, asked_s: float | None) -> float | None:
        return asked_s

    def call_many(
        self,
        name: str,
        bodies: Sequence[bytes],
        timeout_s: float | None,
        request_id: str,
        callers: Sequence[Any],
        *more: object,
    ) -> None:
        self.taken += callers
        raise KeyboardInterrupt


def test_answers_to_a_batch_that_was_interrupted() -> None:
    """It began calls that it does not know of; the worker that answers them has done no wrong."""
    pool = Pool()
    route: Callable[[str], Any] = lambda name: pool  # noqa: E731
    told: list[bool] = []
    batch = Batch(
        [("f", "application/json", [b"{}"] * 2)], route, "id", None, "", lambda: told.append(True)
    )
    with pytest.raises(KeyboardInterrupt):
        batch.start()
    batch.cancel(lambda pool, pending: None)
    for caller in pool.taken:
        caller.on_result(b"1")
    assert told == [True]
