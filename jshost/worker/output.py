"""A worker's `sys.stdout`: marks lines with the call that prints them. Runs in: Python workers.

`protocol/lines.py` says how lines are marked; js/worker/output.mjs writes the same.
"""

from __future__ import annotations

import io
import os
import threading

from jshost.protocol.lines import LONGEST_LINE_BYTES
from jshost.worker.context import current_call_or_none

__all__ = ["MarkedStream"]


class MarkedStream(io.TextIOBase):
    """A `sys.stdout` that holds a call's text back until the line is whole, then writes it marked.

    Each thread and each asyncio task has its own current call, and so its own lines.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.open_lines: dict[object, str] = {}
        """Text without a line's end, by the call or the thread that wrote it."""
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
        call = current_call_or_none()
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
        """Nothing to do: it stays UTF-8 and writes whole lines."""

    def flush(self) -> None:
        """Nothing to do: whole lines are written at once, and parts of a line wait for its end."""

    def end_call(self, call: object) -> None:
        """End the line that a call has begun."""
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
