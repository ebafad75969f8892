"""Which functions' answers caches may keep, and which code they come from. Runs in: Python workers.

js/worker/caching.mjs does the same for JavaScript.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["cacheable", "describe"]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

LONGEST_S = 365 * 86_400
AGES = f"whole seconds from 1 to {LONGEST_S}"
MARK = "_jshost_max_age"
DIGITS = 12


def cacheable(*, max_age: int) -> Callable[[AnyFunction], AnyFunction]:
    """Let caches keep a function's answers: proxies, CDNs, browsers.

    For functions that change nothing, and whose answer to the same arguments holds for a while.
    They can also be called by GET.

    Args:
        max_age: how many seconds caches may keep an answer, from 1 to a year.

    Example:
        >>> @jshost.cacheable(max_age=60)
        ... def render(markdown):
        ...     return html_of(markdown)

    Raises:
        ValueError: `max_age` is not such a number.
        TypeError: the callable cannot be marked.
    """
    if not _is_age(max_age):
        raise ValueError(f"cacheable(max_age=…) takes {AGES}, not {max_age!r}")

    def mark(function: AnyFunction) -> AnyFunction:
        try:
            setattr(function, MARK, max_age)
        except AttributeError:
            raise TypeError(
                f"cacheable() cannot mark {function!r}; put it into a function of your own"
            ) from None
        return function

    return mark


def describe(functions: Mapping[str, Callable[..., Any]], files: Iterable[str]) -> dict[str, Any]:
    """The caching part of READY; empty where no function is cacheable."""
    marks = {name: getattr(function, MARK, None) for name, function in functions.items()}
    ages = {name: mark for name, mark in marks.items() if _is_age(mark)}
    return {"cacheable": ages, "fingerprint": fingerprint(files)} if ages else {}


def _is_age(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST_S


def fingerprint(files: Iterable[str]) -> str:
    """A few hexadecimal digits that change with the files' contents, the versions of the installed
    packages, and Python's version."""
    import hashlib  # a worker without cacheable functions need not load it

    digest = hashlib.sha1(sys.version.encode(), usedforsecurity=False)
    for name in sorted(_installed()):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    for file in sorted(files):
        try:
            content = Path(file).read_bytes()
        except OSError:
            content = b""  # it was not loaded from a file, but from a zip archive or the like
        digest.update(hashlib.sha1(content, usedforsecurity=False).digest())
    return digest.hexdigest()[:DIGITS]


def _installed() -> set[str]:
    """Names of folders such as ``requests-2.32.3.dist-info``."""
    found: set[str] = set()
    for folder in sys.path:
        try:
            found.update(path.name for path in Path(folder).glob("*.dist-info"))
        except OSError:  # not there, or a zip archive
            continue
    return found
