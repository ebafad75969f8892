"""A real Node worker over its channel: streams and their pace, bytes, batches, errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jshost.pool.launch import Launch
from jshost.pool.process import WorkerProcess, spawn
from jshost.protocol import frames
from jshost.protocol.multipart import Part, decode_parts, encode_parts

pytestmark = pytest.mark.versions

WINDOW_BYTES = 256 * 1024
ANSWERS = (frames.RESULT, frames.ERROR)

CONFIG = """
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
module.exports = {functions: {
  * count({to}) { for (let number = 0; number < to; number++) yield number; return 'done'; },
  async * count_async({to}) { for (let number = 0; number < to; number++) yield number; },
  async send({to}) { for (let number = 0; number < to; number++) await this.send(number); },
  * endless() { try { for (;;) yield 'x'.repeat(1000); } finally { console.log('closed'); } },
  async * endless_async() { for (;;) yield 'x'.repeat(1000); },
  async endless_send() { for (;;) await this.send('x'.repeat(1000)); },
  async * forms() {
    yield* ['a\\nb', Buffer.from([255]), null];
    return {image: Buffer.from('png')};
  },
  * nested_bytes() { yield 1; yield {image: Buffer.from('png')}; },
  async * breaks() { yield 1; throw new Error('broken'); },
  async * parallel({id}) {
    for (let number = 0; number < 50; number++) { yield [id, number]; await sleep(1); }
  },
  picture: () => ({title: 'a', images: [Buffer.from('one'), new Uint8Array([0, 255])]}),
  sizes(data) {
    for (const key in data) if (Buffer.isBuffer(data[key])) data[key] = data[key].length;
    return data;
  },
  own_json: () => JSON.stringify([Buffer.from('a'), new Uint8Array(1)]),
  text: () => 'text',
  echo: async (data) => { await null; return data; },
  trace() { return [this.traceparent ?? 'absent']; },
  caused() {
    const cause = Object.assign(new RangeError('below'), {code: 'E_LOW', response: {status: 404}});
    throw new TypeError('above', {cause});
  },
  async many() { throw new AggregateError([new Error('one'), new TypeError('two')], 'all'); },
  async deep() { await sleep(1); await inner(); },
  exits_later() {
    setImmediate(() => process.exit(3));
    this.host.logger.info('last words');
    return 'sent';
  },
}};
async function inner() { await sleep(1); throw new Error('deep'); }
"""


class Worker:
    """The host's end of a worker's channel."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self._decoder = frames.Decoder()
        self._received: list[frames.Frame] = []
        process.channel.settimeout(10)

    def send(self, kind: int, call_id: int, payload: bytes = b"") -> None:
        self.process.channel.sendall(frames.encode(kind, call_id, payload))

    def receive(self) -> frames.Frame:
        while not self._received:
            data = self.process.channel.recv(1 << 18)
            assert data, "the worker is gone"
            self._received += self._decoder.feed(data)
        return self._received.pop(0)

    def start_call(
        self, name: str, arguments: object = None, *, call_id: int = 1, **header: object
    ) -> None:
        body = arguments if isinstance(arguments, bytes) else json.dumps(arguments or {}).encode()
        head = json.dumps({"name": name, "requestId": "r-1", "timeout": None, **header}).encode()
        self.process.channel.sendall(frames.call_frame(call_id, head, body))

    def credit(self, size: int, call_id: int = 1) -> None:
        self.send(frames.CHUNK, call_id, size.to_bytes(4, "big"))

    def answer(self) -> tuple[list[bytes], int, bytes]:
        """The call's chunks, and the kind and payload of its answer; what is read is credited."""
        chunks = []
        while True:
            kind, _, payload = self.receive()
            if kind in ANSWERS:
                return chunks, kind, payload
            assert kind == frames.CHUNK
            chunks.append(payload)
            self.credit(len(payload) + 9)

    def call(self, name: str, arguments: object = None, **header: object) -> tuple[int, bytes]:
        self.start_call(name, arguments, **header)
        chunks, kind, payload = self.answer()
        assert not chunks
        return kind, payload

    def error(self, name: str) -> dict[str, Any]:
        kind, payload = self.call(name)
        assert kind == frames.ERROR
        error: dict[str, Any] = json.loads(payload)
        return error


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "host.config.js"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def worker(config: Path) -> Iterator[Worker]:
    process = spawn(Launch.for_config(config, {"options": []}))
    worker = Worker(process)
    try:
        kind, _, payload = worker.receive()
        assert kind == frames.READY, payload
        yield worker
    finally:
        process.kill()
        process.popen.wait(5)
        process.close()
        process.stdout.close()
        process.stderr.close()


