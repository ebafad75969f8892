"""The figures that jshost is wanted to reach, as data. Runs in: bench/run.py.

They are the requirements' own; a run says beside each what it has reached.
"""

from collections.abc import Callable
from dataclasses import dataclass

from results import Results
from rows import BARE_PROGRAMS, FLOOR, PAIR_FLOOR
from tables import NOTHING, rounded

__all__ = ["GOALS", "JAVASCRIPT", "PYTHON", "TINY", "Goal", "median", "over"]

JAVASCRIPT, JAVASCRIPT_UDS, PYTHON = "jshost-js", "jshost-js-uds", "jshost-py"
EMBEDDED, EMBEDDED_PYTHON = "jshost-embedded", "jshost-embedded-py"
BRIDGE, JS_HOST = "jspybridge", "js-host"

Measure = Callable[[Results, str], float | None]


@dataclass(frozen=True)
class Goal:
    """One figure: what it is, the bound, and how to work it out for a row.

    ``javascript`` and ``python`` are the rows it is worked out for, None for none.
    """

    what: str
    measure: Measure
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    javascript: str | None = JAVASCRIPT
    python: str | None = PYTHON

    @property
    def wanted(self) -> str:
        """The bound, in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:,g}{self.unit}"
        return f"at least {self.at_least:,g}{self.unit}"

    def reached(self, results: Results, row: str | None) -> float | None:
        """Return the row's figure, or None where it was not measured."""
        return None if row is None else self.measure(results, row)

    def is_reached_by(self, number: float) -> bool:
        """Whether the figure is within the bound."""
        if self.at_most is not None:
            return number <= self.at_most
        assert self.at_least is not None
        return number >= self.at_least

    def verdict(self, number: float | None) -> str:
        """What was reached, for a table's cell."""
        if number is None:
            return NOTHING
        text = rounded(number) + self.unit
        return f"{text} ✓" if self.is_reached_by(number) else f"**{text} ✗**"


def median(metric: str) -> Measure:
    """The row's number."""
    return lambda results, row: results.median(row, metric)


def over(other: str, metric: str, other_metric: str | None = None) -> Measure:
    """The row's number over another row's, of the same round."""
    return lambda results, row: results.ratio(row, other, metric, other_metric)


def _times_faster_than(other: str, metric: str) -> Measure:
    return lambda results, row: results.ratio(other, row, metric)


def _over_one_worker(metric: str, one_worker: str) -> Measure:
    return lambda results, row: results.ratio(row, row, metric, one_worker)


def _over_bare_programs(metric: str) -> Measure:
    """The row's number over what starting a bare Node and a bare Python takes together."""

    def measure(results: Results, row: str) -> float | None:
        number, *bare = (
            results.median(row, metric),
            *(results.median(name, "bare.ms") for name in BARE_PROGRAMS),
        )
        if number is None or None in bare:
            return None
        return number / sum(ms for ms in bare if ms is not None)

    return measure


def _embedded(
    what: str,
    measure: Measure,
    at_most: float | None = None,
    at_least: float | None = None,
    unit: str = " times",
) -> Goal:
    return Goal(f"embedded: {what}", measure, at_most, at_least, unit, EMBEDDED, EMBEDDED_PYTHON)


TINY = "tiny.p50_us"
BRIDGE_THREADS = "threads_32.calls_per_s"
TIMES = " times"

