"""A user with a manager: folders of its own, programs that call, and the proof that nothing stays.

Managed processes are detached, so they are known by the runtime directory in their environment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import cli, wait_until

from jshost.conf import settings
from jshost.host import host

GONE_TIMEOUT_S = 10.0
STATE_FILE_NAME = "manager.json"

CONFIG = """
import itertools, os, sys, time

disconnect_timeout = 0.5
numbers = itertools.count(1)

def hold(file):
    while not os.path.exists(file):
        time.sleep(0.002)
    return os.getppid()

functions = {
    "pid": lambda: os.getppid(),
    "worker": lambda: os.getpid(),
    "count": lambda: next(numbers),
    "hold": hold,
    "variable": lambda name: os.environ.get(name),
    "prefix": lambda: sys.prefix,
    "folder": lambda: os.getcwd(),
}
"""

LINES = """
import json, os, sys
from jshost.conf import settings
from jshost.function import Function
from jshost.host import host

def answer(name, arguments):
    try:
        if name.startswith("host."):
            return {"result": getattr(host, name[5:])()}
        return {"result": Function(name).call(**arguments)}
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)}

settings.configure(USE_MANAGER=True)
for line in sys.stdin:
    print(json.dumps(answer(*json.loads(line))), flush=True)
"""
"""A program that makes the calls that it reads."""


class Program:
    """A running program of the user; `tell` and `call` are for those that run LINES."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        """Its stderr."""
        return self._errors.read_text()

    def begin(self, name: str, /, **arguments: Any) -> None:
        """Have it call, without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()

    def read_line(self) -> Any:
        """The next line that it prints, which is JSON."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # pytest-timeout bounds it
        assert line, f"the program ended: {self.said}"
        return json.loads(line)

    def read(self) -> dict[str, Any]:
        """The next answer: ``{result}`` or ``{error, text}``."""
        answer = self.read_line()
        assert isinstance(answer, dict)
        return answer

    def tell(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        self.begin(name, **arguments)
        return self.read()

    def call(self, name: str, /, **arguments: Any) -> Any:
        answer = self.tell(name, **arguments)
        assert "result" in answer, answer.get("text")
        return answer["result"]

    def leave(self) -> str:
        """Wait until it has ended by itself; returns what else it printed."""
        out, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, self.said
        return out

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class User:
    """Somebody with a project folder, a runtime directory and a log directory of their own."""

    def __init__(self, home: Path, runtime: Path) -> None:
        self.folder = home / "project"
        self.folder.mkdir(parents=True)
        self.runtime = runtime / "jshost"
        self.logs = home / "state" / "jshost" / "log"
        own = {"XDG_RUNTIME_DIR": str(runtime), "XDG_STATE_HOME": str(home / "state")}
        self.environment = {**os.environ, **own}
        self._programs: list[Program] = []

    # Programs

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, *command: str, **options: Any) -> Program:
        """Start a program in the project's folder."""
        errors = self.folder.parent / f"program-{len(self._programs)}.err"
        environment = {**self.environment, **options.pop("env", {})}
        options = {"cwd": self.folder, **options}
        with errors.open("w") as stderr:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                **options,
            )
        program = Program(process, errors)
        self._programs.append(program)
        return program

    def program(self, code: str = LINES, **options: Any) -> Program:
        """Start a Python program; without code, one that makes the calls it is told to."""
        return self.start(sys.executable, "-c", code, **options)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return cli(*arguments, env=self.environment, cwd=self.folder)

    # The manager

    @property
    def state_file(self) -> Path:
        return self.runtime / STATE_FILE_NAME

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        without: str = "",
    ) -> tuple[int, Any]:
        """One request to the manager as a client makes it; returns the status and the JSON."""
        state = self.state()
        usual = {"Authorization": f"Bearer {state['token']}", "Content-Type": "application/json"}
        usual.pop(without, None)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", state["port"], timeout=10)
        try:
            payload = None if body is None else data
            connection.request(method, path, payload, {**usual, **(headers or {})})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text.decode()

    def status(self) -> dict[str, Any]:
        code, status = self.ask("GET", "/status")
        assert code == 200
        found: dict[str, Any] = status
        return found

    def hosts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.status()["hosts"]
        return found

    def holders(self) -> set[int]:
        """The ids of the processes that hold a host."""
        return {holder["pid"] for each in self.hosts() for holder in each["holders"]}

    # What runs, and what is left

    def processes(self) -> list[psutil.Process]:
        """All processes with this user's runtime directory, but for the programs started here."""
        programs = {program.pid for program in self._programs}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                mine = process.environ().get("XDG_RUNTIME_DIR") == str(self.runtime.parent)
                if mine and process.pid not in programs and runs(process.pid):
                    found.append(process)
        return found

    def running(self, module: str) -> list[psutil.Process]:
        """The processes of `jshost_manager` or `jshost.server`."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                if module in process.cmdline():
                    found.append(process)
        return found

    def files(self) -> list[str]:
        return sorted(path.name for path in self.runtime.glob("*"))

    def wait_until_gone(self, timeout_s: float = GONE_TIMEOUT_S) -> None:
        """Wait until no process and no file of the manager's is left."""
        wait_until(lambda: not (self.files() or self.processes()), timeout_s, "end of everything")

    def end(self) -> None:
        """Stop the manager; fails the test when anything stays."""
        for program in self._programs:
            program.kill()
        managers = self.running("jshost_manager")
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if self.state()["pid"] in {manager.pid for manager in managers}:
                os.kill(self.state()["pid"], signal.SIGTERM)
        try:
            self.wait_until_gone()
        except AssertionError:
            left = self.processes()
            commands = [" ".join(process.cmdline())[:200] for process in left]
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            pytest.fail(f"left behind: {self.files()}, {commands}")


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is not merely unburied."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """SIGKILL, and wait for the end of all its threads: the last one closes the sockets."""
    threads = Path(f"/proc/{pid}/task")
    os.kill(pid, signal.SIGKILL)

    def has_ended() -> bool:
        try:
            return not runs(pid) and len([*threads.iterdir()]) <= 1
        except FileNotFoundError:  # somebody has just waited for it
            return True

    wait_until(has_ended, 5, f"end of process {pid}")


@pytest.fixture
def user(
    tmp_path: Path, own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[User]:
    """The user that this process is, too: with a `host.config.py` of CONFIG in the project."""
    user = User(tmp_path, own_runtime_folder)
    user.write("host.config.py", CONFIG)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(user.folder)
    yield user
    host.disconnect()
    user.end()


@pytest.fixture
def here(user: User) -> User:
    """The user, with this very process as the program that uses the manager."""
    settings.configure(USE_MANAGER=True, SOURCE_ROOT=user.folder)
    return user


@pytest.fixture
def new_user(tmp_path: Path) -> Iterator[Callable[[str], User]]:
    """Make further users."""
    users: list[User] = []

    def make(name: str) -> User:
        runtime = tmp_path / name / "run"
        runtime.mkdir(mode=0o700, parents=True)
        user = User(tmp_path / name, runtime)
        user.write("host.config.py", CONFIG)
        users.append(user)
        return user

    yield make
    for user in users:
        user.end()


def elapsed_until(condition: Callable[[], object], timeout_s: float, what: str) -> float:
    """Seconds until the condition held."""
    began = time.monotonic()
    wait_until(condition, timeout_s, what)
    return time.monotonic() - began
