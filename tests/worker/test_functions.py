"""Calling functions with a body: how arguments arrive, and what is said when they do not fit."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from jshost.worker.errors import CallError
from jshost.worker.functions import invoke, is_async


async def coroutine() -> None: ...


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Model:
    async def __call__(self) -> None: ...

    async def method(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (coroutine, True),
        (async_generator, True),
        (functools.partial(coroutine), True),
        (Model(), True),
        (Model().method, True),
        (lambda: coroutine(), False),
        (len, False),
        (dict, False),
    ],
)
def test_async_functions_are_known_by_their_code(
    function: Callable[..., Any], expected: bool
) -> None:
    assert is_async(function) is expected


def greet(name: str = "World") -> str:
    return f"Hello, {name}!"


def test_members_are_keyword_arguments() -> None:
    assert invoke(greet, "greet", b'{"name": "Foo"}') == "Hello, Foo!"
    assert invoke(greet, "greet", b"{}") == invoke(greet, "greet", b"") == "Hello, World!"


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("function", [greet, decorated(greet), decorated(decorated(greet))])
def test_arguments_that_do_not_fit_are_named(function: Callable[..., Any]) -> None:
    with pytest.raises(CallError) as caught:
        invoke(function, "greet", b'{"nom": 1}')
    assert caught.value.envelope["code"] == "arguments"
    assert caught.value.envelope["message"] == "greet() got an unexpected keyword argument 'nom'"


def test_a_type_error_inside_of_the_function_is_its_own() -> None:
    def add(number: Any) -> Any:
        return number + "1"

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        invoke(add, "add", b'{"number": 1}')
    assert not isinstance(caught.value, CallError)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", "malformed_json", "the body is not JSON: "),
        (b'{"a": "\xff"}', "malformed_json", "the body is not UTF-8: "),
        (b"[" * 100_000, "malformed_json", "the body's JSON is nested too deeply"),
        (b"[]", "not_an_object", "the body must be a JSON object, not a JSON array"),
        (b'"a"', "not_an_object", "the body must be a JSON object, not a JSON string"),
        (b"null", "not_an_object", "the body must be a JSON object, not a JSON null"),
        (b"1", "not_an_object", "the body must be a JSON object, not a JSON scalar"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, code: str, message: str) -> None:
    with pytest.raises(CallError) as caught:
        invoke(greet, "greet", body)
    assert caught.value.envelope["code"] == code
    assert caught.value.envelope["message"].startswith(message)
