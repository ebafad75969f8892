"""One managed host's process: started, watched and stopped. Runs in: manager."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HostLaunch", "HostProcess", "StartFailed"]

logger = logging.getLogger("jshost_manager.hosts")

STOP_MARGIN_S = 5.0
"""How much longer than its own shutdown timeout a host may take to end before it is killed."""
ERROR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HostLaunch:
    """How a client wants its host to be started: as it runs itself."""

    config: str
    python: str
    environment: Mapping[str, str]
    folder: str
    node: str | None
    logfile: str
    reload: bool = False


class StartFailed(Exception):
    """The host ended before it listened; the text is what it said."""


class HostProcess:
    """A running `python -m jshost.server` and what it said of itself when it listened.

    Its stdin is a pipe that the manager holds open: a host whose manager was killed reads EOF
    there, and stops by itself.
    """

    def __init__(self, process: asyncio.subprocess.Process, launch: HostLaunch) -> None:
        self.launch = launch
        self.status: dict[str, Any] = {}
        self._process = process
        self._began = time.monotonic()
        self._stderr = b""
        self._tasks = [asyncio.create_task(self._keep_stderr())]

    @classmethod
    async def spawn(cls, launch: HostLaunch, port: int) -> HostProcess:
        """Raises: StartFailed: the interpreter cannot be run."""
        arguments = {
            "action": "serve",
            "config": launch.config,
            "overrides": {"port": port},
            "node": launch.node,
            "logfile": launch.logfile,
            "json": True,
            "verbose": False,
            "managed": True,
            "reload": launch.reload,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                launch.python,
                "-P",
                "-m",
                "jshost.server",
                json.dumps(arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=launch.folder,
                env=dict(launch.environment),
                start_new_session=True,
                limit=1 << 20,
            )
        except (OSError, TypeError, ValueError) as error:  # the last two: a bad environment
            raise StartFailed(f"{launch.python}: cannot be run: {error}") from error
        return cls(process, launch)

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def url(self) -> str:
        config = self.status["config"]
        address, port = config["address"], config["port"]
        return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"

    @property
    def port(self) -> int:
        """The port it listens on, or 0 as long as it does not."""
        return int(self.status["config"]["port"]) if self.status else 0

    async def listening(self) -> None:
        """Wait until it listens. Raises: StartFailed: it ended instead."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if line.startswith(b"{"):
            self.status = json.loads(line)
            self._tasks.append(asyncio.create_task(self._drop_stdout()))
            return
        await self._process.wait()
        await asyncio.gather(*self._tasks)
        said = self._stderr.decode("utf-8", "replace").strip().removeprefix("jshost: ")
        raise StartFailed(
            said
            or f"{self.launch.config}: the host ended with {self._process.returncode} while "
            f"it started; its log is {self.launch.logfile}"
        )

    async def ended(self) -> int:
        """Wait for the process's end; returns its exit code."""
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.gather(*self._tasks)
        return code

    async def stop(self, timeout_s: float | None = None) -> None:
        """SIGTERM, and SIGKILL when that does not end it in time."""
        if timeout_s is None:
            own = self.status.get("config", {}).get("shutdownTimeout")
            timeout_s = (own if own is not None else 60.0) + STOP_MARGIN_S
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), timeout_s)
        except TimeoutError:
            logger.error("host %d of %s does not end; it is killed", self.pid, self.launch.config)
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _keep_stderr(self) -> None:
        """Read it all; keep the end of what it says before its log is set up, or when it fails."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._stderr = (self._stderr + data)[-ERROR_BYTES:]

    async def _drop_stdout(self) -> None:
        assert self._process.stdout is not None
        while await self._process.stdout.read(4096):
            pass
