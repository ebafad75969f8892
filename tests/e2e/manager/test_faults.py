"""Processes that are killed, files that lie, disks that are full: the next call works."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import managing
from support.hosts import wait_until
from support.managing import CONFIG, User, kill, runs

from jshost.conf import settings
from jshost.exceptions import ConfigError, ConnectionError, ProcessError
from jshost.function import Function
from jshost.host import host

user, here = managing.user, managing.here

COUNT = Function("count")
PID = Function("pid")


# Killed


def test_a_killed_manager_lets_calls_finish_and_hosts_go(user: User) -> None:
    program = user.program()
    pid = program.call("pid")
    gate = user.folder / "gate"
    program.begin("hold", file=str(gate))
    wait_until(lambda: _calls_of(pid, user) == 1, 5, "call in flight")
    kill(user.state()["pid"])
    wait_until(lambda: "the manager has died" in _log(user), 5, "line in the host's log")
    gate.touch()
    assert program.read() == {"result": pid}
    second = user.program()
    other = second.call("pid")
    assert other != pid
    wait_until(lambda: not runs(pid), 15, "end of the orphan")
    assert program.call("pid") == other
    assert len(user.running("jshost.server")) == 1
    assert len(user.running("jshost_manager")) == 1


def test_a_killed_manager_leaves_no_process(user: User) -> None:
    program = user.program()
    program.call("pid")
    kill(user.state()["pid"])
    program.kill()
    wait_until(lambda: not user.processes(), 10, "end of the orphan")
    assert "No manager runs" in user.cli("ps").stdout
    assert user.files() == [], "whoever comes across a stale state file removes it"
    assert user.program().call("count") == 1


def _calls_of(pid: int, user: User) -> int:
    (status,) = json.loads(user.cli("status", "--json").stdout)
    assert status["pid"] == pid
    return int(sum(worker["calls"] for worker in status["workers"]))


def _log(user: User) -> str:
    return "".join(
        path.read_text() for path in user.logs.glob("*.log") if path.name != "manager.log"
    )


def test_a_killed_host_is_replaced_at_the_next_call(user: User) -> None:
    program = user.program()
    pid = program.call("pid")
    kill(pid)
    other = program.call("pid")
    assert other != pid
    (line,) = [line for line in program.said.splitlines() if "had died" in line]
    assert str(user.folder / "host.config.py") in line
    assert str(other) in line
    assert str(user.logs) in line
    log = (user.logs / "manager.log").read_text()
    assert re.search(rf"host {pid} of .* has ended with -9", log)


def test_calls_of_a_killed_host_fail_and_the_next_ones_work(here: User) -> None:
    pid = PID.call()
    gate = here.folder / "gate"
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(Function("hold").call, file=str(gate))
        wait_until(lambda: host.get_status()["workers"][0]["calls"] == 1, 5, "call in flight")
        kill(pid)
        with pytest.raises(ConnectionError, match="broke"):
            calling.result(10)
    assert PID.call() != pid


def test_a_killed_host_that_nobody_calls_leaves_nothing(user: User) -> None:
    program = user.program()
    pid = program.call("pid")
    socket_file = user.runtime / f"host-0123456789abcdef-{pid}.sock"
    socket_file.touch()
    kill(pid)
    wait_until(lambda: user.files() == ["manager.json"], 5, "removal of the host's files")
    program.leave()
    user.wait_until_gone()


def test_hosts_that_are_killed_again_and_again(here: User) -> None:
    pids = [PID.call()]
    for _ in range(4):
        kill(pids[-1])
        pids.append(PID.call())
    assert len(set(pids)) == 5
    assert len(here.hosts()) == 1


CRASHING = (
    CONFIG
    + """
import signal

def crash():
    print("the last words", file=sys.stderr, flush=True)
    signal.raise_signal(signal.SIGSEGV)

