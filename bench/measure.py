"""Keep every row's host and driver running, and interleave loads over them. Runs in: bench/run.py.

A round puts each load on every row, one row after another, before the next load begins: whatever
the machine does meanwhile, it does to all rows. Every round begins with another row.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endpoints import Endpoint
from processes import BENCH, Driver, RowFailure, running_host, sh
from results import Results
from rows import PEER_PYTHON, Row

__all__ = [
    "Profile",
    "Station",
    "measure_memory",
    "rotated",
    "run_rounds",
    "stations",
]

BURN_MS = 20
SLEEP_MS = 10
KILLED_MS = 30_000
BATCH_CALLS = 100
STREAM_CHUNKS = 20_000
FAILURES_BEFORE_SKIP = 2
WARM_UP = {"op": "latency", "function": "tiny", "x": 1, "count": 100}


@dataclass(frozen=True)
class Profile:
    """How long and how often to measure."""

    rounds: int
    tiny_s: float
    echo_s: float
    large_s: float
    throughput_s: float
    burn_calls: int
    ready_samples: int
    first_samples: int
    import_samples: int


@dataclass(frozen=True)
class Step:
    """One load: its name in the results, the driver's command, how many workers it wants.

    ``needs`` names what a row must be able to do; rows that cannot are left out.
    """

    name: str
    command: dict[str, Any]
    workers: int = 1
    needs: str | None = None


@dataclass
class Station:
    """A row in the run. By number of workers: where its hosts listen, their ids, its drivers."""

    row: Row
    endpoints: dict[int, Endpoint] = field(default_factory=dict)
    host_pids: dict[int, int] = field(default_factory=dict)
    drivers: dict[int, Driver] = field(default_factory=dict)


def steps(profile: Profile) -> list[Step]:
    """Return a round's loads in order."""
    return [*_one_caller(profile), *_many_callers(profile), *_burning(profile)]


def _one_caller(profile: Profile) -> list[Step]:
    tiny = {"op": "latency", "function": "tiny", "x": 1, "count": 4000, "seconds": profile.tiny_s}
    echo = {"op": "latency", "function": "echo", "count": 1000, "seconds": profile.echo_s}
    batch = {"op": "batch", "count": BATCH_CALLS, "seconds": profile.echo_s}
    stream = {"op": "stream", "count": STREAM_CHUNKS, "seconds": profile.throughput_s}
    return [
        Step("tiny", tiny),
        Step("echo_1k", {**echo, "text_bytes": 1000}),
        Step("echo_100k", {**echo, "text_bytes": 100_000}),
        Step("echo_5m", {**echo, "text_bytes": 5_000_000, "count": 5, "seconds": profile.large_s}),
        Step("batch", batch, needs="batch"),
        Step("stream", {**stream, "function": "chunks"}, needs="stream"),
        Step("stream_async", {**stream, "function": "async_chunks"}, needs="stream_async"),
    ]


def _many_callers(profile: Profile) -> list[Step]:
    threads = {"op": "throughput", "seconds": profile.throughput_s}
    tasks = {"op": "async_throughput", "tasks": 32, "seconds": profile.throughput_s}
    return [
        *[Step(f"threads_{n}", {**threads, "threads": n}, needs="threads") for n in (1, 8, 32)],
        *[
            Step(f"tasks_32_{loop}", {**tasks, "loop": loop}, needs="async")
            for loop in ("uvloop", "asyncio")
        ],
        Step(
            "in_flight_32",
            {"op": "in_flight", "calls": 32, "seconds": profile.throughput_s},
            needs="in_flight",
        ),
        Step("sleep_32", {"op": "fan", "callers": 32, "ms": SLEEP_MS}, needs="sleep"),
        Step("killed", {"op": "killed", "ms": KILLED_MS}, needs="kill"),
    ]


def _burning(profile: Profile) -> list[Step]:
    calls = {1: profile.burn_calls * 4, 2: profile.burn_calls * 4, 8: profile.burn_calls}
    return [
        Step(
            f"burn_{callers}_workers_{workers}",
            {"op": "burn", "ms": BURN_MS, "callers": callers, "calls": calls[callers]},
            workers,
            needs="burn",
        )
        for workers in (1, 2, 3)
        for callers in (1, 2, 8)
    ]


@contextlib.contextmanager
def stations(rows: Sequence[Row], scratch: Path, results: Results) -> Iterator[list[Station]]:
    """Start every row's hosts; the rows that started. The others are in ``results.broken``."""
    with contextlib.ExitStack() as stack:
        started = []
        for row in rows:
            try:
                started.append(_start(row, scratch, stack))
            except RowFailure as failure:
                results.broken[row.key] = str(failure)
                _say(f"{row.key}: failed: {failure}")
        yield started


def rotated(stations_: Sequence[Station], by: int) -> list[Station]:
    """Return the stations beginning with another one, so that none is always first."""
    at = by % len(stations_) if stations_ else 0
    return [*stations_[at:], *stations_[:at]]


def run_rounds(running: Sequence[Station], profile: Profile, results: Results) -> None:
    """Measure every load of every round on every row."""
    for round_ in range(profile.rounds):
        _say(f"round {round_ + 1} of {profile.rounds}")
        for step in steps(profile):
            for station in rotated(running, round_):
                _measure(station, step, round_, results)


def measure_memory(running: Sequence[Station], results: Results) -> None:
    """Measure each row's host and workers after a few tiny calls, at rest.

    A client that starts its own Node counts without itself: only what it started.
    """
    for station in running:
        key, driver = station.row.key, station.drivers[1]
        try:
            driver.ask({**WARM_UP, "seconds": 5})
            if 1 in station.host_pids:
                argv = [str(station.host_pids[1])]
            else:
                argv = ["--children", str(driver.pid)]
            memory = json.loads(sh([PEER_PYTHON, str(BENCH / "memory.py"), *argv]))
            if memory["processes"]:  # an engine inside of the client has none of its own
                results.record(key, "memory", 0, memory)
        except RowFailure as failure:
            results.record_failure(key, "memory", str(failure))
            _say(f"{key}: memory failed: {failure}")


def _start(row: Row, scratch: Path, stack: contextlib.ExitStack) -> Station:
    station = Station(row)
    for workers in row.workers:
        name = f"{row.key}-{workers}"
        endpoint, log = row.endpoint(scratch, name), scratch / f"{name}.log"
        env = row.environment(endpoint, workers)
        if row.host is not None:
            host = running_host(row.host(endpoint), endpoint, row.ready_path, env, log)
            pid, taken_ms = stack.enter_context(host)
            station.host_pids[workers] = pid
            _say(f"{row.key}: host with {workers} worker(s) ready after {taken_ms:.0f} ms")
        station.endpoints[workers] = endpoint
        driver = Driver(row.driver(endpoint), env, scratch / f"{name}-driver.log")
        station.drivers[workers] = driver
        stack.callback(driver.close)
    station.drivers[1].ask({**WARM_UP, "seconds": 0.1})
    return station


def _measure(station: Station, step: Step, round_: int, results: Results) -> None:
    key, driver = station.row.key, station.drivers.get(step.workers)
    if step.needs is not None and step.needs not in station.row.can:
        return
    if driver is None or len(results.failed(key, step.name)) >= FAILURES_BEFORE_SKIP:
        return
    try:
        results.record(key, step.name, round_, driver.ask(dict(step.command)))
    except RowFailure as failure:
        results.record_failure(key, step.name, str(failure))
        _say(f"{key}: {step.name} failed: {failure}")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
