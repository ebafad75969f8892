"""A runtime in this process, over a socket pair: what a host sees of it."""

from __future__ import annotations

import gc
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from support.hosts import wait_until

from jshost.protocol import frames
from jshost.worker.channel import Channel
from jshost.worker.config import LoadedConfig
from jshost.worker.context import HostContext, current_call
from jshost.worker.runtime import ExitReason, Runtime
from jshost.worker.streams import WINDOW_BYTES

WAIT_S = 10.0
FrameOf = tuple[int, int, bytes]


class Host:
    """The host's end of the socket pair."""

    def __init__(self, functions: dict[str, Callable[..., Any]], **options: Any) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.socket.settimeout(WAIT_S)
        self._their_socket = theirs
        self._decoder = frames.Decoder()
        self._received: deque[FrameOf] = deque()
        self.ending = threading.Event()
        context = HostContext(ModuleType("config"), functions)
        config = LoadedConfig(context, {"port": 0}, ["/project/host.config.py"], {})
        self.runtime = Runtime(Channel(theirs), config, on_end=self.ending.set, **options)
        self.reason: ExitReason | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.reason = self.runtime.run()

    def receive(self) -> FrameOf:
        while not self._received:
            data = self.socket.recv(1 << 20)
            assert data, "the runtime has closed the channel"
            self._received += self._decoder.feed(data)
        return self._received.popleft()

    def ready(self) -> dict[str, Any]:
        kind, _, payload = self.receive()
        assert kind == frames.READY
        return dict(json.loads(payload))

    def send(self, kind: int, call_id: int = 0, payload: bytes = b"") -> None:
        self.socket.sendall(frames.encode(kind, call_id, payload))

    def call(self, call_id: int, name: str, body: bytes = b"", *, stream: bool = False) -> None:
        header = frames.call_header(name, 2.5, f"id-{call_id}", stream=stream)
        self.socket.sendall(frames.call_frame(call_id, header, body))

    def answer(self, call_id: int, name: str, body: bytes = b"") -> bytes:
        """The payload of a call's RESULT."""
        self.call(call_id, name, body)
        kind, answered, payload = self.receive()
        assert (kind, answered) == (frames.RESULT, call_id), payload
        return payload

    def error(self, call_id: int, name: str, body: bytes = b"") -> dict[str, Any]:
        """The envelope of a call's ERROR."""
        self.call(call_id, name, body)
        return self.receive_error(call_id)

    def receive_error(self, call_id: int) -> dict[str, Any]:
        kind, answered, payload = self.receive()
        assert (kind, answered) == (frames.ERROR, call_id), payload
        return dict(json.loads(payload))

    def exit_reason(self) -> ExitReason | None:
        """Why the runtime has returned."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the runtime has not returned"
        return self.reason

    def close(self) -> None:
        self.socket.close()
        self.exit_reason()
        self._their_socket.close()


Start = Callable[..., Host]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a runtime of these functions, and take its READY."""
    hosts: list[Host] = []

    def start_host(threads: int = 4, **functions: Callable[..., Any]) -> Host:
        host = Host(functions, threads=threads)
        hosts.append(host)
        host.ready()
        return host

    yield start_host
    for host in hosts:
        host.close()


def double(number: int) -> int:
    return 2 * number


async def double_async(number: int) -> int:
    return 2 * number


def fail() -> None:
    error = LookupError("no tea")
    error.code = 7  # type: ignore[attr-defined]
    raise error


# Ready


def test_it_says_ready_with_what_the_config_says() -> None:
    host = Host({"double": double, "fail": fail})
    ready = host.ready()
    assert ready["language"] == "python"
    assert ready["functions"] == ["double", "fail"]
    assert ready["options"] == {"port": 0}
    assert ready["files"] == ["/project/host.config.py"]
    host.close()


def test_a_host_that_is_gone_before_ready_is_a_reason() -> None:
    host_end, worker_end = socket.socketpair()
    host_end.close()
    config = LoadedConfig(HostContext(ModuleType("config"), {}), {}, [], {})
    with worker_end:
        assert Runtime(Channel(worker_end), config).run() is ExitReason.HOST_GONE


# Calls


@pytest.mark.parametrize("function", [double, double_async])
def test_a_call_is_answered(start: Start, function: Callable[..., Any]) -> None:
    host = start(double=function)
    assert host.answer(1, "double", b'{"number": 20}') == b"j40"
    assert host.answer(2, "double", b'{"number": "ab"}') == b"tabab"


