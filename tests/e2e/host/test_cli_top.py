"""`jshost top` in pipes and in a terminal (tmux)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hosts import StartHost, cli, require, wait_until

CONFIG = """
def hello(name="World"):
    return f"Hello, {name}!"

def fails():
    raise ValueError("no")

functions = {"hello": hello, "fails": fails}
"""


def test_once_as_json(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG)
    host.function("hello").map([{}] * 20)
    host.function("fails").map([{}] * 3)
    done = cli("top", "--once", "--json", "-n", "0.2")
    (found,) = json.loads(done.stdout)["hosts"]
    assert (found["url"], found["pid"], found["ready"]) == (host.url, host.pid, True)
    by_name = {each["name"]: each for each in found["functions"]}
    assert (by_name["hello"]["calls"], by_name["hello"]["errors"]) == (20, 0)
    assert (by_name["fails"]["calls"], by_name["fails"]["errors"]) == (3, 3)
    assert 0 < by_name["hello"]["p50_ms"] <= by_name["hello"]["p95_ms"]
    (worker,) = found["workers"]
    assert (worker["pid"], worker["state"]) == (host.worker_pids()[0], "ready")
    assert worker["memory"] > 1e6


def test_once_as_text(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG, "--workers", "2")
    done = cli("top", "--once", "-n", "0.1", "--url", host.url)
    assert done.returncode == 0
    assert f"{host.url}  pid {host.pid}  ready" in done.stdout
    assert done.stdout.count("\n") == 1 + 3 + 3
    assert "\x1b" not in done.stdout


def test_with_a_token(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG + "token = 'a-token-of-sixteen'")
    assert cli("top", "--once", "-n", "0.1").returncode == 0, "it is found"
    refused = cli("top", "--once", "-n", "0.1", "--url", host.url)
    assert (refused.returncode, "401" in refused.stderr) == (1, True)
    environment = {**os.environ, "JSHOST_TOKEN": "a-token-of-sixteen"}
    assert cli("top", "--once", "--url", host.url, env=environment).returncode == 0


def test_without_a_host() -> None:
    done = cli("top", "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No host runs" in done.stderr
    nobody = cli("top", "--url", "http://127.0.0.1:1")
    assert (nobody.returncode, "No host answers" in nobody.stderr) == (1, True)


def test_lines_of_json_go_on_until_the_reader_leaves(serve: StartHost) -> None:
    serve("host.config.py", CONFIG)
    command = [sys.executable, "-m", "jshost", "top", "--json", "-n", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(3):
            assert json.loads(process.stdout.readline())["hosts"]
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


# In a terminal


class Terminal:
    """A window of a tmux server of our own."""

    def __init__(self, folder: Path, tmux: str) -> None:
        self._tmux = [tmux, "-S", str(folder / f"t{uuid.uuid4().hex[:6]}"), "-f", "/dev/null"]

    def run(self, *arguments: str) -> str:
        return subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout

    def start(self, command: str) -> None:
        """A shell, 100 columns wide, with the command typed into it."""
        self.run("new-session", "-d", "-x", "100", "-y", "20", "env PS1='PROMPT ' sh")
        wait_until(lambda: "PROMPT" in self.screen(), 10, "a shell")
        self.run("send-keys", command, "Enter")

    def screen(self) -> str:
        return self.run("capture-pane", "-p")


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    made = Terminal(tmp_path_factory.mktemp("tmux"), require("tmux", "tmux"))
    yield made
    made.run("kill-server")


def test_it_is_live(serve: StartHost, terminal: Terminal) -> None:
    host = serve("host.config.py", CONFIG)
    terminal.start(f"{sys.executable} -m jshost top -n 0.2")
    wait_until(lambda: "q: quit" in terminal.screen(), 15, "the first look")
    screen = terminal.screen()
    assert f"{host.url}  pid {host.pid}  ready" in screen
    assert "PROMPT" not in screen
    host.function("hello").map([{}] * 50)

    def row() -> list[str]:
        return next(line.split() for line in terminal.screen().splitlines() if " hello " in line)

    wait_until(lambda: row()[-2:] == ["50", "0"], 10, "the calls")
    terminal.run("resize-window", "-x", "60", "-y", "6")
    wait_until(lambda: "lines more" in terminal.screen(), 10, "the smaller window")
    assert "q: quit" in terminal.screen().splitlines()[-1]
    terminal.run("resize-window", "-x", "100", "-y", "20")
    host.stop()
    wait_until(lambda: "pid" not in terminal.screen(), 10, "the host's end")
    terminal.run("send-keys", "q")
    wait_until(lambda: terminal.screen().rstrip().endswith("PROMPT"), 10, "the prompt")
    assert "FUNCTION" not in terminal.screen(), "what stood there before is back"
    terminal.run("send-keys", "stty -a | grep -c ' echo '", "Enter")
    wait_until(lambda: "\n1\n" in terminal.screen(), 10, "the terminal as it was")


def test_ctrl_c_ends_it(serve: StartHost, terminal: Terminal) -> None:
    serve("host.config.py", CONFIG)
    terminal.start(f"{sys.executable} -m jshost top; echo code $?")
    wait_until(lambda: "q: quit" in terminal.screen(), 15, "the first look")
    terminal.run("send-keys", "C-c")
    wait_until(lambda: "code 0" in terminal.screen(), 10, "the end")
    assert "Traceback" not in terminal.screen()
