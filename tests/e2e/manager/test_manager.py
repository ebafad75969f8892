"""Hosts start when a program needs them, are shared, and go away by themselves."""

from __future__ import annotations

import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import managing
from support.hosts import StartHost, wait_until
from support.managing import CONFIG, User, elapsed_until, runs

from jshost.conf import settings
from jshost.exceptions import ConfigError, ConnectionError
from jshost.function import Function
from jshost.host import JSHost, host
from jshost.host import manager as manager_of_the_module

user, here, new_user = managing.user, managing.here, managing.new_user

COUNT = Function("count")
PID = Function("pid")


def test_fifty_programs_at_once_share_one_host(user: User) -> None:
    programs = [user.program() for _ in range(50)]
    for program in programs:
        program.begin("pid")
        program.begin("count")
    answers = [(program.read()["result"], program.read()["result"]) for program in programs]
    assert len({pid for pid, _ in answers}) == 1
    assert sorted(count for _, count in answers) == list(range(1, 51))
    assert len(user.running("jshost_manager")) == 1
    assert len(user.running("jshost.server")) == 1
    assert (user.logs / "manager.log").read_text().count("started host") == 1
    assert user.holders() == {program.pid for program in programs}
    for program in programs:
        program.process.stdin.close()  # type: ignore[union-attr]
    user.wait_until_gone()


def test_everything_goes_five_seconds_after_the_last_program(user: User) -> None:
    user.write("host.config.py", CONFIG.replace("disconnect_timeout = 0.5", ""))
    program = user.program()
    program.call("pid")
    program.leave()
    (found,) = user.hosts()
    assert found["state"] == "idle"
    assert 3 < found["idle_s_left"] <= 5
    spent = elapsed_until(lambda: not (user.files() or user.processes()), 10, "end of everything")
    assert spent > 4
    assert "No manager runs" in user.cli("ps").stdout


def test_everything_goes_after_a_killed_program(user: User) -> None:
    program = user.program()
    program.call("pid")
    program.kill()
    wait_until(lambda: not user.processes(), 10, "end of everything")
    user.wait_until_gone()


def test_a_program_killed_during_its_call_is_noticed(user: User) -> None:
    program = user.program()
    program.call("pid")
    program.begin("hold", file=str(user.folder / "never"))
    program.kill()
    (user.folder / "never").touch()
    user.wait_until_gone()


def test_a_program_that_comes_back_finds_its_host_warm(user: User) -> None:
    user.write("host.config.py", CONFIG.replace("0.5", "5"))
    first = user.program()
    pid = first.call("pid")
    assert first.call("count") == 1
    first.leave()
    second = user.program()
    assert second.call("pid") == pid
    assert second.call("count") == 2
    assert user.hosts()[0]["state"] == "running"


def test_the_host_stays_as_long_as_somebody_holds_it(user: User) -> None:
    first, second = user.program(), user.program()
    pid = first.call("pid")
    assert second.call("pid") == pid
    assert user.holders() == {first.pid, second.pid}
    first.leave()
    wait_until(lambda: user.holders() == {second.pid}, 5, "end of the first hold")
    other = user.write("other.py", CONFIG)  # its idle time passes; the first host's must not
    third = user.program(env={"JSHOST_CONFIG_FILE": str(other)})
    third.call("pid")
    third.leave()
    wait_until(lambda: len(user.hosts()) == 1, 5, "end of the other host")
    assert second.call("pid") == pid
    second.leave()
    user.wait_until_gone()


def test_a_program_has_one_hold_however_often_it_connects(here: User) -> None:
    for _ in range(3):
        host.forget()
        PID.call()
    JSHost(here.folder / "host.config.py").connect()
    assert [holder["pid"] for holder in here.hosts()[0]["holders"]] == [os.getpid()]


def test_the_names_of_python_js_host(here: User) -> None:
    assert host.manager == manager_of_the_module
    assert not host.manager.is_running()
    host.connect()
    assert host.manager.is_running()
    assert here.holders() == {os.getpid()}
    status = host.get_status()
    assert status["type"] == "Host"
    assert status["pid"] == PID.call()
    config = host.get_config()
    assert host.get_url() == f"http://127.0.0.1:{config['port']}"
    assert config["configFile"] == str(here.folder / "host.config.py")
    assert Path(host.logfile).parent == here.logs
    assert here.folder.name in host.logfile.name
    assert "host.config.py" in host.logfile.name
    assert "is ready" in host.logfile.read_text()
    assert host.manager.get_status()["type"] == "Manager"


def test_disconnect_lets_it_go_and_a_call_comes_back(here: User) -> None:
    pid = PID.call()
    host.disconnect()
    assert here.holders() == set()
    assert PID.call() == pid
    assert here.holders() == {os.getpid()}
    host.disconnect()
    here.wait_until_gone()
    assert PID.call() != pid


def test_stop_ends_the_host_and_the_next_call_starts_it(here: User) -> None:
    pid = PID.call()
    host.stop()
    assert not runs(pid)
    assert PID.call() != pid


def test_manager_stop_leaves_nothing(here: User) -> None:
    PID.call()
    host.manager.stop()
    here.wait_until_gone(2)
    assert not host.manager.is_running()
    host.manager.stop()
    with pytest.raises(ConnectionError, match="No manager runs"):
        host.stop()
    assert COUNT.call() == 1


def test_restart_keeps_port_log_and_connections(here: User) -> None:
    other = here.program()
    pid, url, log = other.call("pid"), host.get_url(), host.logfile
    COUNT.call()
    host.restart()
    assert not runs(pid), "it waits for the old process to be gone"
    assert COUNT.call() == 1
    assert (host.get_url(), host.logfile) == (url, log)
    assert log.read_text().count("is ready") == 2
    assert here.holders() == {os.getpid(), other.pid}
    assert other.call("pid") == PID.call() != pid


