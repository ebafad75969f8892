"""Stacks that begin in the user's code. Runs in: Python workers."""

from __future__ import annotations

import itertools
import traceback
from pathlib import Path

__all__ = ["user_stack"]

OURS = str(Path(__file__).parent)


def user_stack(error: BaseException, *, chain: bool = True) -> str:
    """The traceback, beginning at the first frame that is not jshost's or importlib's.

    Those frames lie between the worker's start and the user's code.
    """
    lines = traceback.TracebackException.from_exception(error)
    _drop_our_frames(lines)
    return "".join(lines.format(chain=chain)).rstrip("\n")


def _drop_our_frames(lines: traceback.TracebackException) -> None:
    chain: list[traceback.TracebackException | None] = [lines]
    while chain:  # not by recursion: a function that recurses can have a chain of a thousand
        each = chain.pop()
        if each is None:
            continue
        kept = list(each.stack)
        ours = itertools.takewhile(
            lambda frame: frame.filename.startswith((OURS, "<frozen importlib")), kept
        )
        each.stack = traceback.StackSummary.from_list(kept[len(list(ours)) :])
        chain += [each.__cause__, each.__context__]
