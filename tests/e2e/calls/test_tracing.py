"""Request ids and trace contexts, from a hook to the function's context and the logs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.hosts import RunningHost

import jshost
from jshost.client import hooks
from jshost.client.hooks import OutgoingCall
from jshost.exceptions import FunctionError, FunctionTimeout
from jshost.function import Function

CONFIG = {
    "host.config.py": """
import logging
import jshost
include = ["host.config.js"]

def context():
    call = jshost.current_call()
    return [call.request_id, call.traceparent]

async def acontext():
    return context()

def stream():
    yield context()

def say(text):
    logging.getLogger("shop").warning(text)

def fail():
    raise ValueError("no")

functions = {f.__name__: f for f in (context, acontext, stream, say, fail)}
""",
    "host.config.js": """
exports.functions = {
  context_js() { return [this.requestId, this.traceparent ?? null]; },
  *stream_js(data, cb, ctx) { yield [ctx.requestId, ctx.traceparent ?? null]; },
  say_js({text}) { console.log(text); },
  sleep_js(data, cb) { this.signal.addEventListener('abort', () => cb(this.signal.reason)); },
};
""",
}
FLAGS = ("--verbose",)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
contexts = pytest.mark.parametrize("name", ["context", "acontext", "context_js"])


@pytest.fixture(autouse=True)
def no_hooks_left() -> Iterator[None]:
    yield
    hooks.before.clear()
    hooks.after.clear()


def send_along(**headers: str) -> None:
    @jshost.before_call
    def trace(call: OutgoingCall) -> None:
        call.headers.update({name.replace("_", "-"): value for name, value in headers.items()})


def every_way(function: Function) -> list[Any]:
    return [function.call(), asyncio.run(function.acall()), function.send_request().json()]


@contexts
def test_headers_of_a_hook_reach_the_function(shared_host: RunningHost, name: str) -> None:
    send_along(X_Request_ID="order-7", traceparent=TRACE)
    assert every_way(shared_host.function(name)) == [["order-7", TRACE]] * 3


@pytest.mark.parametrize("name", ["stream", "stream_js"])
def test_they_reach_a_function_that_streams(shared_host: RunningHost, name: str) -> None:
    send_along(X_Request_ID="order-8", traceparent=TRACE)
    assert list(shared_host.function(name).stream()) == [["order-8", TRACE]]

    async def read() -> list[Any]:
        return [chunk async for chunk in shared_host.function(name).astream()]

    assert asyncio.run(read()) == [["order-8", TRACE]]


@contexts
def test_without_a_hook_the_host_makes_an_id(shared_host: RunningHost, name: str) -> None:
    found = every_way(shared_host.function(name))
    assert [trace for _, trace in found] == [None] * 3
    ids = [request_id for request_id, _ in found]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[\w-]+", request_id) for request_id in ids)


def test_an_id_is_in_the_answer_the_error_and_the_logs(shared_host: RunningHost) -> None:
    send_along(X_Request_ID="order-9")
    assert shared_host.function("context").send_request().headers["x-request-id"] == "order-9"
    with pytest.raises(FunctionError) as caught:
        shared_host.function("fail").call()
    assert caught.value.request_id == "order-9"
    log = shared_host.wait_for_log("order-9")
    assert re.search(r"POST /function/context\?hash=\w+ 200 [\d.]+ ms order-9", log)
    log = shared_host.wait_for_log("/function/fail")
    assert re.search(r"POST /function/fail\?hash=\w+ 500 [\d.]+ ms order-9", log)


@pytest.mark.parametrize("name", ["say", "say_js"])
def test_what_a_function_says_is_logged_with_its_id(shared_host: RunningHost, name: str) -> None:
    send_along(X_Request_ID=f"order-10-{name}")
    shared_host.function(name).call(text=f"a word of {name}")
    log = shared_host.wait_for_log(f"a word of {name}")
    (line,) = [line for line in log.splitlines() if f"a word of {name}" in line]
    assert f"order-10-{name}" in line


@pytest.mark.parametrize("value", ["", "a" * 500, "tab\tin", "größe"])
def test_an_id_that_may_not_stand_in_a_log_is_not_taken(
    shared_host: RunningHost, value: str
) -> None:
    send_along(X_Request_ID=value)
    response = shared_host.function("context").send_request()
    request_id = response.headers["x-request-id"]
    assert response.json()[0] == request_id
    assert request_id
    assert len(request_id) <= 128
    assert request_id.isascii()
    assert request_id.isprintable()


def test_hooks_see_the_call_and_its_end(shared_host: RunningHost) -> None:
    seen: list[tuple[Any, ...]] = []
    jshost.before_call(lambda call: seen.append(("before", call.name, call.arguments)))

    @jshost.after_call
    def after(call: OutgoingCall) -> None:
        status = call.response.status_code if call.response is not None else None
        seen.append(("after", call.name, status, type(call.error), call.spent_s > 0))

    shared_host.function("context").call()
    with pytest.raises(FunctionError):
        asyncio.run(shared_host.function("fail").acall())
    with pytest.raises(FunctionTimeout):
        shared_host.function("sleep_js", timeout=0.1).call()
    list(shared_host.function("stream").stream())
    none = type(None)
    assert seen == [
        ("before", "context", {}),
        ("after", "context", 200, none, True),
        ("before", "fail", {}),
        ("after", "fail", 500, FunctionError, True),
        ("before", "sleep_js", {}),
        ("after", "sleep_js", 504, FunctionTimeout, True),
        ("before", "stream", {}),
        ("after", "stream", None, none, True),
    ]


def test_hooks_are_told_of_calls_that_are_left(shared_host: RunningHost) -> None:
    """Cancelled tasks, and streams whose reader has had enough."""
    told: list[str] = []
    jshost.after_call(lambda call: told.append(call.name))
    with shared_host.function("stream").stream() as stream:
        next(stream)
    assert told == ["stream"]

    async def main() -> None:
        async with asyncio.timeout(0.2):
            await shared_host.function("sleep_js").acall()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert told == ["stream", "sleep_js"]