def test_calls_run_at_the_same_time(start: Start) -> None:
    together = threading.Barrier(3)
    host = start(meet=lambda: together.wait(WAIT_S) >= 0)
    for call_id in (1, 2, 3):
        host.call(call_id, "meet")
    answers = sorted(host.receive() for _ in range(3))
    assert answers == [(frames.RESULT, call_id, b"jtrue") for call_id in (1, 2, 3)]


def test_a_function_sees_its_call(start: Start) -> None:
    def see() -> list[Any]:
        call = current_call()
        return [call.name, call.request_id, call.timeout_s, call.signal.aborted]

    async def see_async() -> list[Any]:
        return see()

    host = start(see=see, see_async=see_async)
    assert json.loads(host.answer(7, "see")[1:]) == ["see", "id-7", 2.5, False]
    assert json.loads(host.answer(8, "see_async")[1:]) == ["see_async", "id-8", 2.5, False]


def test_a_coroutine_of_a_plain_function_is_awaited(start: Start) -> None:
    host = start(double=lambda number: double_async(number))
    assert host.answer(1, "double", b'{"number": 20}') == b"j40"


# Errors


def test_an_exception_is_described(start: Start) -> None:
    error = start(fail=fail).error(1, "fail")
    assert error["code"] == "function_failed"
    assert (error["name"], error["message"]) == ("LookupError", "no tea")
    assert error["properties"] == {"code": 7}
    assert error["stack"].endswith("LookupError: no tea")
    assert "worker/runtime.py" not in error["stack"]


def test_an_unknown_function_is_an_error(start: Start) -> None:
    error = start().error(1, "render")
    assert (error["code"], error["message"]) == (
        "unknown_function",
        'Not found. Unknown function "render"',
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_json"),
        (b"[1]", "not_an_object"),
        (b'{"nombre": 1}', "arguments"),
        (b'{"number": null}', "function_failed"),
    ],
)
def test_a_body_that_does_not_fit_is_an_error(start: Start, body: bytes, code: str) -> None:
    assert start(double=double).error(1, "double", body)["code"] == code


def test_a_result_that_cannot_be_sent_is_an_error(start: Start) -> None:
    error = start(f=lambda: {"items": [object()]}).error(1, "f")
    assert error["code"] == "unserializable_result"
    assert error["message"].startswith("result items[0]")


# Streams


def count(upto: int) -> Iterator[int]:
    yield from range(upto)


async def count_async(upto: int) -> Any:
    for number in range(upto):
        yield number


@pytest.mark.parametrize("function", [count, count_async])
def test_a_generator_streams(start: Start, function: Callable[..., Any]) -> None:
    host = start(count=function)
    host.call(1, "count", b'{"upto": 3}', stream=True)
    assert [host.receive() for _ in range(4)] == [
        (frames.CHUNK, 1, b"j0"),
        (frames.CHUNK, 1, b"j1"),
        (frames.CHUNK, 1, b"j2"),
        (frames.RESULT, 1, b"jnull"),
    ]


@pytest.mark.parametrize("function", [count, count_async])
def test_a_caller_that_does_not_stream_gets_the_list(
    start: Start, function: Callable[..., Any]
) -> None:
    assert start(count=function).answer(1, "count", b'{"upto": 3}') == b"j[0, 1, 2]"


CHUNK = "x" * 1000


def endless() -> Iterator[str]:
    while True:
        yield CHUNK


async def endless_async() -> Any:
    while True:
        yield CHUNK


def send_endlessly() -> None:
    while True:
        current_call().send(CHUNK)


ENDLESS = [endless, endless_async, send_endlessly]


def received_chunks(host: Host, limit: int) -> int:
    """Bytes of frames that come until they reach the limit."""
    received = 0
    while received < limit:
        kind, _, payload = host.receive()
        assert kind == frames.CHUNK
        received += frames.HEADER.size + len(payload)
    return received


@pytest.mark.parametrize("function", ENDLESS)
def test_a_stream_waits_for_credit(start: Start, function: Callable[..., Any]) -> None:
    host = start(endless=function)
    host.call(1, "endless", stream=True)
    received = received_chunks(host, WINDOW_BYTES)
    host.send(frames.PING, 5)
    kind, _, _ = host.receive()
    assert kind == frames.PONG, "no chunk is sent without credit"
    host.send(frames.CHUNK, 1, received.to_bytes(4, "big"))
    assert received_chunks(host, WINDOW_BYTES) == received
    host.send(frames.CANCEL, 1)
    assert host.receive_error(1)["code"] == "cancelled"


# Cancelling


