"""Write what a run has measured as Markdown. Runs in: bench/run.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import million
import node_report
import wanted
from node_rows import NODE_ROWS
from results import Results
from rows import BARE_PROGRAMS, FLOOR, IMPORTS, Row
from tables import NOTHING, rounded, table

__all__ = ["markdown"]

NOTES = """\
Every load is put on all rows, one after another, before the next load begins, in {rounds} rounds.
A number is the median over rounds. "vs floor" is the median over rounds of the row's number over
the floor's in the same round: compare these, for absolute times drift with the machine.

- *floor*: request bytes made by hand over one kept-alive socket, to a Node `http` server that
  parses and answers JSON and does nothing else; in asyncio programs the same over a protocol.
  "vs floor" is always over the one on TCP. `http.client` calls the same server.
- *floor: socket pair*: length-prefixed JSON to a bare Node of the caller's own, one call at a time.
  It is the floor of embedded hosts. A row without a host starts what it needs itself, once.
- A dash: the row's client cannot do that, or nothing was measured. JSPyBridge, `http.client` and
  js-host have no asyncio, no batches and no streams. PythonMonkey and mini-racer are engines inside
  of the program: no Node, so no npm packages, no process of their own; a call of PythonMonkey's is
  a C call, for one thread only, and mini-racer has no clock of CPU time.
- "Tasks": callers in one asyncio program, in one thread.
- A batch is 100 tiny calls by `Function.map`. Streams are 20,000 chunks of 10 bytes by
  `Function.stream`, out of a generator and out of an async generator.
- "Killed worker": it is killed with -9 while a call waits in it: until that call's caller has its
  error, and how long the next call takes. Measured for embedded hosts only.
- "Fresh program": the whole process, from the start of its Python. jshost's imports jshost.
- JSPyBridge keeps a reference to the function and starts its own Node, so "first result" includes
  that, and no host can be ready beforehand. Its memory is that of its Node.
- js-host runs with `silent: true`, for it logs every call by default and no other row logs, and
  with `NODE_NO_WARNINGS=1`, for its client takes a warning for a failure and its own packages
  cause one. Its client starts a Node to read the config file before the first call.
- The CPU-burning function spends 20 ms of CPU time, not of wall time. "Cores used" is CPU
  time burned over wall time. "Tiny wait": how long one more caller's tiny calls take meanwhile.
- js-host and jshost answer a string as text, the bare server as JSON. So a large string may cost
  them less than the floor.
- "32 sleeps": 32 callers at once of a function that waits 10 ms, until all have finished.
- Fresh programs and imports run as after a usual installation; hosts run in the project's own
  environment, where the editable one costs every start of Python some 10 ms more.
- Memory: host and worker together at rest, after 100 tiny calls (RSS counts shared pages twice).
"""


@dataclass(frozen=True)
class Column:
    """One column: its heading, its metric, and how to write the metric's median."""

    heading: str
    metric: str
    write: Callable[[float], str]
    ratio: bool = False
    worst: bool = False


def _thousandth(number: float) -> str:
    return rounded(number / 1e3)


def _times(number: float) -> str:
    return f"{number:.2f}"


LATENCY = (
    Column("tiny p50 µs", "tiny.p50_us", rounded),
    Column("vs floor", "tiny.p50_us", _times, ratio=True),
    Column("tiny p95 µs", "tiny.p95_us", rounded),
    Column("vs floor", "tiny.p95_us", _times, ratio=True),
    Column("1 KB µs", "echo_1k.p50_us", rounded),
    Column("vs floor", "echo_1k.p50_us", _times, ratio=True),
    Column("100 KB µs", "echo_100k.p50_us", rounded),
    Column("vs floor", "echo_100k.p50_us", _times, ratio=True),
    Column("5 MB ms", "echo_5m.p50_us", _thousandth),
    Column("vs floor", "echo_5m.p50_us", _times, ratio=True),
)
THROUGHPUT = (
    Column("1 thread", "threads_1.calls_per_s", rounded),
    Column("8 threads", "threads_8.calls_per_s", rounded),
    Column("32 threads", "threads_32.calls_per_s", rounded),
    Column("32 tasks, uvloop", "tasks_32_uvloop.calls_per_s", rounded),
    Column("32 tasks, asyncio", "tasks_32_asyncio.calls_per_s", rounded),
    Column("32 sleeps of 10 ms, ms", "sleep_32.ms", rounded),
)
MANY_AT_ONCE = (
    Column("a batch of 100: µs per call", "batch.call_us", rounded),
    Column("generator: chunks/s", "stream.chunks_per_s", rounded),
    Column("async generator: chunks/s", "stream_async.chunks_per_s", rounded),
)
KILLED = (
    Column("killed worker: ms to the error", "killed.ms", rounded),
    Column("at worst", "killed.ms", rounded, worst=True),
    Column("the next call, ms", "killed.next_ms", rounded),
)
BURNING = (
    Column("cores used, 8 burning", "burn_8_workers_{workers}.speed_up", _times),
    Column("tiny wait p50 ms, 1 burning", "burn_1_workers_{workers}.wait_p50_ms", rounded),
    Column("max ms", "burn_1_workers_{workers}.wait_max_ms", rounded, worst=True),
    Column("tiny wait p50 ms, 2 burning", "burn_2_workers_{workers}.wait_p50_ms", rounded),
    Column("max ms", "burn_2_workers_{workers}.wait_max_ms", rounded, worst=True),
    Column("tiny wait p50 ms, 8 burning", "burn_8_workers_{workers}.wait_p50_ms", rounded),
    Column("max ms", "burn_8_workers_{workers}.wait_max_ms", rounded, worst=True),
)
START = (
    Column("host start to ready ms", "ready.ms", rounded),
    Column("fresh program to first result ms", "first.ms", rounded),
    Column("to its end ms", "first.whole_ms", rounded),
    Column("RSS MB", "memory.rss_mb", rounded),
    Column("USS MB", "memory.uss_mb", rounded),
    Column("processes", "memory.processes", lambda number: f"{number:.0f}"),
)