NUMBERS = [b"j%d" % number for number in range(20_000)]


@pytest.mark.parametrize("name", ["count", "count_async", "send"])
def test_chunks_arrive_in_order_and_before_the_result(worker: Worker, name: str) -> None:
    worker.start_call(name, {"to": len(NUMBERS)}, stream=True)
    chunks, kind, payload = worker.answer()
    assert chunks == NUMBERS
    assert (kind, payload) == (frames.RESULT, b'j"done"' if name == "count" else b"jnull")


@pytest.mark.parametrize("name", ["count_async", "send"])
def test_without_a_stream_they_are_the_result(worker: Worker, name: str) -> None:
    kind, payload = worker.call(name, {"to": 1000})
    assert (kind, json.loads(payload[1:])) == (frames.RESULT, list(range(1000)))
    assert worker.call("count", {"to": 1000}) == (frames.RESULT, b"tdone")
    assert worker.call("count_async", {"to": 0}) == (frames.RESULT, b"j[]")


@pytest.mark.parametrize("name", ["endless", "endless_async", "endless_send"])
def test_the_window_is_kept_and_the_worker_listens(worker: Worker, name: str) -> None:
    worker.start_call(name, stream=True)
    credited = 0
    for ping in range(5):
        received = 0
        while received < WINDOW_BYTES - 2000:
            kind, _, payload = worker.receive()
            assert kind == frames.CHUNK
            received += len(payload) + 9
        worker.send(frames.PING, 0, b"%d" % ping)
        while (frame := worker.receive())[0] == frames.CHUNK:
            received += len(frame[2]) + 9
            assert received < WINDOW_BYTES + 2000
        assert frame == (frames.PONG, 0, b"%d" % ping)
        worker.credit(received)
        credited += received
    worker.send(frames.CANCEL, 1)
    _, kind, payload = worker.answer()
    assert kind == frames.ERROR
    assert json.loads(payload)["code"] == "cancelled"
    assert worker.call("text") == (frames.RESULT, b"ttext")
    if name == "endless":
        assert worker.process.stdout.readline() == b"\x1eendless\x1fr-1\x1eclosed\n"


@pytest.mark.parametrize("name", ["endless", "endless_async", "endless_send"])
def test_a_collected_stream_can_be_cancelled(worker: Worker, name: str) -> None:
    worker.start_call(name)
    worker.send(frames.PING, 0)
    assert worker.receive()[0] == frames.PONG
    worker.send(frames.CANCEL, 1)
    assert worker.receive()[0] == frames.ERROR


def test_streams_at_the_same_time_do_not_mix(worker: Worker) -> None:
    for call_id in (1, 2, 3):
        worker.start_call("parallel", {"id": call_id}, call_id=call_id, stream=True)
    found: dict[int, list[object]] = {1: [], 2: [], 3: []}
    answers = 0
    while answers < 3:
        kind, call_id, payload = worker.receive()
        if kind == frames.CHUNK:
            found[call_id].append(json.loads(payload[1:]))
        else:
            answers += 1
    assert found == {key: [[key, number] for number in range(50)] for key in found}


def test_a_worker_ends_with_its_host_in_mid_stream(worker: Worker) -> None:
    worker.start_call("endless", stream=True)
    worker.receive()
    worker.process.channel.close()
    assert worker.process.popen.wait(5) is not None


def test_chunks_and_results_have_their_forms(worker: Worker) -> None:
    worker.start_call("forms", stream=True)
    chunks, kind, payload = worker.answer()
    assert chunks == [b'j"a\\nb"', b"b\xff", b"jnull"]
    assert (kind, payload[:1]) == (frames.RESULT, b"m")
    worker.start_call("count", {"to": 1}, stream=True)
    assert worker.answer() == ([b"j0"], frames.RESULT, b'j"done"')
    assert worker.call("text", stream=True) == (frames.RESULT, b'j"text"')


def test_a_stream_that_fails_has_its_chunks(worker: Worker) -> None:
    worker.start_call("breaks", stream=True)
    chunks, kind, payload = worker.answer()
    assert (chunks, kind) == ([b"j1"], frames.ERROR)
    error = json.loads(payload)
    stack = error["stack"].splitlines()
    assert stack[0] == "Error: broken"
    assert "breaks" in stack[1]
    assert len(stack) == 2, stack
    worker.start_call("nested_bytes", stream=True)
    chunks, kind, payload = worker.answer()
    assert (chunks, kind) == ([b"j1"], frames.ERROR)
    assert json.loads(payload)["message"] == (
        "chunk: bytes inside a value cannot be streamed; send them as a chunk of their own"
    )


