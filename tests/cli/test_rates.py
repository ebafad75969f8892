"""Rates and durations out of a host's counters, and how they look."""

from __future__ import annotations

import math
from typing import Any

import pytest

from jshost.cli.host_table import lines_of
from jshost.cli.rates import Snapshot, describe, quantile

STATUS: dict[str, Any] = {
    "pid": 7,
    "version": "1",
    "ready": True,
    "uptime": 3725.0,
    "queued": 2,
    "config": {"configFile": "/srv/host.config.py"},
    "workers": [
        {"configFile": "/srv/host.config.py", "number": 1, "pid": 8, "state": "ready", "calls": 1,
         "memory": 50_000_000},
    ],
}  # fmt: skip
METRICS = """
# TYPE jshost_calls_total counter
jshost_calls_total{{function="a",outcome="ok"}} {ok}
jshost_calls_total{{function="a",outcome="timeout"}} {timeouts}
jshost_calls_total{{function="a",outcome="not_modified"}} 4
# TYPE jshost_call_duration_seconds histogram
jshost_call_duration_seconds_bucket{{function="a",le="0.1"}} {fast}
jshost_call_duration_seconds_bucket{{function="a",le="1.0"}} {ok}
jshost_call_duration_seconds_bucket{{function="a",le="+Inf"}} {ok}
jshost_call_duration_seconds_sum{{function="a"}} 1.0
jshost_call_duration_seconds_count{{function="a"}} {ok}
# TYPE jshost_calls_in_flight gauge
jshost_calls_in_flight{{function="a"}} 3
jshost_calls_in_flight{{function="b"}} 0
# TYPE jshost_connections gauge
jshost_connections 5
"""


def snapshot(at: float, ok: int, timeouts: int, fast: int) -> Snapshot:
    return Snapshot.parse(at, STATUS, METRICS.format(ok=ok, timeouts=timeouts, fast=fast))


def test_rates_are_of_the_last_interval() -> None:
    found = describe(snapshot(10, 100, 2, 100), snapshot(12, 110, 4, 100))
    a, b = found["functions"]
    assert (a["name"], a["calls"], a["errors"]) == ("a", 118, 4)
    assert (a["calls_per_s"], a["errors_per_s"], a["in_flight"]) == (6.0, 1.0, 3)
    assert a["p50_ms"] == 550, "the ten new ones, all between 0.1 and 1 s"
    assert (b["name"], b["calls"], b["p50_ms"], b["in_flight"]) == ("b", 0, None, 0)
    assert (found["connections"], found["queued"], found["pid"]) == (5, 2, 7)


def test_durations_are_of_all_calls_where_there_were_none_lately() -> None:
    same = snapshot(10, 100, 0, 100)
    assert describe(same, snapshot(11, 100, 0, 100))["functions"][0]["p50_ms"] == 50


def test_a_host_that_was_restarted_has_no_negative_rates() -> None:
    found = describe(snapshot(10, 100, 5, 100), snapshot(12, 1, 0, 1))["functions"][0]
    assert (found["calls_per_s"], found["errors_per_s"]) == (0, 0)


@pytest.mark.parametrize(
    ("share", "buckets", "seconds"),
    [
        (0.5, [], None),
        (0.5, [(1.0, 0), (math.inf, 0)], None),
        (0.5, [(1.0, 10), (math.inf, 10)], 0.5),
        (0.5, [(1.0, 0), (2.0, 10), (math.inf, 10)], 1.5),
        (0.95, [(1.0, 90), (2.0, 100), (math.inf, 100)], 1.5),
        (0.95, [(1.0, 0), (math.inf, 10)], 1.0),
    ],
)
def test_quantile(share: float, buckets: list[tuple[float, float]], seconds: float | None) -> None:
    found = quantile(share, buckets)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


def test_how_it_looks() -> None:
    found = describe(snapshot(10, 100, 2, 100), snapshot(12, 110, 4, 100))
    lines = lines_of({"http://one": found, "http://two": "No host answers"}, 100)
    assert lines[0].startswith("http://one  pid 7  ready  up 1 h 2 min  5 connections  2 queued")
    assert lines[1].split() == ["FUNCTION", "CALLS/S", "ERR/S", "P50", "MS", "P95", "MS", "IN",
                                "FLIGHT", "CALLS", "ERRORS"]  # fmt: skip
    assert lines[2].split()[:3] == ["a", "6.00", "1.00"]
    assert lines[5].split() == ["host.config.py", "1", "8", "ready", "50", "MB", "1"]
    assert lines[-2:] == ["http://two", "  No host answers"]
    assert len({len(line) for line in lines[1:4]}) == 1


@pytest.mark.parametrize("width", [1, 10, 40])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    found = describe(snapshot(10, 1, 0, 1), snapshot(12, 1, 0, 1))
    assert all(len(line) <= width for line in lines_of({"http://one": found}, width))


def test_nothing_that_is_shown_drives_the_terminal() -> None:
    found = describe(snapshot(10, 1, 0, 1), snapshot(12, 1, 0, 1))
    found["functions"][0]["name"] = "\x1b[2Jevil\n"
    text = "".join(lines_of({"http://one": found}, 80))
    assert "\x1b" not in text
    assert "\n" not in text
