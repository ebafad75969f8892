"""What an embedded host reads from requests, and gives them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from jshost.embedding.request_ids import request_ids

THREADS = 4
EACH = 20_000


@pytest.fixture
def threads_switch_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_threads_take_request_ids_at_once(threads_switch_often: None) -> None:
    ids = request_ids()
    found: list[str] = []
    together = threading.Barrier(THREADS)

    def take() -> None:
        together.wait(10)
        for _ in range(EACH):
            found.append(next(ids))

    threads = [threading.Thread(target=take) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == len(found) == THREADS * EACH
