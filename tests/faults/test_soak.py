"""Calls of every kind and size for minutes, with recycling on: no failure, and nothing grows."""

from __future__ import annotations

import gc
import random
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.callers import CONFIG, JS, Callers, any_call
from support.extent import SEED, by_hand, report
from support.hosts import StartHost, wait_until

from jshost.discovery.records import runtime_folder

SECONDS = by_hand(600, 10)
CALLERS = 16
FEW = 5
"""Descriptors that a host may have more after thousands of calls: none is for a call."""

pytestmark = pytest.mark.timeout(by_hand(900, 90))

LIMITS = ["--max-requests", "500", "--max-age", "20", "--max-memory", "250mb"]


def test_a_soak(serve: StartHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(JS)
    host = serve("host.config.py", CONFIG, "--workers", "2", *LIMITS)
    process, rng = psutil.Process(host.pid), random.Random(SEED)
    for _ in range(100):  # Python 3.11 may fail to compile what threads import at the same time
        any_call(host, rng, 30)
    gc.collect()  # of dropped hosts, whose connections end with them
    time.sleep(0.5)
    at_rest = process.num_fds()
    samples: list[tuple[float, int, int]] = []
    with Callers(host, CALLERS, 30, any_call) as callers:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(SECONDS / 40)
            children = len(process.children(recursive=True))
            samples.append((process.memory_info().rss / 2**20, process.num_fds(), children))
    recycled = host.log_text().count("was recycled")
    kinds = Counter(outcome.name for outcome in callers.outcomes)
    first, last = samples[len(samples) // 4], samples[-1]
    report(
        f"{len(callers.outcomes)} calls in {SECONDS} s, {recycled} workers recycled, failed: "
        f"{dict(callers.kinds())}; host: {first[0]:.0f} MB, later {last[0]:.0f} MB; descriptors "
        f"{first[1]}, later {last[1]}; workers {max(s[2] for s in samples)} at most; {dict(kinds)}"
    )
    assert callers.broken == []
    assert callers.failed == []
    assert recycled > SECONDS / 5
    assert last[0] - first[0] < 30
    wait_until(lambda: len(process.children(recursive=True)) == 4, 10, "four workers and no others")
    gc.collect()
    wait_until(lambda: process.num_fds() <= at_rest + FEW, 10, "end of connections")
    assert host.stop() == 0
    assert list(runtime_folder().iterdir()) == []
