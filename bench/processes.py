"""Start processes, talk to them and stop them, every wait with a deadline. Runs in: bench/run.py.

Everything started here is stopped here, by its own process id or process group.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from endpoints import Endpoint, is_ready

__all__ = ["BENCH", "Driver", "RowFailure", "fresh_program_ms", "running_host", "sh"]

BENCH = Path(__file__).resolve().parent
READY_DEADLINE_S = 20.0
READY_POLL_S = 0.003
STOP_GRACE_S = 5.0
LOAD_DEADLINE_S = 90.0
COMMAND_DEADLINE_S = 30.0


class RowFailure(Exception):
    """A row could not be measured; the text is the reason, fit for the report."""


def plain(text: str) -> str:
    """Return ``text`` on one line and without this machine's paths."""
    for folder in (str(BENCH), str(BENCH.parent), str(Path.home())):
        text = text.replace(folder + "/", "").replace(folder, ".")
    return " ".join(text.split())[:200]


def sh(argv: list[str], env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return its stdout; RowFailure with its last line if it fails."""
    try:
        done = subprocess.run(
            argv,
            env=_environment(env),
            cwd=BENCH.parent,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RowFailure(plain(str(error))) from error
    if done.returncode != 0:
        raise RowFailure(_last_line(done.stderr) or f"exit status {done.returncode}")
    return done.stdout


def fresh_program_ms(argv: list[str], env: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Run a program; milliseconds from its start to its first line of output, and to its end."""
    begin_s = time.perf_counter()
    with _started(argv, env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready, _, _ = select.select([process.stdout], [], [], COMMAND_DEADLINE_S)
        line = process.stdout.readline() if ready else b""
        first_ms = (time.perf_counter() - begin_s) * 1e3
        if not line:
            reason = f"no first line in {COMMAND_DEADLINE_S:.0f} s"
            if process.poll() is not None or ready:
                reason = _last_line(process.stderr.read().decode()) or "ended without a result"
            raise RowFailure(reason)
        try:
            process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired as error:
            raise RowFailure(f"did not end in {STOP_GRACE_S:.0f} s after its result") from error
        whole_ms = (time.perf_counter() - begin_s) * 1e3
        if process.returncode != 0:
            raise RowFailure(_last_line(process.stderr.read().decode()) or "failed at its end")
    return first_ms, whole_ms


@contextlib.contextmanager
def running_host(
    argv: list[str], endpoint: Endpoint, ready_path: str, env: Mapping[str, str], log: Path
) -> Iterator[tuple[int, float]]:
    """Keep a host running; yields its process id and the milliseconds it took to be ready."""
    begin_s = time.perf_counter()
    with (
        log.open("wb") as output,
        _started(argv, env, stdout=output, stderr=output) as process,
    ):
        while not is_ready(endpoint, ready_path):
            if process.poll() is not None:
                reason = _last_line(log.read_text(errors="replace")) or "no output"
                raise RowFailure(f"the host exited with {process.returncode}: {reason}")
            if time.perf_counter() - begin_s > READY_DEADLINE_S:
                raise RowFailure(f"the host was not ready in {READY_DEADLINE_S:.0f} s")
            time.sleep(READY_POLL_S)
        yield process.pid, (time.perf_counter() - begin_s) * 1e3


class Driver:
    """A row's driver process, started by the first load and again after it has failed."""

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self._argv = argv
        self._env = env
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""
        self._stack = contextlib.ExitStack()

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process else None

    def ask(self, command: dict[str, Any]) -> dict[str, float]:
        """Have the driver put on one load and return its numbers.

        Raises RowFailure when the load failed, or the driver ended or did not answer in time.
        """
        if self._process is None:
            self._start()
        return self._exchange(command)

    def close(self) -> None:
        """Stop the driver, if it runs."""
        process, self._process, self._received = self._process, None, b""
        if process and process.stdin:
            with contextlib.suppress(OSError):
                process.stdin.close()  # EOF ends it
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_GRACE_S)
        self._stack.close()

    def _start(self) -> None:
        output = self._stack.enter_context(self._log.open("wb"))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": output}
        self._process = self._stack.enter_context(_started(self._argv, self._env, **pipes))
        self._exchange(None)

    def _exchange(self, command: dict[str, Any] | None) -> dict[str, float]:
        """Write ``command``, if any, and read one line; a driver that breaks that is stopped."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if command is not None:
                process.stdin.write(json.dumps(command).encode() + b"\n")
                process.stdin.flush()
            reply: dict[str, Any] = json.loads(self._read_line(process.stdout.fileno()))
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            last = _last_line(self._log.read_text(errors="replace"))
            raise RowFailure(f"the driver: {error}{'; ' + last if last else ''}") from error
        if "error" in reply:
            self.close()  # start the next load from a clean slate
            raise RowFailure(plain(reply["error"]))
        return reply

    def _read_line(self, descriptor: int) -> bytes:
        deadline_s = time.monotonic() + LOAD_DEADLINE_S
        while b"\n" not in self._received:
            left_s = max(0.0, deadline_s - time.monotonic())
            if not select.select([descriptor], [], [], left_s)[0]:
                raise TimeoutError(f"no answer in {LOAD_DEADLINE_S:.0f} s")
            some = os.read(descriptor, 65536)
            if not some:
                raise EOFError("ended without an answer")
            self._received += some
        line, self._received = self._received.split(b"\n", 1)
        return line


@contextlib.contextmanager
def _started(
    argv: list[str], env: Mapping[str, str] | None, **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in a group of its own; stopped on leaving: SIGTERM, a grace, SIGKILL."""
    streams.setdefault("stdin", subprocess.DEVNULL)
    try:
        process = subprocess.Popen(
            argv, env=_environment(env), cwd=BENCH.parent, start_new_session=True, **streams
        )
    except OSError as error:
        raise RowFailure(plain(str(error))) from error
    with process:  # closes its pipes
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_GRACE_S)
            # What it started and left behind is in the group that its own process id names.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_GRACE_S)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """This process's environment, in which Python keeps what it compiles: most users' does."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **(extra or {})}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return plain(lines[-1]) if lines else ""