def test_restart_lets_calls_in_flight_finish(here: User) -> None:
    program = here.program()
    pid = program.call("pid")
    gate = here.folder / "gate"
    program.begin("hold", file=str(gate))
    wait_until(lambda: _calls(host) == 1, 5, "call in flight")
    with ThreadPoolExecutor(1) as threads:
        restarting = threads.submit(host.restart)
        wait_until(lambda: here.hosts()[0]["state"] == "stopping", 5, "stopping host")
        gate.touch()
        restarting.result(20)
    assert program.read() == {"result": pid}
    assert program.call("pid") != pid


def _calls(target: JSHost) -> int:
    return sum(worker["calls"] for worker in target.get_status()["workers"])


def test_several_hosts_in_one_program(here: User) -> None:
    here.write("sub/host.config.js", "exports.functions = {pid: () => process.ppid}")
    second = JSHost(here.folder / "sub" / "host.config.js")
    assert PID.call() != Function("pid", second).call()
    assert host.logfile != second.logfile
    assert len(here.hosts()) == 2
    second.disconnect()
    assert [len(each["holders"]) for each in here.hosts()] == [1, 0]
    second.stop()
    assert len(here.hosts()) == 1


def test_two_callers_at_once_wait_for_the_same_host(user: User) -> None:
    slow = f"import os, time\nwhile not os.path.exists('gate'): time.sleep(0.005)\n{CONFIG}"
    user.write("host.config.py", slow)
    programs = [user.program() for _ in range(3)]
    for program in programs:
        program.begin("pid")
    wait_until(lambda: user.state_file.exists(), 10, "manager")
    wait_until(lambda: user.hosts() and user.hosts()[0]["waiting"] == 3, 10, "three that wait")
    (user.folder / "gate").touch()
    answers = [program.read()["result"] for program in programs]
    assert len(set(answers)) == 1


def test_a_config_that_does_not_load_costs_the_next_caller_nothing(here: User) -> None:
    path = here.write("host.config.py", "import os\nfunctions = {'a': 1}\n\n1 / 0\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="ZeroDivisionError") as caught:
            PID.call()
        assert f'File "{path}", line 4' in str(caught.value)
    here.write("host.config.py", CONFIG)
    assert COUNT.call() == 1
    assert [each["state"] for each in here.hosts()] == ["running"]


def test_a_javascript_config_that_does_not_load(here: User) -> None:
    path = here.write("host.config.js", "const a = 1;\nthrow new Error('not today');\n")
    settings.configure(CONFIG_FILE="host.config.js")
    with pytest.raises(ConfigError, match="not today") as caught:
        PID.call()
    assert f"{path}:2" in str(caught.value)


def test_a_host_started_by_hand_wins(here: User, serve: StartHost) -> None:
    by_hand = serve(str(here.folder / "host.config.py"))
    assert PID.call() == by_hand.pid
    assert not host.manager.is_running()
    by_hand.stop()
    assert PID.call() != by_hand.pid
    assert len(here.hosts()) == 1


def test_root_url_and_the_manager_exclude_each_other(here: User) -> None:
    settings.configure(ROOT_URL="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="ROOT_URL and USE_MANAGER"):
        PID.call()
    assert here.processes() == []


def test_the_host_runs_as_its_client_does(user: User) -> None:
    root = user.folder / "root"
    root.mkdir()
    config = str(user.folder / "host.config.py")
    own = {"JSHOST_SOURCE_ROOT": str(root), "JSHOST_CONFIG_FILE": config, "COLOR": "grün"}
    program = user.program(env=own)
    assert program.call("variable", name="COLOR") == "grün"
    assert program.call("folder") == str(root)
    assert program.call("prefix") == sys.prefix


def test_each_host_has_the_environment_of_its_own_client(user: User) -> None:
    other = str(user.write("other.py", CONFIG))
    first = user.program(env={"COLOR": "red"})
    second = user.program(env={"COLOR": "blue", "JSHOST_CONFIG_FILE": other})
    assert first.call("variable", name="COLOR") == "red"
    assert second.call("variable", name="COLOR") == "blue"
    assert len(user.running("jshost_manager")) == 1


def test_the_interpreter_is_the_clients(user: User) -> None:
    """A virtual environment's: here a copy of ours under another name."""
    venv = user.folder / "venv"
    (venv / "bin").mkdir(parents=True)
    ours = Path(sys.prefix)
    (venv / "pyvenv.cfg").write_text((ours / "pyvenv.cfg").read_text())
    (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    (venv / "lib").symlink_to(ours / "lib")
    program = user.start(str(venv / "bin" / "python"), "-c", managing.LINES)
    assert program.call("prefix") == str(venv)


def test_the_state_file_is_private(here: User) -> None:
    PID.call()
    assert stat.S_IMODE(here.state_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(here.runtime.stat().st_mode) == 0o700
    state = here.state()
    assert set(state) == {"port", "token", "pid", "started_at", "version"}
    assert len(state["token"]) >= 32


def test_the_log_of_a_managed_host_is_bounded(here: User) -> None:
    say = "def say(lines):\n    for _ in range(lines): print('x' * 4000)\n"
    here.write("host.config.py", f"{CONFIG}\n{say}functions['say'] = say")
    for _ in range(10):
        Function("say", timeout=30).call(lines=500)  # 2 MB
    logs = sorted(here.logs.glob(f"{host.logfile.name}*"))
    assert [log.name for log in logs] == [f"{host.logfile.name}{end}" for end in ("", ".1", ".2")]
    assert 5e6 < sum(log.stat().st_size for log in logs) < 3 * 5.3e6
    assert host.logfile == logs[0]
