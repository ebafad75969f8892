"""A real Python worker, driven by frames without a host: streams, credit, cancelling, errors."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jshost.pool.launch import Launch
from jshost.pool.process import WorkerProcess, spawn
from jshost.protocol import frames, results, values
from jshost.worker.streams import QUEUE_LIMIT_BYTES, WINDOW_BYTES

pytestmark = pytest.mark.versions

WAIT_S = 20.0
PORTION_BYTES = WINDOW_BYTES // 4
CHUNK_BYTES = 8 * 1024

CONFIG = f"""
import asyncio, functools, threading
import jshost
from jshost.worker.context import CallCancelled, current_call

CHUNK = "x" * {CHUNK_BYTES - frames.HEADER.size - 3}  # with its frame: {CHUNK_BYTES} bytes
gates, notes = {{}}, []
main_thread = threading.main_thread()

def gate(name): return gates.setdefault(name, threading.Event())
def open_gate(name): gate(name).set()
def note(*texts): notes.append(" ".join(map(str, texts)))
def take_notes():
    taken = notes[:]
    notes.clear()
    return taken

def count(n, result=None):
    yield from range(n)
    return result
async def count_async(n):
    for i in range(n):
        yield i
def count_elsewhere(n): return count(n, "done")
def count_async_elsewhere(n): return count_async(n)
async def count_in_thread(n):
    def generator():
        for _ in range(n):
            yield threading.current_thread() is main_thread, current_call().name
    return generator()
def kinds():
    yield "a\\nb"
    yield b"\\xff"
    yield {{"a": [1]}}
    yield None
    return "text\\n"
def same_thread():
    for _ in range(3):
        yield threading.get_ident()
def live(name):
    for i in range(5):
        yield i
    gate(name).wait()
    yield "end"
async def live_async(name):
    for i in range(5):
        yield i
    while not gate(name).is_set():
        await asyncio.sleep(0.001)
    yield "end"

def endless():
    try:
        while True:
            notes.append(1)
            yield CHUNK
    except GeneratorExit:
        note("closed")
        raise
async def endless_async():
    try:
        while True:
            notes.append(1)
            yield CHUNK
    finally:
        note("closed")
async def sleeper():
    yield 1
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        note("CancelledError")
        raise
async def chatty():
    while True:
        yield 1
def sender():
    try:
        while True:
            notes.append(1)
            current_call().send(CHUNK)
    except CallCancelled as error:
        note("CallCancelled")
        raise
async def asender():
    try:
        while True:
            notes.append(1)
            await current_call().asend(CHUNK)
    except asyncio.CancelledError:
        note("CancelledError")
        raise
async def queued(n):
    for i in range(n):
        current_call().send([i, CHUNK])
    note("queued")
    return "done"
async def queued_then_fails(n):
    await queued(n)
    raise ValueError("no more")
async def flood():
    while True:
        current_call().send(b"x" * (1 << 20))
def sends(result=None):
    jshost_call = current_call()
    jshost_call.send("a")
    jshost_call.send(b"b")
    return result
async def asends():
    current_call().send("a")
    await current_call().asend("b")
def late(name):
    call = current_call()
    def on():
        gate(name).wait()
        call.send(1)
        call.send(2)
        note("sent")
    threading.Thread(target=on).start()
def megabytes(n):
    for _ in range(n):
        yield bytes(1 << 20)
def memory_peak():
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def bytes_inside():
    try:
        yield 1
        yield {{"image": b"x"}}
    finally:
        note("closed")
def unsayable():
    yield {{"a": {{1}}}}
class SaveError(Exception):
    def __init__(self, message, **properties):
        super().__init__(message)
        self.__dict__.update(properties)
def fails():
    yield 1
    try:
        {{}}["key"]
    except KeyError as error:
        unsayable = {{"bad": {{1}}, "image": b"x", "_private": 1}}
        raise SaveError("not saved", code="E_SAVE", tries=[1], **unsayable) from error
def fails_in_handler():
    try:
        1 / 0
    except ZeroDivisionError:
        raise ValueError("in the handler")
def fails_alone():
    try:
        1 / 0
    except ZeroDivisionError:
        raise ValueError("alone") from None
def fails_deeply(depth):
    try:
        if depth:
            fails_deeply(depth - 1)
    finally:
        raise ValueError(f"at {{depth}}")
