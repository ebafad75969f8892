"""What the scheduler's tests share."""

from __future__ import annotations

import math
from typing import Any

from jshost.workers.decisions import Cancel, Ping, Policy, Spawn
from jshost.workers.scheduler import Scheduler

NEVER = math.inf
LATER = 10.0
"""A time at which workers that were ready at 0 have settled."""


def ready_scheduler(workers: int, **numbers: Any) -> Scheduler:
    """A scheduler whose workers, 1 to `workers`, were all ready at 0."""
    scheduler = Scheduler(Policy(workers=workers, **numbers))
    assert scheduler.start(0.0) == [Spawn(1)]
    assert scheduler.worker_ready(1, 0.0) == [Spawn(n) for n in range(2, workers + 1)]
    for number in range(2, workers + 1):
        assert scheduler.worker_ready(number, 0.0) == []
    return scheduler


def retiring_scheduler(**numbers: Any) -> Scheduler:
    """Worker 1 did not drop call 1 and is being replaced by worker 2, since 10.5."""
    scheduler = ready_scheduler(1, **numbers)
    scheduler.submit(1, NEVER, LATER)
    scheduler.submit(2, NEVER, LATER)
    assert scheduler.cancel(1, LATER) == [Cancel(1, 1), Ping(1)]
    assert scheduler.next_wake == 10.5
    assert scheduler.tick(10.5) == [Spawn(2)]
    return scheduler
