"""A client of the manager, which it starts where none runs. Runs in: callers.

The manager is a detached process, one per user, for development. It starts a host when the first
program wants it, counts the programs that use it, and stops it, and at last itself, when none has
for a while.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from jshost.client.activity import report
from jshost.client.host import DeadlinePassed
from jshost.client.http.http_request import HttpRequest
from jshost.client.http.plain_transport import PlainTransport
from jshost.client.verbosity import PROCESS_START, PROCESS_STOP
from jshost.discovery.log_files import log_folder
from jshost.discovery.manager_state import (
    STATE_FILE_NAME,
    ManagerState,
    is_free,
    process_exists,
    read_state,
    remove_stale,
)
from jshost.discovery.records import runtime_folder, start_of_process
from jshost.exceptions import (
    ConfigError,
    ConnectionError,
    JSHostError,
    ProcessError,
    UnexpectedResponse,
)
from jshost.protocol.version import __version__

__all__ = ["JSHostManager", "manager"]

ANSWER_TIMEOUT_S = 5.0
SPAWN_TIMEOUT_S = 20.0
START_TIMEOUT_S = 65.0
POLL_S = 0.01


class _Leaving(JSHostError):
    """The manager that was asked is on its way out."""


class JSHostManager:
    """The user's manager. Every method finds the one that runs; `start` and what needs a host
    start one where there is none.

    Example:
        >>> from jshost.host import manager
        >>> manager.is_running()
        True
        >>> manager.stop()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[ManagerState, PlainTransport] | None = None
        self.holder_pid: int | None = None
        """The process in whose name this one holds hosts, and which lives longer; None: its own."""

    def __repr__(self) -> str:
        return f"<JSHostManager {'running' if self.is_running() else 'not running'}>"

    def is_running(self) -> bool:
        """Whether there is a manager. What one that was killed has left is removed."""
        is_there = self._find() is not None
        if not is_there:
            remove_stale(runtime_folder())
        return is_there

    def get_status(self) -> dict[str, Any]:
        """``{type: "Manager", version, pid, uptime, hosts: [...]}``. Raises: ConnectionError."""
        return self._ask("GET", "/status", None, ANSWER_TIMEOUT_S)

    def start(self) -> None:
        """Make sure that a manager runs.

        Raises:
            ConfigError: another version's runs, or the runtime directory cannot be used.
            ProcessError: it does not start.
        """
        with self._lock:
            found = self._find()
            state = found[0] if found is not None else self._spawn()
            if found is None:
                report(PROCESS_START, "started the manager (pid %d)", state.pid)
            if not state.is_ours:
                raise _another_version(state)

    def stop(self) -> None:
        """Stop all managed hosts and the manager; nothing to do where none runs."""
        found = self._find()
        if found is not None:
            state = found[0]
            try:
                self._ask("POST", "/manager/stop", {}, START_TIMEOUT_S)
            except JSHostError:
                if state.is_ours:
                    raise
                with contextlib.suppress(ProcessLookupError):  # another version's endpoints
                    os.kill(state.pid, signal.SIGTERM)
            end = time.monotonic() + ANSWER_TIMEOUT_S
            while (runtime_folder() / STATE_FILE_NAME).exists() and time.monotonic() < end:
                time.sleep(POLL_S)
            report(PROCESS_STOP, "stopped the manager (pid %d)", state.pid)

    def connect_host(self, config_file: Path, launch: dict[str, Any]) -> dict[str, Any]:
        """Start the config's host where none runs, and hold it for this process.

        Returns:
            ``{config, url, pid, logfile, restarted}``

        Raises:
            ConfigError: the config does not load; the text is the host's own, with the stack.
            ProcessError: the host, or the manager, does not start.
        """
        return self._want("/host/connect", config_file, {**launch, **self._holder()})

    def restart_host(self, config_file: Path, launch: dict[str, Any]) -> dict[str, Any]:
        """Replace the host's process, on the same port. Returns and raises as `connect_host`."""
        return self._want("/host/restart", config_file, launch)

    def stop_host(self, config_file: Path) -> None:
        """Stop the host, even if programs hold it. Raises: ConnectionError: no manager runs."""
        self._ask("POST", "/host/stop", {"config": str(config_file)}, START_TIMEOUT_S)

    def disconnect_host(self, config_file: Path | str) -> None:
        """Give up this process's hold. Raises: ConnectionError: no manager runs."""
        body = {"config": str(config_file), **self._holder()}
        self._ask("POST", "/host/disconnect", body, ANSWER_TIMEOUT_S)

    def _holder(self) -> dict[str, Any]:
        """Who holds a host, as the manager counts it: ``{pid, started_at}``."""
        pid = self.holder_pid or os.getpid()
        return {"pid": pid, "started_at": _start_of(pid)}

    def forget(self) -> None:
        """Look for the manager again; in a forked child the connection is the parent's."""
        self._known = None
        self._lock = threading.Lock()

    def _want(self, path: str, config_file: Path, body: dict[str, Any]) -> dict[str, Any]:
        body = {"config": str(config_file), **body}
        for _ in range(3):  # a manager that is just leaving refuses; another one takes its place
            self.start()
            try:
                return self._ask("POST", path, body, START_TIMEOUT_S)
            except ConnectionError:
                self._known = None
            except _Leaving:
                self._wait_until_gone()
        raise ProcessError("the manager ended while it was asked for a host; try again")

    def _wait_until_gone(self) -> None:
        end = time.monotonic() + ANSWER_TIMEOUT_S
        while self._find() is not None and time.monotonic() < end:
            time.sleep(POLL_S)

    # Talking

    def _ask(self, method: str, path: str, body: Any, timeout_s: float) -> dict[str, Any]:
        found = self._find()
        if found is None:
            raise ConnectionError("No manager runs; the first call with USE_MANAGER starts one.")
        state, transport = found
        if transport is None:
            raise _another_version(state)
        headers = {
            "Authorization": f"Bearer {state.token}",
            "Content-Type": "application/json",
        }
        data = b"" if body is None else json.dumps(body).encode()
        try:
            response = transport.request(HttpRequest(method, path, headers, data, timeout_s))
        except DeadlinePassed:
            raise ConnectionError(
                f"The manager (pid {state.pid}) does not answer within {timeout_s:g} s."
            ) from None
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise UnexpectedResponse(f"The manager answers {response.text[:200]!r}")
        if response.status_code == 200:
            return answer
        raise _error(answer)

    def _find(self) -> tuple[ManagerState, PlainTransport | None] | None:
        """The manager that runs, as its state file says; None where none answers.

        One of another version need not answer as ours does: it counts as soon as it is alive and
        holds the lock, and is then without a transport.
        """
        folder = runtime_folder()
        state = read_state(folder)
        known = self._known
        if known is not None and known[0] == state and process_exists(known[0].pid):
            return known
        self._known = None
        # Before the token is sent: a stale file's port may by now be another user's. When the
        # clock is set, the start is another one than before, but the lock is held.
        if state is None or not (
            state.is_alive or (process_exists(state.pid) and not is_free(folder))
        ):
            return None
        transport = self._greet(state)
        if transport is not None:
            self._known = (state, transport)
            return self._known
        return None if state.is_ours or is_free(folder) else (state, None)

    def _greet(self, state: ManagerState) -> PlainTransport | None:
        """The connection to the manager that the state names; None where none answers."""
        transport = PlainTransport(f"http://127.0.0.1:{state.port}")
        headers = {"Authorization": f"Bearer {state.token}"}
        try:
            answer = transport.request(
                HttpRequest("GET", "/status", headers, timeout_s=ANSWER_TIMEOUT_S)
            )
            is_manager = answer.json()["type"] == "Manager"
        except (JSHostError, DeadlinePassed, ValueError, KeyError, TypeError):
            is_manager = False  # a stale file: another program may have its port
        return transport if is_manager else None

    # Starting

    def _spawn(self) -> ManagerState:
        folder = runtime_folder()
        remove_stale(folder)
        end = time.monotonic() + SPAWN_TIMEOUT_S
        while time.monotonic() < end:
            if is_free(folder):
                _start_process(folder)
            found = self._find()
            if found is not None:
                return found[0]
            time.sleep(POLL_S)
        raise ProcessError(
            f"The manager did not start within {SPAWN_TIMEOUT_S:g} s; its log is "
            f"{log_folder() / 'manager.log'}"
        )


