"""Functions that stream, in both languages, and who reads them: Python, asyncio, curl."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.hosts import RunningHost, wait_until

from jshost.exceptions import ConnectionError, FunctionError, FunctionTimeout
from jshost.function import Function

CONFIG = {
    "host.config.py": """
import asyncio
import itertools
import jshost
include = ["host.config.js"]
seen = {}

def stopped(key):
    return seen.get(key)

def produced(key):
    return seen.get(key, 0)

def count(to, result=None):
    yield from range(to)
    return result

async def acount(to):
    for number in range(to):
        await asyncio.sleep(0)
        yield number

def returned(to):
    return (n * n for n in range(to))

def send(to, result=None):
    for number in range(to):
        jshost.current_call().send(number)
    return result

async def asend(to, result=None):
    for number in range(to):
        await jshost.current_call().asend(number)
    return result

def fails(after):
    yield from range(after)
    raise ValueError("no more")

async def afails(after):
    for number in range(after):
        yield number
    raise ValueError("no more")

def endless(key, bytes=10):
    try:
        for number in itertools.count():
            seen[key] = number
            yield "x" * bytes
    finally:
        seen[key] = "stopped"

async def aendless(key, bytes=10):
    try:
        for number in itertools.count():
            seen[key] = number
            yield "x" * bytes
            await asyncio.sleep(0)
    finally:
        seen[key] = "stopped"

def values():
    yield None
    yield {"a": [1, 2.5, "gr\\u00f6\\u00dfe\\n\\r\\u2028"], "b": None}
    yield b"\\x00\\xff" * 3
    yield ""
    yield b""
    return b"end"

def inner_bytes():
    yield 1
    yield {"image": b"x"}

def result_bytes():
    yield 1
    return {"image": b"\\x00\\r\\n\\xff"}

def once_only(key):
    yield 1
    while seen.get(key) != "go":
        yield from []
        import time; time.sleep(0.002)
    yield 2

def go(key):
    seen[key] = "go"

functions = dict(
    count=count, acount=acount, returned=returned, send=send, asend=asend, fails=fails,
    afails=afails, endless=endless, aendless=aendless, values=values, stopped=stopped,
    produced=produced, inner_bytes=inner_bytes, result_bytes=result_bytes, plain=lambda: [1, 2],
    once_only=once_only, go=go,
)
""",
    "host.config.js": """
