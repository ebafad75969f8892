"""A function's failure as its caller meets it: which class, which text, which of one's own."""

from __future__ import annotations

import pickle

import pytest
from support.fake_host import failing_host

from jshost.exceptions import (
    CODES,
    ArgumentsError,
    FunctionError,
    FunctionNotFound,
    FunctionTimeout,
    HostUnavailable,
    ProcessError,
    RemoteError,
)
from jshost.function import Function


@pytest.mark.parametrize("code", CODES)
def test_each_error_is_raised_as_its_class(code: str) -> None:
    with pytest.raises(CODES[code][1]) as caught:
        Function("f", failing_host(code)).call()
    assert type(caught.value) is CODES[code][1]
    assert (caught.value.name, caught.value.code) == ("f", code)


def test_an_error_shows_the_remote_stack() -> None:
    stack = "TypeError: x is null\n    at f (/site/host.config.js:3:9)"
    host = failing_host(name="TypeError", message="x is null", stack=stack, requestId="7-1")
    with pytest.raises(FunctionError) as caught:
        Function("f", host).call()
    error = caught.value
    assert (error.error_name, error.message, error.stack) == ("TypeError", "x is null", stack)
    assert error.request_id == "7-1"
    assert str(error) == f"f: {stack}"
    assert pickle.loads(pickle.dumps(error)).stack == stack


def test_the_functions_own_name_stands_in_where_the_envelope_has_none() -> None:
    with pytest.raises(FunctionError) as caught:
        Function("g", failing_host(function=None)).call()
    assert caught.value.name == "g"


class PlainError(Exception):
    """A user's own."""


class RenderError(FunctionError):
    """A user's own, with all that a FunctionError knows."""


def test_an_exception_of_ones_own_has_the_text_and_the_cause() -> None:
    function = Function("f", failing_host(name="TypeError"), exception_cls=PlainError)
    with pytest.raises(PlainError) as caught:
        function.call()
    assert str(caught.value) == "f: TypeError: it broke"
    assert isinstance(caught.value.__cause__, FunctionError)
    assert caught.value.__cause__.error_name == "TypeError"


def test_a_subclass_of_function_error_has_its_attributes() -> None:
    host = failing_host(name="TypeError", stack="at f", requestId="7-1")
    with pytest.raises(RenderError) as caught:
        Function("f", host, exception_cls=RenderError).call()
    error = caught.value
    assert (error.name, error.error_name, error.message) == ("f", "TypeError", "it broke")
    assert (error.stack, error.request_id, error.code) == ("at f", "7-1", "function_failed")
    assert isinstance(pickle.loads(pickle.dumps(error)), RenderError)


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        ("unknown_function", FunctionNotFound),
        ("arguments", ArgumentsError),
        ("queue_full", HostUnavailable),
        ("worker_died", ProcessError),
        ("timeout", FunctionTimeout),
    ],
)
def test_only_a_failure_of_the_function_is_raised_as_it(code: str, cls: type[RemoteError]) -> None:
    with pytest.raises(cls):
        Function("f", failing_host(code), exception_cls=PlainError).call()
