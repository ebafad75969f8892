r"""Lines that functions print, and the calls that printed them. Runs in: host, Python workers.

stdout and stderr of a worker are pipes of their own, and belong to the user's code. Inside a call
a line is written as ``\x1e<function>\x1f<request id>\x1e<line>\n``, in one write, so that lines of
concurrent calls do not mix. What bypasses `sys.stdout` (C code, child processes) arrives unmarked
and is logged with the worker alone. Nothing that is printed can reach the frames.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["LONGEST_LINE_BYTES", "Line", "LineSplitter", "parse_line"]

MARK = re.compile(r"\x1e([^\x1e\x1f]*)\x1f([^\x1e\x1f]*)\x1e")
LONGEST_LINE_BYTES = 64 * 1024


class Line(NamedTuple):
    """A line of a worker's output; function and request id are "" if they are not known."""

    text: str
    function: str = ""
    request_id: str = ""


def parse_line(raw: bytes) -> Line:
    """Split a line, without its end, into its text and its mark."""
    text = raw.decode("utf-8", "replace").rstrip("\r")
    if "\x1e" not in text:
        return Line(text)
    mark = MARK.search(text)
    if mark is None:
        return Line(text)
    return Line(MARK.sub("", text), mark[1], mark[2])


class LineSplitter:
    """Bytes of a pipe in, whole lines out. A line over `LONGEST_LINE_BYTES` is cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        *whole, rest = (self._rest + data).split(b"\n")
        lines: list[bytes] = []
        for line in whole:
            lines += _cut(line)
        *parts, self._rest = _cut(rest)
        return lines + parts

    def end(self) -> list[bytes]:
        """The rest after the last line's end, if there is one."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _cut(line: bytes) -> list[bytes]:
    """Cut a line into parts that are within the limit."""
    starts = range(0, len(line), LONGEST_LINE_BYTES)
    return [line[start : start + LONGEST_LINE_BYTES] for start in starts] or [b""]
