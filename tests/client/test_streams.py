"""Streams without a wire: values as they come, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_host import FakeHost, Streaming, failing_host

from jshost.client.host import Answer, CallRequest, Chunk
from jshost.client.streams import Stream
from jshost.exceptions import ConnectionError, FunctionError, UnexpectedResponse, from_envelope
from jshost.function import Function

JSON = "application/json"
Read = Callable[[Function], tuple[list[Any], Any]]


def by_thread(function: Function) -> tuple[list[Any], Any]:
    stream = function.stream(a=1)
    return list(stream), stream.result


def by_task(function: Function) -> tuple[list[Any], Any]:
    async def read() -> tuple[list[Any], Any]:
        stream = function.astream(a=1)
        return [chunk async for chunk in stream], stream.result

    return asyncio.run(read())


both = pytest.mark.parametrize("read", [by_thread, by_task])


def chunk(text: str) -> Chunk:
    return JSON, text.encode()


def end(text: str = "null") -> Answer:
    return Answer(JSON, text.encode())


def error(**fields: Any) -> Answer:
    envelope = {"code": "function_failed", "name": "RangeError", "message": "no more", **fields}
    return Answer.of_error(from_envelope(envelope))


class AtOnce(Streaming):
    """A host whose values all come at once."""

    def read(self) -> list[Chunk | Answer]:
        items, self.items = self.items, []
        return items  # type: ignore[return-value]


kinds = pytest.mark.parametrize("kind", [Streaming, AtOnce])


@both
def test_what_is_asked_for(read: Read) -> None:
    host = Streaming(end())
    read(Function("f", host, timeout=2))
    assert host.requests == [CallRequest("f", b'{"a": 1}', JSON, 2)]


@both
@kinds
def test_values_and_the_result(read: Read, kind: type[Streaming]) -> None:
    items = [chunk("1"), chunk('{"a": "\\u00fc"}'), ("application/octet-stream", b"\x00\xff")]
    host = kind(*items, Answer("application/octet-stream", b"\xff"))
    assert read(Function("f", host)) == ([1, {"a": "ü"}, b"\x00\xff"], b"\xff")
    assert not host.closed


@both
def test_an_answer_that_is_no_stream_is_the_result(read: Read) -> None:
    assert read(Function("f", FakeHost(b"[1, 2]"))) == ([], [1, 2])


@both
def test_an_answer_that_is_an_error(read: Read) -> None:
    with pytest.raises(Exception, match=r"^f: it broke"):
        read(Function("f", failing_host("queue_full")))


@both
@kinds
def test_an_error_comes_behind_the_values(read: Read, kind: type[Streaming]) -> None:
    got: list[Any] = []
    function = Function("f", kind(chunk("1"), error(cause={"message": "why"})))

    async def follow_async() -> None:
        async for value in function.astream():
            got.append(value)

    def follow() -> None:
        for value in function.stream():
            got.append(value)

    with pytest.raises(FunctionError, match=r"^f: RangeError: no more$") as caught:
        asyncio.run(follow_async()) if read is by_task else follow()
    assert got == [1]
    assert isinstance(caught.value.__cause__, FunctionError)


def test_an_error_is_raised_once() -> None:
    stream = Function("f", Streaming(error())).stream()
    with pytest.raises(FunctionError):
        next(stream)
    assert list(stream) == []
    with pytest.raises(RuntimeError, match="f: the stream has no result yet"):
        stream.result  # noqa: B018


class Own(Exception):
    pass


@both
def test_an_exception_class_of_ones_own(read: Read) -> None:
    with pytest.raises(Own, match="no more"):
        read(Function("f", Streaming(error()), exception_cls=Own))


@both
@pytest.mark.parametrize(
    ("items", "cls"),
    [
        ([ConnectionError("broken")], ConnectionError),
        ([chunk("1"), ConnectionError("broken")], ConnectionError),
        ([chunk("{")], UnexpectedResponse),
        ([chunk("1"), end("nope")], UnexpectedResponse),
        ([("text/html", b"<h1>")], UnexpectedResponse),
    ],
)
def test_a_stream_that_breaks(read: Read, items: list[Any], cls: type[Exception]) -> None:
    host = Streaming(*items)
    with pytest.raises(cls):
        read(Function("f", host))
    assert host.closed


# Leaving


@kinds
@pytest.mark.parametrize("how", ["close", "with", "forget"])
def test_leaving_closes(kind: type[Streaming], how: str) -> None:
    host = kind(chunk("1"), chunk("2"), end())
    stream = Function("f", host).stream()
    assert next(stream) == 1
    if how == "close":
        stream.close()
        assert list(stream) == [], "what had come is dropped"
    elif how == "with":
        with stream:
            pass
    else:
        del stream
    assert host.closed


@kinds
@pytest.mark.parametrize("how", ["aclose", "with"])
def test_leaving_closes_on_a_loop(kind: type[Streaming], how: str) -> None:
    async def main() -> None:
        host = kind(chunk("1"), chunk("2"), end())
        stream = Function("f", host).astream()
        assert await anext(stream) == 1
        if how == "aclose":
            await stream.aclose()
            assert [value async for value in stream] == []
        else:
            async with stream:
                pass
        assert host.closed

    asyncio.run(main())


def test_astream_calls_when_the_first_value_is_asked_for() -> None:
    async def main() -> None:
        host = Streaming(end())
        stream = Function("f", host).astream()
        assert host.requests == []
        await stream.aclose()
        assert [value async for value in stream] == []
        assert host.requests == []

    asyncio.run(main())


@both
def test_what_json_cannot_carry_is_said_at_once(read: Read) -> None:
    host = FakeHost()
    with pytest.raises(TypeError, match="argument rows: a set has no JSON form"):
        Function("f", host).stream(rows={1}) if read is by_thread else Function("f", host).astream(
            rows={1}
        )
    assert host.requests == []


def test_a_stream_is_an_iterator() -> None:
    stream = Function("f", Streaming(end())).stream()
    assert isinstance(stream, Stream)
    assert iter(stream) is stream
