"""The process of one managed host. Runs in: manager."""

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
from typing import Any, Protocol

__all__ = ["HostLaunch", "HostProcess", "RunningHost", "StartFailed"]

logger = logging.getLogger("jshost_manager.hosts")

STOP_MARGIN_S = 5.0
"""How much longer than its shutdown timeout a host may take to end; then it is killed."""
ERROR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HostLaunch:
    """How to start a host: with the interpreter, environment and folder of its client."""

    config: str
    python: str
    environment: Mapping[str, str]
    folder: str
    node: str | None
    logfile: str
    reload: bool = False


class StartFailed(Exception):
    """The host ended before it listened; the message is the host's."""


class RunningHost(Protocol):
    """A host's process, as the supervisor uses it.

    Attributes:
        launch: how it was started.
        status: its own `/status` at the time when it began to listen; {} before.
        port: the port it listens on; 0 before.
        url: its root URL, once it listens.
    """

    launch: HostLaunch
    status: dict[str, Any]

    @property
    def pid(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def url(self) -> str: ...
    @property
    def uptime_s(self) -> float: ...

    async def listening(self) -> None:
        """Wait until it listens. Raises: StartFailed: it ended instead."""

    async def ended(self) -> int:
        """Wait for the end of the process; returns its exit code."""

    async def stop(self) -> None:
        """End the process, by force if it takes too long."""


class HostProcess:
    """A running `python -m jshost.server`, a `RunningHost`.

    Its stdin is a pipe that the manager holds open: when the manager is killed, the host reads EOF
    there and stops by itself.
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
        except (OSError, TypeError, ValueError) as error:  # ValueError, TypeError: the environment
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
        """The port it listens on; 0: it does not listen yet."""
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
        reason = self._stderr.decode("utf-8", "replace").strip().removeprefix("jshost: ")
        raise StartFailed(
            reason
            or f"{self.launch.config}: the host ended with {self._process.returncode} while "
            f"it started; its log is {self.launch.logfile}"
        )

    async def ended(self) -> int:
        """Wait for the end of the process; returns its exit code."""
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.gather(*self._tasks)
        return code

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL if the process does not end in time."""
        own_s = self.status.get("config", {}).get("shutdownTimeout")
        timeout_s = (own_s if own_s is not None else 60.0) + STOP_MARGIN_S
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
        """Read all of stderr and keep its end: it has the reason if the host does not start."""
        assert self._process.stderr is not None
        while data := await self._process.stderr.read(4096):
            self._stderr = (self._stderr + data)[-ERROR_BYTES:]

    async def _drop_stdout(self) -> None:
        assert self._process.stdout is not None
        while await self._process.stdout.read(4096):
            pass
