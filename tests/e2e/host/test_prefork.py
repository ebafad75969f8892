"""Programs that fork: every process holds the host itself, and has connections of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import sys
from pathlib import Path

import gunicorn  # noqa: F401  the tests run it
import pytest
from support import managing
from support.hosts import wait_until
from support.managing import Program, User, runs

user = managing.user

FORKED = (
    managing.LINES.partition("for line")[0]
    + """
print(json.dumps(answer("count", {})), flush=True)
child = os.fork()
who = "child" if not child else "parent"
for line in open(who, "rb", buffering=0):
    print(json.dumps([who, os.getpid(), answer(*json.loads(line))]), flush=True)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
)


class Side:
    """One side of a forked program, which reads its calls from a pipe with a name."""

    def __init__(self, program: Program, pipe: Path) -> None:
        self._program, self._name = program, pipe.name
        self._pipe = pipe.open("wb", buffering=0)

    def call(self, name: str) -> tuple[int, object]:
        """The id of the process that called, and what it got."""
        self._pipe.write(json.dumps([name, {}]).encode() + b"\n")
        who, pid, answer = self._program.read_line()
        assert who == self._name
        return int(pid), answer["result"]

    def leave(self) -> None:
        self._pipe.close()


def test_a_fork_after_the_first_call(user: User) -> None:
    for name in ("parent", "child"):
        os.mkfifo(user.folder / name)
    program = user.program(FORKED)
    assert program.read() == {"result": 1}
    parent = Side(program, user.folder / "parent")
    child = Side(program, user.folder / "child")
    assert user.holders() == {program.pid}
    child_pid, counted = child.call("count")
    assert counted == 2
    assert parent.call("count") == (program.pid, 3)
    assert child.call("count") == (child_pid, 4)
    assert user.holders() == {program.pid, child_pid}
    child.leave()
    wait_until(lambda: user.holders() == {program.pid}, 5, "end of the child's hold")
    assert parent.call("count") == (program.pid, 5)
    parent.leave()
    program.leave()
    user.wait_until_gone()


def test_a_child_goes_on_when_the_parent_has_left(user: User) -> None:
    """The parent's leaving must not take the host from its daemon."""
    code = (
        managing.LINES.partition("for line")[0]
        + """
pid = answer("pid", {})["result"]
reading, writing = os.pipe()
if os.fork():
    os.close(writing)
    os.read(reading, 1)
    print(os.getpid(), flush=True)
else:
    os.setsid()
    answer("pid", {})
    os.write(writing, b"x")
    while not os.path.exists("gate"):
        pass
    open("answer", "w").write(str(answer("pid", {})["result"] == pid))
    os._exit(0)
"""
    )
    user.write("host.config.py", managing.CONFIG.replace("0.5", "0.2"))
    program = user.program(code)
    assert program.process.stdout is not None
    assert int(program.process.stdout.readline()) == program.pid
    program.process.wait(10)
    wait_until(lambda: program.pid not in user.holders(), 5, "end of the parent's hold")
    (state,) = user.hosts()
    assert state["state"] == "running"
    (user.folder / "gate").touch()
    wait_until((user.folder / "answer").exists, 5, "the child's answer")
    wait_until(lambda: (user.folder / "answer").read_text() == "True", 5, "the same host")
    user.wait_until_gone()


def test_multiprocessing(user: User) -> None:
    code = (
        managing.LINES.partition("for line")[0]
        + """
import multiprocessing
def count(_):
    return os.getpid(), Function("count").call()
Function("count").call()
with multiprocessing.get_context("fork").Pool(4) as pool:
    said = pool.map(count, range(40), 1)
print(json.dumps([sorted(n for _, n in said), len({pid for pid, _ in said})]), flush=True)
"""
    )
    program = user.program(code)
    numbers, processes = program.read_line()
    assert numbers == list(range(2, 42))
    assert processes > 1
    program.leave()
    user.wait_until_gone()


APP = """
import json, os
from jshost.conf import settings
from jshost.function import Function

settings.configure(USE_MANAGER=True)
pid = Function("pid")
if os.environ.get("CALL_EARLY"):
    pid.call()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([os.getpid(), pid.call()]).encode()]
"""


@pytest.mark.parametrize(
    ("preload", "early"),
    [(False, False), (True, False), (True, True)],
    ids=["each-loads", "preload", "preload-call-at-import"],
)
def test_gunicorn_workers_share_one_host(user: User, preload: bool, early: bool) -> None:
    user.write("app.py", APP)
    command = [sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:0", "-w", "2", "app:app"]
    flags = ["--preload"] if preload else []
    server = user.start(*command, *flags, env={"CALL_EARLY": "1" if early else ""})
    listening = r"Listening at: http://127\.0\.0\.1:(\d+)"
    wait_until(lambda: re.search(listening, server.said), 20, "gunicorn")
    found = re.search(listening, server.said)
    assert found is not None
    port = int(found[1])
    workers: set[int] = set()
    hosts: set[int] = set()

    def both_have_answered() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", "/")
            worker, host = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        workers.add(worker)
        hosts.add(host)
        return len(workers) == 2

    wait_until(both_have_answered, 20, "answer from each worker")
    assert len(hosts) == 1
    assert workers <= user.holders()
    assert user.holders() - workers == ({server.pid} if preload and early else set())
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in user.holders(), 5, "end of a killed worker's hold")
    assert runs(min(hosts))
    server.process.terminate()
    assert server.process.wait(20) == 0
    user.wait_until_gone()
