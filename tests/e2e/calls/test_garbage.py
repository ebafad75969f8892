"""What calls leave to the garbage collector: nothing, so that large values are freed at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator

import pytest
from support.hosts import RunningHost

from jshost.exceptions import FunctionError
from jshost.function import Function

CONFIG = {
    "host.config.py": """
import gc
include = ["host.config.js"]

def echo(value):
    return value

def fail():
    raise ValueError("no")

def count(to):
    yield from range(to)

async def acount(to):
    for number in range(to):
        yield number

def garbage():
    '''The objects that the worker's calls have left since the last time.'''
    gc.disable()
    return gc.collect()

functions = {f.__name__: f for f in (echo, fail, count, acount, garbage)}
""",
    "host.config.js": """
module.exports = {functions: {
  echo_js: ({value}) => value,
  fail_js() { throw new Error('no'); },
  *count_js({to}) { for (let number = 0; number < to; number++) yield number; },
}};
""",
}
CALLS = 20
ROUNDS = 4
"""The first ones find what other tests have left, too."""


def call(function: Function) -> None:
    function.call(value=1)


def fail(function: Function) -> None:
    with contextlib.suppress(FunctionError):
        function.call()


def batch(function: Function) -> None:
    function.map([{"value": 1}, {"value": 2}])


def fail_in_a_batch(function: Function) -> None:
    function.map([{}, {}])


def stream(function: Function) -> None:
    assert list(function.stream(to=3)) == [0, 1, 2]


ACTS = [
    *((call, "echo"), (call, "echo_js"), (batch, "echo"), (batch, "echo_js")),
    *((fail, "fail"), (fail, "fail_js"), (fail_in_a_batch, "fail"), (fail_in_a_batch, "fail_js")),
    *((stream, "count"), (stream, "count_js"), (stream, "acount")),
]


@pytest.fixture(autouse=True)
def by_hand() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(("act", "name"), ACTS)
def test_threads(shared_host: RunningHost, act: Callable[..., None], name: str) -> None:
    function, garbage = shared_host.function(name), shared_host.function("garbage")

    def left() -> tuple[int, int]:
        for _ in range(CALLS):
            act(function)
        return garbage.call(), gc.collect()

    in_worker, in_caller = zip(*(left() for _ in range(ROUNDS)), strict=True)
    assert min(in_worker) < CALLS
    assert min(in_caller) < CALLS


def test_tasks(shared_host: RunningHost) -> None:
    echo, fail, echo_js, count = map(shared_host.function, ("echo", "fail", "echo_js", "count"))

    async def left() -> int:
        for _ in range(CALLS):
            await echo.acall(value=1)
            with contextlib.suppress(FunctionError):
                await fail.acall()
            await echo_js.amap([{"value": 1}, {"value": 2}])
            assert [n async for n in count.astream(to=3)] == [0, 1, 2]
        return gc.collect()

    async def rounds() -> list[int]:
        return [await left() for _ in range(ROUNDS)]

    assert min(asyncio.run(rounds())) < CALLS
