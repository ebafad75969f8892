"""What a pool drives, without processes and time: a loop that runs by hand, and workers that a test
plays. The sockets and pipes are real."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jshost.exceptions import RemoteError
from jshost.pool.launch import Launch
from jshost.protocol import frames

READY: dict[str, Any] = {
    "language": "python",
    "version": "3.12.1",
    "functions": ["f"],
    "options": {},
    "files": [],
}
NO_SUCH_PID = 1 << 23

Callback = Callable[[], object]


class Timer:
    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """A loop that does one thing after the other when it is asked to."""

    def __init__(self) -> None:
        self.readers: dict[int, Callback] = {}
        self.writers: dict[int, Callback] = {}
        self.timers: list[Timer] = []
        self._soon: list[Callback] = []

    def add_reader(self, fd: int, callback: Callback, /) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int, /) -> None:
        self.readers.pop(fd, None)

    def add_writer(self, fd: int, callback: Callback, /) -> None:
        self.writers[fd] = callback

    def remove_writer(self, fd: int, /) -> None:
        self.writers.pop(fd, None)

    def call_later(self, delay_s: float, callback: Callback, /) -> Timer:
        self.timers.append(Timer(callback))
        return self.timers[-1]

    def call_soon(self, callback: Callback, /) -> None:
        self._soon.append(callback)

    def run(self) -> None:
        """Go on until nothing is ready any more; no timer fires."""
        while self._turn():
            pass

    def _turn(self) -> bool:
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()
        readable, writable, _ = select.select(list(self.readers), list(self.writers), [], 0)
        ready = [(self.readers, fd) for fd in readable] + [(self.writers, fd) for fd in writable]
        for callbacks, fd in ready:
            if fd in callbacks:
                callbacks[fd]()
        return bool(soon or ready)

    def fire(self, times: int = 1) -> None:
        """Fire all timers there are, as if their time had come, and what they set `times - 1` times
        more; run before and after each time."""
        self.run()
        for _ in range(times):
            timers, self.timers = self.timers, []
            for timer in timers:
                if not timer.is_cancelled:
                    timer.callback()
            self.run()


class FakeProcess:
    """A worker process, as pools see it, with the methods of the test that plays the worker."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.pid = NO_SUCH_PID
        self.rss: int | None = None
        self.is_killed = False
        self.exit_code: int | None = None
        self.channel, self._theirs = socket.socketpair()
        reading, stdout = os.pipe()
        self.stdout = os.fdopen(reading, "rb")
        reading, stderr = os.pipe()
        self.stderr = os.fdopen(reading, "rb")
        self._outputs: tuple[int, ...] = (stdout, stderr)
        self._decoder = frames.Decoder()
        self._theirs.setblocking(False)

    # The pool's side

    def kill(self) -> None:
        self.is_killed = True
        self.end(-9)

    def has_ended(self) -> bool:
        return self.exit_code is not None

    def memory(self) -> int | None:
        return self.rss

    def describe_exit(self) -> str:
        return f"exit code {self.exit_code}"

    def close(self) -> None:
        self.channel.close()
        self.stdout.close()
        self.stderr.close()

    def discard(self) -> None:
        self.kill()
        self.close()

    abandon = close

    # The worker's side

    def send(self, kind: int, call_id: int = 0, payload: bytes = b"") -> None:
        self._theirs.sendall(frames.encode(kind, call_id, payload))

    def send_bytes(self, data: bytes) -> None:
        self._theirs.sendall(data)

    def load(self, **ready: Any) -> None:
        """Send READY."""
        self.send(frames.READY, 0, json.dumps({**READY, **ready}).encode())

    def fail_to_load(self, message: str) -> None:
        self.send(frames.ERROR, 0, json.dumps({"message": message}).encode())
        self.end(1)

    def read(self) -> list[frames.Frame]:
        """The frames that have come since the last time."""
        try:
            return self._decoder.feed(self._theirs.recv(1 << 20))
        except BlockingIOError:
            return []

    def calls(self) -> dict[int, bytes]:
        """The bodies of the calls that have come since the last time, by their ids."""
        return {
            call_id: frames.split_call(payload)[1]
            for kind, call_id, payload in self.read()
            if kind == frames.CALL
        }

    def write_line(self, text: str, *, to_stderr: bool = False) -> None:
        os.write(self._outputs[to_stderr], f"{text}\n".encode())

    def hang_up(self) -> None:
        """Close the channel, and go on running."""
        self._theirs.close()

    def end(self, exit_code: int = 0, *, keep_outputs: bool = False) -> None:
        """End; with `keep_outputs`, another process still holds stdout and stderr open."""
        if self.exit_code is None:
            self.exit_code = exit_code
            self._theirs.close()
        if not keep_outputs and self._outputs:
            for fd in self._outputs:
                os.close(fd)
            self._outputs = ()


class Spawner:
    """Starts fake processes.

    Attributes:
        processes: all of them, in order.
        problem: raised in place of the next start.
    """

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.problem: BaseException | None = None

    def __call__(self, launch: Launch) -> Any:  # it stands for a WorkerProcess
        problem, self.problem = self.problem, None
        if problem is not None:
            raise problem
        self.processes.append(FakeProcess(launch))
        return self.processes[-1]

    def close(self) -> None:
        for process in self.processes:
            process.end()
            process.close()


class FakeCaller:
    """Waits for a call's answer.

    Attributes:
        heard: what it was told, in order: ("chunk", payload), ("result", payload), ("error", it).
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_chunk(self, payload: bytes) -> None:
        self.heard.append(("chunk", payload))

    def on_result(self, payload: bytes) -> None:
        self.heard.append(("result", payload))

    def on_error(self, error: RemoteError) -> None:
        self.heard.append(("error", error))

    @property
    def error(self) -> RemoteError:
        ((kind, error),) = self.heard
        assert kind == "error"
        assert isinstance(error, RemoteError)
        return error


LAUNCH = Launch(["python"], Path("/project/host.config.py"))
