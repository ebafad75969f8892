"""Callers that never stop calling, and hold each answer to what they asked."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import pytest
from support.extent import SEED
from support.hosts import RunningHost

from jshost.exceptions import FunctionError, JSHostError

__all__ = ["CONFIG", "JS", "Callers", "Outcome", "any_call", "simple_call"]

JS = """
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const kept = [];
module.exports = {functions: {
  echo_js: ({value}) => value,
  reverse_js: ({text}) => [...text].reverse().join(''),
  async later_js({value, ms}) { await sleep(ms); return value; },
  bytes_js: ({size, byte}) => Buffer.alloc(size, byte),
  throw_js: ({text}) => { throw new Error(text); },
  *count_js({to}) { for (let n = 0; n < to; n++) yield n; },
  leak_js: ({value, kb}) => { kept.push(Buffer.alloc(kb * 1024, 1)); return value; },
  endless_js() { for (;;); },
  async fill_js() { for (;;) { kept.push(Buffer.alloc(16 << 20, 1)); await sleep(5); } },
  flood_js({lines}) {
    for (let n = 0; n < lines; n++) process.stderr.write('flood '.repeat(20) + '\\n');
    return lines;
  },
}};
"""

CONFIG = """
import asyncio, sys, time
include, kept = ["host.config.js"], []
def echo_py(value): return value
def reverse_py(text): return text[::-1]
async def later_py(value, ms):
    await asyncio.sleep(ms / 1000)
    return value
def bytes_py(size, byte): return bytes([byte]) * size
def throw_py(text): raise ValueError(text)
def count_py(to): yield from range(to)
def leak_py(value, kb):
    kept.append(b"x" * (kb * 1024))
    return value
def endless_py():
    while True: pass
def fill_py():
    while True:
        kept.append(b"x" * (16 << 20))
        time.sleep(0.005)
def flood_py(lines):
    for _ in range(lines): sys.stderr.write("flood " * 20 + "\\n")
    return lines
functions = {name: value for name, value in globals().items() if type(value) is type(echo_py)}
"""

LATE_S = 2.0
"""How much later than its deadline a call may end: two processors are shared by all of this."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call ended; `error` is None when it was answered."""

    name: str
    began: float
    ended: float
    error: Exception | None


class Callers:
    """Threads that call until they are stopped.

    Args:
        host: what they call.
        count: how many there are.
        timeout_s: each call's.
        call: makes one call of a random kind, and raises AssertionError for a wrong answer.
    """

    def __init__(
        self,
        host: RunningHost,
        count: int,
        timeout_s: float,
        call: Callable[[RunningHost, random.Random, float], str],
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.broken: list[BaseException] = []
        """What no caller should see: a wrong answer, an error that is none of jshost's."""
        self._host = host
        self._timeout_s = timeout_s
        self._call = call
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"caller-{number}")
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(self._timeout_s + LATE_S + 10)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"

    def _run(self, number: int) -> None:
        rng = random.Random(SEED + number)
        while not self._is_over.is_set():
            began, name, failure = time.monotonic(), "", None
            try:
                name = self._call(self._host, rng, self._timeout_s)
            except JSHostError as error:
                failure = error
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.broken.append(error)
            self.outcomes.append(Outcome(name, began, time.monotonic(), failure))

    # What came of it

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    def kinds(self) -> Counter[str]:
        """Failures by their class."""
        return Counter(type(outcome.error).__name__ for outcome in self.failed)

    def late(self) -> list[Outcome]:
        """Calls that took longer than they may."""
        limit = self._timeout_s + LATE_S
        return [outcome for outcome in self.outcomes if outcome.ended - outcome.began > limit]

    def failed_after(self, when: float) -> list[Outcome]:
        """Failures of calls that were begun since."""
        return [outcome for outcome in self.failed if outcome.began >= when]


def simple_call(host: RunningHost, rng: random.Random, timeout_s: float) -> str:
    """A call whose answer is tied to its argument."""
    language = rng.choice(["js", "py"])
    value: Any = rng.randrange(10**9)
    if rng.random() < 0.2:
        function = host.function(f"later_{language}", timeout=timeout_s)
        assert function.call(value=value, ms=rng.randrange(50)) == value
    else:
        function = host.function(f"echo_{language}", timeout=timeout_s)
        assert function.call(value=value) == value
    return function.name


def any_call(host: RunningHost, rng: random.Random, timeout_s: float) -> str:
    """A call of any kind and size: JSON, text, bytes, errors, streams, batches."""
    language = rng.choice(["js", "py"])

    def function(name: str) -> Any:
        return host.function(f"{name}_{language}", timeout=timeout_s)

    kind = rng.choice(
        ["echo", "echo", "echo", "reverse", "later", "bytes", "throw", "count", "map", "large"]
    )
    number = rng.randrange(10**9)
    match kind:
        case "echo":
            value = {"n": number, "items": [number] * rng.randrange(50)}
            assert function("echo").call(value=value) == value
        case "large":
            text = f"{number} " * rng.randrange(50_000)
            assert function("echo").call(value=text) == text
        case "reverse":
            text = str(number) * rng.randrange(1, 50)
            assert function("reverse").call(text=text) == text[::-1]
        case "later":
            assert function("later").call(value=number, ms=rng.randrange(50)) == number
        case "bytes":
            size, byte = rng.randrange(300_000), rng.randrange(256)
            assert function("bytes").call(size=size, byte=byte) == bytes([byte]) * size
        case "throw":
            with pytest.raises(FunctionError, match=str(number)):
                function("throw").call(text=str(number))
        case "count":
            to = rng.randrange(200)
            assert list(function("count").stream(to=to)) == list(range(to))
        case "map":
            values = [number + n for n in range(rng.randrange(30))]
            assert function("echo").map([{"value": value} for value in values]) == values
    return kind
