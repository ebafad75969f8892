"""One worker process: how it is spawned, and how it is made sure that it ends.

Runs in: host (and whoever owns a pool). A worker inherits two descriptors: its end of the socket
pair that frames travel on, and the reading end of a pipe, the `lifeline`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, NamedTuple

from jshost.exceptions import ConfigError
from jshost.platform.lifeline import kill_on_hang_up
from jshost.pool.node import find_node, first_node

if TYPE_CHECKING:
    import psutil

__all__ = ["Launch", "WorkerProcess", "is_javascript", "spawn"]

JS_FOLDER = Path(__file__).parent.parent / "js"
PYTHON_WORKER = Path(__file__).parent.parent / "worker" / "main.py"
JAVASCRIPT_SUFFIXES = (".js", ".mjs", ".cjs")
SOCKET_BUFFER_BYTES = 1 << 20
KILLED_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def is_javascript(config_file: Path) -> bool:
    """Whether a config file is JavaScript, by its ending.

    Raises:
        ConfigError: it is neither JavaScript nor Python.
    """
    if config_file.suffix in JAVASCRIPT_SUFFIXES:
        return True
    if config_file.suffix == ".py":
        return False
    raise ConfigError(
        f"{config_file}: a config file ends in .py, .js, .mjs or .cjs, not in "
        f"{config_file.suffix or 'nothing'!r}."
    )


class Launch(NamedTuple):
    """What every worker of a pool is started with.

    Attributes:
        command: the program and its arguments, before the ones that `spawn` adds.
        config_file: the absolute path of the config file it loads.
        settings: what else the worker is told, as JSON: ``{"options": [names], ...}``.
        environment: environment variables that it gets beside ours.
    """

    command: Sequence[str]
    config_file: Path
    settings: Mapping[str, object] = MappingProxyType({})
    environment: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def for_config(
        cls,
        config_file: Path,
        settings: Mapping[str, object],
        *,
        path_to_node: str | None = None,
        environment: Mapping[str, str] | None = None,
        any_node: bool = False,
    ) -> Launch:
        """The launch for a config file of either language.

        Args:
            any_node: take the first Node there is, without asking for its version.

        Raises:
            ConfigError: no such file, an unknown ending, or no usable Node.
        """
        if not config_file.is_file():
            raise ConfigError(
                f"{config_file}: no such config file. Name an existing one, or write a first one "
                "with: jshost init"
            )
        if is_javascript(config_file):
            node = first_node(path_to_node) if any_node else None
            command = [node or find_node(path_to_node).path, str(JS_FOLDER / "worker" / "main.mjs")]
        else:
            command = [sys.executable, "-P", "-X", "utf8", str(PYTHON_WORKER)]
        return cls(command, config_file, settings, environment or {})


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
        """Whether it has ended; if so, what it started in its own process group ends too."""
        if self.popen.returncode is None and hasattr(os, "waitid"):
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, flags) is None:
                    return False
                # Not reaped yet: until then its id, and so its group's, is nobody else's.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
        return self.popen.poll() is not None

    def memory(self) -> int | None:
        """The bytes of memory that it uses (resident set size), or None: it has ended."""
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

    def describe_end(self) -> str:
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
        """Let go of our ends; the worker reads EOF."""
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
    """Start a worker; it answers with a READY frame on its channel, or with an ERROR.

    The worker leads a process group of its own: Ctrl-C in the owner's terminal is the owner's to
    handle, and a kill reaches what the worker started.

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