def test_bytes_travel_both_ways(worker: Worker) -> None:
    large = b"\r\n--" * 2_000_000
    parts = [Part("data", "application/json", b'{"a": null, "n": 1}')]
    parts.append(Part("/a", "application/octet-stream", large))
    content_type, body = encode_parts(parts)
    kind, payload = worker.call("sizes", body, type=content_type)
    assert (kind, json.loads(payload[1:])) == (frames.RESULT, {"a": len(large), "n": 1})

    kind, payload = worker.call("picture")
    assert (kind, payload[:3]) == (frames.RESULT, b"m--")
    boundary = payload[3 : payload.index(b"\r\n")].decode()
    found = decode_parts(f"multipart/form-data; boundary={boundary}", payload[1:])
    assert [(part.name, part.data) for part in found] == [
        ("data", b'{"title":"a","images":[null,null]}'),
        ("/images/0", b"one"),
        ("/images/1", b"\0\xff"),
    ]


def test_json_in_functions_is_as_ever(worker: Worker) -> None:
    assert worker.call("own_json")[1] == b't[{"type":"Buffer","data":[97]},{"0":0}]'


def test_many_calls_in_one_write(worker: Worker) -> None:
    for name in ("echo", "sizes"):
        calls = b""
        for number in range(300):
            head = json.dumps({"name": name, "requestId": "r", "timeout": None}).encode()
            calls += frames.call_frame(number + 1, head, json.dumps({"n": number}).encode())
        worker.process.channel.sendall(calls)
        answers = [worker.receive() for _ in range(300)]
        assert sorted(answers) == [
            (frames.RESULT, number + 1, b'j{"n":%d}' % number) for number in range(300)
        ]


def test_what_was_sent_before_an_exit_arrives(worker: Worker) -> None:
    worker.start_call("exits_later")
    assert worker.receive()[0] == frames.LOG
    assert worker.receive() == (frames.RESULT, 1, b"tsent")


def test_the_trace_context(worker: Worker) -> None:
    assert worker.call("trace")[1] == b'j["absent"]'
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert json.loads(worker.call("trace", traceparent=trace)[1][1:]) == [trace]


def test_errors_tell_all(worker: Worker) -> None:
    error = worker.error("caused")
    assert (error["name"], error["message"]) == ("TypeError", "above")
    cause = error["cause"]
    assert (cause["name"], cause["message"]) == ("RangeError", "below")
    assert cause["properties"] == {"code": "E_LOW", "response": {"status": 404}}
    assert cause["stack"].startswith("RangeError: below\n    at ")
    assert len(cause["stack"].splitlines()) == 2

    errors = worker.error("many")["properties"]["errors"]
    assert [(one["name"], one["message"]) for one in errors] == [
        ("Error", "one"),
        ("TypeError", "two"),
    ]

    stack = worker.error("deep")["stack"].splitlines()
    assert stack[1].startswith("    at inner ")
    assert re.match(r"    at async \w+\.deep ", stack[-1])


MAPPED_MODULE = """\
"use strict";
exports.fail = () => { throw new Error('mapped'); };
exports.later = async () => { await null; throw new Error('mapped'); };
exports.stream = function* () { yield 1; throw new Error('mapped'); };
//# sourceMappingURL=built.js.map
"""


@pytest.mark.parametrize("name", ["fail", "later", "stream"])
def test_stacks_name_the_lines_that_were_written(tmp_path: Path, name: str) -> None:
    source_map = {
        "version": 3,
        "sources": ["written.ts"],
        "names": [],
        "mappings": "AAUA;AACA;AACA;AACA",  # each line comes from ten lines further down
    }
    (tmp_path / "built.js").write_text(MAPPED_MODULE)
    (tmp_path / "built.js.map").write_text(json.dumps(source_map))
    config = tmp_path / "host.config.js"
    config.write_text("module.exports = {functions: require('./built.js')};")
    process = spawn(Launch.for_config(config, {"options": []}))
    try:
        worker = Worker(process)
        assert worker.receive()[0] == frames.READY
        stack = worker.error(name)["stack"].splitlines()
    finally:
        process.kill()
        process.popen.wait(5)
        process.close()
        process.stdout.close()
        process.stderr.close()
    line = {"fail": 12, "later": 13, "stream": 14}[name]
    assert [entry for entry in stack if "node:" not in entry] == stack[:2]
    assert f"{tmp_path}/written.ts:{line}:" in stack[1]
