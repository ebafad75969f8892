"""What functions say besides their answers: prints, logs, request ids, late errors."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.client.http.http_request import HttpRequest
from jshost.client.response import Response

CONFIG = {
    "host.config.py": """
import asyncio, logging, os, subprocess, sys, threading, time
import jshost

include = ["host.config.js"]

def id_py():
    call = jshost.current_call()
    print("seen", call.name)
    return call.request_id

async def id_async():
    await asyncio.sleep(0)
    return id_py()

def say_py():
    print("out 1\\nout 2 ☃")
    print("err 1\\nerr 2", file=sys.stderr)
    logging.getLogger("my.module").info("log %d", 1)
    jshost.current_call().host.logger.warning("log %s", "2")
    jshost.current_call().host.logger.error("log 3")

def interleave_py(tag):
    for number in range(5):
        sys.stdout.write(f"begin {tag} ")
        time.sleep(0.001)
        print(f"{number} end {tag}")

async def interleave_async(tag):
    for number in range(5):
        sys.stdout.write(f"begin {tag} ")
        await asyncio.sleep(0.001)
        print(f"{number} end {tag}")

def unended_py(tag):
    sys.stdout.write(f"unended {tag}")

def much_py(stream, lines, length):
    target = getattr(sys, stream)
    for _ in range(lines):
        target.write("x" * length + "\\n")
    return "done"

def much_raw_py(stream, lines, length):
    descriptor = getattr(sys, stream).fileno()
    script = f"import os\\nfor _ in range({lines}): os.write(1, b'x' * {length} + b'\\\\n')"
    subprocess.run([sys.executable, "-c", script], stdout=descriptor, check=True)
    return "done"

def late_thread():
    def fail():
        raise ValueError("late in a thread")
    threading.Timer(0.005, fail).start()
    return "first"

async def late_task():
    async def fail():
        raise ValueError("late in a task")
    asyncio.get_running_loop().create_task(fail())
    return "first"

functions = {name: value for name, value in globals().items() if type(value) is type(id_py)}
""",
    "host.config.js": """
const {spawnSync} = require('node:child_process');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
module.exports = {functions: {
  id_js() { console.log('seen %s', this.name); return this.requestId; },
  async id_third(data, _, context) {
    await sleep(1);
    console.log('seen', context.name);
    return context.requestId;
  },
  say_js() {
    console.log('out 1\\nout 2 ☃');
    console.error('err 1\\nerr 2');
    this.host.logger.info('log %d', 1);
    this.host.logger.warn('log %s', '2');
    this.host.logger.error('log 3');
  },
  async interleave_js({tag}) {
    for (let number = 0; number < 5; number++) {
      process.stdout.write(`begin ${tag} `);
      await sleep(1);
      console.log(`${number} end ${tag}`);
    }
  },
  unended_js({tag}) { process.stdout.write(`unended ${tag}`); },
  much_js({stream, lines, length}) {
    for (let i = 0; i < lines; i++) process[stream].write('x'.repeat(length) + '\\n');
    return 'done';
  },
  much_raw_js({stream, lines, length}) {
    const script = `for (let i = 0; i < ${lines}; i++) console.log('x'.repeat(${length}))`;
    const stdio = ['ignore', stream === 'stdout' ? 1 : 2, 'inherit'];
    spawnSync(process.execPath, ['-e', script], {stdio});
    return 'done';
  },
  bytes_js() { process.stdout.write(Buffer.from([0, 0, 0, 1, 0, 0, 0, 1, 3, 255, 10])); },
  encoded_js() { process.stdout.write(Buffer.from('naïve\\n').toString('base64'), 'base64'); },
  halves_js() {
    const line = Buffer.from('snow ☃ man\\n');
    for (const byte of line) process.stdout.write(Buffer.from([byte]));
  },
  warn_js() { new Buffer(1); process.emitWarning('take care'); return 'done'; },
  twice(data, cb) { cb(null, 'first'); cb(null, 'second'); setTimeout(cb, 1, new Error('third')); },
  late_throw(data, cb) { cb(null, 'first'); throw new Error('late throw'); },
  async late_rejection(data, cb) { cb(null, 'first'); throw new Error('late rejection'); },
  late_timer(data, cb) {
    cb(null, 'first');
    setTimeout(() => { throw new Error('late timer'); }, 1);
  },
  late_promise() { Promise.reject(new Error('late promise')); return 'first'; },
  late_string() { setTimeout(() => { throw 'late string'; }, 1); return 'first'; },
}};
""",
}

LINE = re.compile(
    r"^[-\d]+ [\d:,]+ ([A-Z]+) \[worker \d+(?: (\S+) ([^\]]+))?\] (.*)$",
    re.MULTILINE,
)


class Said(NamedTuple):
    """One line of a worker in the host's log."""

    level: str
    name: str | None
    request_id: str | None
    text: str


