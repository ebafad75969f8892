"""How many Python functions a call runs through, by path, in the checkout that this stands in.

    python bench/python_calls.py

A row says what one call costs the thread that makes it, once everything is warm: the calls of
Python functions, and those of built-in ones.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import jshost  # noqa: E402
from jshost.testing import override_function, run_host  # noqa: E402

CONFIG = """
def tiny(x=0):
    return {"x": x}

def two():
    yield 1
    yield 2

functions = {"tiny": tiny, "two": two}
"""
WARM_UPS = 50
RUNS = 21


def count(call: Callable[[], object]) -> Counter[str]:
    """The calls of Python and built-in functions: the median of several runs."""
    for _ in range(WARM_UPS):
        call()
    found = []
    for _ in range(RUNS):
        counts: Counter[str] = Counter()

        def on_event(frame: object, event: str, arg: object, counts: Counter[str] = counts) -> None:
            counts[event] += 1

        sys.setprofile(on_event)
        call()
        sys.setprofile(None)
        counts["call"] -= 1  # `call` itself
        found.append(counts)
    return sorted(found, key=lambda counts: counts["call"])[RUNS // 2]


def row(name: str, call: Callable[[], object]) -> None:
    counts = count(call)
    print(f"{name:32}{counts['call']:8}{counts['c_call']:10}")


def main() -> None:
    print(f"{'':32}{'Python':>8}{'built-in':>10}")
    tiny, hundred = jshost.Function("tiny"), [{"x": n} for n in range(100)]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "host.config.py")
        config.write_text(CONFIG)
        with run_host(config):
            row("HTTP: call", lambda: tiny.call(x=1))
            row("HTTP: stream of two", lambda: list(jshost.Function("two").stream()))
            row("HTTP: batch of 100", lambda: tiny.map(hundred))
        with jshost.embedded(config) as host:
            here, two = host.function("tiny"), host.function("two")
            row("embedded: call", lambda: here.call(x=1))
            row("embedded: stream of two", lambda: list(two.stream()))
            row("embedded: batch of 100", lambda: here.map(hundred))
    with override_function("tiny", returns=1):
        row("overridden: call", lambda: tiny.call(x=1))


if __name__ == "__main__":
    main()
