"""A worker's stdout or stderr, read line by line. Runs in: host, programs that embed."""

from __future__ import annotations

import os
from collections.abc import Callable

from jshost.pool.loop import Loop
from jshost.protocol.lines import LineSplitter

__all__ = ["OutputPipe"]

READ_BYTES = 64 * 1024


class OutputPipe:
    """The reading end of a pipe.

    Args:
        on_line: called with each line, without its end.
    """

    def __init__(self, fd: int, on_line: Callable[[bytes], None], loop: Loop) -> None:
        self.is_open = True
        self._fd = fd
        self._on_line = on_line
        self._loop = loop
        self._splitter = LineSplitter()
        os.set_blocking(fd, False)
        loop.add_reader(fd, self._on_readable)

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if data:
            self._pass_on(self._splitter.feed(data))
        else:
            self.close()

    def _pass_on(self, lines: list[bytes]) -> None:
        for line in lines:
            self._on_line(line)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._fd)
            self._pass_on(self._splitter.end())