def said(host: RunningHost) -> list[Said]:
    return [Said(*match.groups()) for match in LINE.finditer(host.log_text())]


def call(host: RunningHost, name: str, body: str = "{}", request_id: str = "") -> Response:
    headers = {"Content-Type": "application/json"}
    if request_id:
        headers["X-Request-ID"] = request_id
    return host.host.request(HttpRequest("POST", f"/function/{name}", headers, body.encode(), 20))


def lines_of(host: RunningHost, name: str, request_id: str) -> list[Said]:
    return [line for line in said(host) if (line.name, line.request_id) == (name, request_id)]


def wait_for_lines(host: RunningHost, name: str, request_id: str, count: int) -> None:
    what = f"{count} lines of {name} {request_id}"
    wait_until(lambda: len(lines_of(host, name, request_id)) >= count, 3, what)


# Request ids


@pytest.mark.parametrize("name", ["id_js", "id_third", "id_py", "id_async"])
@pytest.mark.parametrize("request_id", ["abc-123", "a b", "$&$'%s{}", "x" * 128])
def test_a_request_id_goes_all_the_way(
    shared_host: RunningHost, name: str, request_id: str
) -> None:
    answer = call(shared_host, name, request_id=request_id)
    assert (answer.status_code, answer.text) == (200, request_id)
    assert answer.headers["x-request-id"] == request_id
    shared_host.wait_for_log(f" {name} {request_id}] seen {name}\n")


def test_without_an_id_each_call_gets_one(shared_host: RunningHost) -> None:
    answers = [call(shared_host, name) for name in ("id_js", "id_py") for _ in range(20)]
    assert all(answer.text == answer.headers["x-request-id"] for answer in answers)
    assert len({answer.text for answer in answers} - {""}) == 40


@pytest.mark.parametrize("request_id", ["naïve", "a\tb", "x" * 129])
def test_an_id_that_cannot_be_logged_is_replaced(shared_host: RunningHost, request_id: str) -> None:
    answer = call(shared_host, "id_js", request_id=request_id)
    assert answer.text == answer.headers["x-request-id"]
    assert answer.text.isascii()
    assert answer.text.isprintable()
    assert 0 < len(answer.text) <= 128


def test_verbose_logs_each_call_and_nobody_forges_a_line(serve: StartHost) -> None:
    host = serve("host.config.js", "exports.functions = {hi: () => 1, no() { throw 1; }};", "-v")
    call(host, "hi", request_id="first")
    call(host, "no", request_id="second")
    call(host, "x%0Aforged%20line%0D", request_id="third")
    log = host.wait_for_log("third")
    assert re.search(r"POST /function/hi 200 \d+\.\d ms first$", log, re.MULTILINE)
    assert re.search(r"POST /function/no 500 \d+\.\d ms second$", log, re.MULTILINE)
    assert not re.search(r"^forged line", log, re.MULTILINE)


# Prints


@pytest.mark.parametrize("name", ["say_js", "say_py"])
def test_all_ways_to_say_something(shared_host: RunningHost, name: str) -> None:
    for request_id in ("id-1", "$&", "$'x"):
        expected = [
            Said(level, name, request_id, text)
            for level, text in [
                ("ERROR", "log 3"),
                ("INFO", "log 1"),
                ("INFO", "out 1"),
                ("INFO", "out 2 ☃"),
                ("WARNING", "err 1"),
                ("WARNING", "err 2"),
                ("WARNING", "log 2"),
            ]
        ]
        assert call(shared_host, name, request_id=request_id).status_code == 200
        wait_for_lines(shared_host, name, request_id, len(expected))
        assert sorted(lines_of(shared_host, name, request_id)) == expected


