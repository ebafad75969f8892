"""The manager's endpoints, on a supervisor that starts nothing."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from jshost_manager.app import BODY_LIMIT_BYTES, make_app
from jshost_manager.host_process import HostLaunch
from jshost_manager.managed_host import Holder
from jshost_manager.supervisor import Leaving, Supervisor

from jshost.exceptions import ConfigError, JSHostError, ProcessError

CONFIG = "/app/host.config.py"
CLIENT = {"pid": 101, "started_at": 1.5}
START = {
    "config": CONFIG,
    "python": "/usr/bin/python3",
    "folder": "/app",
    "logfile": "/app/host.log",
    "node": None,
    "environment": {"PATH": "/bin"},
}


class FakeSupervisor:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: JSHostError | None = None

    async def connect(self, launch: HostLaunch, holder: Holder | None) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.asked.append(("connect", launch.config, holder))
        return {"url": "http://127.0.0.1:1"}

    async def restart(self, launch: HostLaunch) -> dict[str, Any]:
        self.asked.append(("restart", launch.config))
        return {}

    async def stop(self, config: str) -> None:
        self.asked.append(("stop", config))

    async def stop_all(self) -> None:
        self.asked.append(("stop_all",))

    def disconnect(self, config: str, holder: Holder) -> None:
        self.asked.append(("disconnect", config, holder))

    def describe(self) -> list[dict[str, Any]]:
        return [{"config": CONFIG, "pid": 1}]


def ask(
    supervisor: FakeSupervisor,
    path: str,
    body: Any = None,
    method: str = "POST",
    **headers: str,
) -> tuple[int, Any]:
    """The status of the answer and what its JSON says."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"host": "127.0.0.1:1", "authorization": "Bearer secret", **headers}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    app = make_app(cast(Supervisor, supervisor), "secret", "1.2.3")
    asyncio.run(cast(Any, app(scope, receive, send)))
    return sent[0]["status"], json.loads(b"".join(each.get("body", b"") for each in sent))


def test_each_path_asks_the_supervisor() -> None:
    supervisor = FakeSupervisor()
    assert ask(supervisor, "/host/connect", {**START, **CLIENT}) == (
        200,
        {"url": "http://127.0.0.1:1"},
    )
    ask(supervisor, "/host/start", START)
    ask(supervisor, "/host/restart", START)
    ask(supervisor, "/host/disconnect", {"config": CONFIG, **CLIENT})
    ask(supervisor, "/host/stop", {"config": CONFIG})
    ask(supervisor, "/manager/stop")
    ann = Holder(101, 1.5)
    assert supervisor.asked == [
        ("connect", CONFIG, ann),
        ("connect", CONFIG, None),
        ("restart", CONFIG),
        ("disconnect", CONFIG, ann),
        ("stop", CONFIG),
        ("stop_all",),
    ]


def test_what_runs() -> None:
    supervisor = FakeSupervisor()
    status, answer = ask(supervisor, "/status", method="GET")
    assert (status, answer["type"], answer["version"]) == (200, "Manager", "1.2.3")
    _, answer = ask(supervisor, "/host/status", {"config": CONFIG})
    assert answer == {"running": True, "host": {"config": CONFIG, "pid": 1}}
    _, answer = ask(supervisor, "/host/status", {"config": "/other.py"})
    assert answer == {"running": False, "host": None}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer other"}, 401),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"host": "evil.example:1"}, 403),
        ({"host": "localhost:1"}, 200),
    ],
)
def test_who_may_ask(headers: dict[str, str], status: int) -> None:
    supervisor = FakeSupervisor()
    assert ask(supervisor, "/manager/stop", **headers)[0] == status
    assert bool(supervisor.asked) == (status == 200)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("no"), 422, "config"),
        (Leaving("no"), 503, "leaving"),
        (ProcessError("no"), 502, "process"),
    ],
)
def test_each_error_has_its_status(error: JSHostError, status: int, code: str) -> None:
    supervisor = FakeSupervisor()
    supervisor.error = error
    assert ask(supervisor, "/host/start", START) == (status, {"code": code, "message": "no"})


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        [],
        {**START, "config": "host.config.py"},
        {**START, "python": None},
        {**START, "node": 1},
        {**START, "logfile": "a\0b"},
        {**START, "environment": {"A=B": ""}},
        {**START, "environment": {"A": 1}},
        {**START, **CLIENT, "pid": 0},
        {**START, **CLIENT, "started_at": 1e300},
    ],
)
def test_a_body_that_is_wrong_is_refused(body: Any) -> None:
    supervisor = FakeSupervisor()
    path = "/host/connect" if isinstance(body, dict) and "pid" in body else "/host/start"
    status, answer = ask(supervisor, path, body)
    assert (status, answer["code"]) == (400, "bad_request")
    assert supervisor.asked == []


def test_a_body_that_is_too_large_is_refused() -> None:
    status, answer = ask(FakeSupervisor(), "/host/start", b" " * (BODY_LIMIT_BYTES + 1))
    assert (status, answer["code"]) == (400, "bad_request")
    assert "too large" in answer["message"]
