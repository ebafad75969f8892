"""How long a fault lasts: seconds in CI, minutes by hand; and what a process may gain meanwhile."""

from __future__ import annotations

import os
import random
import sys
from typing import TypeVar

import hypothesis
import psutil

__all__ = ["FULL", "SEED", "Gain", "by_hand", "examples", "report"]

FULL = os.environ.get("FAULTS") == "full"
SEED = int(os.environ.get("FAULTS_SEED") or random.randrange(2**32))

T = TypeVar("T")


def by_hand(full: T, in_ci: T) -> T:
    """The first when somebody runs it with FAULTS=full, the second in CI."""
    return full if FULL else in_ci


def examples(usual: int) -> int:
    """As many examples as that, or as many fewer as the profile says (100 is the usual one's)."""
    return max(usual * hypothesis.settings().max_examples // 100, 1)


def report(text: str) -> None:
    """Show a figure, with `pytest -s`."""
    sys.stdout.write(f"\n  {text}\n")


class Gain:
    """What a process has more of than when this was made."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._bytes, self._files = self._now()

    def _now(self) -> tuple[int, int]:
        return self._process.memory_info().rss, self._process.num_fds()

    @property
    def megabytes(self) -> float:
        return (self._now()[0] - self._bytes) / 2**20

    @property
    def files(self) -> int:
        return self._now()[1] - self._files
