"""Calling a function: what is sent, what comes back, which error is raised."""

from __future__ import annotations

import copy
import datetime
import json
import logging
import pickle
from typing import Any

import pytest
from support.fake_host import FakeHttpHost

import jshost.host
from jshost.client.host import DeadlinePassed
from jshost.client.response import Response
from jshost.conf import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionTimeout,
    UnexpectedResponse,
)
from jshost.function import Function
from jshost.protocol import values

# What is sent


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


@pytest.mark.parametrize("name", ["", None, 1, b"f"])
def test_a_function_needs_a_name(name: Any) -> None:
    with pytest.raises(TypeError, match="Function needs the name of a function"):
        Function(name)


def test_arguments_may_have_any_name() -> None:
    host = FakeHttpHost()
    Function("f", host).call(**{"self": 1, "name": 2, "timeout": 3, "größe": 4})
    wanted = {"self": 1, "name": 2, "timeout": 3, "größe": 4}
    assert json.loads(host.requests[0]["body"]) == wanted


def test_what_json_cannot_carry_is_not_sent() -> None:
    host = FakeHttpHost()
    with pytest.raises(TypeError, match="argument rows: a set has no JSON form"):
        Function("f", host).call(rows={1})
    assert host.requests == []


def test_an_encoder_can_be_set_for_one_function() -> None:
    class Encoder(values.Encoder):
        def default(self, o: Any) -> Any:
            return sorted(o) if isinstance(o, set) else super().default(o)

    class MyFunction(Function):
        encoder = Encoder

    host = FakeHttpHost()
    MyFunction("f", host).call(rows={2, 1}, day=datetime.date(2024, 2, 29))
    assert host.requests[0]["body"] == b'{"day": "2024-02-29", "rows": [1, 2]}'


# Timeouts


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
    assert sent_timeout(default)[0] == "10.0"


def test_no_answer_in_time_is_a_function_timeout() -> None:
    host = FakeHttpHost(error=DeadlinePassed())
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
    host = FakeHttpHost()
    function = Function("f", host=host)
    assert function.host is host
    assert function.get_host() is host
    assert repr(function) == "<Function f>"


def test_no_host_is_a_connection_error() -> None:
    host = FakeHttpHost(error=ConnectionError("No host answers at http://fake.invalid"))
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
    found = Function("f", FakeHttpHost(content, content_type=content_type)).call()
    assert found == result
    assert type(found) is type(result)


def test_return_text_gives_the_text() -> None:
    settings.configure(RETURN_TEXT=True)
    assert Function("f", FakeHttpHost(b"40")).call() == "40"


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


# Saying what is done


def test_calls_are_reported_where_verbosity_says_so(caplog: pytest.LogCaptureFixture) -> None:
    Function("f", FakeHttpHost()).call()
    assert caplog.records == []
    settings.configure(VERBOSITY="FUNCTION_CALL")
    with caplog.at_level(logging.INFO):
        Function("f", FakeHttpHost()).call()
    (record,) = caplog.records
    assert record.getMessage().startswith("f: 200, ")


def test_a_report_names_the_request(caplog: pytest.LogCaptureFixture) -> None:
    host = FakeHttpHost()
    host.answer = Response(200, {"content-type": "application/json", "x-request-id": "7-1"}, b"1")
    settings.configure(VERBOSITY="FUNCTION_CALL")
    with caplog.at_level(logging.INFO):
        Function("f", host).call()
    assert caplog.messages[0].endswith(" ms 7-1")
