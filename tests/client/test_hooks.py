"""What hooks are told of calls, without a wire."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_host import FakeHost, Streaming, failing_host

import jshost
from jshost import verbosity
from jshost.client import hooks
from jshost.client.hooks import OutgoingCall
from jshost.client.host import Answer, AnswerRun, BatchAnswer, BatchRequest, DeadlinePassed
from jshost.conf import settings
from jshost.exceptions import FunctionError, FunctionTimeout
from jshost.function import Function

ONE = ("application/json", b"1")
END = Answer("application/json", b"null")


@pytest.fixture(autouse=True)
def told() -> Iterator[list[OutgoingCall]]:
    """The calls that ended."""
    found: list[OutgoingCall] = []
    jshost.after_call(found.append)
    yield found
    hooks.before.clear()
    hooks.after.clear()


def test_a_hook_is_what_it_was() -> None:
    """They are decorators."""

    def hook(call: OutgoingCall) -> None:
        pass

    assert jshost.before_call(hook) is hook
    assert jshost.after_call(hook) is hook


def test_before_a_call_nothing_is_known_of_its_end() -> None:
    seen: list[Any] = []

    @jshost.before_call
    def before(call: OutgoingCall) -> None:
        seen.append((call.name, call.arguments, call.timeout_s, call.response, call.error))
        seen.append((call.spent_s, repr(call)))

    Function("f", FakeHost(), timeout=3).call(a=1)
    assert seen == [("f", {"a": 1}, 3, None, None), (0.0, "<OutgoingCall f>")]


def test_headers_are_sent_along() -> None:
    jshost.before_call(lambda call: call.headers.update({"traceparent": "00-1"}))
    jshost.before_call(lambda call: call.headers.update({"X-Request-ID": call.name}))
    host = FakeHost()
    Function("f", host).call()
    asyncio.run(Function("g", host).acall())
    Function("h", host).send_request()
    sent = [request.headers for request in host.requests]
    assert [headers["traceparent"] for headers in sent] == ["00-1"] * 3
    assert [headers["X-Request-ID"] for headers in sent] == ["f", "g", "h"]
    streaming = Streaming(END)
    list(Function("s", streaming).stream())
    assert streaming.requests[0].headers["X-Request-ID"] == "s"


def test_the_next_call_does_not_have_the_last_ones_headers() -> None:
    once = iter([{"X-Request-ID": "first"}])
    jshost.before_call(lambda call: call.headers.update(next(once, {})))
    host = FakeHost()
    function = Function("f", host)
    function.call()
    function.call()
    assert ["X-Request-ID" in request.headers for request in host.requests] == [True, False]


def test_the_end_of_a_call(told: list[OutgoingCall]) -> None:
    Function("f", FakeHost(b"1")).call()
    asyncio.run(Function("f", FakeHost(b"1")).acall())
    Function("f", FakeHost(b"1")).send_request()
    assert [call.response.status_code for call in told] == [200] * 3
    assert [call.error for call in told] == [None] * 3
    assert all(call.spent_s > 0 for call in told)


def test_a_call_that_fails(told: list[OutgoingCall]) -> None:
    with pytest.raises(FunctionError) as caught:
        Function("f", failing_host()).call()
    with pytest.raises(FunctionTimeout) as late:
        asyncio.run(Function("f", FakeHost(error=DeadlinePassed()), timeout=1).acall())
    assert [call.error for call in told] == [caught.value, late.value]
    assert told[0].response.status_code == 500
    assert told[1].response is None


def test_a_call_that_a_fallback_answers_has_failed(told: list[OutgoingCall]) -> None:
    function = Function("f", FakeHost(error=jshost.ConnectionError("down")), fallback=1)
    assert function.call() == 1
    (call,) = told
    assert isinstance(call.error, jshost.ConnectionError)


def test_a_call_that_is_cancelled(told: list[OutgoingCall]) -> None:
    class Waiting(FakeHost):
        async def acall(self, *arguments: Any) -> Any:
            await asyncio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await Function("f", Waiting()).acall()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert [type(call.error) for call in told] == [asyncio.CancelledError]


def test_a_batch_that_is_left(told: list[OutgoingCall], caplog: pytest.LogCaptureFixture) -> None:
    class Left(FakeHost):
        def batch(self, *arguments: Any) -> Any:
            raise KeyboardInterrupt

        async def abatch(self, *arguments: Any) -> Any:
            await asyncio.sleep(60)

    async def main() -> None:
        async with asyncio.timeout(0.05):
            await Function("f", Left()).amap([{"n": 1}, {"n": 2}])

    settings.configure(VERBOSITY=verbosity.FUNCTION_CALL)
    caplog.set_level(logging.INFO, "jshost.activity")
    with pytest.raises(TimeoutError):
        asyncio.run(main())
    with pytest.raises(KeyboardInterrupt):
        Function("f", Left()).map([{"n": 1}])
    assert [type(call.error) for call in told] == [asyncio.CancelledError, KeyboardInterrupt]
    said = [message.partition(",")[0] for message in caplog.messages]
    assert said == ["batch of 2 calls: left", "batch of 1 calls: left"]


def test_a_batch_whose_hook_fails_is_reported_once(
    told: list[OutgoingCall], caplog: pytest.LogCaptureFixture
) -> None:
    @jshost.after_call
    def fail(call: OutgoingCall) -> None:
        raise ValueError("the hook's")

    settings.configure(VERBOSITY=verbosity.FUNCTION_CALL)
    caplog.set_level(logging.INFO, "jshost.activity")

    class One(FakeHost):
        def batch(self, request: BatchRequest) -> BatchAnswer:
            return BatchAnswer([AnswerRun("application/json", [b"1"])])

    (answer,) = Function("f", One()).map([{}])
    assert isinstance(answer, ValueError)
    assert [call.error for call in told] == [None]
    assert [text.partition(",")[0] for text in caplog.messages] == ["batch of 1 calls: 200"]


@pytest.mark.parametrize("read", ["all", "some", "none"])
def test_a_stream_is_told_of_once(told: list[OutgoingCall], read: str) -> None:
    with Function("f", Streaming(ONE, ONE, END)).stream() as stream:
        if read == "all":
            assert list(stream) == [1, 1]
        elif read == "some":
            assert next(stream) == 1
    stream.close()
    assert [(call.name, call.error) for call in told] == [("f", None)]


def test_a_stream_that_fails_is_told_of_once(told: list[OutgoingCall]) -> None:
    stream = Function("f", Streaming(ONE, ConnectionError("the connection broke"))).stream()
    with pytest.raises(ConnectionError) as caught:
        list(stream)
    stream.close()
    assert [call.error for call in told] == [caught.value]


def test_what_a_hook_raises_before_a_call_ends_it() -> None:
    @jshost.before_call
    def refuse(call: OutgoingCall) -> None:
        raise PermissionError("not now")

    host = FakeHost()
    with pytest.raises(PermissionError, match="not now"):
        Function("f", host, fallback=1).call()
    assert host.requests == []


def test_what_cannot_be_encoded_is_no_call(told: list[OutgoingCall]) -> None:
    with pytest.raises(TypeError):
        Function("f", FakeHost()).call(a={1})
    assert told == []
