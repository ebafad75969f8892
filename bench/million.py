"""Make a million calls to one host and watch the memory of client, host and worker.

Runs in: the project's Python, by hand; it is the client itself. A tenth of the calls at a time,
half of them from 32 tasks on uvloop and half from 8 threads, with results of every kind, each of
them checked. The table goes to stdout; whole runs are kept in bench/million.json, for the report.
"""

import argparse
import asyncio
import datetime
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from processes import BENCH, RowFailure, running_host
from rows import ROWS, Row
from tables import NOTHING, rounded, table

__all__ = ["KEPT", "WHAT", "Run", "kept_runs", "main", "markdown", "verdict"]

WHAT = "1,000,000 calls, memory after the first 100,000"
KEPT = BENCH / "million.json"
CALLS = 1_000_000
SAMPLES = 10
TASKS = 32
THREADS = 8
KINDS = 7
FAILS = 6
PARTS = ("client", "host", "worker")
GROWTH_LIMIT = 0.1
"""Flat is: the median of the last three samples is at most this much above the first."""

MIB = 1024 * 1024


@dataclass
class Sample:
    """Resident memory in MiB after so many calls, and how fast the last tenth went."""

    calls: int
    client: float
    host: float
    worker: float
    calls_per_s: float


@dataclass
class Run:
    """What was measured of one row."""

    row: str
    name: str
    date: str
    samples: list[Sample] = field(default_factory=list)

    def growth(self, part: str) -> float:
        """MiB from the first tenth of the calls to the last three samples' median."""
        return self._late(part) - float(getattr(self.samples[0], part))

    def is_flat(self, part: str) -> bool:
        """Whether a part's memory has stayed what it was after the first tenth."""
        return self.growth(part) <= GROWTH_LIMIT * float(getattr(self.samples[0], part))

    def _late(self, part: str) -> float:
        return statistics.median(getattr(sample, part) for sample in self.samples[-3:])


def main() -> int:
    """Measure, print, and return 0 if all memory stayed flat, else 1."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="jshost-million-") as folder:
        for row in arguments.rows:
            try:
                runs.append(_measure(row, arguments.calls, Path(folder)))
            except RowFailure as failure:
                print(f"bench: {row.key}: failed: {failure}", file=sys.stderr, flush=True)
    print(markdown(runs))
    if len(runs) == len(_default_rows()) and arguments.calls == CALLS:
        KEPT.write_text(json.dumps([asdict(run) for run in runs], indent=1) + "\n")
    all_flat = all(run.is_flat(part) for run in runs for part in PARTS)
    return 0 if all_flat and len(runs) == len(arguments.rows) else 1


def kept_runs() -> list[Run]:
    """Return the last whole run's, or none."""
    if not KEPT.is_file():
        return []
    runs = json.loads(KEPT.read_text())
    return [Run(**{**run, "samples": [Sample(**one) for one in run["samples"]]}) for run in runs]


def verdict(run: Run) -> str:
    """Say in a few words whether all three have stayed flat."""
    said = ", ".join(f"{part} {run.growth(part):+.1f} MB" for part in PARTS)
    growing = [part for part in PARTS if not run.is_flat(part)]
    return f"**{' and '.join(growing)} grew** ({said})" if growing else f"flat ({said})"


def markdown(runs: list[Run]) -> str:
    """Return one table and one verdict for each run."""
    return "\n\n".join(part for run in runs for part in (_table(run), _summary(run)))


def _table(run: Run) -> str:
    headings = [f"{run.name}: calls", *[f"{part} RSS MB" for part in PARTS], "calls/s"]
    lines = [
        [
            f"{sample.calls:,}",
            *[rounded(getattr(sample, part)) for part in PARTS],
            rounded(sample.calls_per_s) if sample.calls_per_s else NOTHING,
        ]
        for sample in run.samples
    ]
    return table(headings, lines)


def _summary(run: Run) -> str:
    return f"{run.name}, after the first {run.samples[0].calls:,} calls: {verdict(run)}."