def fails_hugely():
    raise SaveError("no", small=1, huge="x" * 70_000)

def echo(**arguments): return arguments
def kind_of(data): return type(data).__name__, len(data)
def hello(): return "Hello\\n"
def image(): return {{"image": b"\\xff"}}
def traceparent(): return current_call().traceparent

functions = {{name: each for name, each in list(globals().items()) if callable(each)}}
"""


class Driver:
    """The host's end of a worker's channel, one frame at a time."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self._decoder = frames.Decoder()
        self._received: deque[frames.Frame] = deque()
        self._last_id = 0
        process.channel.settimeout(WAIT_S)

    def receive(self) -> frames.Frame:
        while not self._received:
            data = self.process.channel.recv(1 << 18)
            assert data, "the worker has ended"
            self._received.extend(self._decoder.feed(data))
        return self._received.popleft()

    def send(self, kind: int, call_id: int, payload: bytes = b"") -> None:
        self.process.channel.sendall(frames.encode(kind, call_id, payload))

    def begin(self, name: str, body: bytes = b"{}", **header: Any) -> int:
        self._last_id += 1
        described = {"name": name, "requestId": f"r{self._last_id}", "timeout": None, **header}
        frame = frames.call_frame(self._last_id, json.dumps(described).encode(), body)
        self.process.channel.sendall(frame)
        return self._last_id

    def stream(self, name: str, /, **arguments: Any) -> int:
        return self.begin(name, json.dumps(arguments).encode(), stream=True)

    def credit(self, call_id: int, size: int) -> None:
        self.send(frames.CHUNK, call_id, size.to_bytes(4, "big"))

    def next_of(self, call_id: int) -> tuple[int, bytes]:
        """The next frame of a call; what others are answered waits."""
        passed = []
        while True:
            frame = self.receive()
            if frame[1] == call_id:
                break
            passed.append(frame)
        self._received.extendleft(reversed(passed))
        return frame[0], frame[2]

    def chunk(self, call_id: int) -> Any:
        kind, payload = self.next_of(call_id)
        assert kind == frames.CHUNK, payload
        assert payload[:1] in b"jb"
        return json.loads(payload[1:]) if payload[:1] == b"j" else payload[1:]

    def end(self, call_id: int) -> Any:
        """What the last frame of a call says: (form, value) or the error's envelope."""
        kind, payload = self.next_of(call_id)
        if kind == frames.ERROR:
            return json.loads(payload)
        assert kind == frames.RESULT
        return payload[:1], payload[1:]

    def all(self, call_id: int) -> tuple[list[Any], Any]:
        """Chunks and end of a call, with credit as it is due."""
        found, taken = [], 0
        while True:
            kind, payload = self.next_of(call_id)
            if kind != frames.CHUNK:
                self._received.appendleft((kind, call_id, payload))
                return found, self.end(call_id)
            found.append(json.loads(payload[1:]) if payload[:1] == b"j" else payload[1:])
            taken += frames.HEADER.size + len(payload)
            if taken >= PORTION_BYTES:
                self.credit(call_id, taken)
                taken = 0

    def call(self, name: str, /, **arguments: Any) -> Any:
        """The JSON value of a plain call."""
        form, value = self.end(self.begin(name, json.dumps(arguments).encode()))
        return json.loads(value) if form == values.JSON else value

    def fill(self, call_id: int) -> int:
        """Take the chunks that come without credit; returns how many those are."""
        return sum(self.chunk(call_id) is not None for _ in range(WINDOW_BYTES // CHUNK_BYTES))

    def notes_until(self, text: str) -> list[Any]:
        found: list[Any] = []
        while text not in found:
            found += self.call("take_notes")
        return found

    def logs(self) -> list[Any]:
        """The log records that came before what was received last."""
        return [json.loads(payload) for kind, _, payload in self._received if kind == frames.LOG]

    def ended(self) -> None:
        self.process.popen.wait(WAIT_S)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Driver]:
    config = tmp_path / "host.config.py"
    config.write_text(CONFIG)
    process = spawn(Launch.for_config(config, {"options": []}))
    driver = Driver(process)
    try:
        kind, _, payload = driver.receive()
        assert kind == frames.READY, payload
        yield driver
    finally:
        process.close()
        process.kill()
        process.popen.wait(WAIT_S)
        process.stdout.close()
        process.stderr.close()


NULL = (values.JSON, b"null")


def multipart_type(body: bytes) -> str:
    return "multipart/form-data; boundary=" + body[2:].partition(b"\r")[0].decode()


# What streams


@pytest.mark.parametrize(
    ("name", "chunks", "end"),
    [
        ("count", [0, 1, 2], NULL),
        ("count_async", [0, 1, 2], NULL),
        ("count_elsewhere", [0, 1, 2], (values.JSON, b'"done"')),
        ("count_async_elsewhere", [0, 1, 2], NULL),
        ("count_in_thread", [[False, "count_in_thread"]] * 3, NULL),
    ],
)
def test_generators_of_all_kinds_stream(
    worker: Driver, name: str, chunks: list[Any], end: tuple[bytes, bytes]
) -> None:
    assert worker.all(worker.stream(name, n=3)) == (chunks, end)
    assert worker.all(worker.stream(name, n=0)) == ([], end)


def test_chunks_are_json_or_bytes_and_the_result_of_a_stream_is_never_text(worker: Driver) -> None:
    call_id = worker.stream("kinds")
    wanted = [b'j"a\\nb"', b"b\xff", b'j{"a": [1]}', b"jnull"]
    assert [worker.next_of(call_id) for _ in wanted] == [(frames.CHUNK, each) for each in wanted]
    assert worker.end(call_id) == (values.JSON, b'"text\\n"')


def test_functions_send(worker: Driver) -> None:
    assert worker.all(worker.stream("sends", result=5)) == (["a", b"b"], (values.JSON, b"5"))
    assert worker.all(worker.stream("asends")) == (["a", "b"], NULL)


def test_a_plain_function_may_be_streamed(worker: Driver) -> None:
    assert worker.all(worker.stream("hello")) == ([], (values.JSON, b'"Hello\\n"'))


def test_a_generator_stays_in_its_thread(worker: Driver) -> None:
    chunks, _ = worker.all(worker.stream("same_thread"))
    assert len(set(chunks)) == 1


@pytest.mark.parametrize("name", ["count", "count_async"])
def test_chunks_arrive_in_order_however_they_are_gathered(worker: Driver, name: str) -> None:
    chunks, end = worker.all(worker.stream(name, n=50_000))
    assert chunks == list(range(50_000))
    assert end == NULL


@pytest.mark.parametrize("name", ["live", "live_async"])
def test_no_chunk_waits_for_the_next_one(worker: Driver, name: str) -> None:
    """All that were yielded before the gate arrive before it is opened."""
    for turn in range(3):
        call_id = worker.stream(name, name=f"gate {turn}")
        assert [worker.chunk(call_id) for _ in range(5)] == list(range(5))
        worker.call("open_gate", name=f"gate {turn}")
        assert worker.chunk(call_id) == "end"
        assert worker.end(call_id) == NULL


# Callers that do not stream


@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("count", {"n": 3}, b"[0, 1, 2]"),
        ("count", {"n": 0}, b"[]"),
        ("count", {"n": 3, "result": 7}, b"7"),
        ("count_async", {"n": 3}, b"[0, 1, 2]"),
        ("count_async", {"n": 0}, b"[]"),
        ("count_in_thread", {"n": 1}, b'[[false, "count_in_thread"]]'),
        ("sends", {"result": 0}, b"0"),
        ("asends", {}, b'["a", "b"]'),
    ],
)
def test_without_a_stream_chunks_are_a_list(
    worker: Driver, name: str, arguments: dict[str, Any], wanted: bytes
) -> None:
    call_id = worker.begin(name, json.dumps(arguments).encode())
    assert worker.end(call_id) == (values.JSON, wanted)


