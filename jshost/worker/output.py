r"""Lines that functions print, marked with the call they belong to. Runs in: host, Python workers.

stdout and stderr of a worker are pipes of their own, and belong to the user's code. Inside a call
a line is written as ``\x1e<function>\x1f<request id>\x1e<line>\n``, in one write, so that lines of
concurrent calls do not mix; js/worker/output.mjs writes the same. What bypasses `sys.stdout` (C
code, child processes) arrives unmarked and is logged with the worker alone. Nothing printed can
reach the frames.
"""

from __future__ import annotations

import io
import os
import re
import threading
from typing import NamedTuple

from jshost.worker.context import running_call

__all__ = ["Line", "LineSplitter", "MarkedStream", "parse_line"]

MARK = re.compile(r"\x1e([^\x1e\x1f]*)\x1f([^\x1e\x1f]*)\x1e")
LONGEST_LINE_BYTES = 64 * 1024


class Line(NamedTuple):
    """One line of a worker's output; function and request id are "" where they are not known."""

    text: str
    function: str = ""
    request_id: str = ""


def parse_line(raw: bytes) -> Line:
    """A line as the worker wrote it, without its end, as text and mark."""
    text = raw.decode("utf-8", "replace").rstrip("\r")
    if "\x1e" not in text:
        return Line(text)
    mark = MARK.search(text)
    if mark is None:
        return Line(text)
    return Line(MARK.sub("", text), mark[1], mark[2])


class LineSplitter:
    """Bytes of a pipe in, whole lines out; a line over `LONGEST_LINE_BYTES` is cut into several."""

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
        """What stood after the last line's end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _cut(line: bytes) -> list[bytes]:
    """The line in parts that are not over the limit; one part where it is not."""
    starts = range(0, len(line), LONGEST_LINE_BYTES)
    return [line[start : start + LONGEST_LINE_BYTES] for start in starts] or [b""]


class MarkedStream(io.TextIOBase):
    """A `sys.stdout` that holds a call's text back until its line is whole, then writes it marked.

    Each thread and each asyncio task has lines of its own, because each has its own current call.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.open_lines: dict[object, str] = {}
        """What was written without a line's end, by the call or the thread that wrote it."""
        self._lock = threading.Lock()
        self.buffer = open(descriptor, "wb", buffering=0, closefd=False)  # noqa: SIM115

    encoding = "utf-8"
    errors = "backslashreplace"

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        call = running_call()
        key: object = call if call is not None else threading.get_ident()
        with self._lock:
            whole = self.open_lines.pop(key, "") + text
            lines, newline, rest = whole.rpartition("\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines, newline, rest = whole, "\n", ""
            if rest:
                self.open_lines[key] = rest
            if newline:
                mark = f"\x1e{call.name}\x1f{call.request_id}\x1e" if call is not None else ""
                marked = "".join(f"{mark}{line}\n" for line in lines.split("\n"))
                self._write_all(marked.encode("utf-8", "backslashreplace"))
        return len(text)

    def reconfigure(self, **options: object) -> None:
        """Nothing to do: it is UTF-8 and by line, whatever is asked."""

    def flush(self) -> None:
        """Nothing to do: whole lines are written at once, and parts of a line wait for its end."""

    def end_call(self, call: object) -> None:
        """Write what a call printed without ending the line."""
        if call in self.open_lines:
            self.write("\n")

    def after_fork(self) -> None:
        """In a forked child: another thread may have held the lock, and the lines are its own."""
        self._lock = threading.Lock()
        self.open_lines = {}

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
