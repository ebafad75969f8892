"""Rates and durations from a host's counters, for `jshost top`. Runs in: command line.

Without I/O: answers of `/metrics` and `/status` go in, a description of the host comes out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Snapshot", "describe", "quantile"]

NOT_CALLS = ("ok", "not_modified")
"""Outcomes that are no errors."""


@dataclass
class Snapshot:
    """What a host said at one time.

    Attributes:
        at: when, in seconds of a monotonic clock.
        outcomes: numbers of calls, by function and outcome.
        buckets: pairs of seconds and the number of calls that took so long or less, by function.
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
    """Seconds that this share of the calls took at most, read off a histogram.

    Args:
        buckets: pairs of an upper bound and the number of calls that took so long or less.
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
