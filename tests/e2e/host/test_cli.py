"""The command `jshost`, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psutil
import pytest
from support.hosts import STOP_TIMEOUT_S, RunningHost, StartHost, cli

import jshost
from jshost.cli.main import main
from jshost.discovery.records import HostRecord

CONFIG = {
    "host.config.py": """
include = ["host.config.js"]
def fail(x=None):
    raise ValueError(f"not {x}")
def slow():
    import time
    time.sleep(0.4)
functions = {
    "echo": lambda **arguments: arguments, "hello": lambda name="World": f"Hello, {name}!",
    "nothing": lambda: None, "data": lambda: bytes(range(256)), "fail": fail, "slow": slow,
    "strict": lambda number: number,
}
""",
    "host.config.js": """
exports.functions = {
  throwing: () => { throw new RangeError('out of range'); },
  lone: () => 'a\\ud800b',
};
""",
}
LISTENS = re.compile(r"jshost \S+ listens on (http://\S+:\d+), functions: (.*)\n")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "host.config.py"
    path.write_text("workers = 2\nfunctions = {'b': dict, 'a': lambda: 'A'}")
    return path


@contextmanager
def serving(*arguments: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A host that is started as a person does it, without --json."""
    with subprocess.Popen(
        [sys.executable, "-m", "jshost", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=STOP_TIMEOUT_S)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()  # pytest-timeout bounds it


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed script, as a person does; `cli` runs `python -m jshost`."""
    command = [str(Path(sysconfig.get_path("scripts"), "jshost")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_version() -> None:
    assert program("--version").stdout == f"jshost, version {jshost.__version__}\n"


@pytest.mark.parametrize("command", [None, *main.commands])
def test_help_is_whole_and_plain(command: str | None) -> None:
    done = program(*([command] if command else []), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: jshost")
    assert "..." not in done.stdout.partition("\n")[2], "a text that was cut off"
    assert "\x1b" not in done.stdout
    found = main.commands[command] if command else main
    assert found.help
    for parameter in found.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.opts} has no help"
            assert all(spelling in done.stdout for spelling in parameter.opts)


def test_help_lists_every_command() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = cli(*arguments)
        said = done.stdout + done.stderr
        for name in ("serve", "call", "config", "check", "status", "init"):
            assert re.search(rf"^  {name}  +\w", said, re.MULTILINE)


@pytest.mark.parametrize("words", [["serve"], []])
def test_one_line_says_where_it_listens_and_what_it_serves(config: Path, words: list[str]) -> None:
    with serving(*words, str(config), "-p", "0") as process:
        line = first_line(process)
        found = LISTENS.fullmatch(line)
        assert found, line
        assert found[1].startswith("http://127.0.0.1:")
        assert found[2] == "a, b"
        assert cli("call", "a", "--url", found[1]).stdout == "A\n"
        process.send_signal(signal.SIGINT)
        rest, log = process.communicate(timeout=STOP_TIMEOUT_S)
    assert process.returncode == 0
    assert rest == ""
    assert "Traceback" not in log
    assert "\x1b" not in line + log


def test_without_config_the_one_in_the_folder_is_served(config: Path) -> None:
    with serving("serve", "--port", "0", cwd=config.parent) as process:
        assert "functions: a, b" in first_line(process)


def test_flags_win_over_the_config(serve: StartHost, tmp_path: Path) -> None:
    flags = ["--address", "127.0.0.2", "--workers", "3", "-l", "host.log", "--max-queue", "5"]
    host = serve("host.config.py", "port = 1\nworkers = 1\nmax_queue = 9", *flags, cwd=tmp_path)
    found = host.status["config"]
    assert (found["address"], found["workers"], found["maxQueue"]) == ("127.0.0.2", 3, 5)
    assert found["port"] not in (0, 1)
    assert (
        f"worker 1 (pid {host.status['workers'][0]['pid']})" in (tmp_path / "host.log").read_text()
    )
    assert host.log_text() == "", "the log goes to its file, and only there"


def test_a_json_line_for_scripts(shared_host: RunningHost) -> None:
    assert shared_host.status["type"] == "Host"
    assert shared_host.status["pid"] == shared_host.pid
    assert "echo" in shared_host.status["config"]["functions"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hello"], "Hello, World!\n"),
        (["hello", "name=Foo"], "Hello, Foo!\n"),
        (["hello", "name=a=b c"], "Hello, a=b c!\n"),
        (["hello", "name=Ünï 😀"], "Hello, Ünï 😀!\n"),
        (["echo", "a=1", "b:=1", "c:=[true, null]"], '{"a": "1", "b": 1, "c": [true, null]}\n'),
        (["echo", "a:=é"], None),
        (["echo", 'a:="é"'], '{"a": "é"}\n'),
        (["echo", "--data", "{file}", "b=3"], '{"a": [1, "é"], "b": "3"}\n'),
        (["echo", "--data", "-"], '{"stdin": true}\n'),
        (["nothing"], "null\n"),
    ],
)
def test_call(
    shared_host: RunningHost, tmp_path: Path, arguments: list[str], expected: str | None
) -> None:
    (tmp_path / "data.json").write_text('{"a": [1, "é"], "b": 2}')
    arguments = [argument.replace("{file}", str(tmp_path / "data.json")) for argument in arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "JSHOST_ROOT_URL": shared_host.url}
    done = cli("call", *arguments, input='{"stdin": true}', env=environment)
    if expected is None:
        assert done.returncode == 2
        assert "not JSON" in done.stderr
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_call_prints_bytes_as_they_are(shared_host: RunningHost) -> None:
    command = [sys.executable, "-m", "jshost", "call", "data", "--url", shared_host.url]
    assert subprocess.run(command, capture_output=True, check=True).stdout == bytes(range(256))


def test_call_prints_what_the_terminal_cannot_say(shared_host: RunningHost) -> None:
    """A lone surrogate is no UTF-8, and must not end in a traceback."""
    done = cli("call", "lone", "--url", shared_host.url)
    assert (done.returncode, done.stdout) == (0, "a\\ud800b\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fail", "x=y"], ["jshost: fail: ValueError: not y\n", "host.config.py", "in fail"]),
        (["throwing"], ["jshost: throwing: RangeError: out of range\n", "host.config.js:3:"]),
        (["slow", "--timeout", "0.1"], ["jshost: slow: ", "limit of 0.1 s"]),
        (["gone"], ["jshost: gone: ", 'Unknown function "gone"']),
        (["strict", "nubmer=1"], ["jshost: strict: TypeError: ", "'number'"]),
    ],
)
def test_a_failed_call_is_told_on_stderr(
    shared_host: RunningHost, arguments: list[str], said: list[str]
) -> None:
    done = cli("call", *arguments, "--url", shared_host.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said[0])
    for part in said[1:]:
        assert part in done.stderr
    assert "/jshost/" not in done.stderr, "frames of jshost's own help nobody"
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["hello", "Foo"], "'Foo' is neither key=value nor key:=json"),
        (["hello", "=Foo"], "'=Foo' is neither key=value nor key:=json"),
        (["hello", "--data", "gone.json"], "gone.json: No such file"),
        (["hello", "--data", "-"], "must hold a JSON object"),
        (["hello", "--timeout", "0"], "x>0"),
        ([], "NAME"),
    ],
)
def test_a_call_that_was_typed_wrong(arguments: list[str], complaint: str) -> None:
    done = cli("call", *arguments, input="[1]")
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_a_call_without_a_host_says_how_to_start_one(config: Path, tmp_path: Path) -> None:
    """With a command that works from the folder where it is typed."""
    (tmp_path / "elsewhere").mkdir()
    done = cli("call", "a", "-c", str(config), cwd=tmp_path / "elsewhere")
    assert (done.returncode, done.stdout) == (1, "")
    command = re.search(r"jshost serve (\S+)", done.stderr)
    assert command, done.stderr
    assert (tmp_path / "elsewhere" / command[1]).resolve() == config


def test_config_shows_what_would_be_served(config: Path) -> None:
    done = cli("config", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["configFile"] == str(config)
    assert (shown["workers"], shown["port"], shown["functions"]) == (2, 9009, ["a", "b"])


def test_config_is_what_the_running_host_tells(serve: StartHost, config: Path) -> None:
    host = serve(config.name)
    shown = json.loads(cli("config", str(config)).stdout)
    assert host.host.get_config() == {**shown, "port": host.status["config"]["port"]}


def test_check(config: Path, tmp_path: Path) -> None:
    done = cli("check", str(config))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(str(config))
    assert done.stdout.endswith("\n  a\n  b\nok: 2 functions\n")
    assert cli("check", cwd=tmp_path).stdout == done.stdout
    config.write_text("functions = {'a': 1}")
    done = cli("check", str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert '"a" is a' in done.stderr
    done = cli("check", "--json", str(config))
    assert done.returncode == 1
    assert '"a" is a' in json.loads(done.stdout)["error"]


def test_check_is_not_disturbed_by_what_the_config_prints(config: Path) -> None:
    config.write_text("import sys\nprint('out')\nprint('err', file=sys.stderr)\nfunctions = {}")
    done = cli("config", str(config))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["functions"] == []


def test_status(serve: StartHost) -> None:
    done = cli("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert "jshost serve" in done.stderr
    hosts = [serve(f"{name}.py", f"functions = {{'{name}': dict}}") for name in ("one", "two")]
    done = cli("status")
    assert (done.returncode, done.stderr) == (0, "")
    for host in hosts:
        for part in (host.url, f"pid {host.pid}", host.status["config"]["configFile"]):
            assert part in done.stdout
    assert "\x1b" not in done.stdout
    told = json.loads(cli("status", "--json").stdout)
    assert {each["pid"] for each in told} == {host.pid for host in hosts}


def test_status_of_one_host_does_not_hide_another(serve: StartHost) -> None:
    """One that does not answer is said to; here it is this process, which listens nowhere."""
    this = psutil.Process()
    HostRecord("/stuck.py", "http://127.0.0.1:1", this.pid, this.create_time(), "0").write()
    host = serve("good.py", "functions = {'good': dict}")
    done = cli("status")
    assert "http://127.0.0.1:1" in done.stdout + done.stderr
    assert f"pid {host.pid}" in done.stdout


@pytest.mark.parametrize(
    ("flags", "name"),
    [([], "host.config.py"), (["--python"], "host.config.py"), (["--js"], "host.config.js")],
)
def test_init_writes_what_can_be_served(
    serve: StartHost, tmp_path: Path, flags: list[str], name: str
) -> None:
    done = cli("init", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for command in (f"jshost serve {name}", "jshost call hello_world name=Foo"):
        assert command in done.stdout
    assert serve(name).function("hello_world").call(name="Foo") == "Hello, Foo!"
    (tmp_path / name).write_text("mine")
    again = cli("init", *flags, cwd=tmp_path)
    assert again.returncode == 1
    assert name in again.stderr
    assert (tmp_path / name).read_text() == "mine"


def test_init_in_a_package_of_modules(serve: StartHost, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    assert cli("init", "--js", cwd=tmp_path).returncode == 0
    (written,) = tmp_path.glob("host.config.*")
    assert serve(written.name).function("hello_world").call() == "Hello, World!"


@pytest.mark.parametrize("arguments", [["nonsense"], ["serve", "--nonsense"], ["serve", "-p", "x"]])
def test_what_was_mistyped_leads_to_the_help(arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--help" in done.stderr


def test_a_terminal_gets_colour(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "jshost", "status"]
        environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
        done = subprocess.run([*command, "--url", "http://127.0.0.1:1"], stderr=theirs,
                              stdout=theirs, env=environment, check=False)  # fmt: skip
        said = os.read(ours, 4096).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert re.search(r"\x1b\[[0-9;]*mjshost:", said)
