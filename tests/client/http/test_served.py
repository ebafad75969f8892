"""A served host: calls become HTTP requests, and responses become answers."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_host import FakeHttpHost, StreamingHttp, failing_http_host

import jshost
from jshost.client import hooks
from jshost.client.batch import REQUEST_BYTES
from jshost.client.http.http_request import HttpRequest
from jshost.client.response import Response
from jshost.conf import settings
from jshost.exceptions import (
    CODES,
    ConnectionError,
    ProcessError,
    RequestError,
    UnexpectedResponse,
)
from jshost.function import Function
from jshost.protocol.multipart import Part, decode_parts, encode_parts
from jshost.protocol.values import body_hash


@pytest.fixture(autouse=True)
def no_hooks() -> Iterator[None]:
    yield
    hooks.before.clear()
    hooks.after.clear()


# Calls


def test_a_call_is_a_post_with_the_hash_of_its_body() -> None:
    host = FakeHttpHost()
    Function("hello", host).call(foo="bar")
    (request,) = host.requests
    assert request["method"] == "POST"
    assert request["body"] == b'{"foo": "bar"}'
    assert request["target"] == "/function/hello?hash=bc4919c6adf7168088eaea06e27a5b23f0f9f9da"
    assert request["headers"]["Content-Type"] == "application/json"
    assert "application/json" in request["headers"]["Accept"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b", "/function/a%2Fb"),
        ("a b?c#d", "/function/a%20b%3Fc%23d"),
        ("größe", "/function/gr%C3%B6%C3%9Fe"),
        ("100%", "/function/100%25"),
    ],
)
def test_any_name_can_be_called(name: str, path: str) -> None:
    host = FakeHttpHost()
    Function(name, host).call()
    assert host.requests[0]["target"].partition("?")[0] == path


def sent_timeout(function: Function) -> tuple[str | None, float | None]:
    """What a call tells the host, and how long it would wait itself."""
    host = function.host = FakeHttpHost()
    function.call()
    (request,) = host.requests
    return request["headers"].get("JSHost-Timeout"), request["timeout_s"]


def test_without_a_timeout_the_setting_counts_as_it_is_at_the_call() -> None:
    function = Function("f")
    assert sent_timeout(function)[0] == "10.0"
    settings.configure(FUNCTION_TIMEOUT=3)
    assert sent_timeout(function)[0] == "3.0"
    settings.configure(FUNCTION_TIMEOUT=None)
    assert sent_timeout(function) == (None, None)


def test_a_limit_of_another_kind_of_float_is_sent_as_a_number() -> None:
    """numpy's floats have a repr of their own."""

    class Float64(float):
        def __repr__(self) -> str:
            return f"np.float64({float(self)})"

    assert sent_timeout(Function("f", timeout=Float64(2)))[0] == "2.0"
    assert sent_timeout(Function("f", timeout=4))[0] == "4.0"


def test_with_timeout_is_the_same_function_with_another_limit() -> None:
    function = Function("f", FakeHttpHost(b"1"), timeout=5, fallback=7)
    other = function.with_timeout(0.5)
    assert (other.name, other.host, other.fallback) == ("f", function.host, 7)
    assert (sent_timeout(other)[0], sent_timeout(function)[0]) == ("0.5", "5.0")
    assert sent_timeout(function.with_timeout(None)) == (None, None)
    with pytest.raises(ValueError, match=r"f\.with_timeout\(\): timeout must be a number above 0"):
        function.with_timeout(0)


def test_none_is_no_limit_whatever_the_setting_says() -> None:
    assert sent_timeout(Function("f", timeout=None)) == (None, None)


def test_a_timeout_of_ones_own_wins() -> None:
    header, timeout_s = sent_timeout(Function("f", timeout=0.5))
    assert header == "0.5"
    assert timeout_s is not None
    assert 0.5 < timeout_s <= 1.0, "the host's 504 has time to arrive"


