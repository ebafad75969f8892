"""Many calls in one request: in order, at the same time, each with its own answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.hosts import RunningHost, StartHost

import jshost
from jshost.client import hooks
from jshost.client.hooks import OutgoingCall
from jshost.client.host import BatchRequest
from jshost.client.http.http_request import HttpRequest
from jshost.exceptions import (
    ArgumentsError,
    ConnectionError,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    ProcessError,
)
from jshost.function import Function
from jshost.host import JSHost
from jshost.protocol.multipart import Part, Run, decode_parts, encode_parts

CONFIG = {
    "host.config.py": """
import asyncio, os
include = ["host.config.js"]

async def meet(key, count):
    '''Returns once `count` calls are here at the same time.'''
    met.setdefault(key, []).append(1)
    while len(met[key]) < count:
        await asyncio.sleep(0.002)
    return len(met[key])

async def sleep(seconds):
    await asyncio.sleep(seconds)

def fail(text):
    raise ValueError(text)

met = {}
functions = {
    "double": lambda number: number * 2, "meet": meet, "sleep": sleep, "fail": fail,
    "die": lambda: os._exit(3), "echo": lambda value: value,
}
""",
    "host.config.js": """
exports.functions = {
  double_js: ({number}) => {
    if (number === undefined) throw new Error('No number was provided');
    return number * 2;
  },
  echo_js: ({value}) => value,
  *count({to}) { for (let i = 0; i < to; i++) yield i; },
};
""",
}
doubles = pytest.mark.parametrize("name", ["double", "double_js"])


def maps(function: Function, calls: Any) -> tuple[list[Any], list[Any]]:
    """By both drivers."""
    calls = list(calls)
    return function.map(calls), asyncio.run(function.amap(calls))


@doubles
@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_results_come_in_order(shared_host: RunningHost, name: str, count: int) -> None:
    for found in maps(shared_host.function(name), ({"number": n} for n in range(count))):
        assert found == [n * 2 for n in range(count)]


@doubles
def test_one_failure_does_not_take_the_others_along(shared_host: RunningHost, name: str) -> None:
    calls: list[Any] = [{"number": 1}, {}, {"number": 3}, {"number": 4}]
    for found in maps(shared_host.function(name), calls):
        assert [found[0], *found[2:]] == [2, 6, 8]
        assert isinstance(found[1], FunctionError | ArgumentsError)
        assert found[1].name == name
        assert "number" in str(found[1])
        assert found[1].request_id


def test_functions_of_both_languages_and_their_failures(shared_host: RunningHost) -> None:
    double, js, fail, gone, count, sleep = (
        shared_host.function(name)
        for name in ("double", "double_js", "fail", "gone", "count", "sleep")
    )
    calls: list[Any] = [
        (double, {"number": 1}),
        (fail, {"text": "no"}),
        (js, {"number": 2}),
        (gone, {}),
        (count, {"to": 3}),
        (sleep.with_timeout(0.1), {"seconds": 30}),
        (double, {"number": 4}),
    ]
    for found in (jshost.batch(calls), asyncio.run(jshost.abatch(calls))):
        assert [found[n] for n in (0, 2, 4, 6)] == [2, 4, [0, 1, 2], 8]
        assert [type(found[n]) for n in (1, 3, 5)] == [
            FunctionError,
            FunctionNotFound,
            FunctionTimeout,
        ]
        assert str(found[1]).startswith("fail: ValueError: no\nTraceback")
        assert [found[n].name for n in (1, 3, 5)] == ["fail", "gone", "sleep"]


def test_a_call_that_no_frame_can_carry_fails_alone(shared_host: RunningHost) -> None:
    good = Run("double", "application/json", [b'{"number": 1}'])
    bad = good._replace(content_type="multipart/form-data; boundary=" + "x" * 70_000)
    response = shared_host.host.batch(BatchRequest([good, bad, good], 10)).response()
    parts = decode_parts(response.content_type, response.content)
    assert [part.name for part in parts] == ["result", "error", "result"]
    assert json.loads(parts[1].data)["code"] == "body_too_large"


@pytest.mark.parametrize("name", ["echo", "echo_js"])
def test_values_of_every_kind(shared_host: RunningHost, name: str) -> None:
    values = [
        None,
        0,
        "text",
        "",
        [1, {"a": None}],
        b"\x00\xff",
        b"",
        {"b": [b"\r\n--", b"2"]},
        "ü",
    ]
    for found in maps(shared_host.function(name), ({"value": value} for value in values)):
        assert found == values
        assert [type(value) for value in found] == [type(value) for value in values]


def test_the_calls_run_at_the_same_time(shared_host: RunningHost) -> None:
    for number, count in enumerate((2, 100)):
        calls = [{"key": number, "count": count}] * count
        assert shared_host.function("meet").map(calls) == [count] * count


def test_what_cannot_be_carried_is_said_before_anything_is_sent(shared_host: RunningHost) -> None:
    meet = shared_host.function("meet")
    with pytest.raises(TypeError, match="argument count: a set has no JSON form"):
        meet.map([{"key": "unsent", "count": 1}, {"key": "unsent", "count": {1}}])
    assert meet.call(key="unsent", count=1) == 1


def test_a_worker_that_dies_fails_its_calls_only(serve: StartHost) -> None:
    host = serve(
        "host.config.py", CONFIG["host.config.py"].replace('include = ["host.config.js"]', "")
    )
    calls = [(host.function("sleep"), {"seconds": 0}), (host.function("die"), {})]
    found = jshost.batch(calls)
    assert isinstance(found[1], ProcessError)
    assert host.function("double").map([{"number": 1}]) == [2]


def test_several_hosts(shared_host: RunningHost, serve: StartHost) -> None:
    """One that is down among them."""
    other = serve("host.config.py", "functions = {'double': lambda number: number * -2}")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    down = Function("double", JSHost(root_url=f"http://127.0.0.1:{port}"))
    here, there = shared_host.function("double"), other.function("double")
    calls = [(f, {"number": n}) for n in range(4) for f in (here, there, down)]
    for found in (jshost.batch(calls), asyncio.run(jshost.abatch(calls))):
        assert found[0::3] == [0, 2, 4, 6]
        assert found[1::3] == [0, -2, -4, -6]
        assert all(isinstance(error, ConnectionError) for error in found[2::3])


MEET = """
import time
from pathlib import Path
def meet(mine, other):
    Path(mine).touch()
    while not Path(other).exists():
        time.sleep(0.005)
    return True
