"""Who may ask the manager, and what it says to requests that are not made as they must be."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
from support import managing
from support.hosts import wait_until
from support.managing import CONFIG, User, runs

from jshost.function import Function
from jshost.host import host

user, here, new_user = managing.user, managing.here, managing.new_user

PID = Function("pid")
POSTS = [
    "/manager/stop",
    *(f"/host/{name}" for name in ("start", "stop", "restart", "status", "connect", "disconnect")),
]


@pytest.fixture
def running(here: User) -> User:
    """A user whose manager runs, with one host."""
    PID.call()
    return here


def launch(user: User, name: str = "host.config.py", **changes: object) -> dict[str, Any]:
    """The body of a start."""
    return {
        "config": str(user.folder / name),
        "python": sys.executable,
        "folder": str(user.folder),
        "environment": user.environment,
        "node": None,
        "logfile": str(user.logs / f"{name}.log"),
        **changes,
    }


def holder(pid: int = os.getpid()) -> dict[str, Any]:
    return {"pid": pid, "started_at": psutil.Process(pid).create_time()}


# Who may not


FOREIGN: dict[str, dict[str, str]] = {
    "a web page": {"Origin": "https://evil.example"},
    "a web page of this machine": {"Origin": "http://127.0.0.1:8000"},
    "a file": {"Origin": "null"},
    "a rebound name": {"Host": "evil.example:80"},
    "a rebound name without port": {"Host": "evil.example"},
    "a name that begins like ours": {"Host": "127.0.0.1.evil.example:80"},
    "no name": {"Host": ""},
}


def test_web_pages_do_not_reach_it(running: User) -> None:
    pid = PID.call()
    for headers in FOREIGN.values():
        for method, path in [("GET", "/status"), *(("POST", path) for path in POSTS)]:
            code, answer = running.ask(method, path, launch(running), headers)
            assert code == 403, (headers, path, answer)
            assert running.state()["token"] not in str(answer)
    assert running.ask("OPTIONS", "/manager/stop", None, FOREIGN["a web page"])[0] == 403
    assert PID.call() == pid


def test_nobody_gets_in_without_the_token(running: User) -> None:
    pid, token = PID.call(), running.state()["token"]
    wrong = ["Bearer ", "Bearer x", f"Bearer {token[:-1]}", f"Bearer {token}x", token, "Basic x"]
    for path in POSTS:
        code, _ = running.ask("POST", path, launch(running), without="Authorization")
        assert code == 401
    for value in wrong:
        code, answer = running.ask("GET", "/status", None, {"Authorization": value})
        assert code == 401, value
        assert token not in str(answer)
    assert running.ask("GET", f"/status?token={token}", without="Authorization")[0] == 401
    assert PID.call() == pid


def test_it_listens_on_this_machine_only(running: User) -> None:
    manager = psutil.Process(running.state()["pid"])
    listening = [each.laddr for each in manager.net_connections() if each.status == "LISTEN"]
    assert [(address.ip, address.port) for address in listening] == [
        ("127.0.0.1", running.state()["port"])
    ]


def test_the_token_is_in_no_log_and_no_command_line(running: User) -> None:
    token = running.state()["token"]
    commands = [" ".join(process.cmdline()) for process in running.processes()]
    logs = [path.read_text() for path in running.logs.iterdir()]
    assert len(commands) >= 3
    assert not any(token in text for text in commands + logs)


def test_two_users_do_not_meet(new_user: Callable[[str], User]) -> None:
    one, two = new_user("one"), new_user("two")
    shared = str(one.folder / "host.config.py")
    first = one.program()
    second = two.program(env={"JSHOST_CONFIG_FILE": shared})
    assert first.call("pid") != second.call("pid")
    assert one.state()["pid"] != two.state()["pid"]
    foreign = {"Authorization": f"Bearer {one.state()['token']}"}
    assert two.ask("GET", "/status", None, foreign)[0] == 401
    assert one.holders() == {first.pid}
    assert two.holders() == {second.pid}
    assert two.cli("stop", "--all").returncode == 0
    two.wait_until_gone()
    assert first.call("count") == 1


# The endpoints, one by one


def test_start_connect_disconnect_stop(running: User) -> None:
    running.write("second.py", CONFIG)
    body = launch(running, "second.py")
    config = {"config": body["config"]}
    assert running.ask("POST", "/host/status", config) == (200, {"running": False, "host": None})
    code, started = running.ask("POST", "/host/start", body)
    assert code == 200
    assert set(started) >= {"config", "url", "pid", "logfile", "restarted", "uptime"}
    assert runs(started["pid"])
    status = running.ask("POST", "/host/status", config)[1]["host"]
    assert (status["state"], status["holders"]) == ("idle", [])
    assert 0 < status["idle_s_left"] <= 0.5
    connected = running.ask("POST", "/host/connect", {**body, **holder()})[1]
    for name in ("config", "url", "pid", "logfile"):
        assert connected[name] == started[name]
    (held,) = running.ask("POST", "/host/status", config)[1]["host"]["holders"]
    assert held["pid"] == os.getpid()
    assert held["name"] == " ".join(psutil.Process().cmdline())[: len(held["name"])]
    restarted = running.ask("POST", "/host/restart", body)[1]
    assert restarted["pid"] != started["pid"]
    assert restarted["url"] == started["url"]
    assert not runs(started["pid"])
    for _ in range(2):
        code, _ = running.ask("POST", "/host/disconnect", {**config, **holder()})
        assert code == 200
    for _ in range(2):
        assert running.ask("POST", "/host/stop", config)[0] == 200
        assert not runs(restarted["pid"])
    assert running.ask("POST", "/host/status", config)[1]["running"] is False
    assert len(running.hosts()) == 1


def test_stopping_the_manager_answers_when_all_is_stopped(running: User) -> None:
    pid = PID.call()
    assert running.ask("POST", "/manager/stop", {})[0] == 200
    assert not runs(pid)
    running.wait_until_gone()


def test_one_connection_has_many_answers(running: User) -> None:
    """How long they take is looked at in bench/promises.py."""
    state = running.state()
    headers = {"Authorization": f"Bearer {state['token']}", "Content-Type": "application/json"}
    config = json.dumps({"config": str(running.folder / "host.config.py")})
    connection = http.client.HTTPConnection("127.0.0.1", state["port"], timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(50):
        connection.request("POST", "/host/status", config, headers)
        assert json.loads(connection.getresponse().read())["running"]
    assert connection.sock is first
    connection.close()


def test_methods_and_paths_that_there_are_not(running: User) -> None:
    assert running.ask("GET", "/nothing")[0] == 404
    assert running.ask("POST", "/status", {})[0] == 405
    for path in POSTS:
        assert running.ask("GET", path)[0] == 405


NO_OBJECTS = [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"config":']


def test_bodies_that_are_no_objects(running: User) -> None:
    for path in POSTS[1:]:
        for body in NO_OBJECTS:
            code, answer = running.ask("POST", path, body)
            assert (code, answer["code"]) == (400, "bad_request"), (path, body, answer)
            assert "JSON object" in answer["message"]
    assert len(running.hosts()) == 1


def test_bodies_without_a_usable_config(running: User) -> None:
    for config in [None, 1, "", "host.config.py", ["/x"], "./x.py"]:
        for path in POSTS[1:]:
            code, answer = running.ask("POST", path, {**launch(running), "config": config})
            assert code == 400, (path, config)
            assert '"config"' in answer["message"] or '"pid"' in answer["message"]


WRONG_STARTS: list[dict[str, object]] = [
    {"python": None},
    {"python": 3},
    {"folder": None},
    {"logfile": 1},
    {"environment": None},
    {"environment": ["A=1"]},
    {"environment": {"A": 1}},
    {"environment": {"A": None}},
    {"environment": {"A=B": "c"}},
    {"environment": {"A": "zero \0"}},
    {"environment": {"": "no name"}},
    {"environment": {"A": "half a character \ud800"}},
    {"folder": "/zero\0"},
    {"python": "/zero\0"},
    {"logfile": "/zero\0"},
    {"config": "/zero\0"},
    {"config": "/half a character \ud800"},
    {"node": "/zero\0"},
    {"node": 20},
]


def test_a_start_that_cannot_be_is_refused_at_once(running: User) -> None:
    running.write("second.py", CONFIG)
    for change in WRONG_STARTS:
        for path in ("/host/start", "/host/restart"):
            code, answer = running.ask("POST", path, launch(running, "second.py", **change))
            assert (code, answer["code"]) == (400, "bad_request"), (change, answer)
            assert f'"{next(iter(change))}"' in answer["message"]
    assert len(running.hosts()) == 1


def test_a_start_that_names_what_is_not_there(running: User) -> None:
    for name, value in [
        ("python", "/nowhere/python"),
        ("folder", "/nowhere"),
        ("config", "/nowhere.py"),
    ]:
        body = launch(running, "second.py", **{name: value})
        code, answer = running.ask("POST", "/host/start", body)
        assert code == 422
        assert value in answer["message"]
    assert len(running.hosts()) == 1


WRONG_HOLDERS: list[dict[str, object]] = [
    {},
    {"pid": "1", "started_at": 1},
    {"pid": 0, "started_at": 1},
    {"pid": -1, "started_at": 1},
    {"pid": os.getpid()},
    {"pid": os.getpid(), "started_at": "now"},
    {"pid": os.getpid(), "started_at": None},
    {"pid": os.getpid(), "started_at": 10**400},
    {"pid": os.getpid(), "started_at": float("nan")},
]


def test_holders_that_are_none_are_refused(running: User) -> None:
    for wrong in WRONG_HOLDERS:
        for path in ("/host/connect", "/host/disconnect"):
            code, answer = running.ask("POST", path, {**launch(running), **wrong})
            assert code == 400, wrong
            assert '"pid"' in answer["message"]
    assert running.holders() == {os.getpid()}


def test_holders_that_have_never_lived_hold_nothing_for_long(running: User) -> None:
    body = {**launch(running), "started_at": 1.0}
    for pid in (os.getpid(), 4_000_000, 10**12, 10**30):
        assert running.ask("POST", "/host/connect", {**body, "pid": pid})[0] == 200
    mine = holder()
    wait_until(
        lambda: (
            [(each["pid"], each["started_at"]) for each in running.hosts()[0]["holders"]]
            == [(os.getpid(), mine["started_at"])]
        ),
        5,
        "end of the others",
    )


def test_a_body_that_is_too_large_is_refused(running: User) -> None:
    for size in (b"99999999", b"9" * 30):
        head = (
            b"POST /host/start HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: %s\r\n"
            b"Authorization: Bearer %s\r\n\r\n" % (size, running.state()["token"].encode())
        )
        with socket.create_connection(("127.0.0.1", running.state()["port"]), 5) as connection:
            connection.sendall(head)
            assert b" 400 " in connection.recv(65536).partition(b"\r\n")[0]
    assert host.manager.is_running()


def test_a_body_without_a_length_is_bounded_too(running: User) -> None:
    head = (
        b"POST /host/start HTTP/1.1\r\nHost: 127.0.0.1:1\r\nTransfer-Encoding: chunked\r\n"
        b"Authorization: Bearer %s\r\n\r\n" % running.state()["token"].encode()
    )
    chunk = b"10000\r\n%s\r\n" % (b" " * 0x10000)
    with socket.create_connection(("127.0.0.1", running.state()["port"]), 5) as connection:
        connection.sendall(head)
        sent = 0
        with contextlib.suppress(ConnectionError):  # it may close before it has read all that
            while sent < 64 and not select.select([connection], [], [], 0)[0]:
                connection.sendall(chunk)
                sent += 1
        if sent == 64:  # 4 MiB: the limit
            connection.sendall(chunk)
        with connection.makefile("rb") as reading:
            assert b" 400 " in reading.readline()
            while reading.readline() != b"\r\n":
                pass
            assert b"too large" in reading.read(60)
    assert PID.call()


def test_a_stop_while_it_starts(running: User) -> None:
    """Whoever waits for the start is refused, and nothing of the process stays."""
    running.write("second.py", f"import time\ntime.sleep(30)\n{CONFIG}")
    body = launch(running, "second.py")
    with ThreadPoolExecutor(2) as threads:
        starting = threads.submit(running.ask, "POST", "/host/start", body)
        stopping = threads.submit(running.ask, "POST", "/host/stop", {"config": body["config"]})
        first = stopping.result(10)
        end = time.monotonic() + 10
        while not starting.done() and time.monotonic() < end:  # the stop may have come before it
            running.ask("POST", "/host/stop", {"config": body["config"]})
        code, answer = starting.result(10)
    assert first == (200, {"stopped": True})
    assert code == 502
    assert "stopped by hand" in answer["message"]
    assert len(running.hosts()) == 1
    wait_until(lambda: len(running.running("jshost.server")) == 1, 5, "end of the second host")
