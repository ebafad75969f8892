"""Hosts as lines of text, for `jshost top`. Runs in: command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["lines_of"]

SORT_KEYS = ("in_flight", "calls_per_s", "calls")
"""Functions are sorted by these, the highest first."""


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
    functions = sorted(found["functions"], key=lambda each: [-each[name] for name in SORT_KEYS])
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
