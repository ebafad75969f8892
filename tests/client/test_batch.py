"""Batches without a wire: what travels together, and whose answer is whose."""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType
from typing import Any

import pytest
from support.fake_host import FakeHttpHost

import jshost
from jshost.client.batch import REQUEST_BYTES
from jshost.client.host import DeadlinePassed
from jshost.client.http.http_request import HttpRequest
from jshost.client.response import Response
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    RequestError,
    UnexpectedResponse,
)
from jshost.function import Function
from jshost.protocol.multipart import Part, decode_parts, encode_parts
from jshost.protocol.values import body_hash


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


def test_what_is_sent() -> None:
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


def test_nothing_is_sent_for_no_calls() -> None:
    assert both([]) == [[], []]
    host = FakeHttpHost()
    assert Function("f", host).map([]) == []
    assert host.requests == []


def test_a_failure_stands_in_its_place() -> None:
    class Own(Exception):
        pass

    host = Doubling()
    calls = [{"n": 1}, {}, {"n": 3}]
    first, error, last = Function("f", host).map(calls)
    assert (first, last) == (2, 6)
    assert isinstance(error, FunctionError)
    assert str(error) == "f: no n"
    error = asyncio.run(Function("f", host, exception_cls=Own).amap(calls))[1]
    assert isinstance(error, Own)


def test_hosts_and_limits_have_requests_of_their_own() -> None:
    here, there = Doubling(), Doubling()
    functions = [Function("a", here), Function("b", there), Function("c", here, timeout=None)]
    assert jshost.batch((f, {"n": n}) for n in range(3) for f in functions) == [
        0, 0, 0, 2, 2, 2, 4, 4, 4,
    ]  # fmt: skip
    assert [len(here.requests), len(there.requests)] == [2, 1]
    limits = {request["headers"].get("JSHost-Timeout") for request in here.requests}
    assert limits == {"10.0", None}


def test_many_bytes_travel_in_several_requests() -> None:
    host = Doubling()
    calls = [{"n": n, "filler": "x" * 1_000_000} for n in range(10)]
    assert Function("f", host).map(calls) == [n * 2 for n in range(10)]
    assert len(host.requests) == 3
    assert all(len(request["body"]) < REQUEST_BYTES * 1.1 for request in host.requests)
    assert Function("f", host).map([{"n": 1, "filler": "x" * 2 * REQUEST_BYTES}]) == [2]


def test_what_cannot_be_carried_is_said_before_anything_is_sent() -> None:
    host = Doubling()
    with pytest.raises(TypeError, match="argument n: a set has no JSON form"):
        Function("f", host).map([{"n": 1}, {"n": {1}}])
    assert host.requests == []


def test_a_host_that_does_not_answer_has_failed_its_calls_only() -> None:
    down = FakeHttpHost(error=ConnectionError("down"))
    slow = FakeHttpHost(error=DeadlinePassed())
    calls = [
        (Function("a", down), {}),
        (Function("b", Doubling()), {"n": 1}),
        (Function("c", slow, timeout=1), {}),
        (Function("a", down), {}),
    ]
    for found in both(calls):
        assert found[1] == 2
        assert [type(found[n]) for n in (0, 2, 3)] == [
            ConnectionError,
            FunctionTimeout,
            ConnectionError,
        ]
        assert "no answer within the limit of 1 s" in str(found[2])


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
def test_what_no_host_answers(host: FakeHttpHost, cls: type[Exception]) -> None:
    found = Function("f", host).map([{}, {}])
    assert [type(each) for each in found] == [cls, cls]


def test_calls_may_come_from_a_generator() -> None:
    assert Function("f", Doubling()).map({"n": n} for n in range(3)) == [0, 2, 4]


def test_arguments_may_be_any_mapping() -> None:
    calls = [MappingProxyType(each) for each in ({"n": 1}, {"n": 2, "m": 0}, {"m": 0, "n": 3})]
    assert Function("f", Doubling()).map(calls) == [2, 4, 6]
