"""What a project's tests use: functions that are answered for."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jshost.client import hooks
from jshost.client.batch import batch
from jshost.conf import settings
from jshost.exceptions import (
    ConnectionError,
    FunctionError,
    FunctionTimeout,
    HostUnavailable,
)
from jshost.function import Function
from jshost.testing import override_function

render = Function("render")


def collect(stream: Any) -> list[Any]:
    async def values() -> list[Any]:
        return [value async for value in stream]

    return asyncio.run(values())


# Overriding


def test_every_way_to_call_is_answered_and_recorded() -> None:
    with override_function("render", returns="<p>") as override:
        assert render.call(component="A") == "<p>"
        assert asyncio.run(render.acall(component="B")) == "<p>"
        assert render.map([{"component": "C"}, {"component": "D"}]) == ["<p>", "<p>"]
        assert asyncio.run(render.amap([{"component": "E"}])) == ["<p>"]
        assert render.send_request(component="F").text == "<p>"
        assert batch([(render, {"component": "G"})]) == ["<p>"]
        assert render.with_timeout(1).call(component="H") == "<p>"
    assert [call["component"] for call in override.calls] == [*"ABCDEFGH"]


def test_outside_of_the_block_calls_go_where_they_went() -> None:
    settings.configure(ROOT_URL="http://127.0.0.1:9")
    with override_function("render", returns=1), pytest.raises(ConnectionError):
        Function("other").call()
    with pytest.raises(ConnectionError):
        render.call()


def test_values_are_as_they_would_be_on_the_way_to_a_host_and_back() -> None:
    with override_function("render", returns=(1, {"price": Decimal("1.5")})) as override:
        assert render.call(price=Decimal("9.90"), file=b"\0") == [1, {"price": "1.5"}]
        with pytest.raises(TypeError, match=r"argument a: .* has no JSON form"):
            render.call(a=object())
    assert override.calls == [{"price": "9.90", "file": b"\0"}]
    for value in (None, "", 0, b"\xff", {"inner": b"\xff"}, "\ud800", [1.5]):
        with override_function("render", returns=value):
            assert render.call() == value
    with override_function("render"):
        assert render.call() is None
    with override_function("render", returns={1, 2}), pytest.raises(TypeError, match="result"):
        render.call()


def test_raises() -> None:
    with override_function("render", raises=FunctionTimeout("too slow")):
        for call in (render.call, lambda: asyncio.run(render.acall()), render.stream):
            with pytest.raises(FunctionTimeout, match="render: too slow"):
                call()
        with pytest.raises(FunctionTimeout):
            collect(render.astream())
        assert [type(each) for each in render.map([{}])] == [FunctionTimeout]
    with override_function("render", raises=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        render.call()


class OwnError(Exception):
    pass


def test_raises_meets_what_the_function_was_given() -> None:
    own = Function("render", exception_cls=OwnError)
    broken = override_function("render", raises=FunctionError("broken"))
    with broken, pytest.raises(OwnError, match="broken"):
        own.call()
    patient = Function("render", fallback="instead")
    for error in (ConnectionError("down"), HostUnavailable, FunctionTimeout):
        with override_function("render", raises=error):
            assert patient.call() == "instead"


def test_calls() -> None:
    with override_function("double", calls=lambda number: number * 2) as override:
        assert Function("double").call(number=2) == 4
        assert Function("double").map([{"number": 1}, {"number": 3}]) == [2, 6]
        with pytest.raises(TypeError, match="unexpected keyword argument 'nummer'"):
            Function("double").call(nummer=2)
    assert len(override.calls) == 4


def test_calls_an_async_function() -> None:
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    with override_function("double", calls=double):
        assert Function("double").call(number=2) == 4
        assert Function("double").map([{"number": 2}]) == [4]

        async def both() -> list[Any]:
            return [await Function("double").acall(number=3), Function("double").call(number=4)]

        assert asyncio.run(both()) == [6, 8]


def letters(count: int) -> Iterator[Any]:
    yield from "abc"[:count]
    yield b"\0"
    return {"count": count}


async def aletters(count: int) -> AsyncIterator[Any]:
    for letter in [*"abc"[:count], b"\0"]:
        yield letter


@pytest.mark.parametrize("calls", [letters, aletters])
def test_streams(calls: Callable[..., Any]) -> None:
    tokens = Function("tokens")
    with override_function("tokens", calls=calls) as override:
        with tokens.stream(count=2) as stream:
            assert list(stream) == ["a", "b", b"\0"]
        assert stream.result == ({"count": 2} if calls is letters else None)
        assert collect(tokens.astream(count=1)) == ["a", b"\0"]
    assert override.calls == [{"count": 2}, {"count": 1}]


def test_streams_of_a_list_and_of_what_is_none() -> None:
    tokens = Function("tokens")
    with override_function("tokens", returns=["a", 2]):
        assert list(tokens.stream()) == ["a", 2]
        assert collect(tokens.astream()) == ["a", 2]
        assert tokens.call() == ["a", 2]
    with override_function("tokens", returns="whole"):
        stream = tokens.stream()
        assert (list(stream), stream.result) == ([], "whole")


def test_what_a_stream_gives_to_a_call() -> None:
    with override_function("tokens", calls=lambda: (each for each in [1, 2])):
        assert Function("tokens").call() == [1, 2]
    with override_function("tokens", calls=letters):
        assert Function("tokens").call(count=1) == {"count": 1}


def test_a_stream_that_fails_in_its_middle_or_is_left() -> None:
    closed = []

    def failing() -> Iterator[int]:
        yield 1
        raise FunctionError("broken")

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    with override_function("tokens", calls=failing):
        stream = Function("tokens").stream()
        assert next(stream) == 1
        with pytest.raises(FunctionError, match="broken"):
            next(stream)
    with override_function("tokens", calls=endless), Function("tokens").stream() as stream:
        assert next(stream) == 1
    assert closed == [True]


@override_function("render", returns="<p>")
def test_as_a_decorator() -> None:
    assert render.call() == "<p>"


stub = override_function("render", returns="<p>")


@stub
@pytest.mark.parametrize("number", [1, 2])
def test_a_decorator_records_and_leaves_fixtures_alone(tmp_path: Path, number: int) -> None:
    assert tmp_path.is_dir()
    render.call(number=number)
    assert stub.calls == [{"number": number}]


def test_a_decorated_coroutine() -> None:
    @override_function("render", returns="<p>")
    async def with_override() -> str:
        await asyncio.sleep(0)
        return str(await render.acall())

    assert asyncio.run(with_override()) == "<p>"


@override_function("render", returns="<p>")
class Pages(unittest.IsolatedAsyncioTestCase):
    def test_sync(self) -> None:
        assert render.call() == "<p>"

    async def test_async(self) -> None:
        assert await render.acall() == "<p>"


@override_function("render", returns="<p>")
class TestPages:
    def test_method(self, tmp_path: Path) -> None:
        assert render.call() == "<p>"


def test_the_inner_one_of_two_counts() -> None:
    with override_function("render", returns=1) as outer:
        with override_function("render", returns=2), override_function("other", returns=3):
            assert (render.call(), Function("other").call()) == (2, 3)
        assert render.call() == 1
    assert len(outer.calls) == 1


def test_hooks_hear_of_overridden_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(hooks, "after", [lambda call: heard.append(call.name)])
    with override_function("render", returns=1):
        render.call()
    assert heard == ["render"]


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("", {}, "needs the name of a function"),
        (render, {}, "needs the name of a function"),
        ("render", {"returns": 1, "raises": ValueError}, "one of returns=, raises= and calls="),
        ("render", {"calls": 1}, "calls= must be callable, not 1"),
    ],
)
def test_what_cannot_be_meant(name: Any, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        override_function(name, **options)
