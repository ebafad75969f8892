"""Measure jshost beside its peers and a floor, in one run with interleaved rounds.

Runs in: the project's Python, by hand or by ``make bench``; ``setup.py`` installs the peers.
The report goes to stdout and, if no row was left out, to bench/results.md and as pictures to
docs/images; progress to stderr.
"""

import argparse
import dataclasses
import datetime
import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from machine import describe
from measure import Profile, measure_memory, run_rounds, stations
from node_rows import NODE_ROWS
from pictures import draw
from processes import BENCH
from report import markdown
from results import Results
from rows import ROWS, Row
from startup import measure_startup

__all__ = ["main"]

IMAGES = BENCH.parent / "docs" / "images"
ALL_ROWS = (*ROWS, *NODE_ROWS)
QUICK = Profile(
    rounds=2,
    tiny_s=0.15,
    echo_s=0.05,
    large_s=0.15,
    throughput_s=0.2,
    burn_calls=1,
    ready_samples=3,
    first_samples=3,
    import_samples=15,
)
FULL = Profile(
    rounds=7,
    tiny_s=0.5,
    echo_s=0.2,
    large_s=0.5,
    throughput_s=0.5,
    burn_calls=3,
    ready_samples=9,
    first_samples=15,
    import_samples=21,
)


def main() -> int:
    """Run, report, and return 0 if every row could be measured, else 1."""
    arguments = _arguments()
    rows: list[Row] = arguments.only
    profile = QUICK if arguments.quick else FULL
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    begin_s = time.monotonic()
    results = Results()
    with tempfile.TemporaryDirectory(prefix="jshost-bench-") as folder:
        scratch = Path(folder)
        with stations(rows, scratch, results) as running:
            measure_memory(running, results)
            run_rounds(running, profile, results)
            print("bench: starts and imports", file=sys.stderr, flush=True)
            measure_startup(running, profile, scratch, results)
    print(f"bench: took {time.monotonic() - begin_s:.0f} s", file=sys.stderr, flush=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    date = f"{today} ({'quick' if arguments.quick else 'full'} run)"
    machine = describe()
    report = markdown(rows, results, machine, profile.rounds, date)
    print(report, end="")
    if len(rows) == len(ALL_ROWS):
        (BENCH / "results.md").write_text(report)
        IMAGES.mkdir(parents=True, exist_ok=True)
        for name, picture in draw(ROWS, results, date).items():
            (IMAGES / f"{name}.svg").write_text(picture)
    if arguments.json:
        whole = {"date": date, "machine": machine, **dataclasses.asdict(results)}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 1 if results.broken or results.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="some two minutes, less exact")
    keys = ", ".join(row.key for row in ALL_ROWS)
    parser.add_argument(
        "--only", type=_rows, default=list(ALL_ROWS), metavar="ROW,...", help=f"of: {keys}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there")
    return parser.parse_args()


def _rows(text: str) -> list[Row]:
    keys = text.split(",")
    known = {row.key for row in ALL_ROWS}
    if unknown := [key for key in keys if key not in known]:
        raise argparse.ArgumentTypeError(
            f"no row {', '.join(unknown)}; the rows are {', '.join(sorted(known))}"
        )
    return [row for row in ALL_ROWS if row.key in keys]


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # unwinds, so that everything started is stopped


if __name__ == "__main__":
    sys.exit(main())