@pytest.mark.parametrize(
    "carry", [lambda f: pickle.loads(pickle.dumps(f)), copy.copy, copy.deepcopy]
)
def test_a_copy_is_the_same_function(carry: Any) -> None:
    """Task queues pickle what they are given."""
    default, limited = carry(Function("f")), carry(Function("f", timeout=None))
    assert default.get_timeout() == 10.0
    assert limited.get_timeout() is None
    assert sent_timeout(default)[0] == "10.0"


@pytest.mark.parametrize("status", [200, 500, 404])
def test_send_request_gives_the_response_whatever_its_status(status: int) -> None:
    response = Function("f", FakeHttpHost(b'{"a": 1}', status)).send_request(x=1)
    assert response.status_code == status
    assert response.text == '{"a": 1}'
    assert response.json() == {"a": 1}
    assert response.headers["content-type"] == "application/json"


STRANGERS = {
    "a web page": FakeHttpHost(b"<h1>It works!</h1>", 200, "text/html"),
    "an error of another API": FakeHttpHost(b'{"error": "no"}', 500),
    "an error that is a list": FakeHttpHost(b'["code"]', 500),
    "half a JSON text": FakeHttpHost(b'{"a": ', 200),
    "JSON that is not UTF-8": FakeHttpHost(b'"\xff"', 200),
    "text that is not UTF-8": FakeHttpHost(b"\xff", 200, "text/plain"),
    "no content type": FakeHttpHost(b"1", 200, ""),
    "no content": FakeHttpHost(b"", 204, ""),
    "a redirection": FakeHttpHost(b"", 302, ""),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_no_jshost_host_answers_is_unexpected(name: str) -> None:
    with pytest.raises(UnexpectedResponse, match=r"^f: "):
        Function("f", STRANGERS[name]).call()


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_a_host_is_no_host(status: int) -> None:
    proxy = FakeHttpHost(b"<h1>Bad Gateway</h1>", status, "text/html")
    with pytest.raises(ConnectionError, match=rf"^f: status {status}, .* proxy .*Bad Gateway"):
        Function("f", proxy).call()
    assert Function("f", proxy, fallback="so be it").call() == "so be it"


def test_a_report_names_the_request(caplog: pytest.LogCaptureFixture) -> None:
    host = FakeHttpHost()
    host.answer = Response(200, {"content-type": "application/json", "x-request-id": "7-1"}, b"1")
    settings.configure(VERBOSITY="FUNCTION_CALL")
    with caplog.at_level(logging.INFO):
        Function("f", host).call()
    assert caplog.messages[0].endswith(" ms 7-1")


@pytest.mark.parametrize("code", CODES)
def test_an_envelope_is_raised_as_its_class(code: str) -> None:
    with pytest.raises(CODES[code][1]) as caught:
        Function("f", failing_http_host(code)).call()
    assert (type(caught.value), caught.value.code) == (CODES[code][1], code)


def test_an_error_names_the_log_of_a_managed_host() -> None:
    host = failing_http_host("worker_died")
    host._managed.held = {"logfile": "/logs/host.log"}
    with pytest.raises(ProcessError, match=r"\nThe host's log: /logs/host\.log"):
        Function("f", host).call()


# Hooks


def test_headers_are_sent_along() -> None:
    jshost.before_call(lambda call: call.headers.update({"traceparent": "00-1"}))
    jshost.before_call(lambda call: call.headers.update({"X-Request-ID": call.name}))
    host = FakeHttpHost()
    Function("f", host).call()
    asyncio.run(Function("g", host).acall())
    Function("h", host).send_request()
    sent = [request["headers"] for request in host.requests]
    assert [headers["traceparent"] for headers in sent] == ["00-1"] * 3
    assert [headers["X-Request-ID"] for headers in sent] == ["f", "g", "h"]
    assert all(headers["Content-Type"] == "application/json" for headers in sent)
    streaming = StreamingHttp(b"event: result\ndata: null\n\n")
    list(Function("s", streaming).stream())
    assert streaming.requests[0]["headers"]["X-Request-ID"] == "s"


# Batches


class Doubling(FakeHttpHost):
    """A host that doubles `n`, and fails without one."""

    def send(self, request: HttpRequest, is_open: bool = False) -> Response:
        super().send(request)
        answers = []
        for part in decode_parts(request.headers["Content-Type"], request.body):
            arguments = json.loads(part.data)
            if "n" in arguments:
                data = json.dumps(arguments["n"] * 2).encode()
                answers.append(Part("result", "application/json", data))
            else:
                envelope = {"code": "function_failed", "message": "no n", "function": part.name}
                answers.append(Part("error", "application/json", json.dumps(envelope).encode()))
        content_type, content = encode_parts(answers)
        return Response(200, {"content-type": content_type}, content)


def both(calls: Any) -> list[list[Any]]:
    calls = list(calls)
    return [jshost.batch(calls), asyncio.run(jshost.abatch(calls))]


def test_what_a_batch_sends() -> None:
    host = Doubling()
    double, triple = Function("dou/ble", host, timeout=2), Function("größe", host, timeout=2)
    for found in both([(double, {"n": 1}), (triple, {"n": 2}), (double, {"n": 3})]):
        assert found == [2, 4, 6]
    for request in host.requests:
        assert request["method"] == "POST"
        assert request["target"] == f"/batch?hash={body_hash(request['body'])}"
        assert request["headers"]["JSHost-Timeout"] == "2.0"
        assert 2 < request["timeout_s"] < 3
        parts = decode_parts(request["headers"]["Content-Type"], request["body"])
        assert [(part.name, part.data) for part in parts] == [
            ("dou/ble", b'{"n": 1}'),
            ("größe", b'{"n": 2}'),
            ("dou/ble", b'{"n": 3}'),
        ]


def test_a_batch_sends_the_limit_of_its_calls() -> None:
    here, there = Doubling(), Doubling()
    functions = [Function("a", here), Function("b", there), Function("c", here, timeout=None)]
    assert jshost.batch((f, {"n": n}) for n in range(3) for f in functions) == [
        0, 0, 0, 2, 2, 2, 4, 4, 4,
    ]  # fmt: skip
    assert [len(here.requests), len(there.requests)] == [2, 1]
    limits = {request["headers"].get("JSHost-Timeout") for request in here.requests}
    assert limits == {"10.0", None}


def test_the_bytes_of_a_batch_travel_in_several_requests() -> None:
    host = Doubling()
    calls = [{"n": n, "filler": "x" * 1_000_000} for n in range(10)]
    assert Function("f", host).map(calls) == [n * 2 for n in range(10)]
    assert len(host.requests) == 3
    assert all(len(request["body"]) < REQUEST_BYTES * 1.1 for request in host.requests)
    assert Function("f", host).map([{"n": 1, "filler": "x" * 2 * REQUEST_BYTES}]) == [2]


PARTS = encode_parts([Part("result", "application/json", b"1")])


@pytest.mark.parametrize(
    ("host", "cls"),
    [
        (FakeHttpHost(b"<h1>It works!</h1>", 200, "text/html"), UnexpectedResponse),
        (FakeHttpHost(b"<h1>Bad Gateway</h1>", 502, "text/html"), ConnectionError),
        (FakeHttpHost(b"[]", 500), UnexpectedResponse),
        (FakeHttpHost(b"broken", 200, PARTS[0]), UnexpectedResponse),
        (FakeHttpHost(PARTS[1], 200, PARTS[0]), UnexpectedResponse),  # one answer for two calls
        (FakeHttpHost(b'{"code": "bad_request", "message": "no"}', 400), RequestError),
    ],
)
def test_what_no_host_answers_to_a_batch(host: FakeHttpHost, cls: type[Exception]) -> None:
    found = Function("f", host).map([{}, {}])
    assert [type(each) for each in found] == [cls, cls]