GOALS = (
    Goal("tiny call over TCP, of the raw TCP socket's time", over(FLOOR, TINY), 2.2, unit=TIMES),
    Goal(
        "tiny call over a unix socket, of the raw TCP socket's time",
        over(FLOOR, TINY),
        2.0,
        unit=TIMES,
        javascript=JAVASCRIPT_UDS,
        python=None,
    ),
    Goal("tiny call over TCP, of JSPyBridge's time", over(BRIDGE, TINY), 1, unit=TIMES),
    Goal(
        "tiny call over a unix socket, of JSPyBridge's time",
        over(BRIDGE, TINY),
        1.0,
        unit=TIMES,
        javascript=JAVASCRIPT_UDS,
        python=None,
    ),
    Goal(
        "tiny call over TCP, faster than python-js-host",
        _times_faster_than(JS_HOST, TINY),
        at_least=8,
        unit=TIMES,
    ),
    Goal(
        "calls per second, 32 tasks on uvloop, of JSPyBridge at 32 threads",
        over(BRIDGE, "tasks_32_uvloop.calls_per_s", BRIDGE_THREADS),
        at_least=2,
        unit=TIMES,
    ),
    Goal(
        "calls per second, 32 tasks on asyncio's own loop, of the same",
        over(BRIDGE, "tasks_32_asyncio.calls_per_s", BRIDGE_THREADS),
        at_least=2,
        unit=TIMES,
    ),
    Goal(
        "calls per second, 8 threads, of JSPyBridge at 32 threads",
        over(BRIDGE, "threads_8.calls_per_s", BRIDGE_THREADS),
        at_least=1.5,
        unit=TIMES,
    ),
    Goal(
        "calls per second, 32 threads, of JSPyBridge at 32 threads",
        over(BRIDGE, "threads_32.calls_per_s", BRIDGE_THREADS),
        at_least=1.5,
        unit=TIMES,
    ),
    Goal("a batch of 100 tiny calls, each", median("batch.call_us"), 12, unit=" µs"),
    Goal(
        "100 KB echo, of the raw TCP socket's time",
        over(FLOOR, "echo_100k.p50_us"),
        1.5,
        unit=TIMES,
    ),
    Goal("5 MB echo, of the raw TCP socket's time", over(FLOOR, "echo_5m.p50_us"), 1.5, unit=TIMES),
    Goal("32 callers of a 10 ms sleep", median("sleep_32.ms"), 16, unit=" ms"),
    Goal(
        "20 ms of CPU, 8 callers: 2 workers, of one worker's rate",
        _over_one_worker("burn_8_workers_2.speed_up", "burn_8_workers_1.speed_up"),
        at_least=1.8,
        unit=TIMES,
    ),
    Goal(
        "another caller's tiny call while 2 of 3 workers burn, p50",
        median("burn_2_workers_3.wait_p50_ms"),
        2,
        unit=" ms",
    ),
    Goal(
        "a stream of 10-byte chunks, generator",
        median("stream.chunks_per_s"),
        at_least=50_000,
        unit="/s",
    ),
    Goal(
        "a stream of 10-byte chunks, async generator",
        median("stream_async.chunks_per_s"),
        at_least=50_000,
        unit="/s",
    ),
    Goal(
        "`import jshost` and a first call to a warm host, the whole program",
        median("first.whole_ms"),
        120,
        unit=" ms",
    ),
    _embedded("tiny call, of the socket pair's time", over(PAIR_FLOOR, TINY), 1.6),
    _embedded("tiny call, of JSPyBridge's time", over(BRIDGE, TINY), 0.33),
    _embedded("8 threads", median("threads_8.calls_per_s"), at_least=15_000, unit="/s"),
    _embedded("32 threads", median("threads_32.calls_per_s"), at_least=15_000, unit="/s"),
    _embedded(
        "32 tasks on uvloop", median("tasks_32_uvloop.calls_per_s"), at_least=40_000, unit="/s"
    ),
    _embedded(
        "32 tasks on asyncio's own loop",
        median("tasks_32_asyncio.calls_per_s"),
        at_least=40_000,
        unit="/s",
    ),
    _embedded("a batch of 100 tiny calls, each", median("batch.call_us"), 5, unit=" µs"),
    _embedded("5 MB echo, of the socket pair's time", over(PAIR_FLOOR, "echo_5m.p50_us"), 1.3),
    _embedded("32 callers of a 10 ms sleep", median("sleep_32.ms"), 14, unit=" ms"),
    _embedded("from a fresh program to its first result", median("first.ms"), 150, unit=" ms"),
    _embedded(
        "the same, of `node -e 0` and `python -c pass` together",
        _over_bare_programs("first.ms"),
        1.79,
    ),
    _embedded("killed worker, to the error", median("killed.ms"), 50, unit=" ms"),
)
