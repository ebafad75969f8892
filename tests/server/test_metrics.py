"""The text of /metrics, from numbers that a test has set; tests/e2e/host/test_metrics has hosts."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.fake_service import FakePool, FakeService, statistics_of

from jshost.pool.scheduling.states import State
from jshost.server.metrics import HostMetrics

CONFIG = Path("/app/host.config.py")


class FakeFleet:
    def __init__(self) -> None:
        self.asked = 0

    def ask_lag(self) -> None:
        self.asked += 1


def pool_of(*states: State, queue: int = 0, **restarts: int) -> Any:
    """A pool with workers in these states."""
    pool: Any = FakePool()
    pool.fleet = FakeFleet()
    pool.launch = SimpleNamespace(config_file=CONFIG)
    workers = {number: SimpleNamespace(state=state) for number, state in enumerate(states)}
    pool.scheduler = SimpleNamespace(queue=[None] * queue, workers=workers)
    pool.workers = {
        number: SimpleNamespace(
            process=SimpleNamespace(memory=lambda: 1000), lag_s=lambda now: 0.25
        )
        for number in workers
    }
    pool.restarts = Counter(restarts)
    return pool


def service_of(pool: Any, *names: str) -> Any:
    service = FakeService.of(pool, *names)
    service.registry.loaded = [SimpleNamespace(config_file=CONFIG, pool=pool)]
    return service


def page(metrics: HostMetrics, service: Any) -> dict[str, float]:
    """Each sample of the page and its value."""

    async def main() -> bytes:
        text, content_type = await metrics.page(service)
        assert content_type.startswith("text/plain; version=")
        return text

    lines = asyncio.run(main()).decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_calls_by_function_and_outcome() -> None:
    metrics, pool = HostMetrics("1.2.3"), pool_of(State.READY)
    metrics.statistics = statistics_of("f")
    metrics.statistics["f"].others["queue_full"] = 3
    pool.calls.in_flight = lambda: Counter(f=2)
    samples = page(metrics, service_of(pool, "f", "g"))
    assert samples['jshost_calls_total{function="f",outcome="ok"}'] == 1
    assert samples['jshost_calls_total{function="f",outcome="function_failed"}'] == 1
    assert samples['jshost_calls_total{function="f",outcome="queue_full"}'] == 3
    assert samples['jshost_calls_in_flight{function="f"}'] == 2
    assert samples['jshost_calls_in_flight{function="g"}'] == 0
    buckets = {name: value for name, value in samples.items() if "duration_seconds_bucket" in name}
    assert buckets['jshost_call_duration_seconds_bucket{function="f",le="0.001"}'] == 0
    assert buckets['jshost_call_duration_seconds_bucket{function="f",le="0.0025"}'] == 1
    assert buckets['jshost_call_duration_seconds_bucket{function="f",le="+Inf"}'] == 2


def test_workers_of_a_config_file() -> None:
    pool = pool_of(State.READY, State.READY, State.STARTING, queue=4, died=2)
    samples = page(HostMetrics("1.2.3"), service_of(pool, "f"))
    config = f'config="{CONFIG}"'
    assert samples[f'jshost_workers{{{config},state="ready"}}'] == 2
    assert samples[f'jshost_workers{{{config},state="starting"}}'] == 1
    assert samples[f"jshost_queue_length{{{config}}}"] == 4
    assert samples[f'jshost_worker_memory_bytes{{{config},worker="3"}}'] == 1000
    assert samples[f'jshost_worker_event_loop_lag_seconds{{{config},worker="1"}}'] == 0.25
    assert samples[f'jshost_worker_restarts_total{{{config},reason="died"}}'] == 2
    assert pool.fleet.asked == 1


def test_older_services_count_as_long_as_their_calls_run() -> None:
    old, new = pool_of(State.READY), pool_of(State.READY)
    old.calls.in_flight = lambda: Counter(f=1)
    new.calls.in_flight = lambda: Counter(f=2)
    service = service_of(new, "f")
    service.older = [service_of(old, "f")]
    samples = page(HostMetrics("1.2.3"), service)
    assert samples['jshost_calls_in_flight{function="f"}'] == 3
    assert samples[f'jshost_workers{{config="{CONFIG}",state="ready"}}'] == 2


def test_the_host_itself() -> None:
    metrics = HostMetrics("1.2.3")
    metrics.count_connections = lambda: 7
    metrics.refused["unauthorized"] = 5
    samples = page(metrics, service_of(pool_of(State.READY)))
    assert samples["jshost_connections"] == 7
    assert samples['jshost_refused_requests_total{code="unauthorized"}'] == 5
    assert samples['jshost_info{version="1.2.3"}'] == 1
    assert samples["jshost_host_memory_bytes"] > 1e6
    assert samples["jshost_event_loop_lag_seconds"] >= 0
    assert samples["jshost_start_time_seconds"] > 1.7e9