def markdown(
    rows: Sequence[Row], results: Results, machine: dict[str, str], rounds: int, date: str
) -> str:
    """Return the whole report: tables, failures, how it was measured, on what and when."""
    rows, all_rows = [row for row in rows if row not in NODE_ROWS], rows
    parts = [
        "# Benchmark",
        f"Measured {date}.",
        "## Wanted and reached",
        _wanted(results),
        "## One caller: latency",
        _table(rows, LATENCY, results),
        "## Many callers: calls per second",
        _table(rows, THROUGHPUT, results),
        *_of_some("Batches and streams", "batch", MANY_AT_ONCE, rows, results),
        *_of_some("A worker is killed in mid-call", "kill", KILLED, rows, results),
        "## CPU-burning calls, and tiny calls meanwhile",
        _table([row for row in rows if "burn" in row.can], BURNING, results, by_workers=True),
        "## Start and memory",
        _table(rows, START, results),
        _bare_programs(results),
        *node_report.markdown([row for row in all_rows if row in NODE_ROWS], results),
        "## Imports, over a bare interpreter",
        _imports(results),
    ]
    if runs := million.kept_runs():
        heading = f"## A million calls (`bench/million.py`, {runs[0].date})"
        parts += [heading, million.markdown(runs)]
    if failures := _failures(all_rows, results):
        parts += ["## Failures", failures]
    parts += ["## How", (NOTES + node_report.NOTES).format(rounds=rounds).strip()]
    parts += ["## Machine", "\n".join(f"- {name}: {value}" for name, value in machine.items())]
    return "\n\n".join(parts) + "\n"


def _table(
    rows: Sequence[Row], columns: Sequence[Column], results: Results, by_workers: bool = False
) -> str:
    """One line per row, or ``by_workers`` one for each of its numbers of workers."""
    lines = []
    for row in rows:
        for workers in row.workers if by_workers else (1,):
            name = f"{row.name}, {workers}w" if by_workers and len(row.workers) > 1 else row.name
            if row.key in results.broken:
                reason = f"failed: {_clipped(results.broken[row.key])}"
                cells = [reason, *["" for _ in columns[1:]]]
            else:
                cells = [_cell(row.key, column, workers, results) for column in columns]
            lines.append([name, *cells])
    return table(["", *[column.heading for column in columns]], lines)


def _cell(row: str, column: Column, workers: int, results: Results) -> str:
    """A number; else why there is none; else, where nothing was to be measured, a dash."""
    metric = column.metric.format(workers=workers)
    if column.ratio:
        number = results.ratio(row, FLOOR, metric)
    elif column.worst:
        number = max(results.values(row, metric), default=None)
    else:
        number = results.median(row, metric)
    if number is not None:
        return column.write(number)
    reasons = results.failed(row, metric.split(".")[0])
    return f"failed: {_clipped(reasons[0])}" if reasons else NOTHING


def _clipped(reason: str) -> str:
    """A reason short enough for a table's cell; the whole one is under "Failures"."""
    reason = reason.replace("|", "/")
    return reason if len(reason) <= 70 else reason[:67] + "..."


def _of_some(
    heading: str, needs: str, columns: Sequence[Column], rows: Sequence[Row], results: Results
) -> list[str]:
    able = [row for row in rows if needs in row.can]
    return [f"## {heading}", _table(able, columns, results)] if able else []


def _bare_programs(results: Results) -> str:
    taken = [(name, results.median(name, "bare.ms")) for name in BARE_PROGRAMS]
    said = [f"`{name}` takes {rounded(ms)} ms" for name, ms in taken if ms is not None]
    return f"Beside it, to its end: {', '.join(said)}." if said else ""


def _wanted(results: Results) -> str:
    """Each figure that is wanted, and what this run has reached."""
    lines = []
    for goal in wanted.GOALS:
        reached = [goal.reached(results, key) for key in (goal.javascript, goal.python)]
        cells = [goal.verdict(one) for one in reached]
        lines.append([goal.what, goal.wanted, *cells])
    verdicts = {run.row: million.verdict(run) for run in million.kept_runs()}
    cells = [verdicts.get(key, NOTHING) for key in (wanted.JAVASCRIPT, wanted.PYTHON)]
    lines.append([million.WHAT, "flat", *cells])
    return table(["what", "wanted", "JavaScript", "Python"], lines)


def _imports(results: Results) -> str:
    lines = []
    for imported in IMPORTS:
        key = imported.statement
        if reasons := results.failed(key, "import"):
            lines.append([f"`{key}`", f"failed: {reasons[0]}", ""])
        elif (number := results.median(key, "import.ms")) is not None:
            bare = results.median(key, "import.bare_ms") or 0.0
            lines.append([f"`{key}`", rounded(number), rounded(bare)])
    return table(["", "ms", "bare interpreter ms"], lines)


def _failures(rows: Sequence[Row], results: Results) -> str:
    lines = [
        f"- {row.key}: failed: {results.broken[row.key]}"
        for row in rows
        if row.key in results.broken
    ]
    for row in rows:
        for step, reasons in results.failures.get(row.key, {}).items():
            lines.append(f"- {row.key}, {step}: failed {len(reasons)} time(s): {reasons[-1]}")
    return "\n".join(lines)