def _start_process(folder: Path) -> None:
    """Run the manager's starter, which returns as soon as the manager, or another one, answers."""
    import subprocess  # not needed where a manager runs

    arguments = {
        "folder": str(folder),
        "logfile": str(log_folder() / "manager.log"),
        "version": __version__,
    }
    command = [sys.executable, "-P", "-m", "jshost_manager", json.dumps(arguments)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SPAWN_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessError(f"The manager cannot be started: {error}") from error
    if done.returncode:
        raise ProcessError(f"The manager did not start: {done.stderr.strip()}")


def _another_version(state: ManagerState) -> ConfigError:
    return ConfigError(
        f"The manager that runs (pid {state.pid}) is jshost {state.version}, this program uses "
        f"{__version__}. Stop it with: jshost stop --all"
    )


def _error(answer: dict[str, Any]) -> JSHostError:
    message = str(answer.get("message"))
    if answer.get("code") == "config":
        return ConfigError(message)
    if answer.get("code") == "leaving":
        return _Leaving(message)
    if answer.get("code") == "process":
        return ProcessError(message)
    return UnexpectedResponse(f"The manager refuses: {message}")


@functools.cache  # when the clock is set, the system tells another time
def _start_of(pid: int) -> float:
    return start_of_process(pid)[0]


manager = JSHostManager()
"""The user's manager."""

os.register_at_fork(after_in_child=manager.forget)
