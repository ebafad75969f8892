"""The channel to one worker: frames both ways, and the lines that it prints.

Runs in: host, programs that embed.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections import deque
from typing import Any, Protocol

from jshost.platform import kept_lock
from jshost.pool.loop import Loop
from jshost.pool.output_pipe import OutputPipe
from jshost.pool.process import WorkerProcess
from jshost.protocol import frames, payloads
from jshost.protocol.lines import Line, parse_line

__all__ = ["AnswerListener", "ChannelOwner", "WorkerChannel", "log_line"]

logger = logging.getLogger("jshost.pool")
output_logger = logging.getLogger("jshost.worker")

STDERR_TAIL_LINES = 20
READ_BYTES = 64 * 1024
"""How much is read at once. From 128 KB on, malloc maps new memory for every read
(M_MMAP_THRESHOLD), which costs more than the read; only the rest of a large frame is worth it."""
LARGE_READ_BYTES = 512 * 1024
JOINED_BYTES = 64 * 1024
"""A larger frame is sent by itself, because joining it with others would copy it."""
HELD = 16
"""At most so many frames are sent together: the worker starts on them while more are made."""
MAX_BUFFERS = 64
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class AnswerListener(Protocol):
    """Hears what a worker answers to calls."""

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None: ...
    def on_chunk(self, call_id: int, payload: bytes) -> None: ...


class ChannelOwner(Protocol):
    """Hears what a worker says of itself."""

    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None: ...
    def on_update(self, ready: dict[str, Any]) -> None: ...
    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None: ...
    def on_pong(self, worker: WorkerChannel) -> None: ...
    def on_gone(self, worker: WorkerChannel) -> None: ...
    def on_line(self, worker: WorkerChannel, level: int, line: Line) -> None: ...


class WorkerChannel:
    """One worker's channel and outputs."""

    def __init__(
        self,
        number: int,
        process: WorkerProcess,
        calls: AnswerListener,
        owner: ChannelOwner,
        loop: Loop,
    ) -> None:
        self.number = number
        self.process = process
        self.load_error = ""
        self.expected_end = False
        self.kill_reason = ""
        self.is_ready = False
        self.is_measured = False
        """Whether its memory has been measured."""
        self.pinged_at = 0.0
        """When the PING was sent that it has not answered yet; else 0."""
        self.last_lag_s = 0.0
        self.fingerprint = ""
        """Identifies its code, if it has cacheable functions."""
        self.is_connected = True
        self.is_gone = False
        self._loop = loop
        self._calls = calls
        self._owner = owner
        self._decoder = frames.Decoder()
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
        self._unsent: deque[bytes | memoryview] = deque()
        """Data that the socket's buffer did not take. It is bounded, because calls are."""
        self._held: list[bytes] = []
        """Frames that are sent together at the end of this turn of the loop."""
        self._socket = process.channel
        self._socket.setblocking(False)
        self._fd = self._socket.fileno()
        self._io: kept_lock.SendReceive = self._socket
        self._pidfd = -1
        self._pipes = [
            OutputPipe(process.stdout.fileno(), self._on_stdout, loop),
            OutputPipe(process.stderr.fileno(), self._on_stderr, loop),
        ]
        loop.add_reader(self._fd, self._on_readable)
        self._watch_process()

    @property
    def open_outputs(self) -> int:
        """How many of stdout and stderr are still open."""
        return sum(pipe.is_open for pipe in self._pipes)

    def _watch_process(self) -> None:
        """Notice the end of the process even if a child of it holds the channel open (Linux)."""
        if not hasattr(os, "pidfd_open"):
            return
        try:
            self._pidfd = os.pidfd_open(self.process.pid)
        except OSError as error:  # it has ended, or this system is too old
            if error.errno != errno.ESRCH:
                logger.debug("worker %d is not watched by a pidfd: %s", self.number, error)
            return
        self._loop.add_reader(self._pidfd, self._on_process_end)

    def _on_process_end(self) -> None:
        if self.process.has_ended():
            self._forget_process()
            self._owner.on_gone(self)

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    # Receiving

    def _on_readable(self) -> None:
        if self._io is self._socket and kept_lock.is_wanted():
            self._io = kept_lock.kept_lock_socket(self._socket)
        large = self._decoder.missing_bytes > READ_BYTES
        try:
            data = self._io.recv(LARGE_READ_BYTES if large else READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        except BaseException:  # Ctrl-C, after the read: what it got is lost
            self.process.kill()
            raise
        if not data:
            if self.is_connected:
                self._disconnect()
                self._owner.on_gone(self)
            return
        try:
            self._take(data)
        except BaseException:  # a mistake, or Ctrl-C in mid-work: answers may be lost, so let it be
            self.process.kill()
            raise

    def _take(self, data: bytes) -> None:
        calls = self._calls
        try:
            for kind, call_id, payload in self._decoder.feed(data):
                if kind == frames.RESULT:
                    if payload[:1] not in payloads.SIMPLE_FORMS:
                        payloads.check_result(payload)
                    calls.on_answer(kind, call_id, payload)
                elif kind == frames.ERROR and call_id:
                    calls.on_answer(kind, call_id, payload)
                elif kind == frames.CHUNK:
                    payloads.check_chunk(payload)
                    calls.on_chunk(call_id, payload)
                else:
                    self._take_news(kind, payload)
        except frames.FrameError as error:
            logger.error("worker %d is killed: %s", self.number, error)
            self.process.kill()
            self._disconnect()  # what follows cannot be trusted
            self._owner.on_gone(self)

    def _take_news(self, kind: int, payload: bytes) -> None:
        """Frames that belong to no call. Workers send no other kinds; those are ignored."""
        owner = self._owner
        if kind == frames.LOG:
            self._log(payloads.log_of(payload))
        elif kind == frames.PONG:
            self._note_lag()
            owner.on_pong(self)
        elif kind == frames.READY and self.is_ready:
            owner.on_update(payloads.update_of(payload))
        elif kind == frames.READY:
            ready = payloads.ready_of(payload)
            self.is_ready = True
            owner.on_ready(self, ready)
        elif kind == frames.ERROR:
            owner.on_load_failed(self, payloads.failure_of(payload))

    def ask_lag(self) -> None:
        """Measure how late the worker's event loop is; see `lag_s`."""
        if self.is_ready and not self.is_gone and not self.pinged_at:
            self.pinged_at = time.monotonic()
            self.send(frames.PING, 0)

    def _note_lag(self) -> None:
        if self.pinged_at:
            self.last_lag_s, self.pinged_at = time.monotonic() - self.pinged_at, 0.0

    def lag_s(self, now: float) -> float:
        """How long the last PING took, or the one that waits for its PONG has taken so far."""
        return max(self.last_lag_s, now - self.pinged_at) if self.pinged_at else self.last_lag_s

    # Sending

    def send(self, kind: int, call_id: int, payload: bytes = b"") -> None:
        self.send_frame(frames.encode(kind, call_id, payload))

    def send_frame(self, frame: bytes) -> None:
        if self._held:
            self._flush()
        self._write(frame)

    def send_soon(self, frame: bytes) -> None:
        """Send a frame at the end of this turn of the loop, together with others."""
        if len(frame) > JOINED_BYTES:
            self.send_frame(frame)
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(frame)
        if len(self._held) >= HELD:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            try:
                data, self._held = b"".join(self._held), []
                self._write(data)
            except BaseException:  # Ctrl-C: it is not known what was sent
                self.process.kill()
                raise

    def _write(self, data: bytes) -> None:
        if self._unsent:
            self._unsent.append(data)
            return
        try:
            sent = self._io.send(data, NO_SIGNAL)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # the worker is gone; the reading end notices
        if sent < len(data):
            self._unsent.append(memoryview(data)[sent:])
            self._loop.add_writer(self._fd, self._send_rest)

    def _send_rest(self) -> None:
        """Send the rest, as far as the socket's buffer takes it; the loop calls again for more."""
        unsent = self._unsent
        try:
            while unsent:
                buffers = [unsent[index] for index in range(min(len(unsent), MAX_BUFFERS))]
                sent = self._socket.sendmsg(buffers, (), NO_SIGNAL)
                while unsent and sent >= len(unsent[0]):
                    sent -= len(unsent.popleft())
                if sent:
                    unsent[0] = memoryview(unsent[0])[sent:]
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._fd, self._send_rest)
            return
        except OSError:
            unsent.clear()  # the worker is gone; the reading end notices
        if self.is_connected:
            self._loop.remove_writer(self._fd)

    def drain(self) -> None:
        """Ask the worker to end."""
        if not self.expected_end:
            self.expected_end = True
            self.send(frames.DRAIN, 0)

    def _disconnect(self) -> None:
        if self.is_connected:
            self.is_connected = False
            self._unsent.clear()
            self._held.clear()
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        self._forget_process()
        self._disconnect()
        for pipe in self._pipes:
            pipe.close()
        self.process.close()

    def abandon(self) -> None:
        """In a forked child: close our copies of the descriptors, and leave the worker alone."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self.process.abandon()

    # Output

    def _on_stdout(self, raw: bytes) -> None:
        self._owner.on_line(self, logging.INFO, parse_line(raw))

    def _on_stderr(self, raw: bytes) -> None:
        line = parse_line(raw)
        self._stderr_tail.append(line.text)
        self._owner.on_line(self, logging.WARNING, line)

    def _log(self, entry: dict[str, str]) -> None:
        level = logging.getLevelNamesMapping().get(entry["level"].upper(), logging.INFO)
        log_line(self, level, Line(entry["message"], entry["function"], entry["requestId"]))

    def describe_exit(self) -> str:
        """How the worker ended, and its last lines on stderr."""
        process = self.process
        text = f"worker {self.number} (pid {process.pid}) died: {process.describe_exit()}"
        if self.kill_reason:
            text += f" from its host: it {self.kill_reason}"
        if self._stderr_tail:
            text += "; its last lines on stderr:\n" + "\n".join(self._stderr_tail)
        return text


def log_line(worker: WorkerChannel, level: int, line: Line) -> None:
    """Log a line that a worker printed, with the worker's and the call's id."""
    where, fields = f"worker {worker.number}", {"worker": worker.number, "text": line.text}
    if line.function:
        where += f" {line.function} {line.request_id}"
        fields |= {"function": line.function, "requestId": line.request_id}
    output_logger.log(level, "[%s] %s", where, line.text, extra={"fields": fields})