functions["crash"] = crash
"""
)


def test_a_worker_that_dies_says_its_last_words(here: User) -> None:
    here.write("host.config.py", CRASHING)
    pid = PID.call()
    with pytest.raises(ProcessError, match="SIGSEGV") as caught:
        Function("crash").call()
    assert "the last words" in str(caught.value)
    assert str(host.logfile) in str(caught.value)
    assert host.managed_logfile == str(host.logfile)
    assert PID.call() == pid
    assert COUNT.call() == 1


def test_without_respawn_every_call_raises_until_the_program_restarts(user: User) -> None:
    user.write("host.config.py", f"respawn = False\n{CRASHING}")
    program, bystander = user.program(), user.program()
    pid = program.call("pid")
    assert bystander.call("pid") == pid
    assert program.tell("crash")["error"] == "ProcessError"
    for each in (program, program, bystander, program):
        answer = each.tell("pid")
        assert answer.get("error") == "ProcessError", answer
        assert str(user.logs) in answer["text"]
        assert "Restart this program" in answer["text"]
    program.leave()
    bystander.leave()
    newcomer = user.program()
    assert newcomer.call("pid") != pid
    newcomer.leave()
    user.wait_until_gone()


def test_without_respawn_a_new_program_has_a_new_host_and_the_old_one_none(user: User) -> None:
    user.write("host.config.py", f"respawn = False\n{CRASHING}")
    program = user.program()
    first = program.call("pid")
    program.tell("crash")
    assert program.tell("pid").get("error") == "ProcessError"
    newcomer = user.program()
    pid = newcomer.call("pid")
    assert program.tell("pid").get("error") == "ProcessError"
    assert user.holders() == {newcomer.pid}
    assert program.tell("host.restart") == {"result": None}  # by hand, it is forgiven
    assert program.call("pid") not in (first, pid)


# The disk, and the folders


def test_a_log_that_cannot_be_written_to_stops_nothing(here: User) -> None:
    for name in (host.logfile, here.logs / "manager.log"):
        name.symlink_to("/dev/full")
    assert COUNT.call() == 1
    kill(PID.call())
    assert COUNT.call() == 1


NOT_ROOT = "NOT RUN: this test needs root, as CI has it; run the tests as root to have it proven"


@pytest.fixture
def full_disk(user: User) -> Iterator[Path]:
    """The log directory on a disk without a free byte."""
    user.logs.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(user.logs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{NOT_ROOT} (mount: {done.stderr.strip()})")
    with contextlib.suppress(OSError), (user.logs / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 1024)
    yield user.logs
    subprocess.run(["umount", "-l", str(user.logs)], check=True)


def test_a_full_disk_for_the_log_stops_nothing(full_disk: Path, here: User) -> None:
    assert COUNT.call() == 1
    host.restart()
    assert COUNT.call() == 1


def test_a_log_directory_that_cannot_be_made(here: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/state")
    with pytest.raises(ConfigError, match="/dev/null/state") as caught:
        COUNT.call()
    assert "XDG_STATE_HOME" in str(caught.value)


@pytest.mark.skipif(os.getuid() != 0, reason=NOT_ROOT)
def test_a_runtime_directory_of_somebody_else(here: User) -> None:
    here.runtime.mkdir(mode=0o700)
    os.chown(here.runtime, 12345, 12345)
    with pytest.raises(ConfigError, match="belongs to user 12345") as caught:
        COUNT.call()
    assert "XDG_RUNTIME_DIR" in str(caught.value)
    os.chown(here.runtime, 0, 0)


def test_a_source_root_that_is_not_there(here: User) -> None:
    missing = here.folder / "missing"
    settings.configure(SOURCE_ROOT=missing, CONFIG_FILE=here.folder / "host.config.py")
    with pytest.raises((ConfigError, ProcessError), match=str(missing)):
        COUNT.call()


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_for_the_programs_group_do_not_reach_the_manager(user: User, number: int) -> None:
    program = user.program(start_new_session=True)
    pid = program.call("pid")
    manager = user.state()["pid"]
    second = user.program()
    assert second.call("pid") == pid
    os.killpg(program.pid, number)
    program.process.wait(10)
    wait_until(lambda: user.holders() == {second.pid}, 5, "end of the hold")
    assert second.call("pid") == pid
    assert user.state()["pid"] == manager
    for each in (manager, pid):
        assert os.getsid(each) not in (os.getsid(0), program.pid)


def test_the_starting_program_need_not_wait_for_its_manager(user: User) -> None:
    """Whoever reads the program's output to its end does not wait for the manager's."""
    user.write("host.config.py", CONFIG.replace("disconnect_timeout = 0.5", ""))
    code = managing.LINES.partition("for line")[0] + "print(answer('count', {}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=user.folder,
        env=user.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=True,
    )
    assert "{'result': 1}" in done.stdout
    assert user.processes(), "the host is still warm"
