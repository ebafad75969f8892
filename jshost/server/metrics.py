"""The text of `/metrics`, for Prometheus. Runs in: host.

Pools count calls in plain numbers. They become Prometheus metrics when the page is read, and
prometheus-client is imported at the first time.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jshost.pool.pool import Pool
from jshost.pool.scheduling.states import Phase
from jshost.pool.statistics import BOUNDS_S, Statistics
from jshost.server.service import Service

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["HostMetrics"]

LAG_PERIOD_S = 1.0
PONG_WAIT_S = 0.02
"""How long workers have to report the lag of their event loops; silence means more than that."""


class HostMetrics:
    """The numbers of one host, over all its services.

    Args:
        version: jshost's.
    """

    def __init__(self, version: str) -> None:
        self.statistics = Statistics()
        self.refused: Counter[str] = Counter()
        """Requests that reached no function, by the error's code."""
        self.count_connections: Callable[[], int] = lambda: 0
        self._version = version
        self._started_at = time.time()
        self._lag = _LoopLag()

    async def page(self, service: Service) -> tuple[bytes, str]:
        """All metrics as text, and the content type."""
        prometheus: Any = await asyncio.to_thread(_load)
        self._lag.start()
        pools = [pool for each in (service, *service.older) for pool in each.registry.pools]
        for pool in pools:
            pool.fleet.ask_lag()
        await asyncio.sleep(PONG_WAIT_S)
        registry: Any = prometheus.CollectorRegistry(auto_describe=False)
        registry.register(_Collector(list(self._collect(prometheus.core, service, pools))))
        return prometheus.generate_latest(registry), prometheus.CONTENT_TYPE_LATEST

    def _collect(self, core: Any, service: Service, pools: list[Pool]) -> Iterator[Metric]:
        yield from self._calls(core, service, pools)
        yield from _workers(core, service, pools)
        yield _gauge(core, "jshost_connections", "Open connections", self.count_connections())
        text = "How late the host's event loop was, at most, in the last seconds"
        yield _gauge(core, "jshost_event_loop_lag_seconds", text, self._lag.worst())
        refused = core.CounterMetricFamily(
            "jshost_refused_requests", "Requests that no function was asked for", labels=["code"]
        )
        for code, count in self.refused.items():
            refused.add_metric([code], count)
        yield refused
        text = "Resident memory of the host's own process"
        yield _gauge(core, "jshost_host_memory_bytes", text, _host_memory())
        text = "When the host started, since the epoch"
        yield _gauge(core, "jshost_start_time_seconds", text, self._started_at)
        yield core.InfoMetricFamily("jshost", "What runs", value={"version": self._version})

    def _calls(self, core: Any, service: Service, pools: list[Pool]) -> Iterator[Metric]:
        calls = core.CounterMetricFamily(
            "jshost_calls",
            "Calls that are over, by function and outcome: ok, or the error's code",
            labels=["function", "outcome"],
        )
        durations = core.HistogramMetricFamily(
            "jshost_call_duration_seconds",
            "How long calls took in the host and its worker, with waiting",
            labels=["function"],
        )
        running = core.GaugeMetricFamily(
            "jshost_calls_in_flight", "Calls that wait or run", labels=["function"]
        )
        in_flight: Counter[str] = Counter()
        for pool in pools:
            in_flight.update(pool.calls.in_flight())
        for name in sorted({*service.registry.routes, *self.statistics}):
            running.add_metric([name], in_flight[name])
            if name not in self.statistics:
                continue
            statistics = self.statistics[name]
            for outcome, count in statistics.outcomes.items():
                calls.add_metric([name, outcome], count)
            total, buckets = 0, []
            for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), statistics.buckets, strict=True):
                total += count
                buckets.append((bound, total))
            durations.add_metric([name], buckets, statistics.seconds)
        yield from (calls, durations, running)


def _workers(core: Any, service: Service, pools: list[Pool]) -> Iterator[Metric]:
    """The workers of each config file. They are labelled by their place among the workers, so that
    a worker and its replacement are one series."""

    def gauge(name: str, text: str, *labels: str) -> Any:
        return core.GaugeMetricFamily(name, text, labels=["config", *labels])

    queue = gauge("jshost_queue_length", "Calls that wait for a worker")
    count = gauge("jshost_workers", "Workers, by state", "state")
    memory = gauge("jshost_worker_memory_bytes", "Resident memory of a worker", "worker")
    text = "How late a worker answered: a busy event loop"
    lag = gauge("jshost_worker_event_loop_lag_seconds", text, "worker")
    restarts = core.CounterMetricFamily(
        "jshost_worker_restarts",
        "Workers that were followed by another, by reason",
        labels=["config", "reason"],
    )
    for item in service.registry.loaded:
        config = str(item.config_file)
        own = [pool for pool in pools if pool.launch.config_file == item.config_file]
        queue.add_metric([config], sum(len(pool.scheduler.queue) for pool in own))
        phases = Counter(
            worker.state.phase for pool in own for worker in list(pool.scheduler.workers.values())
        )
        for phase in Phase:
            count.add_metric([config, phase.value], phases[phase])
        channels = [worker for pool in own for worker in pool.workers.values()]
        for place, worker in enumerate(channels, 1):
            memory.add_metric([config, str(place)], worker.process.memory() or 0)
            lag.add_metric([config, str(place)], worker.lag_s(time.monotonic()))
        for reason, number in item.pool.restarts.items():
            restarts.add_metric([config, reason], number)
    yield from (queue, count, memory, lag, restarts)


def _gauge(core: Any, name: str, text: str, value: float) -> Metric:
    found: Metric = core.GaugeMetricFamily(name, text, value=value)
    return found


def _load() -> Any:
    """prometheus-client; the first import takes a tenth of a second."""
    import prometheus_client
    import prometheus_client.core

    return prometheus_client


def _host_memory() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Collector:
    """Gives metrics to a registry of prometheus-client."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


class _LoopLag:
    """How late the event loop runs its timers; measured once a second after `start`."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._planned = 0.0

    def start(self) -> None:
        if not self._planned:
            self._plan()

    def worst(self) -> float:
        """The longest delay since the last call of this method."""
        worst, self._worst_s = self._worst_s, 0.0
        return max(worst, time.monotonic() - self._planned, 0.0)

    def _plan(self) -> None:
        self._planned = time.monotonic() + LAG_PERIOD_S
        asyncio.get_running_loop().call_later(LAG_PERIOD_S, self._look)

    def _look(self) -> None:
        self._worst_s = max(self._worst_s, time.monotonic() - self._planned)
        self._plan()
