"""Streams of a served host: values out of a response of events, and how they end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from support.fake_host import FakeHttpHost, StreamingHttp, failing_http_host

from jshost.client.streams import Stream
from jshost.exceptions import ConnectionError, FunctionError, UnexpectedResponse
from jshost.function import Function


def event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


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
END = event("result", "null")


@both
def test_what_is_sent(read: Read) -> None:
    host = StreamingHttp(END)
    read(Function("f", host, timeout=2))
    (request,) = host.requests
    assert (request["method"], request["body"]) == ("POST", b'{"a": 1}')
    assert request["target"].startswith("/function/f?hash=")
    assert request["headers"]["Accept"] == "text/event-stream, application/json"
    assert request["headers"]["JSHost-Timeout"] == "2.0"


@both
def test_values_and_the_result(read: Read) -> None:
    data = base64.b64encode(b"\x00\xff").decode()
    host = StreamingHttp(
        event("chunk", "1") + event("chunk", '{"a": "\\u00fc"}'),
        event("chunk-bytes", data)[:15],
        event("chunk-bytes", data)[15:] + event("result-bytes", data),
    )
    assert read(Function("f", host)) == ([1, {"a": "ü"}, b"\x00\xff"], b"\x00\xff")
    assert not host.closed


@both
def test_events_of_later_versions_are_passed_over(read: Read) -> None:
    host = StreamingHttp(event("progress", "whatever"), event("chunk", "1"), END)
    assert read(Function("f", host)) == ([1], None)


@both
def test_an_answer_that_is_no_stream_is_the_result(read: Read) -> None:
    """As proxies and older hosts give it."""
    host = StreamingHttp(b"[1, ", b"2]")
    host.headers = {"content-type": "application/json"}
    assert read(Function("f", host)) == ([], [1, 2])


ENVELOPE = {"code": "function_failed", "name": "RangeError", "message": "no more", "function": "f"}


@both
def test_an_error_comes_behind_the_values(read: Read) -> None:
    got: list[Any] = []
    pieces = event("chunk", "1") + event("error", json.dumps(ENVELOPE))
    function = Function("f", StreamingHttp(pieces))

    async def follow_async() -> None:
        async for chunk in function.astream():
            got.append(chunk)

    def follow() -> None:
        for chunk in function.stream():
            got.append(chunk)

    with pytest.raises(FunctionError, match=r"^f: RangeError: no more$"):
        asyncio.run(follow_async()) if read is by_task else follow()
    assert got == [1]


def test_an_error_is_raised_once() -> None:
    stream = Function("f", StreamingHttp(event("error", json.dumps(ENVELOPE)))).stream()
    with pytest.raises(FunctionError):
        next(stream)
    assert list(stream) == []
    with pytest.raises(RuntimeError, match="f: the stream has no result yet"):
        stream.result  # noqa: B018


class Own(Exception):
    pass


@both
def test_an_exception_class_of_ones_own(read: Read) -> None:
    host = StreamingHttp(event("error", json.dumps(ENVELOPE)))
    with pytest.raises(Own, match="no more"):
        read(Function("f", host, exception_cls=Own))


@both
@pytest.mark.parametrize(
    ("pieces", "cls"),
    [
        ([], ConnectionError),
        ([event("chunk", "1")], ConnectionError),
        ([event("chunk", "1"), b"!"], ConnectionError),
        ([event("chunk", "1")[:-1], b"!"], ConnectionError),
        ([event("chunk", "{")], UnexpectedResponse),
        ([event("result", "nope")], UnexpectedResponse),
        ([event("error", "nope")], UnexpectedResponse),
    ],
)
def test_a_stream_that_breaks(read: Read, pieces: list[bytes], cls: type[Exception]) -> None:
    host = StreamingHttp(*pieces)
    with pytest.raises(cls):
        read(Function("f", host))
    assert host.closed


@both
def test_an_error_that_is_no_object(read: Read) -> None:
    with pytest.raises(UnexpectedResponse):
        read(Function("f", StreamingHttp(event("error", "[]"))))


@both
def test_an_answer_that_is_an_error(read: Read) -> None:
    failing = failing_http_host("queue_full")
    host = StreamingHttp(failing.answer.content)
    host.status_code, host.headers = 503, {"content-type": "application/json"}
    with pytest.raises(Exception, match=r"^f: it broke"):
        read(Function("f", host))


# Leaving


def test_leaving_closes() -> None:
    for how in ("close", "with", "forget"):
        host = StreamingHttp(event("chunk", "1") + event("chunk", "2"), END)
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


def test_leaving_closes_on_a_loop() -> None:
    async def main() -> None:
        for how in ("aclose", "with"):
            host = StreamingHttp(event("chunk", "1") + event("chunk", "2"), END)
            stream = Function("f", host).astream()
            assert await anext(stream) == 1
            if how == "aclose":
                await stream.aclose()
                assert [chunk async for chunk in stream] == []
            else:
                async with stream:
                    pass
            assert host.closed

    asyncio.run(main())


def test_astream_calls_when_the_first_value_is_asked_for() -> None:
    async def main() -> None:
        host = StreamingHttp(END)
        stream = Function("f", host).astream()
        assert host.requests == []
        await stream.aclose()
        assert [chunk async for chunk in stream] == []
        assert host.requests == []

    asyncio.run(main())


@both
def test_what_json_cannot_carry_is_said_at_once(read: Read) -> None:
    host = FakeHttpHost()
    with pytest.raises(TypeError, match="argument rows: a set has no JSON form"):
        Function("f", host).stream(rows={1}) if read is by_thread else Function("f", host).astream(
            rows={1}
        )
    assert host.requests == []


def test_a_stream_is_an_iterator() -> None:
    stream = Function("f", StreamingHttp(END)).stream()
    assert isinstance(stream, Stream)
    assert iter(stream) is stream
