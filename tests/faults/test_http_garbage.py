"""Malformed HTTP at a real host's socket: requests by Hypothesis that are nearly right."""

from __future__ import annotations

import contextlib
import re
import socket
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from support.extent import SEED, Gain, by_hand, report
from support.hosts import StartHost, wait_until

REQUESTS = by_hand(10_000, 600)

pytestmark = pytest.mark.timeout(by_hand(1800, 120))

CONFIG = """
import jshost
include = ["host.config.js"]
request_data_limit = "64kb"
@jshost.cacheable(max_age=60)
def py(**arguments): return len(arguments)
async def py_async(**arguments):
    for name in arguments: yield name
functions = {"py": py, "py_async": py_async}
"""
JS = """
const js = (data) => Object.keys(data).length;
js.cacheable = {maxAge: 60};
module.exports = {functions: {
  js,
  js_stream: function* (data) { yield* Object.keys(data); },
}};
"""

ANSWER_S = 0.02
"""How long a whole request may take to be answered before its sender hangs up."""
MEANT = {200, 304, 400, 403, 404, 405, 413, 415, 417, 422, 431, 504}
"""504: the fuzzer sets deadlines, too. 503 would say that the host stops or is full."""

JUNK = st.binary(max_size=40)
TEXT = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=30).map(
    lambda text: text.encode("latin-1")
)