def _measure(row: Row, calls: int, folder: Path) -> Run:
    import jshost

    assert row.host is not None
    endpoint = row.endpoint(folder, row.key)
    env, log = row.environment(endpoint), folder / f"{row.key}.log"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    run = Run(row.key, row.name, today)
    jshost.settings.configure(ROOT_URL=endpoint.url)
    with (
        running_host(row.host(endpoint), endpoint, row.ready_path, env, log) as (pid, _),
        ThreadPoolExecutor(THREADS) as threads,
        asyncio.Runner(loop_factory=_new_loop) as runner,
    ):
        caller = _Caller(jshost.Function("mixed", jshost.JSHost(root_url=endpoint.url)))
        for sample in range(SAMPLES):
            begin, end = (calls * at // SAMPLES for at in (sample, sample + 1))
            before_s = time.perf_counter()
            middle = (begin + end) // 2
            runner.run(caller.from_tasks(range(begin, middle)))
            caller.from_threads(threads, range(middle, end))
            rate = (end - begin) / (time.perf_counter() - before_s)
            run.samples.append(Sample(end, *_memory(pid), rate))
            print(f"bench: {row.key}: {end:,} calls", file=sys.stderr, flush=True)
    return run


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


class _Caller:
    """Calls the function `mixed` of either language, and looks at each result."""

    def __init__(self, function: Any) -> None:
        self._function = function

    async def from_tasks(self, numbers: range) -> None:
        """Make one call for each number, 32 at once."""
        shared = iter(numbers)
        await asyncio.gather(*[self._task(shared) for _ in range(TASKS)])

    def from_threads(self, threads: ThreadPoolExecutor, numbers: range) -> None:
        """Make one call for each number, from 8 threads."""
        parts = [numbers[at::THREADS] for at in range(THREADS)]
        for _ in threads.map(self._thread, parts):
            pass  # raises what a thread has raised

    async def _task(self, numbers: Iterator[int]) -> None:
        from jshost import FunctionError

        for i in numbers:
            try:
                result = await self._function.acall(i=i)
            except FunctionError as error:
                result = error
            _check(i, result)

    def _thread(self, numbers: range) -> None:
        from jshost import FunctionError

        for i in numbers:
            try:
                result = self._function.call(i=i)
            except FunctionError as error:
                result = error
            _check(i, result)


def _check(i: int, result: object) -> None:
    if i % KINDS == FAILS:
        is_right = isinstance(result, Exception) and f"no {i}" in str(result)
    else:
        is_right = result == _expected(i)
    if not is_right:
        raise AssertionError(f"mixed({i}) answered {str(result)[:100]!r}")


def _expected(i: int) -> object:
    return (
        i + 1,
        f"text {i} \u00e4\U0001f600",
        {"number": i, "list": [i, None, True], "nested": {"text": "x" * 200}},
        None,
        b"bytes %d" % i,
        "y" * 10_000 + str(i),
    )[i % KINDS]


def _memory(host_pid: int) -> tuple[float, float, float]:
    """Resident MiB of this process, the host, and what the host has started."""
    import psutil

    host = psutil.Process(host_pid)
    workers = sum(child.memory_info().rss for child in host.children(recursive=True))
    client = psutil.Process(os.getpid()).memory_info().rss
    return client / MIB, host.memory_info().rss / MIB, workers / MIB


def _default_rows() -> list[Row]:
    return [row for row in ROWS if row.caller == "jshost" and not row.over_unix_socket]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=CALLS, help="fewer, for a short try")
    keys = [row.key for row in ROWS if row.caller == "jshost"]
    parser.add_argument("--row", choices=keys, help="one row only; by default both languages")
    arguments = parser.parse_args()
    if arguments.calls < SAMPLES * TASKS:
        parser.error(f"--calls must be {SAMPLES * TASKS} at least")
    chosen = [row for row in ROWS if row.key == arguments.row]
    arguments.rows = chosen or _default_rows()
    return arguments


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # unwinds, so that the host is stopped


if __name__ == "__main__":
    sys.exit(main())
