"""What a run has measured of Node programs, and what is wanted of them. Runs in: bench/run.py."""

from collections.abc import Sequence

from node_rows import HTTP, OWN, SHELL
from results import Results
from rows import Row
from tables import NOTHING, rounded, table
from wanted import TINY, Goal, median, over

__all__ = ["NOTES", "markdown"]

NOTES = """\
- Node programs: *floor* is length-prefixed JSON to a bare Python over a socket pair. python-shell
  runs a script that answers a line of JSON with another: its messages do not say which call they
  answer, so the script runs one at a time, in order. python-bridge and pythonia run one call at a
  time, too. "In flight": so many calls of one program are always under way.
- "First result" of a Node program: from the start of its Node, and of its Python, to the result.
"""

GOALS = (
    Goal("tiny call, of python-shell's time", over(SHELL, TINY), 1, unit=" times"),
    Goal(
        "calls per second, 32 in flight, of python-shell's",
        over(SHELL, "in_flight_32.calls_per_s"),
        at_least=0.5,
        unit=" times",
    ),
    Goal("32 calls of a 10 ms async sleep", median("sleep_32.ms"), 15, unit=" ms"),
    Goal("5 MB echo, of python-shell's time", over(SHELL, "echo_5m.p50_us"), 0.333, unit=" times"),
    Goal(
        "another caller's tiny call while one of 2 workers burns 20 ms of CPU, p50",
        median("burn_1_workers_2.wait_p50_ms"),
        2,
        unit=" ms",
    ),
    Goal("from a fresh program to its first result", median("first.ms"), 200, unit=" ms"),
)

COLUMNS = (
    ("tiny p50 µs", "tiny.p50_us"),
    ("p95 µs", "tiny.p95_us"),
    ("1 KB µs", "echo_1k.p50_us"),
    ("100 KB µs", "echo_100k.p50_us"),
    ("5 MB µs", "echo_5m.p50_us"),
    ("32 in flight, calls/s", "in_flight_32.calls_per_s"),
    ("32 sleeps of 10 ms, ms", "sleep_32.ms"),
    ("generator, chunks/s", "stream.chunks_per_s"),
    ("async generator, chunks/s", "stream_async.chunks_per_s"),
    ("first result ms", "first.ms"),
    ("RSS MB", "memory.rss_mb"),
)
BURNING = (
    ("cores used, 8 burning", "burn_8_workers_{workers}.speed_up"),
    ("tiny wait p50 ms, 1 burning", "burn_1_workers_{workers}.wait_p50_ms"),
    ("max ms", "burn_1_workers_{workers}.wait_max_ms"),
    ("tiny wait p50 ms, 8 burning", "burn_8_workers_{workers}.wait_p50_ms"),
)


def markdown(rows: Sequence[Row], results: Results) -> list[str]:
    """Return the report's sections about `rows`."""
    if not rows:
        return []
    return [
        "## Node calls Python: wanted and reached",
        _wanted(results),
        "## Node calls Python",
        table(
            ["", *[heading for heading, _ in COLUMNS]],
            [[row.name, *_cells(row, COLUMNS, 1, results)] for row in rows],
        ),
        "## Node calls Python: CPU-burning calls, and tiny calls meanwhile",
        table(
            ["", *[heading for heading, _ in BURNING]],
            [
                [f"{row.name}, {workers}w", *_cells(row, BURNING, workers, results)]
                for row in rows
                for workers in row.workers
            ],
        ),
    ]


def _wanted(results: Results) -> str:
    lines = []
    for goal in GOALS:
        own, http = (goal.measure(results, key) for key in (OWN, HTTP))
        beside = NOTHING if http is None else rounded(http) + goal.unit
        lines.append([goal.what, goal.wanted, goal.verdict(own), beside])
    return table(["what", "wanted", "its own Python", "a host over HTTP"], lines)


def _cells(
    row: Row, columns: Sequence[tuple[str, str]], workers: int, results: Results
) -> list[str]:
    """Medians; "failed" where the load was tried in vain, a dash where it was not to be."""
    cells = []
    for _, metric in columns:
        metric = metric.format(workers=workers)
        number = results.median(row.key, metric)
        has_failed = row.key in results.broken or results.failed(row.key, metric.split(".")[0])
        cells.append(rounded(number) if number is not None else "failed" if has_failed else NOTHING)
    return cells