def mostly(right: bytes, *wrong: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([right] * 12 * len(wrong) + [*wrong])


METHOD = st.one_of(
    mostly(b"POST", b"OPTIONS", b"PRI", b"post", b"", b"\0"),
    st.sampled_from([b"POST", b"GET", b"HEAD"]),
)
VERSION = mostly(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b"", b"http/1.1")
LINE_END = mostly(b"\r\n", b"\n", b"\r", b"\r\n ", b"\0\r\n")
COLON = mostly(b": ", b":", b" : ", b"")
NAME = st.sampled_from(
    [b"js", b"py", b"js_stream", b"py_async"] * 5 + [b"nope", b"%", b"%ff", b"..", b""]
)
DATA = st.one_of(
    st.sampled_from([b"{}", b"%7B%22a%22%3A1%7D", b"+%7b+%7d+", b"%", b"%7B%00", b"%ff", b"[]"]),
    JUNK.map(lambda junk: quote(junk).encode()),
)
USUAL_TARGET = NAME.map(lambda name: b"/function/" + name)
TARGET = st.one_of(
    *[USUAL_TARGET] * 6,
    st.tuples(NAME, st.sampled_from([b"", b"bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f"])).map(
        lambda pair: b"/function/%b?hash=%b" % pair
    ),
    st.tuples(NAME, JUNK).map(lambda pair: b"/function/%b?hash=%b" % pair),
    st.tuples(NAME, DATA).map(lambda pair: b"/function/%b?data=%b" % pair),
    st.tuples(NAME, DATA, DATA).map(lambda each: b"/function/%b?data=%b&data=%b" % each),
    st.tuples(NAME, JUNK).map(lambda pair: b"http://[%b/%b" % pair),
    st.sampled_from([b"/batch", b"/batch", b"/status", b"/ready", b"/metrics"]),
    st.sampled_from([b"*", b"/", b"", b"//", b"http:", b"http://[", b"/function/js?hash"]),
    JUNK,
)
VALUES: dict[bytes, st.SearchStrategy[bytes]] = {
    b"Content-Length": st.sampled_from(
        [b"0", b"1", b"-1", b"+5", b"5, 5", b"99999999999999999999", b"0x10", b""]
    ),
    b"Transfer-Encoding": st.sampled_from([b"chunked", b"gzip, chunked", b"x"]),
    b"Content-Type": st.one_of(
        mostly(b"application/json", b"text/plain", b"application/json; charset=utf-16"),
        mostly(
            b"multipart/form-data; boundary=x",
            b"multipart/form-data",
            b"multipart/form-data; boundary=" + b"y" * 300,
        ),
        TEXT,
    ),
    b"Accept": mostly(b"text/event-stream", b"application/json", b"\xff"),
    b"JSHost-Timeout": st.sampled_from([b"0.001", b"5", b"1e400", b"nan", b"-1", b"9" * 400]),
    b"X-Request-ID": TEXT,
    b"traceparent": TEXT,
    b"Authorization": TEXT,
    b"If-None-Match": st.one_of(
        TEXT, st.just(b'W/"bf21a9e8fbc5a3846fb05b4fa0859e0917b2202f-aa-' + b"f" * 12 + b'"')
    ),
    b"Expect": st.sampled_from([b"100-continue", b"the worst"]),
    b"Upgrade": st.sampled_from([b"h2c", b"websocket"]),
    b"Connection": st.sampled_from([b"upgrade", b"close", b"keep-alive, x"]),
    b"Host": st.sampled_from([b"evil.example", b"localhost:x", b"[::1", b""]),
    b"Origin": TEXT,
    b"X-Long": st.just(b"a" * 70_000),
}
KNOWN_HEADER = st.sampled_from([*VALUES, b"Content-Type", b"Content-Type", b"Accept"]).flatmap(
    lambda name: st.tuples(st.just(name), VALUES[name])
)
HEADER = st.one_of(*[KNOWN_HEADER] * 9, st.tuples(TEXT, TEXT))
PART = st.tuples(st.sampled_from([b"data", b"js", b"/a", b"/a/b/0", b"\xff", b""]), JUNK).map(
    lambda part: b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % part
)
BODY = st.one_of(
    st.sampled_from(
        [b"", b"{}", b"{", b"[]", b"null", b'{"a": 1}', b'{"a": NaN}', b'{"a": 1e999}',
         b"\xff\xfe{}", b'{"a": 1, "a": 2}', b'{"__proto__": {"b": 1}}', b'{"a":' * 3000,
         b'{"self": 1}', b'{"a": 9007199254740993}', b'{"\\ud800": "\\udfff"}', b"x" * 70_000]
    ),
    JUNK,
    st.lists(PART, max_size=3).map(lambda parts: b"".join(parts) + b"--x--\r\n"),
    st.lists(JUNK, max_size=3).map(
        lambda chunks: b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
    ),
    st.sampled_from([b"zz\r\n", b"f" * 16 + b"\r\n", b"-1\r\nx\r\n", b"1;x=\xff\r\na\r\n0\r\n"]),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request with some mistakes in it, or none, and sometimes cut off or written over."""
    headers = draw(st.lists(HEADER, max_size=3))
    body = draw(BODY)
    if draw(st.integers(0, 9)):
        headers.append((b"Content-Type", b"application/json"))
    if draw(st.integers(0, 9)):
        headers.append((b"Content-Length", b"%d" % len(body)))
    if draw(st.integers(0, 9)):
        headers.append((b"Host", b"localhost"))
    end = draw(LINE_END)
    lines = [b" ".join((draw(METHOD), draw(TARGET), draw(VERSION)))]
    lines += [draw(COLON).join(pair) for pair in headers]
    data = end.join(lines) + end + end + body
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(JUNK) + data[place + draw(st.integers(0, 20)) :]
    if draw(st.integers(0, 9)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return data * draw(st.sampled_from([1] * 9 + [3]))


STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [A-Za-z' -]+\r\n")


def exchange(port: int, data: bytes) -> list[int]:
    """Send bytes, wait a moment, hang up, and return the statuses of what was answered."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 10) as caller:
        caller.settimeout(ANSWER_S)
        try:
            caller.sendall(data)
            while part := caller.recv(65536):
                answer += part
            return statuses(answer)
        except TimeoutError:
            pass
        except ConnectionError:  # it was refused while it was being sent
            return statuses(answer)
        caller.settimeout(10)  # after which the host does not hang up
        with contextlib.suppress(ConnectionError):
            caller.shutdown(socket.SHUT_WR)
            while part := caller.recv(65536):
                answer += part
    return statuses(answer)


def statuses(answer: bytes) -> list[int]:
    """Those of all responses in it; there is nothing before the first."""
    assert not answer or STATUS_LINE.match(answer), answer[:200]
    assert b"callback" not in answer, answer[:400]
    return [int(code) for code in STATUS_LINE.findall(answer)]


def test_a_host_survives_malformed_requests(serve: StartHost, tmp_path: Path) -> None:
    (tmp_path / "host.config.js").write_text(JS)
    host = serve("host.config.py", CONFIG)
    port, workers = host.status["config"]["port"], sorted(host.worker_pids())
    ends: Counter[int] = Counter()
    gains: list[Gain] = []

    @seed(SEED)
    @settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests())
    def send(data: bytes) -> None:
        found = exchange(port, data)
        ends.update(found or [0])
        unmeant = set(found) - MEANT - {100}
        assert not unmeant, f"{unmeant} for {data!r}"
        if ends.total() >= REQUESTS // 4 and not gains:
            gains.extend(Gain(pid) for pid in (host.pid, *workers))

    send()
    megabytes = [gain.megabytes for gain in gains]
    report(f"{ends.total()} requests, seed {SEED}: {dict(sorted(ends.items()))}, MB: {megabytes}")
    assert host.function("js").call(a=1) == host.function("py").call(a=1) == 1
    assert sorted(host.worker_pids()) == workers, "none was replaced"
    assert max(megabytes) < 16
    wait_until(lambda: gains[0].files <= 2, 40, "end of all connections")
    log = host.log_text()
    assert not re.search("Traceback|mistake|ERROR", log), log[-4000:]
