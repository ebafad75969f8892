"""What `jshost top` shows: rates and durations out of a host's counters. Runs in: command line.

Without I/O: two answers of `/metrics` and `/status` go in, tables and lines of text come out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Snapshot", "describe", "lines_of", "quantile"]

NOT_CALLS = ("ok", "not_modified")
"""Outcomes that are no errors."""
SEEN = ("in_flight", "calls_per_s", "calls")
"""What functions are sorted by."""


@dataclass
class Snapshot:
    """What a host said at one time.

    Attributes:
        at: when, in seconds of a monotonic clock.
        outcomes: how many calls ended how, by function and outcome.
        buckets: how many took so long or less, by function; pairs of seconds and numbers.
        in_flight: by function.
        values: metrics without labels, by name.
    """

    at: float
    status: Mapping[str, Any]
    outcomes: dict[str, dict[str, float]] = field(default_factory=dict)
    buckets: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    in_flight: dict[str, float] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, at: float, status: Mapping[str, Any], metrics: str) -> Snapshot:
        """Raises: ValueError: it is not what `/metrics` answers."""
        from prometheus_client.parser import text_string_to_metric_families

        found = cls(at, status)
        for family in text_string_to_metric_families(metrics):
            for name, labels, value, *_ in family.samples:
                function = labels.get("function", "")
                if name == "jshost_calls_total":
                    found.outcomes.setdefault(function, {})[labels["outcome"]] = value
                elif name == "jshost_call_duration_seconds_bucket":
                    found.buckets.setdefault(function, []).append((float(labels["le"]), value))
                elif name == "jshost_calls_in_flight":
                    found.in_flight[function] = value
                elif not labels:
                    found.values[name] = value
        return found


def describe(before: Snapshot, now: Snapshot) -> dict[str, Any]:
    """A host and its functions and workers, as ``jshost top --json`` prints them."""
    status, seconds = now.status, max(now.at - before.at, 1e-9)
    functions = [_function(name, before, now, seconds) for name in sorted(now.in_flight)]
    return {
        "pid": status["pid"],
        "version": status["version"],
        "ready": status["ready"],
        "uptime": status["uptime"],
        "configFile": status["config"]["configFile"],
        "queued": status["queued"],
        "connections": int(now.values.get("jshost_connections", 0)),
        "memory": int(now.values.get("jshost_host_memory_bytes", 0)),
        "lagMs": _ms(now.values.get("jshost_event_loop_lag_seconds", 0.0)),
        "functions": functions,
        "workers": list(status["workers"]),
    }


def _function(name: str, before: Snapshot, now: Snapshot, seconds: float) -> dict[str, Any]:
    calls, errors = _totals(now.outcomes.get(name, {}))
    calls_before, errors_before = _totals(before.outcomes.get(name, {}))
    buckets = now.buckets.get(name, [])
    old = dict(before.buckets.get(name, []))
    recent = [(bound, count - old.get(bound, 0)) for bound, count in buckets]
    shown = recent if recent and recent[-1][1] > 0 else buckets  # else of all there were
    return {
        "name": name,
        "calls": int(calls),
        "errors": int(errors),
        "calls_per_s": round(max(calls - calls_before, 0) / seconds, 2),
        "errors_per_s": round(max(errors - errors_before, 0) / seconds, 2),
        "p50_ms": _ms(quantile(0.5, shown)),
        "p95_ms": _ms(quantile(0.95, shown)),
        "in_flight": int(now.in_flight[name]),
    }


def _totals(outcomes: Mapping[str, float]) -> tuple[float, float]:
    """All calls, and those that failed."""
    calls = sum(outcomes.values())
    return calls, calls - sum(outcomes.get(name, 0) for name in NOT_CALLS)


def quantile(share: float, buckets: list[tuple[float, float]]) -> float | None:
    """So many seconds did this share of the calls take at most, read off a histogram.

    Args:
        buckets: pairs of upper bound and how many took so long or less.
    """
    total = buckets[-1][1] if buckets else 0
    if total <= 0:
        return None
    rank = share * total
    index = bisect_left([count for _, count in buckets], rank)
    bound, count = buckets[index]
    low, below = buckets[index - 1] if index else (0.0, 0.0)
    if bound == float("inf"):
        return low
    return low + (bound - low) * (rank - below) / (count - below)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


# As text


def lines_of(hosts: Mapping[str, Mapping[str, Any] | str], width: int) -> list[str]:
    """All hosts, by URL, as lines of at most `width` columns; of one that does not answer, why."""
    lines: list[str] = []
    for url, found in hosts.items():
        if lines:
            lines.append("")
        if isinstance(found, str):
            lines += [url, f"  {found}"]
        else:
            lines += _host_lines(url, found)
    return [_fit(line, width) for line in lines]


def _host_lines(url: str, found: Mapping[str, Any]) -> list[str]:
    state = "ready" if found["ready"] else "NOT READY"
    head = (
        f"{url}  pid {found['pid']}  {state}  up {_age(found['uptime'])}  "
        f"{found['connections']} connections  {found['queued']} queued  "
        f"lag {_number(found['lagMs'])} ms  {_megabytes(found['memory'])}"
    )
    functions = sorted(found["functions"], key=lambda each: [-each[name] for name in SEEN])
    rows = [
        (
            each["name"],
            _number(each["calls_per_s"]),
            _number(each["errors_per_s"]),
            _number(each["p50_ms"]),
            _number(each["p95_ms"]),
            str(each["in_flight"]),
            str(each["calls"]),
            str(each["errors"]),
        )
        for each in functions
    ]
    titles = ("FUNCTION", "CALLS/S", "ERR/S", "P50 MS", "P95 MS", "IN FLIGHT", "CALLS", "ERRORS")
    workers = [
        (
            f"{Path(each['configFile']).name} {each['number']}",
            str(each["pid"]),
            each["state"],
            _megabytes(each.get("memory")),
            str(each["calls"]),
        )
        for each in found["workers"]
    ]
    return [
        head,
        *_table(titles, rows),
        *_table(("WORKER", "PID", "STATE", "MEMORY", "IN FLIGHT"), workers),
    ]


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns as wide as they must be; the first to the left, the others to the right."""
    cells = [titles, *(tuple(map(_printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in cells
    ]


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _fit(line: str, width: int) -> str:
    line = _printable(line)
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _megabytes(size: int | None) -> str:
    return "-" if not size else f"{size / 1e6:.0f} MB"


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
