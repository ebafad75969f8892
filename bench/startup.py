"""Measure how long hosts, clients and imports take to start. Runs in: bench/run.py."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from measure import Profile, Station, rotated
from processes import RowFailure, fresh_program_ms, running_host, sh
from results import Results
from rows import BARE_PROGRAMS, IMPORTS, PEER_PYTHON, Import

__all__ = ["measure_startup"]


def measure_startup(
    running: Sequence[Station], profile: Profile, scratch: Path, results: Results
) -> None:
    """Measure all three, each sample of a kind interleaved over the rows."""
    for sample in range(profile.ready_samples):
        for station in rotated(running, sample):
            _host_ready(station, sample, scratch, results)
    for sample in range(profile.first_samples):
        for station in rotated(running, sample):
            _first_result(station, sample, results)
        for name, argv in BARE_PROGRAMS.items():
            results.record(name, "bare", sample, {"ms": _program_ms(argv)})
    for sample in range(profile.import_samples):
        for imported in IMPORTS:
            _import(imported, sample, results)


def _host_ready(station: Station, sample: int, scratch: Path, results: Results) -> None:
    """Measure from the start of the host's command to its first 200."""
    row = station.row
    if row.host is None or results.failed(row.key, "ready"):
        return
    endpoint = row.endpoint(scratch, f"{row.key}-ready")
    log, env = scratch / f"{row.key}-ready.log", row.environment(endpoint)
    try:
        host = running_host(row.host(endpoint), endpoint, row.ready_path, env, log)
        with host as (_, taken_ms):
            results.record(row.key, "ready", sample, {"ms": taken_ms})
    except RowFailure as failure:
        results.record_failure(row.key, "ready", str(failure))


def _first_result(station: Station, sample: int, results: Results) -> None:
    """Measure from the start of a fresh interpreter to the result it prints, and to its end."""
    row, endpoint = station.row, station.endpoints[1]
    if results.failed(row.key, "first"):
        return
    try:
        environment = {**row.environment(endpoint), **row.first_environment}
        first_ms, whole_ms = fresh_program_ms(row.first_call(endpoint), environment)
        results.record(row.key, "first", sample, {"ms": first_ms, "whole_ms": whole_ms})
    except RowFailure as failure:
        results.record_failure(row.key, "first", str(failure))


def _import(imported: Import, sample: int, results: Results) -> None:
    """Measure the whole process with the statement and, next to it, without."""
    if results.failed(imported.statement, "import"):
        return
    try:
        bare_ms = _program_ms([PEER_PYTHON, "-c", "pass"], imported.environment)
        whole_ms = _program_ms([PEER_PYTHON, "-c", imported.statement], imported.environment)
        numbers = {"ms": whole_ms - bare_ms, "bare_ms": bare_ms}
        results.record(imported.statement, "import", sample, numbers)
    except RowFailure as failure:
        results.record_failure(imported.statement, "import", str(failure))
        print(f"bench: {imported.statement}: failed: {failure}", file=sys.stderr, flush=True)


def _program_ms(argv: list[str], environment: Mapping[str, str] | None = None) -> float:
    begin_s = time.perf_counter()
    sh(argv, environment)
    return (time.perf_counter() - begin_s) * 1e3