functions = {"meet": meet}
"""


def test_hosts_are_asked_at_the_same_time(serve: StartHost, tmp_path: Path) -> None:
    """Each of two hosts answers when the other one has been called."""
    hosts = [serve("a.config.py", MEET), serve("b.config.py", MEET)]
    files = [str(tmp_path / name) for name in "ab"]
    calls = [
        (host.function("meet"), {"mine": mine, "other": other})
        for host, mine, other in zip(hosts, files, reversed(files), strict=True)
    ]
    assert asyncio.run(jshost.abatch(calls)) == [True, True]


@pytest.mark.parametrize("config", ["py", "js"])
def test_more_calls_than_the_queue_takes(serve: StartHost, config: str) -> None:
    """A batch waits for its own calls; they are no reason to refuse it."""
    if config == "py":
        text = "functions = {'double': lambda number: number * 2}"
    else:
        text = "exports.functions = {double: ({number}) => number * 2};"
    flags = ("--concurrency", "2", "--max-queue", "3")
    host = serve(f"host.config.{config}", text, *flags)
    found = host.function("double").map({"number": n} for n in range(300))
    assert [each for each in found if isinstance(each, Exception)] == []
    assert found == [n * 2 for n in range(300)]


def test_a_deadline_for_each_call(shared_host: RunningHost) -> None:
    found = shared_host.function("sleep", timeout=0.3).map(
        [{"seconds": 0}, {"seconds": 10**6}, {"seconds": 0.01}]
    )
    assert (found[0], found[2]) == (None, None)
    assert isinstance(found[1], FunctionTimeout)


def test_batches_larger_than_a_request(shared_host: RunningHost) -> None:
    values = [f"{n}" * 1_000_000 for n in range(9)]
    assert shared_host.function("echo_js").map({"value": v} for v in values) == values


@pytest.fixture
def no_hooks() -> Iterator[None]:
    yield
    hooks.before.clear()
    hooks.after.clear()


def test_hooks_are_told_what_came(shared_host: RunningHost, no_hooks: None) -> None:
    told: list[OutgoingCall] = []
    jshost.after_call(told.append)
    assert shared_host.function("double").map([{"number": 1}, {"number": 2}]) == [2, 4]
    (call,) = told
    assert (call.name, call.error, call.response.status_code) == ("double", None, 200)
    parts = decode_parts(call.response.content_type, call.response.content)
    assert [(part.name, part.data) for part in parts] == [("result", b"2"), ("result", b"4")]


# The wire


def ask(host: RunningHost, content_type: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
    headers = {"Content-Type": content_type, "Accept": "multipart/form-data, application/json"}
    response = host.host.request(HttpRequest("POST", "/batch", headers, body, 10))
    return response.status_code, dict(response.headers), response.content


def test_the_wire(shared_host: RunningHost) -> None:
    parts = [
        Part("double_js", "application/json", b'{"number": 1}'),
        Part("fail", "application/json", b'{"text": "no"}'),
        Part("echo", "text/plain", b'{"value": "as curl -F sends it"}'),
        Part("gone", "application/json", b"{}"),
        Part("double", "application/json", b"nonsense"),
    ]
    status, headers, body = ask(shared_host, *encode_parts(parts))
    answers = decode_parts(headers["content-type"], body)
    assert status == 200
    assert [answer.name for answer in answers] == ["result", "error", "result", "error", "error"]
    assert (answers[0].content_type, answers[0].data) == ("application/json", b"2")
    assert answers[2].data == b"as curl -F sends it"
    codes = [json.loads(answers[n].data)["code"] for n in (1, 3, 4)]
    assert codes == ["function_failed", "unknown_function", "malformed_json"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"[]"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b""),
    ],
)
def test_what_is_no_batch_is_refused(
    shared_host: RunningHost, content_type: str, body: bytes
) -> None:
    status, _, answer = ask(shared_host, content_type, body)
    assert (status, json.loads(answer)["code"]) == (400, "bad_request")
    assert "A batch is multipart/form-data" in json.loads(answer)["message"]