const seen = {};
exports.functions = {
  js_stopped: ({key}) => seen[key] ?? null,
  js_produced: ({key}) => seen[key] ?? 0,
  *js_count({to, result}) { for (let i = 0; i < to; i++) yield i; return result; },
  async *js_acount({to, result}) { for (let i = 0; i < to; i++) yield i; return result; },
  async js_returned({to}) {
    return (function* () { for (let i = 0; i < to; i++) yield i * i; })();
  },
  async js_send({to, result}) { for (let i = 0; i < to; i++) await this.send(i); return result; },
  js_callback({to, result}, cb, ctx) {
    for (let i = 0; i < to; i++) ctx.send(i);
    setImmediate(() => cb(null, result));
  },
  *js_fails({after}) {
    for (let i = 0; i < after; i++) yield i;
    throw Object.assign(new RangeError('no more'), {code: 'E_END'});
  },
  async *js_afails({after}) {
    for (let i = 0; i < after; i++) yield i;
    throw Object.assign(new RangeError('no more'), {code: 'E_END'});
  },
  *js_endless({key, bytes = 10}) {
    try { for (let i = 0; ; i++) { seen[key] = i; yield 'x'.repeat(bytes); } }
    finally { seen[key] = 'stopped'; }
  },
  async *js_aendless({key, bytes = 10}) {
    try { for (let i = 0; ; i++) { seen[key] = i; yield 'x'.repeat(bytes); } }
    finally { seen[key] = 'stopped'; }
  },
  async js_send_endless({key, bytes = 10}) {
    let aborted = false;
    this.signal.addEventListener('abort', () => { aborted = true; });
    try { for (let i = 0; ; i++) { seen[key] = i; await this.send('x'.repeat(bytes)); } }
    finally { if (aborted) seen[key] = 'stopped'; }
  },
  *js_values() {
    yield null;
    yield {a: [1, 2.5, 'gr\\u00f6\\u00dfe\\n\\r\\u2028'], b: null};
    yield Buffer.from('00ff00ff00ff', 'hex');
    yield '';
    yield Buffer.alloc(0);
    return Buffer.from('end');
  },
  *js_inner_bytes() { yield 1; yield {image: Buffer.from('x')}; },
  *js_result_bytes() { yield 1; return {image: Buffer.from([0, 13, 10, 255])}; },
  js_plain: () => [1, 2],
};
""",
}
TIMEOUT_S = 10.0
COUNTS = ["count", "acount", "send", "asend", "js_count", "js_acount", "js_send", "js_callback"]
ENDLESS = ["endless", "aendless", "js_endless", "js_aendless", "js_send_endless"]

Read = Callable[..., tuple[list[Any], Any]]


def by_thread(function: Function, **arguments: Any) -> tuple[list[Any], Any]:
    stream = function.stream(**arguments)
    return list(stream), stream.result


def by_task(function: Function, **arguments: Any) -> tuple[list[Any], Any]:
    async def read() -> tuple[list[Any], Any]:
        stream = function.astream(**arguments)
        return [chunk async for chunk in stream], stream.result

    return asyncio.run(read())


both_readers = pytest.mark.parametrize("read", [by_thread, by_task])


def stopped_by(shared_host: RunningHost, name: str, key: str) -> None:
    """Wait until the producer has noticed that nobody reads."""
    stopped = shared_host.function("js_stopped" if name.startswith("js") else "stopped")
    wait_until(lambda: stopped.call(key=key) == "stopped", TIMEOUT_S, f"end of {name}")


@both_readers
@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("to", [0, 1, 3, 5000])
def test_values_come_in_order(shared_host: RunningHost, name: str, to: int, read: Read) -> None:
    chunks, result = read(shared_host.function(name), to=to)
    assert chunks == list(range(to))
    assert result is None


@both_readers
@pytest.mark.parametrize("name", [name for name in COUNTS if name != "acount"])
@pytest.mark.parametrize("result", [{"a": 1}, "text", 0, ""])
def test_what_the_function_returns_in_the_end(
    shared_host: RunningHost, name: str, result: Any, read: Read
) -> None:
    assert read(shared_host.function(name), to=2, result=result) == ([0, 1], result)


@both_readers
@pytest.mark.parametrize("name", ["returned", "js_returned"])
def test_a_generator_that_is_returned(shared_host: RunningHost, name: str, read: Read) -> None:
    assert read(shared_host.function(name), to=4)[0] == [0, 1, 4, 9]


@both_readers
@pytest.mark.parametrize("name", ["values", "js_values"])
def test_values_of_every_kind(shared_host: RunningHost, name: str, read: Read) -> None:
    chunks, result = read(shared_host.function(name))
    record = {"a": [1, 2.5, "größe\n\r\u2028"], "b": None}
    assert chunks == [None, record, b"\x00\xff" * 3, "", b""]
    assert result == b"end"


@both_readers
@pytest.mark.parametrize("name", ["inner_bytes", "js_inner_bytes"])
def test_bytes_inside_a_chunk_are_refused(shared_host: RunningHost, name: str, read: Read) -> None:
    with pytest.raises(FunctionError, match="bytes inside a value cannot be streamed"):
        read(shared_host.function(name))


@both_readers
@pytest.mark.parametrize("name", ["result_bytes", "js_result_bytes"])
def test_bytes_inside_the_result_of_a_stream(
    shared_host: RunningHost, name: str, read: Read
) -> None:
    """They arrive, or the error says why not; what comes must not be garbled."""
    try:
        chunks, result = read(shared_host.function(name))
    except FunctionError as error:
        assert "bytes inside" in str(error)  # noqa: PT017  either is right
    else:
        assert (chunks, result) == ([1], {"image": b"\x00\r\n\xff"})


@both_readers
@pytest.mark.parametrize("name", ["plain", "js_plain"])
def test_a_function_that_does_not_stream_has_a_result(
    shared_host: RunningHost, name: str, read: Read
) -> None:
    assert read(shared_host.function(name)) == ([], [1, 2])


@pytest.mark.parametrize("name", COUNTS)
def test_call_gives_the_list_or_the_result(shared_host: RunningHost, name: str) -> None:
    function = shared_host.function(name)
    assert function.call(to=3) == [0, 1, 2]
    assert asyncio.run(function.acall(to=3)) == [0, 1, 2]
    if name != "acount":
        assert function.call(to=3, result="end") == "end"
    if "send" not in name and name != "js_callback":
        assert function.call(to=0) == []


def test_values_come_while_the_function_still_runs(shared_host: RunningHost) -> None:
    stream = shared_host.function("once_only").stream(key="live")
    assert next(stream) == 1
    with pytest.raises(RuntimeError, match="once_only: the stream has no result yet"):
        stream.result  # noqa: B018
    shared_host.function("go").call(key="live")
    assert list(stream) == [2]
    assert stream.result is None
    assert list(stream) == []


# Errors


@both_readers
@pytest.mark.parametrize("name", ["fails", "afails", "js_fails", "js_afails"])
@pytest.mark.parametrize("after", [0, 1, 1000])
def test_an_error_is_raised_where_the_reader_stands(
    shared_host: RunningHost, name: str, after: int, read: Read
) -> None:
    got: list[Any] = []

    async def follow_async() -> None:
        async for chunk in shared_host.function(name).astream(after=after):
            got.append(chunk)

    def follow() -> None:
        for chunk in shared_host.function(name).stream(after=after):
            got.append(chunk)

    with pytest.raises(FunctionError, match=f"^{name}: .*no more") as caught:
        asyncio.run(follow_async()) if read is by_task else follow()
    assert got == list(range(after))
    assert caught.value.request_id
    if name.startswith("js"):
        assert caught.value.error_name == "RangeError"
        assert caught.value.properties == {"code": "E_END"}
    else:
        assert caught.value.error_name == "ValueError"
    with pytest.raises(FunctionError, match="no more"):
        shared_host.function(name).call(after=after)


@both_readers
@pytest.mark.parametrize("name", ["endless", "aendless", "js_endless", "js_aendless"])
def test_the_limit_counts_for_the_whole_stream(
    shared_host: RunningHost, name: str, read: Read
) -> None:
    key = f"limit {name} {read.__name__}"
    with pytest.raises(FunctionTimeout, match=f"^{name}: .*0.3 s"):
        read(shared_host.function(name, timeout=0.3), key=key)
    stopped_by(shared_host, name, key)


@both_readers
def test_unknown_functions_and_wrong_arguments(shared_host: RunningHost, read: Read) -> None:
    for name, arguments in [("gone", {}), ("count", {"wrong": 1})]:
        with pytest.raises(Exception, match=f"^{name}: "):
            read(shared_host.function(name), **arguments)


def test_a_stream_on_a_host_that_is_down() -> None:
    from jshost.host import JSHost

    function = Function("f", JSHost(root_url="http://127.0.0.1:1"))
    with pytest.raises(ConnectionError, match="No host answers"):
        function.stream()
    with pytest.raises(ConnectionError, match="No host answers"):
        by_task(function)


# Leaving


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("how", ["close", "with", "forget", "abandon a full stream"])
def test_a_reader_that_leaves_stops_the_producer(
    shared_host: RunningHost, name: str, how: str
) -> None:
    key = f"{how} {name}"
    size = 10 if how != "abandon a full stream" else 100_000
    stream = shared_host.function(name).stream(key=key, bytes=size)
    if how == "with":
        with stream:
            assert next(stream) == "x" * size
    else:
        assert next(stream) == "x" * size
    if how == "forget":
        del stream
        gc.collect()
    elif how == "close":
        stream.close()
        assert list(stream) == []
    elif how != "with":
        wait_until_still(shared_host, name, key)
        stream.close()
    stopped_by(shared_host, name, key)


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("how", ["aclose", "with", "break", "cancel"])
def test_a_task_that_leaves_stops_the_producer(
    shared_host: RunningHost, name: str, how: str
) -> None:
    key = f"async {how} {name}"

    async def read() -> None:
        stream = shared_host.function(name).astream(key=key)
        if how == "with":
            async with stream:
                assert await anext(stream)
        elif how == "aclose":
            assert await anext(stream)
            await stream.aclose()
            assert [chunk async for chunk in stream] == []
        else:
            async for _ in stream:
                if how == "break":
                    break

    async def main() -> None:
        task = asyncio.create_task(read())
        if how == "cancel":
            produced = shared_host.function("js_produced" if "js" in name else "produced")
            while await produced.acall(key=key) == 0:
                await asyncio.sleep(0.002)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
        await asyncio.to_thread(stopped_by, shared_host, name, key)

    asyncio.run(main())


def wait_until_still(host: RunningHost, name: str, key: str) -> int:
    """Until the producer has come to a stop; returns how many chunks it has made by then."""
    produced = host.function("js_produced" if name.startswith("js") else "produced")
    made = [produced.call(key=key)]

    def is_still() -> bool:
        time.sleep(0.1)
        made.append(produced.call(key=key))
        return made[-1] == made[-2] > 0

    wait_until(is_still, TIMEOUT_S, "producer that waits")
    return int(made[-1])


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("size", [1_000, 100_000])
def test_a_slow_reader_slows_the_producer_down(
    shared_host: RunningHost, name: str, size: int
) -> None:
    """The producer makes what fits in the buffers between, some megabytes, and then waits."""
    key = f"slow {size} {name}"
    with shared_host.function(name, timeout=60).stream(key=key, bytes=size) as stream:
        assert next(stream)
        made = wait_until_still(shared_host, name, key)
        assert made * size < 16e6
        for _ in range(made):
            next(stream)
        produced = shared_host.function("js_produced" if name.startswith("js") else "produced")
        wait_until(lambda: produced.call(key=key) > made, TIMEOUT_S, "producer that goes on")
    stopped_by(shared_host, name, key)


@pytest.mark.parametrize("name", ["count", "js_acount"])
def test_streams_side_by_side(shared_host: RunningHost, name: str) -> None:
    function = shared_host.function(name)

    async def one(to: int) -> list[Any]:
        return [chunk async for chunk in function.astream(to=to)]

    async def main() -> list[list[Any]]:
        return await asyncio.gather(*(one(n * 10) for n in range(40)))

    assert asyncio.run(main()) == [list(range(n * 10)) for n in range(40)]
    streams = [function.stream(to=3) for _ in range(3)]
    assert [list(row) for row in zip(*streams, strict=True)] == [[n] * 3 for n in range(3)]


@pytest.mark.parametrize("name", ["count", "js_count"])
def test_a_stream_that_was_read_leaves_its_connection(shared_host: RunningHost, name: str) -> None:
    port = shared_host.status["config"]["port"]
    function = shared_host.function(name)
    for _ in range(3):
        assert list(function.stream(to=3)) == [0, 1, 2]
    transport: Any = function.get_host()._requester._connected()
    (kept,) = transport._kept.idle
    assert kept._socket.getpeername()[1] == port


# The wire


def curl(host: RunningHost, name: str, body: str, *flags: str) -> subprocess.Popen[bytes]:
    url = f"{host.url}/function/{name}"
    kinds = ["-H", "Accept: text/event-stream", "-H", "Content-Type: application/json"]
    command = ["curl", "-sN", url, "-d", body, *kinds, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_shows_values_as_they_come(shared_host: RunningHost) -> None:
    with curl(shared_host, "once_only", '{"key": "curl"}', "-i") as shown:
        assert shown.stdout is not None
        lines = [line.rstrip(b"\r\n") for line in iter(shown.stdout.readline, b"data: 1\n")]
        shared_host.function("go").call(key="curl")
        rest = shown.stdout.read()
        assert shown.wait(TIMEOUT_S) == 0
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"content-type: text/event-stream" in lines
    assert b"cache-control: no-store" in lines
    assert lines[-1] == b"event: chunk"
    assert rest == b"\nevent: chunk\ndata: 2\n\nevent: result\ndata: null\n\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("name", ENDLESS)
def test_curl_that_is_interrupted_stops_the_producer(shared_host: RunningHost, name: str) -> None:
    key = f"curl {name}"
    with curl(shared_host, name, json.dumps({"key": key})) as shown:
        assert shown.stdout is not None
        assert shown.stdout.readline() == b"event: chunk\n"
        shown.kill()
    stopped_by(shared_host, name, key)


EVENTS = {
    "values": (
        'event: chunk\ndata: null\n\nevent: chunk\ndata: {"a": [1, 2.5, "gr\\u00f6\\u00dfe\\n\\r'
        '\\u2028"], "b": null}\n\nevent: chunk-bytes\ndata: AP8A/wD/\n\nevent: chunk\ndata: ""\n\n'
        "event: chunk-bytes\ndata: \n\nevent: result-bytes\ndata: ZW5k\n\n"
    ),
    "js_values": (
        'event: chunk\ndata: null\n\nevent: chunk\ndata: {"a":[1,2.5,"größe\\n\\r\u2028"],"b":null}'
        '\n\nevent: chunk-bytes\ndata: AP8A/wD/\n\nevent: chunk\ndata: ""\n\n'
        "event: chunk-bytes\ndata: \n\nevent: result-bytes\ndata: ZW5k\n\n"
    ),
}


def raw_events(host: RunningHost, name: str, body: bytes) -> tuple[bytes, str]:
    """Head and body of the answer for who takes events; HTTP/1.0 spares us the chunks."""
    with socket.create_connection(("127.0.0.1", host.status["config"]["port"]), TIMEOUT_S) as sock:
        sock.sendall(
            b"POST /function/%s HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            b"Content-Type: application/json\r\nX-Request-ID: asked-7\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (name.encode(), len(body), body)
        )
        head, _, events = b"".join(iter(lambda: sock.recv(65536), b"")).partition(b"\r\n\r\n")
    return head, events.decode()


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_one_line_of_json_each(shared_host: RunningHost, name: str) -> None:
    head, events = raw_events(shared_host, name, b"{}")
    assert events == EVENTS[name]
    assert b"x-request-id: asked-7" in head


@pytest.mark.parametrize("name", ["fails", "js_fails"])
def test_an_error_event_is_the_envelope(shared_host: RunningHost, name: str) -> None:
    head, events = raw_events(shared_host, name, b'{"after": 1}')
    assert head.startswith(b"HTTP/1.1 200 OK")
    chunk, error = events.removesuffix("\n\n").split("\n\n")
    assert chunk == "event: chunk\ndata: 0"
    assert error.startswith("event: error\ndata: ")
    envelope = json.loads(error.removeprefix("event: error\ndata: "))
    assert (envelope["code"], envelope["message"]) == ("function_failed", "no more")
    assert envelope["requestId"] == "asked-7"
    head, body = raw_events(shared_host, name, b'{"after": 0}')
    assert head.startswith(b"HTTP/1.1 500 "), "before the first value a status says it better"
    assert "no more" in body
