"""Calls `after_fork` of connections and their owners in forked children. Runs in: callers."""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["Forked", "call_after_fork"]


class Forked(Protocol):
    def after_fork(self) -> None:
        """In a forked child: drop the sockets and claims that belong to the parent."""


_all: weakref.WeakSet[Forked] = weakref.WeakSet()


def call_after_fork(owner: Forked) -> None:
    """Have ``owner.after_fork()`` called in forked children, for as long as `owner` lives."""
    _all.add(owner)


def _after_fork() -> None:
    with contextlib.suppress(RuntimeError):  # another thread added one just when this one forked
        for owner in list(_all):
            owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