@pytest.mark.parametrize("function", ENDLESS)
def test_a_stream_is_cancelled(start: Start, function: Callable[..., Any]) -> None:
    host = start(endless=function)
    host.call(1, "endless", stream=True)
    assert host.receive()[0] == frames.CHUNK
    host.send(frames.CANCEL, 1)
    kind, payload = frames.CHUNK, b""
    while kind == frames.CHUNK:
        kind, _, payload = host.receive()
    assert (kind, json.loads(payload)["code"]) == (frames.ERROR, "cancelled")


def test_an_async_function_is_cancelled(start: Start) -> None:
    import asyncio

    async def wait() -> None:
        current_call().host.logger.info("waiting")
        waiting.set()
        await asyncio.Event().wait()

    waiting = threading.Event()
    host = start(wait=wait)
    host.call(1, "wait")
    assert waiting.wait(WAIT_S)
    host.send(frames.CANCEL, 1)
    error = host.receive_error(1)
    assert (error["code"], error["name"]) == ("cancelled", "CancelledError")


def test_a_plain_function_sees_that_it_is_cancelled(start: Start) -> None:
    def wait() -> str:
        waiting.set()
        wait_until(lambda: current_call().signal.aborted, WAIT_S, "the CANCEL")
        return "stopped"

    waiting = threading.Event()
    host = start(wait=wait)
    host.call(1, "wait")
    assert waiting.wait(WAIT_S)
    host.send(frames.CANCEL, 1)
    assert host.receive() == (frames.RESULT, 1, b"tstopped")


def test_a_call_that_waits_for_a_thread_is_cancelled(start: Start) -> None:
    door = threading.Event()
    host = start(threads=1, wait=lambda: door.wait(WAIT_S))
    host.call(1, "wait")
    host.call(2, "wait")
    host.send(frames.PING, 3)
    assert host.receive()[0] == frames.PONG, "it has read the call"
    host.send(frames.CANCEL, 2)
    error = host.receive_error(2)
    assert error["message"] == "the call was cancelled before it began"
    door.set()
    assert host.receive() == (frames.RESULT, 1, b"jtrue")


# Life


def test_a_ping_is_answered(start: Start) -> None:
    host = start(double=double)
    host.send(frames.PING, 3, b"12345678")
    assert host.receive() == (frames.PONG, 3, b"12345678")


def test_a_loop_that_is_blocked_answers_no_ping(start: Start) -> None:
    door, entered = threading.Event(), threading.Event()

    async def block() -> None:
        entered.set()
        door.wait(WAIT_S)

    host = start(block=block)
    host.call(1, "block")
    assert entered.wait(WAIT_S)
    host.send(frames.PING, 3)
    door.set()
    assert {host.receive()[0], host.receive()[0]} == {frames.RESULT, frames.PONG}


@pytest.mark.parametrize("function", [double, double_async])
def test_drain_is_a_reason(start: Start, function: Callable[..., Any]) -> None:
    host = start(double=function)
    assert host.answer(1, "double", b'{"number": 1}') == b"j2"
    host.send(frames.DRAIN)
    assert host.exit_reason() is ExitReason.DRAINED
    assert host.ending.is_set()


@pytest.mark.parametrize("function", [double, double_async])
def test_eof_is_a_reason(start: Start, function: Callable[..., Any]) -> None:
    host = start(double=function)
    assert host.answer(1, "double", b'{"number": 1}') == b"j2"
    host.socket.shutdown(socket.SHUT_WR)
    assert host.exit_reason() is ExitReason.HOST_GONE


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n", frames.encode(frames.CALL, 1, b"\0")])
def test_garbage_is_a_reason(
    start: Start, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    host = start(double=double)
    host.socket.sendall(garbage)
    assert host.exit_reason() is ExitReason.PROTOCOL_ERROR
    assert host.socket.recv(1) == b"", "no answer can be trusted: EOF"
    assert "FrameError" in capsys.readouterr().err


def test_it_leaves_no_thread_and_nothing_that_is_global(start: Start) -> None:
    before = set(threading.enumerate())
    host = start(double=double, count=count, double_async=double_async)
    for call_id in range(10):
        host.call(call_id, "double", b'{"number": 1}')
    for _ in range(10):
        host.receive()
    host.call(11, "count", b'{"upto": 2}', stream=True)
    while host.receive()[0] != frames.RESULT:
        pass
    host.send(frames.DRAIN)
    assert host.exit_reason() is ExitReason.DRAINED
    wait_until(lambda: set(threading.enumerate()) <= before, WAIT_S, "its threads to end")
    host.runtime = None  # type: ignore[assignment]
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Runtime]
