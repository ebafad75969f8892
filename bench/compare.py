"""Compare the speed of two checkouts in one run. Runs in: the project's Python, by hand.

    .venv/bin/python bench/compare.py ../jshost-before [--rounds 7] [--only tcp-call,embedded-call]

Each checkout has its own .venv, hosts and callers. Rounds alternate between the two, so that a
machine that gets slower hurts both. What counts is the ratio; below 1 this checkout is faster.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["main"]

HERE = Path(__file__).resolve().parent
LOADS = ("call", "batch", "stream", "threads", "tasks")
WAYS = ("tcp", "uds", "embedded")
FUNCTIONS = {
    "js": "module.exports = {functions: {hello: ({name}) => `Hello, ${name}!`, "
    "two: function* () { yield 1; yield 2; }}};",
    "py": "def hello(name): return f'Hello, {name}!'\n\n"
    "def two():\n    yield 1\n    yield 2\n\nfunctions = {'hello': hello, 'two': two}\n",
}
CALLER_DEADLINE_S = 300


def main() -> int:
    """Print a line for each way to a function, load and language."""
    parser = argparse.ArgumentParser(description="Compare the speed of two checkouts.")
    parser.add_argument("other", type=Path, help="the other checkout, with a .venv of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="such as tcp-call,embedded-stream")
    arguments = parser.parse_args()
    trees = [arguments.other.resolve(), HERE.parent]
    kinds = [f"{way}-{load}" for way in WAYS for load in LOADS]
    kinds = [kind for kind in kinds if kind in (arguments.only or kind).split(",")]
    with tempfile.TemporaryDirectory(prefix="jshost-compare-") as name:
        folder = Path(name)
        for language, text in FUNCTIONS.items():
            (folder / f"host.config.{language}").write_text(text)
        for language in FUNCTIONS:
            config = folder / f"host.config.{language}"
            for kind in kinds:
                _compare(trees, kind, language, config, arguments.rounds)
    return 0


def _compare(trees: list[Path], kind: str, language: str, config: Path, rounds: int) -> None:
    way, _, load = kind.partition("-")
    found: dict[Path, list[float]] = {tree: [] for tree in trees}
    with contextlib.ExitStack() as hosts:
        urls = {tree: hosts.enter_context(_served(tree, way, config)) for tree in trees}
        for number in range(rounds):
            for tree in trees if number % 2 else reversed(trees):
                found[tree].append(_measure(tree, load, urls[tree], config))
    before, after = (statistics.median(found[tree]) for tree in trees)
    ratios = [own / other for other, own in zip(*found.values(), strict=True)]
    print(
        f"{kind:17} {language}  {before:9.1f} -> {after:9.1f} us"
        f"   ratio {statistics.median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


@contextlib.contextmanager
def _served(tree: Path, way: str, config: Path) -> Iterator[str]:
    """The URL of a host of that checkout; "" where the caller embeds one."""
    if way == "embedded":
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="jshost-compare-") as folder:
        socket = f"{folder}/host.sock"
        where = ["--uds", socket] if way == "uds" else ["--port", "0"]
        command = [str(tree / ".venv/bin/python"), "-m", "jshost", "serve", str(config), "--json"]
        with subprocess.Popen(
            [*command, *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "XDG_RUNTIME_DIR": folder},
        ) as host:
            try:
                assert host.stdout is not None
                status = json.loads(host.stdout.readline())
                port = status["config"]["port"]
                yield f"unix://{socket}" if way == "uds" else f"http://127.0.0.1:{port}"
            finally:
                host.terminate()


def _measure(tree: Path, load: str, url: str, config: Path) -> float:
    """Microseconds for one call, batch or stream."""
    caller = HERE / "compare_caller.py"
    done = subprocess.run(
        [str(tree / ".venv/bin/python"), str(caller), load, url, str(config)],
        cwd=config.parent,
        stdout=subprocess.PIPE,
        check=True,
        timeout=CALLER_DEADLINE_S,
    )
    return float(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