def test_collected_chunks_may_hold_bytes(worker: Driver) -> None:
    form, data = worker.end(worker.begin("sends"))
    assert form == values.MULTIPART
    content_type = multipart_type(data)
    assert results.decode_result(content_type, data) == ["a", b"b"]


# The reader's pace


@pytest.mark.parametrize("name", ["endless", "endless_async", "sender", "asender"])
def test_a_producer_pauses_while_the_reader_is_behind(worker: Driver, name: str) -> None:
    call_id = worker.stream(name)
    sent = worker.fill(call_id)
    steps = len(worker.call("take_notes")) + len(worker.call("take_notes"))
    assert steps - sent in (0, 1), "one may be at the door"
    worker.credit(call_id, 3 * CHUNK_BYTES)
    assert all(worker.chunk(call_id) for _ in range(3))
    steps += len(worker.call("take_notes")) + len(worker.call("take_notes"))
    assert steps - sent in (3, 4)
    worker.send(frames.CANCEL, call_id)
    assert worker.end(call_id)["code"] == "cancelled"


def test_the_window_may_be_overshot_by_one_chunk(worker: Driver) -> None:
    call_id = worker.stream("megabytes", n=2)
    assert len(worker.chunk(call_id)) == 1 << 20
    worker.credit(call_id, 1 << 20)
    assert len(worker.chunk(call_id)) == 1 << 20
    worker.credit(call_id, 1 << 20)
    assert worker.end(call_id) == NULL