@pytest.mark.parametrize("name", ["interleave_js", "interleave_py", "interleave_async"])
def test_lines_of_concurrent_calls_do_not_mix(shared_host: RunningHost, name: str) -> None:
    tags = [f"{name}-{number}" for number in range(8)]
    with ThreadPoolExecutor(len(tags)) as threads:
        bodies = [f'{{"tag": "{tag}"}}' for tag in tags]
        list(threads.map(call, [shared_host] * 8, [name] * 8, bodies, tags))
    for tag in tags:
        wait_for_lines(shared_host, name, tag, 5)
        texts = [line.text for line in lines_of(shared_host, name, tag)]
        assert texts == [f"begin {tag} {number} end {tag}" for number in range(5)]


@pytest.mark.parametrize("name", ["unended_js", "unended_py"])
def test_a_line_without_an_end_ends_with_its_call(shared_host: RunningHost, name: str) -> None:
    for tag in ("one", "two"):
        call(shared_host, name, f'{{"tag": "{tag}"}}', tag)
    for tag in ("one", "two"):
        wait_for_lines(shared_host, name, tag, 1)
        assert [line.text for line in lines_of(shared_host, name, tag)] == [f"unended {tag}"]


def test_bytes_in_the_output_are_only_output(shared_host: RunningHost) -> None:
    for _ in range(3):
        assert call(shared_host, "bytes_js").text == "null"
    assert call(shared_host, "encoded_js", request_id="encoded").text == "null"
    assert call(shared_host, "halves_js", request_id="halves").text == "null"
    wait_for_lines(shared_host, "encoded_js", "encoded", 1)
    wait_for_lines(shared_host, "halves_js", "halves", 1)
    assert lines_of(shared_host, "encoded_js", "encoded")[0].text == "naïve"
    assert lines_of(shared_host, "halves_js", "halves")[0].text == "snow ☃ man"


def test_warnings_of_node_are_no_errors(shared_host: RunningHost) -> None:
    assert call(shared_host, "warn_js", request_id="warned").text == "done"
    shared_host.wait_for_log("take care")
    warned = [line for line in said(shared_host) if "Warning: " in line.text]
    assert any("DeprecationWarning" in line.text for line in warned)
    assert {line.level for line in warned} == {"WARNING"}


# After the answer


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("twice", "twice: the callback was called again"),
        ("late_throw", "late throw"),
        ("late_rejection", "late rejection"),
        ("late_timer", "late timer"),
        ("late_promise", "late promise"),
        ("late_string", "late string"),
        ("late_thread", "late in a thread"),
        ("late_task", "late in a task"),
    ],
)
def test_what_goes_wrong_after_the_answer_is_logged(
    shared_host: RunningHost, name: str, logged: str
) -> None:
    workers = shared_host.worker_pids()
    assert call(shared_host, name, request_id=f"late-{name}").text == "first"
    shared_host.wait_for_log(logged, 2)
    if name not in ("late_thread", "late_task"):  # which have left the call behind
        [line, *_] = [line for line in said(shared_host) if logged in line.text]
        assert line.level in ("WARNING", "ERROR")
        assert (line.name, line.request_id) == (name, f"late-{name}")
    if name == "twice":
        wait_for_lines(shared_host, name, "late-twice", 2)
    for other in ("id_js", "id_py"):
        assert call(shared_host, other).status_code == 200
    assert shared_host.worker_pids() == workers


# Last, for what it does to the log


@pytest.mark.parametrize("name", ["much_js", "much_py", "much_raw_js", "much_raw_py"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(("lines", "length"), [(20_000, 59), (1, 1_200_000)])
def test_a_megabyte_of_output_blocks_nothing(
    shared_host: RunningHost, name: str, stream: str, lines: int, length: int
) -> None:
    before = shared_host.log_text().count("x")
    body = f'{{"stream": "{stream}", "lines": {lines}, "length": {length}}}'
    assert call(shared_host, name, body).text == "done"

    def printed() -> int:
        return shared_host.log_text().count("x") - before

    wait_until(lambda: printed() >= lines * length, 10, "all of it in the log")
    assert printed() == lines * length
