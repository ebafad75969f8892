"""What a host logs, as text and as JSON, with the request ids in it."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from support.hosts import RunningHost, StartHost, wait_until

PYTHON = """
include = ["host.config.js"]
expose_errors = False

def say(text):
    print(text)

def fails():
    raise ValueError("no")

functions = {"say": say, "fails": fails}
"""
JAVASCRIPT = """
exports.functions = {
  log({text}) { console.log(text); this.host.logger.warn(text + '!'); },
};
"""


def call(host: RunningHost, name: str, request_id: str, body: bytes = b"{}") -> None:
    connection = http.client.HTTPConnection("127.0.0.1", host.status["config"]["port"], timeout=10)
    headers = {"X-Request-ID": request_id, "Content-Type": "application/json"}
    connection.request("POST", f"/function/{name}", body, headers)
    connection.getresponse().read()
    connection.close()


@pytest.fixture
def config(tmp_path: Any) -> str:
    (tmp_path / "host.config.js").write_text(JAVASCRIPT)
    return PYTHON


def test_json(serve: StartHost, config: str) -> None:
    host = serve("host.config.py", config, "--log-format", "json", "--access-log")
    call(host, "say", "one", b'{"text": "tea \\u2603"}')
    call(host, "log", "two", b'{"text": "milk"}')
    call(host, "fails", "three")
    host.wait_for_log('"requestId": "three"')
    wait_until(lambda: host.log_text().count('"jshost.access"') == 3, 5, "the access log")
    wait_until(lambda: host.log_text().count('"jshost.worker"') == 3, 5, "what was printed")
    entries = [json.loads(line) for line in host.log_text().splitlines()]
    for entry in entries:
        assert {"time", "level", "logger", "message"} <= entry.keys()
        assert entry["time"].endswith("Z")
    printed = [entry for entry in entries if entry["logger"] == "jshost.worker"]
    told = {
        (entry["function"], entry["requestId"], entry["text"], entry["level"]) for entry in printed
    }
    assert told == {
        ("say", "one", "tea ☃", "info"),
        ("log", "two", "milk", "info"),
        ("log", "two", "milk!", "warning"),
    }
    access = [entry for entry in entries if entry["logger"] == "jshost.access"]
    assert [(entry["path"], entry["status"], entry["requestId"]) for entry in access] == [
        ("/function/say", 200, "one"),
        ("/function/log", 200, "two"),
        ("/function/fails", 500, "three"),
    ]
    assert all(entry["method"] == "POST" and 0 < entry["ms"] < 5000 for entry in access)
    (failed,) = (entry for entry in entries if entry["level"] == "error")
    assert (failed["function"], failed["requestId"]) == ("fails", "three")
    assert "ValueError" in failed["message"]


def test_text(serve: StartHost, config: str) -> None:
    host = serve("host.config.py", config, "--access-log")
    call(host, "say", "one", b'{"text": "tea"}')
    host.wait_for_log("INFO [worker 1 say one] tea")
    host.wait_for_log("INFO POST /function/say 200 ")
    assert host.log_text().count(" ms one\n") == 1


def test_requests_are_not_logged_by_default(serve: StartHost, config: str) -> None:
    host = serve("host.config.py", config)
    call(host, "say", "one", b'{"text": "tea"}')
    host.wait_for_log("say one] tea")
    assert "/function/" not in host.log_text()
