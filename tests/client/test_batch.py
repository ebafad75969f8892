"""Batches without a wire: what travels together, and whose answer is whose."""

from __future__ import annotations

import asyncio
import json
from types import MappingProxyType
from typing import Any

import pytest
from support.fake_host import FakeHost

import jshost
from jshost.client.batch import REQUEST_BYTES
from jshost.client.host import AnswerRun, BatchAnswer, BatchRequest, DeadlinePassed
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    RequestError,
    UnexpectedResponse,
)
from jshost.function import Function


class Doubling(FakeHost):
    """A host that doubles `n`, and fails without one."""

    def batch(self, request: BatchRequest) -> BatchAnswer:
        self.requests.append(request)
        runs = []
        for name, _, bodies in request.runs:
            for body in bodies:
                arguments = json.loads(body)
                if "n" in arguments:
                    data = json.dumps(arguments["n"] * 2).encode()
                    runs.append(AnswerRun("application/json", [data]))
                else:
                    runs.append(AnswerRun("", [], [FunctionError("no n", name=name)]))
        return BatchAnswer(runs)


def both(calls: Any) -> list[list[Any]]:
    calls = list(calls)
    return [jshost.batch(calls), asyncio.run(jshost.abatch(calls))]


def test_nothing_is_sent_for_no_calls() -> None:
    assert both([]) == [[], []]
    host = FakeHost()
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
    assert {request.timeout_s for request in here.requests} == {10.0, None}


def test_many_bytes_travel_in_several_requests() -> None:
    host = Doubling()
    calls = [{"n": n, "filler": "x" * 1_000_000} for n in range(10)]
    assert Function("f", host).map(calls) == [n * 2 for n in range(10)]
    assert len(host.requests) == 3
    sent = [sum(map(len, run.contents)) for request in host.requests for run in request.runs]
    assert all(size < REQUEST_BYTES * 1.1 for size in sent)
    assert Function("f", host).map([{"n": 1, "filler": "x" * 2 * REQUEST_BYTES}]) == [2]


def test_what_cannot_be_carried_is_said_before_anything_is_sent() -> None:
    host = Doubling()
    with pytest.raises(TypeError, match="argument n: a set has no JSON form"):
        Function("f", host).map([{"n": 1}, {"n": {1}}])
    assert host.requests == []


def test_a_host_that_does_not_answer_has_failed_its_calls_only() -> None:
    down = FakeHost(error=ConnectionError("down"))
    slow = FakeHost(error=DeadlinePassed())
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


def test_calls_may_come_from_a_generator() -> None:
    assert Function("f", Doubling()).map({"n": n} for n in range(3)) == [0, 2, 4]


def test_arguments_may_be_any_mapping() -> None:
    calls = [MappingProxyType(each) for each in ({"n": 1}, {"n": 2, "m": 0}, {"m": 0, "n": 3})]
    assert Function("f", Doubling()).map(calls) == [2, 4, 6]


def test_an_answer_for_each_call_or_none() -> None:
    class Forgetful(FakeHost):
        def batch(self, request: BatchRequest) -> BatchAnswer:
            return BatchAnswer([AnswerRun("application/json", [b"1"])])

    class Refusing(FakeHost):
        def batch(self, request: BatchRequest) -> BatchAnswer:
            return BatchAnswer([], RequestError("no"))

    for host, cls in ((Forgetful(), UnexpectedResponse), (Refusing(), RequestError)):
        found = Function("f", host).map([{}, {}])
        assert [type(each) for each in found] == [cls, cls]