def test_what_async_code_queues_waits_for_credit_and_comes_before_the_end(worker: Driver) -> None:
    call_id = worker.stream("queued", n=100)
    assert worker.notes_until("queued")
    chunks, end = worker.all(call_id)
    assert [number for number, _ in chunks] == list(range(100))
    assert end == (values.JSON, b'"done"')
    chunks, end = worker.all(worker.stream("queued_then_fails", n=100))
    assert len(chunks) == 100
    assert end["message"] == "no more"


def test_async_code_cannot_queue_without_end(worker: Driver) -> None:
    chunks, end = worker.all(worker.stream("flood"))
    assert sum(map(len, chunks)) >= QUEUE_LIMIT_BYTES
    assert end["name"] == "RuntimeError"
    assert "await current_call().asend(chunk)" in end["message"]


def test_a_long_stream_takes_little_memory(worker: Driver) -> None:
    worker.all(worker.stream("megabytes", n=2))
    before_kib = worker.call("memory_peak")
    chunks = 0
    call_id = worker.stream("megabytes", n=200)
    while worker.next_of(call_id)[0] == frames.CHUNK:
        chunks += 1
        worker.credit(call_id, (1 << 20) + 1 + frames.HEADER.size)
    assert chunks == 200
    assert worker.call("memory_peak") - before_kib < 20 * 1024


def test_an_async_generator_that_never_waits_leaves_the_loop_alive(worker: Driver) -> None:
    call_id = worker.begin("chatty")  # collected: no credit holds it up
    worker.send(frames.PING, 0, b"still there?")
    assert worker.receive() == (frames.PONG, 0, b"still there?")
    worker.send(frames.CANCEL, call_id)
    assert worker.end(call_id)["code"] == "cancelled"


# Cancelling


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("endless", "closed"),
        ("endless_async", "closed"),
        ("sender", "CallCancelled"),
        ("asender", "CancelledError"),
    ],
)
def test_a_producer_that_waits_for_room_is_told_of_the_end(
    worker: Driver, name: str, note: str
) -> None:
    call_id = worker.stream(name)
    worker.fill(call_id)
    worker.send(frames.CANCEL, call_id)
    assert worker.end(call_id)["code"] == "cancelled"
    assert worker.notes_until(note)[-1] == note


@pytest.mark.parametrize(("name", "note"), [("endless", "closed"), ("endless_async", "closed")])
def test_a_producer_that_nobody_streams_ends_as_well(worker: Driver, name: str, note: str) -> None:
    call_id = worker.begin(name)
    while not worker.call("take_notes"):
        pass
    worker.send(frames.CANCEL, call_id)
    assert worker.end(call_id)["code"] == "cancelled"
    assert worker.notes_until(note)[-1] == note


def test_an_async_generator_gets_a_cancelled_error(worker: Driver) -> None:
    call_id = worker.stream("sleeper")
    assert worker.chunk(call_id) == 1
    worker.send(frames.CANCEL, call_id)
    envelope = worker.end(call_id)
    assert (envelope["code"], envelope["name"]) == ("cancelled", "CancelledError")
    assert worker.notes_until("CancelledError")


def test_what_is_queued_is_dropped_by_a_cancel(worker: Driver) -> None:
    call_id = worker.stream("queued", n=100)
    worker.notes_until("queued")
    worker.send(frames.CANCEL, call_id)
    chunks, end = worker.all(call_id)
    assert len(chunks) < 40
    assert end["code"] == "cancelled"


