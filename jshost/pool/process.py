"""One worker process, from its start to its end. Runs in: host, programs that embed.

A worker inherits two descriptors: its end of the socket pair that frames travel on, and the reading
end of a pipe, the `lifeline`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jshost.exceptions import ConfigError
from jshost.platform.lifeline import kill_on_hang_up
from jshost.pool.launch import Launch, is_javascript, launch_of

if TYPE_CHECKING:
    import psutil

__all__ = ["WorkerProcess", "spawn", "spawn_first"]

SOCKET_BUFFER_BYTES = 1 << 20
KILLED_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """A spawned worker: its process, our end of the socket pair, and its output pipes."""

    def __init__(
        self,
        launch: Launch,
        popen: subprocess.Popen[bytes],
        channel: socket.socket,
        stdout: IO[bytes],
        stderr: IO[bytes],
        lifeline: int,
    ) -> None:
        self.launch = launch
        self.popen = popen
        self.channel = channel
        self.stdout = stdout
        self.stderr = stderr
        self._lifeline = lifeline
        self._measured: psutil.Process | None = None

    @property
    def pid(self) -> int:
        return self.popen.pid

    def kill(self) -> None:
        """SIGKILL to the worker and to what it started itself; harmless when it is gone."""
        if self.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Whether it has ended. If so, what is left of its process group is killed."""
        if self.popen.returncode is None and hasattr(os, "waitid"):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, flags) is None:
                    return False
                # It is not reaped yet, so no other process group can have its id.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        return self.popen.poll() is not None

    def memory(self) -> int | None:
        """Its resident set size in bytes, or None: it has ended."""
        if sys.platform == "linux":  # proc(5); psutil takes 20 ms to import
            try:
                pages = int(Path(f"/proc/{self.pid}/statm").read_bytes().split()[1])
            except OSError:
                return None
            return pages * PAGE_BYTES or None
        import psutil

        try:
            if self._measured is None:
                self._measured = psutil.Process(self.pid)
            return int(self._measured.memory_info().rss)
        except psutil.Error:
            return None

    def describe_exit(self) -> str:
        """How the process ended, in words: "exit code 3", "signal SIGKILL"."""
        code = self.popen.poll()
        if code is None:
            return "still running"
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def close(self) -> None:
        """Close our ends; the worker reads EOF."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self.channel.close()
        self.stdout.close()
        self.stderr.close()

    def discard(self) -> None:
        """End it at once: it has no calls."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(KILLED_S)
        self.close()

    def abandon(self) -> None:
        """In a forked child: close our copies; the worker is the parent's to wait for."""
        self.popen.returncode = 0
        self.close()


def spawn(launch: Launch) -> WorkerProcess:
    """Start a worker. It sends a READY frame once it has loaded its config, or else an ERROR.

    The worker leads a process group of its own. So Ctrl-C in a terminal reaches only the owner, and
    a kill reaches what the worker started as well.

    Raises:
        ConfigError: the program cannot be run.
    """
    with contextlib.ExitStack() as its_ends, contextlib.ExitStack() as our_ends:
        try:
            ours, theirs = socket.socketpair()
            our_ends.callback(ours.close)
            its_ends.callback(theirs.close)
            reading, writing = os.pipe()
            our_ends.callback(os.close, writing)
            its_ends.callback(os.close, reading)
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
            settings = {**launch.settings, "channel": theirs.fileno(), "lifeline": reading}
            popen = subprocess.Popen(
                [*launch.command, str(launch.config_file), json.dumps(settings)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(), reading),
                process_group=0,
                env={**os.environ, **launch.environment} if launch.environment else None,
            )
        except OSError as error:
            raise ConfigError(f"{launch.command[0]}: cannot be run: {error}") from error
        kill_on_hang_up(reading, popen.pid)
        our_ends.pop_all()
    assert popen.stdout is not None
    assert popen.stderr is not None
    return WorkerProcess(launch, popen, ours, popen.stdout, popen.stderr, writing)


def spawn_first(
    config_file: Path,
    threads: int,
    *,
    path_to_node: str | None,
    environment: Mapping[str, str],
) -> WorkerProcess:
    """Spawn a worker for a program that waits for it.

    The first Node on this machine is started before its version is known, for it is nearly always
    new enough. If it is not, the worker is replaced.

    Raises:
        ConfigError: as `launch_of`.
    """

    def make_launch(any_node: bool) -> Launch:
        return launch_of(
            config_file,
            threads,
            path_to_node=path_to_node,
            environment=environment,
            any_node=any_node,
        )

    hasty = make_launch(any_node=True)
    if not is_javascript(config_file):
        return spawn(hasty)
    try:
        first = spawn(hasty)
    except ConfigError:
        return spawn(make_launch(any_node=False))  # another one may run
    try:
        sure = make_launch(any_node=False)
    except BaseException:
        first.discard()
        raise
    if sure.command == hasty.command:
        return first
    first.discard()
    return spawn(sure)
