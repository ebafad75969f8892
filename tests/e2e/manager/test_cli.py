"""The commands about managed hosts: ps, stop, restart, logs, doctor."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys

import psutil
import pytest
from support import managing
from support.hosts import cli, wait_until
from support.managing import CONFIG, User, runs

from jshost import __version__
from jshost.function import Function
from jshost.host import host
from jshost.manager import logfile_of

user, here = managing.user, managing.here

PID = Function("pid")


def test_without_a_manager(user: User) -> None:
    for command in (["ps"], ["stop"], ["stop", "--all"]):
        done = user.cli(*command)
        assert (done.returncode, done.stderr) == (0, "")
        assert "No manager runs" in done.stdout
    assert json.loads(user.cli("ps", "--json").stdout) is None
    done = user.cli("restart")
    assert done.returncode == 1
    assert "No manager runs" in done.stderr
    done = user.cli("logs")
    assert done.returncode == 1
    assert "no managed host of this config has run yet" in done.stderr
    assert user.processes() == []


def test_ps_shows_hosts_and_who_holds_them(here: User) -> None:
    pid = PID.call()
    text = here.cli("ps").stdout
    config = str(here.folder / "host.config.py")
    for expected in (
        f"pid {here.state()['pid']}",
        f"version {__version__}",
        config,
        "running",
        f"pid {pid}",
        host.get_url(),
        str(host.logfile),
        f"held by {os.getpid()}",
        "pytest",
    ):
        assert expected in text, expected
    found = json.loads(here.cli("ps", "--json").stdout)
    assert found["type"] == "Manager"
    (each,) = found["hosts"]
    assert (each["config"], each["pid"], each["state"]) == (config, pid, "running")
    assert each["holders"][0]["pid"] == os.getpid()
    assert each["idle_s_left"] is None


def test_ps_shows_the_uptime_of_a_host_and_what_is_left_of_it(here: User) -> None:
    here.write("host.config.py", CONFIG.replace("0.5", "60"))
    PID.call()
    host.disconnect()
    text = here.cli("ps").stdout
    left = re.search(r"idle, stops in (\d+) s", text)
    assert left is not None
    assert 50 <= int(left[1]) <= 60
    (each,) = json.loads(here.cli("ps", "--json").stdout)["hosts"]
    assert 50 < each["idle_s_left"] <= 60
    assert each["uptime"] > 0
    assert text.count(" up ") == 2


def test_stop_takes_the_config_that_is_meant(here: User) -> None:
    here.write("other.py", CONFIG)
    pid, program = PID.call(), here.program(env={"JSHOST_CONFIG_FILE": "other.py"})
    other = program.call("pid")
    done = here.cli("stop", "other.py")
    assert done.returncode == 0
    assert str(here.folder / "other.py") in done.stdout
    assert not runs(other)
    assert runs(pid)
    assert here.cli("stop").returncode == 0
    assert not runs(pid)
    assert PID.call() != pid


def test_stop_all_leaves_nothing(here: User) -> None:
    PID.call()
    assert here.cli("stop", "--all").returncode == 0
    here.wait_until_gone(2)


def test_stop_of_what_does_not_run_says_so(here: User) -> None:
    PID.call()
    here.write("other.py", CONFIG)
    done = here.cli("stop", "other.py")
    assert "Stopped" not in done.stdout
    assert str(here.folder / "other.py") in done.stdout + done.stderr


def test_restart(here: User) -> None:
    pid, url = PID.call(), host.get_url()
    done = here.cli("restart", "host.config.py")
    assert done.returncode == 0
    assert PID.call() != pid
    assert host.get_url() == url
    assert here.holders() == {os.getpid()}


def test_restart_of_a_config_that_no_longer_loads(here: User) -> None:
    path = here.folder / "host.config.py"
    PID.call()
    path.write_text("functions = {\n")
    done = here.cli("restart")
    assert done.returncode == 1
    assert f"{path}, line 1" in done.stderr
    assert "Traceback" not in done.stderr.partition(str(path))[0]
    path.write_text(CONFIG)
    assert PID.call() in psutil.pids()


def test_logs(here: User) -> None:
    here.write("host.config.py", f"{CONFIG}\nfunctions['say'] = print\nfunctions['say']('hello')")
    PID.call()
    done = here.cli("logs", "host.config.py")
    assert done.returncode == 0
    assert "is ready" in done.stdout
    assert "hello" in done.stdout
    assert len(here.cli("logs", "-n", "1").stdout.splitlines()) == 1


def test_logs_follow(here: User) -> None:
    say = "def say(text): print(text)\n"
    here.write("host.config.py", f"{CONFIG}\n{say}functions['say'] = say")
    Function("say").call(text="the first line")
    command = [sys.executable, "-m", "jshost", "logs", "-f"]
    following = here.start(*command, env={"PYTHONUNBUFFERED": "1"})
    out = following.process.stdout
    assert out is not None

    def read_to(text: str) -> None:
        while text not in (line := out.readline()):  # pytest-timeout bounds it
            assert line, following.said

    read_to("the first line")
    Function("say").call(text="the second line")
    read_to("the second line")
    assert not select.select([out], [], [], 0)[0]
    following.process.send_signal(2)
    assert following.process.wait(5) in (0, 1, 130)
    assert "Traceback" not in following.said


def test_logs_follow_over_rotations(user: User) -> None:
    """Also what the old file was given after its last line was read is shown, once each."""
    log = logfile_of(user.folder / "host.config.py")
    log.write_text("".join(f"line {number}\n" for number in range(60)))
    command = [sys.executable, "-m", "jshost", "logs", "-f", "-n", "60"]
    following = user.start(*command, env={"PYTHONUNBUFFERED": "1"})
    out = following.process.stdout
    assert out is not None
    shown = 0
    with log.open("a") as writing:
        for number in range(60, 90):  # from before it follows
            writing.write(f"line {number}\n")
            writing.flush()
        while shown < 60:
            shown += 1
            first = out.readline()
        last = int(first.split()[1])
        writing.write("line 90\n")
        writing.flush()
        log.rename(log.with_suffix(".log.1"))
        writing.write("line 91, written to the file with the old name\n")
    log.write_text("line 92\n")
    expected = [
        *(f"line {number}\n" for number in range(last + 1, 91)),
        "line 91, written to the file with the old name\n",
        "line 92\n",
    ]
    assert [out.readline() for _ in expected] == expected
    with log.open("a") as writing:
        writing.write("line 93\n")
    assert out.readline() == "line 93\n"
    following.process.send_signal(2)
    assert following.process.wait(5) in (0, 1, 130)


def test_doctor_finds_nothing_wrong(here: User) -> None:
    PID.call()
    done = here.cli("doctor")
    assert done.returncode == 0, done.stdout
    for expected in (__version__, str(here.runtime), str(here.logs), f"pid {here.state()['pid']}"):
        assert expected in done.stdout
    findings = json.loads(here.cli("doctor", "--json").stdout)
    assert all(finding["ok"] for finding in findings)
    assert {"Python", "Node", "manager"} <= {finding["name"] for finding in findings}


def _mend(text: str) -> None:
    """Run the command that the doctor names."""
    command = re.search(r"Mend it: (.*)", text)
    assert command is not None
    subprocess.run(command[1], shell=True, check=True, timeout=20)


def test_doctor_finds_a_stale_state_file(user: User) -> None:
    user.runtime.mkdir(mode=0o700)
    user.state_file.write_text('{"port": 9}')
    done = user.cli("doctor")
    assert done.returncode == 1
    (wrong,) = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert str(user.state_file) in wrong
    _mend(wrong)
    assert user.cli("doctor").returncode == 0


def test_doctor_finds_another_version(user: User) -> None:
    user.program().call("pid")
    state = user.state()
    user.state_file.write_text(json.dumps({**state, "version": "9.8.7"}))
    code = user.cli("doctor").returncode
    user.state_file.write_text(json.dumps(state))
    assert code in (0, 1)  # it asks the manager itself


def test_doctor_finds_orphans(user: User) -> None:
    gate = user.folder / "gate"
    program = user.program()
    pid = program.call("pid")
    program.begin("hold", file=str(gate))
    managing.kill(user.state()["pid"])
    user.state_file.unlink()
    done = user.cli("doctor")
    orphan = f"kill {pid}" in done.stdout or not runs(pid)
    gate.touch()
    wait_until(lambda: not user.processes(), 15, "end of the orphan")
    assert orphan, done.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder somebody else's")
def test_doctor_finds_a_runtime_directory_of_somebody_else(user: User) -> None:
    user.runtime.mkdir(mode=0o700)
    os.chown(user.runtime, 12345, 12345)
    done = user.cli("doctor", "--json")
    os.chown(user.runtime, 0, 0)
    assert done.returncode == 1
    wrong = [finding for finding in json.loads(done.stdout) if not finding["ok"]]
    assert any("belongs to user 12345" in finding["text"] for finding in wrong)


def test_help_names_every_command() -> None:
    text = cli("--help").stdout
    for command in ("ps", "stop", "restart", "logs", "doctor"):
        assert re.search(rf"^  {command} ", text, re.MULTILINE), command