def test_after_the_end_send_is_ignored_and_logged_once(worker: Driver) -> None:
    assert worker.end(worker.stream("late", name="late")) == NULL
    worker.call("open_gate", name="late")
    worker.notes_until("sent")
    (entry,) = worker.logs()
    assert entry["level"] == "warning"
    assert entry["message"] == "late: send() after the call was over is ignored"


@pytest.mark.parametrize("name", ["endless", "endless_async", "sender", "asender", "chatty"])
def test_a_worker_whose_host_is_gone_ends_in_mid_stream(worker: Driver, name: str) -> None:
    call_id = worker.stream(name)
    worker.chunk(call_id)
    worker.process.channel.close()
    worker.ended()


# Errors


def test_bytes_inside_a_chunk_are_refused(worker: Driver) -> None:
    chunks, end = worker.all(worker.stream("bytes_inside"))
    assert chunks == [1]
    assert end["code"] == "unserializable_result"
    assert end["message"] == (
        "chunk: bytes inside a value cannot be streamed; send them as a chunk of their own"
    )
    assert worker.notes_until("closed")


def test_a_chunk_that_cannot_be_said_is_named(worker: Driver) -> None:
    end = worker.end(worker.stream("unsayable"))
    assert end["message"].startswith("chunk a: a set has no JSON form")


@pytest.mark.parametrize("streams", [True, False])
def test_an_error_in_mid_stream_comes_with_its_cause_and_properties(
    worker: Driver, streams: bool
) -> None:
    chunks, end = worker.all(worker.begin("fails", stream=streams))
    assert chunks == ([1] if streams else [])
    assert (end["code"], end["name"]) == ("function_failed", "SaveError")
    assert end["message"] == "not saved"
    assert end["properties"] == {"code": "E_SAVE", "tries": [1]}
    cause = end["cause"]
    assert (cause["name"], cause["message"]) == ("KeyError", "'key'")
    assert cause["stack"].startswith("Traceback")
    assert "properties" not in cause
    assert "direct cause" not in end["stack"]  # the cause has its own


def test_the_context_counts_unless_it_is_suppressed(worker: Driver) -> None:
    assert worker.end(worker.begin("fails_in_handler"))["cause"]["name"] == "ZeroDivisionError"
    assert "cause" not in worker.end(worker.begin("fails_alone"))


def test_chains_and_properties_have_a_limit(worker: Driver) -> None:
    error: Any = worker.end(worker.begin("fails_deeply", b'{"depth": 50}'))
    depth = 0
    while "cause" in error:
        error, depth = error["cause"], depth + 1
    assert depth == 5
    assert worker.end(worker.begin("fails_hugely"))["properties"] == {"small": 1}


# What a call's header may say


def test_arguments_may_hold_bytes(worker: Driver) -> None:
    body, content_type = values.encode_call({"data": b"\xff\xfe"})
    form, value = worker.end(worker.begin("kind_of", body, type=content_type))
    assert (form, json.loads(value)) == (values.JSON, ["bytes", 2])


def test_a_form_as_curl_sends_it(worker: Driver) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
    header = {"type": "multipart/form-data; boundary=x"}
    assert worker.end(worker.begin("echo", body, **header)) == (values.JSON, b'{"a": "b"}')
    envelope = worker.end(worker.begin("echo", b"{}", **header))
    assert envelope["code"] == "malformed_multipart"
    body = b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n[]\r\n--x--\r\n'
    assert worker.end(worker.begin("echo", body, **header))["code"] == "not_an_object"


def test_results_may_hold_bytes(worker: Driver) -> None:
    form, data = worker.end(worker.begin("image"))
    content_type = multipart_type(data)
    assert form == values.MULTIPART
    assert results.decode_result(content_type, data) == {"image": b"\xff"}


def test_a_string_is_json_for_one_who_streams(worker: Driver) -> None:
    assert worker.end(worker.begin("hello")) == (values.TEXT, b"Hello\n")
    assert worker.end(worker.begin("hello", stream=True)) == (values.JSON, b'"Hello\\n"')


def test_the_trace_context_reaches_the_function(worker: Driver) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    call_id = worker.begin("traceparent", traceparent=parent)
    assert worker.end(call_id) == (values.TEXT, parent.encode())
    assert worker.end(worker.begin("traceparent")) == NULL
