"""Calling a function: what is sent, what comes back, which error is raised."""

from __future__ import annotations

import copy
import datetime
import json
import logging
import pickle
from typing import Any

import pytest
from support.fake_host import FakeHost

import jshost.host
from jshost.client.host import DeadlinePassed
from jshost.conf import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionTimeout,
)
from jshost.function import Function
from jshost.protocol import values

# What is sent


@pytest.mark.parametrize("name", ["", None, 1, b"f"])
def test_a_function_needs_a_name(name: Any) -> None:
    with pytest.raises(TypeError, match="Function needs the name of a function"):
        Function(name)


def test_arguments_may_have_any_name() -> None:
    host = FakeHost()
    Function("f", host).call(**{"self": 1, "name": 2, "timeout": 3, "größe": 4})
    wanted = {"self": 1, "name": 2, "timeout": 3, "größe": 4}
    assert json.loads(host.requests[0].body) == wanted


def test_what_json_cannot_carry_is_not_sent() -> None:
    host = FakeHost()
    with pytest.raises(TypeError, match="argument rows: a set has no JSON form"):
        Function("f", host).call(rows={1})
    assert host.requests == []


def test_an_encoder_can_be_set_for_one_function() -> None:
    class Encoder(values.Encoder):
        def default(self, o: Any) -> Any:
            return sorted(o) if isinstance(o, set) else super().default(o)

    class MyFunction(Function):
        encoder = Encoder

    host = FakeHost()
    MyFunction("f", host).call(rows={2, 1}, day=datetime.date(2024, 2, 29))
    assert host.requests[0].body == b'{"day": "2024-02-29", "rows": [1, 2]}'


# Timeouts


def sent_timeout(function: Function) -> float | None:
    """How long a call may take."""
    host = function.host = FakeHost()
    function.call()
    (request,) = host.requests
    return request.timeout_s


def test_with_timeout_is_the_same_function_with_another_limit() -> None:
    function = Function("f", FakeHost(b"1"), timeout=5, fallback=7)
    other = function.with_timeout(0.5)
    assert (other.name, other.host, other.fallback) == ("f", function.host, 7)
    assert (sent_timeout(other), sent_timeout(function)) == (0.5, 5)
    assert sent_timeout(function.with_timeout(None)) is None
    with pytest.raises(ValueError, match=r"f\.with_timeout\(\): timeout must be a number above 0"):
        function.with_timeout(0)


def test_none_is_no_limit_whatever_the_setting_says() -> None:
    assert sent_timeout(Function("f", timeout=None)) is None


@pytest.mark.parametrize("timeout", [0, -1, 0.0, float("nan"), "5", []])
def test_a_timeout_that_is_none_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"Function\('f'\): timeout must be"):
        Function("f", timeout=timeout)


@pytest.mark.parametrize(
    "carry", [lambda f: pickle.loads(pickle.dumps(f)), copy.copy, copy.deepcopy]
)
def test_a_copy_is_the_same_function(carry: Any) -> None:
    """Task queues pickle what they are given."""
    default, limited = carry(Function("f")), carry(Function("f", timeout=None))
    assert default.get_timeout() == 10.0
    assert limited.get_timeout() is None
    assert sent_timeout(default) == 10.0


def test_no_answer_in_time_is_a_function_timeout() -> None:
    host = FakeHost(error=DeadlinePassed())
    with pytest.raises(
        FunctionTimeout, match=r"^f: no answer within the limit of 0\.5 s"
    ) as caught:
        Function("f", host, timeout=0.5).call()
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.name, caught.value.code) == ("f", "timeout")


# Which host


def test_the_host_is_looked_up_at_the_first_call() -> None:
    greeter = Function("greeter")
    assert greeter.host is None
    assert greeter.get_host() is jshost.host.host
    assert greeter.host is None


def test_a_host_of_its_own() -> None:
    host = FakeHost()
    function = Function("f", host=host)
    assert function.host is host
    assert function.get_host() is host
    assert repr(function) == "<Function f>"


def test_no_host_is_a_connection_error() -> None:
    host = FakeHost(error=ConnectionError("No host answers at http://fake.invalid"))
    with pytest.raises(ConnectionError, match="No host answers"):
        Function("f", host).call()


# What comes back


@pytest.mark.parametrize(
    ("content", "content_type", "result"),
    [
        (b'{"a": [1, null]}', "application/json", {"a": [1, None]}),
        (b"40", "application/json", 40),
        ("Größe".encode(), "text/plain; charset=utf-8", "Größe"),
        (b"40", "text/plain; charset=utf-8", "40"),
        (b"\xff\x00", "application/octet-stream", b"\xff\x00"),
        (b"null", "application/json", None),
        (b"0", "application/json", 0),
        (b"false", "application/json", False),
        (b"", "text/plain; charset=utf-8", ""),
        (b"", "application/octet-stream", b""),
        (b'"\\ud800"', "application/json", "\ud800"),
        (b"9007199254740993", "application/json", 9007199254740993),
    ],
)
def test_a_result_is_decoded(content: bytes, content_type: str, result: Any) -> None:
    found = Function("f", FakeHost(content, content_type=content_type)).call()
    assert found == result
    assert type(found) is type(result)


def test_return_text_gives_the_text() -> None:
    settings.configure(RETURN_TEXT=True)
    assert Function("f", FakeHost(b"40")).call() == "40"


# Saying what is done


def test_calls_are_reported_where_verbosity_says_so(caplog: pytest.LogCaptureFixture) -> None:
    Function("f", FakeHost()).call()
    assert caplog.records == []
    settings.configure(VERBOSITY="FUNCTION_CALL")
    with caplog.at_level(logging.INFO):
        Function("f", FakeHost()).call()
    (record,) = caplog.records
    assert record.getMessage().startswith("f: 200, ")
