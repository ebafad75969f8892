"""Bad input and what it gets: bodies, hashes, headers, methods, names, arguments."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from support.hosts import RunningHost, StartHost

from jshost.exceptions import FunctionNotFound, RequestError

LIMIT = 64 * 1024

ODD_NAMES = [
    "a/b",
    "a%2Fb",
    "100%",
    "what?",
    "x#y",
    "two words",
    "naïve ☃ 😀",
    "..",
    "a+b&c=d",
    "é",
]

CONFIG = {
    "host.config.py": f"""
include = ["host.config.js"]
request_data_limit = {LIMIT}
allowed_hosts = ["Proxy.example"]
allowed_origins = ["https://shop.example"]

def echo_py(**arguments):
    return arguments

def greet(name):
    return f"Hello, {{name}}!"

functions = {{"echo_py": echo_py, "greet": greet}}
""",
    "host.config.js": """
module.exports = {
  functions: {
    echo_js: (data) => data,
    fails: () => { throw new TypeError('with a stack'); },
  },
};
""",
}

JSON_TYPE = {"Content-Type": "application/json"}
WANTS_JSON = {**JSON_TYPE, "Accept": "application/json"}
ECHOES = ["echo_js", "echo_py"]

both_languages = pytest.mark.parametrize("name", ECHOES)

Answer = tuple[int, http.client.HTTPMessage, bytes]


def ask(
    host: RunningHost,
    method: str,
    target: str,
    headers: Mapping[str, str] = JSON_TYPE,
    body: bytes | Iterable[bytes] | None = b"{}",
) -> Answer:
    """One request on a connection of its own, by a client that is not ours."""
    connection = http.client.HTTPConnection("127.0.0.1", host.status["config"]["port"], timeout=10)
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def raw(host: RunningHost, data: bytes) -> socket.socket:
    """A connection on which exactly these bytes were sent."""
    sock = socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10)
    sock.sendall(data)
    return sock


# Bodies


@both_languages
@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b'{"a": ', "malformed_json", "not JSON"),
        (b"{'a': 1}", "malformed_json", "not JSON"),
        (b'{"a": 1} {}', "malformed_json", "not JSON"),
        (b'{"a": NaN}', "malformed_json", "not JSON"),
        (b'{"a": -Infinity}', "malformed_json", "not JSON"),
        (b" ", "malformed_json", "not JSON"),
        (b'{"a": "\xff"}', "malformed_json", "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "malformed_json", "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "malformed_json", "not UTF-8"),
        (b"[1, 2]", "not_an_object", "array"),
        (b'"text"', "not_an_object", "string"),
        (b"12", "not_an_object", "JSON"),
        (b"true", "not_an_object", "JSON"),
        (b"null", "not_an_object", "null"),
    ],
)
def test_a_body_that_is_no_json_object(
    shared_host: RunningHost, name: str, body: bytes, code: str, said: str
) -> None:
    status, _, answer = ask(shared_host, "POST", f"/function/{name}", WANTS_JSON, body)
    envelope = json.loads(answer)
    assert (status, envelope["code"]) == (400, code)
    assert said in envelope["message"]


@both_languages
def test_nesting_too_deep_fails_one_call_only(shared_host: RunningHost, name: str) -> None:
    workers = shared_host.worker_pids()
    body = b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    status, _, answer = ask(shared_host, "POST", f"/function/{name}", body=body)
    assert status in (400, 500)
    assert b"too deep" in answer or b"nested too deeply" in answer
    assert shared_host.function(name).call(a=1) == {"a": 1}
    assert shared_host.worker_pids() == workers


@both_languages
@pytest.mark.parametrize("headers", [{}, JSON_TYPE])
def test_an_empty_body_is_an_empty_object(
    shared_host: RunningHost, name: str, headers: Mapping[str, str]
) -> None:
    for target in ("", "?hash=" + hashlib.sha1(b"").hexdigest()):
        status, _, answer = ask(shared_host, "POST", f"/function/{name}{target}", headers, b"")
        assert (status, answer) == (200, b"{}")


@both_languages
@pytest.mark.parametrize("chunked", [False, True])
def test_the_limit_of_a_body(shared_host: RunningHost, name: str, chunked: bool) -> None:
    for excess in (0, 1):
        body = b'{"a": "' + b"x" * (LIMIT - 9 + excess) + b'"}'
        parts = (body[i : i + 1000] for i in range(0, len(body), 1000)) if chunked else body
        status, _, answer = ask(shared_host, "POST", f"/function/{name}", WANTS_JSON, parts)
        if not excess:
            assert (status, json.loads(answer)) == (200, json.loads(body))
        else:
            assert (status, json.loads(answer)["code"]) == (413, "body_too_large")
            assert str(LIMIT) in json.loads(answer)["message"]
    with pytest.raises(RequestError, match="over the limit") as caught:
        shared_host.function(name).call(a="x" * LIMIT)
    assert caught.value.status == 413


def test_a_body_is_not_read_in_vain(shared_host: RunningHost) -> None:
    """What the head alone decides is answered before a byte of the body has come."""
    for name, length, status in [("echo_js", 10**12, 413), ("nobody", 5, 404)]:
        head = f"POST /function/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}"
        with raw(shared_host, f"{head}\r\n\r\n".encode()) as sock:
            assert sock.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=latin-1", 415),
        ("application/json-patch", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_content_types(shared_host: RunningHost, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    got, _, answer = ask(shared_host, "POST", "/function/echo_py", headers)
    assert got == status
    if status == 415:
        assert b"Send a JSON object with Content-Type: application/json" in answer


# Hashes

BODY = b'{"foo": "bar"}'
HASH = "bc4919c6adf7168088eaea06e27a5b23f0f9f9da"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"?hash={HASH}", 200),
        (f"?hash={HASH.upper()}", 200),
        (f"?cache=1&hash={HASH}", 200),
        ("?cache=1", 200),
        (f"?hash={HASH[:-1]}0", 400),
        (f"?hash={HASH[:-1]}", 400),
        ("?hash=", 400),
        (f"?hash={HASH}&hash={'0' * 40}", 400),
        ("?hash=%00%ff", 400),
    ],
)
def test_hashes(shared_host: RunningHost, query: str, status: int) -> None:
    got, _, answer = ask(shared_host, "POST", f"/function/echo_js{query}", WANTS_JSON, BODY)
    assert got == status
    if status == 400:
        envelope = json.loads(answer)
        assert envelope["code"] == "wrong_hash"
        assert HASH in envelope["message"]


# Names and methods


@pytest.mark.parametrize("name", ["foo", "constructor", "__proto__", "toString", "__class__", ""])
def test_unknown_functions(shared_host: RunningHost, name: str) -> None:
    status, _, answer = ask(shared_host, "POST", f"/function/{name}")
    assert (status, f'Not found. Unknown function "{name}"' in answer.decode()) == (404, True)
    if name:
        with pytest.raises(FunctionNotFound, match=f'Unknown function "{name}"'):
            shared_host.function(name).call()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_other_methods(shared_host: RunningHost, method: str) -> None:
    status, headers, _ = ask(shared_host, method, "/function/echo_js", body=None)
    assert (status, headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize(("path", "status"), [("/status", 405), ("/nowhere", 404), ("/", 404)])
def test_other_paths(shared_host: RunningHost, path: str, status: int) -> None:
    got, headers, answer = ask(shared_host, "POST", path)
    assert (got, headers["Cache-Control"]) == (status, "no-store")
    assert headers["Allow"] == ("GET, HEAD" if status == 405 else None)
    assert (b"Use GET" if status == 405 else b"/function/<name>") in answer


# Who may ask


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("localhost", True),
        ("LOCALHOST:81", True),
        ("app.localhost:9009", True),
        ("127.0.0.1:9009", True),
        ("[::1]:9009", True),
        ("192.168.1.7", True),
        ("proxy.example:443", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example:9009", False),
        ("proxy.example.evil", False),
        ("notlocalhost", False),
    ],
)
def test_host_headers(shared_host: RunningHost, name: str, allowed: bool) -> None:
    headers = {**WANTS_JSON, "Host": name}
    for method, path in [("POST", "/function/echo_js"), ("GET", "/status")]:
        status, _, answer = ask(shared_host, method, path, headers)
        assert status == (200 if allowed else 400)
        assert allowed or json.loads(answer)["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://shop.example", 200),
        ("https://evil.example", 403),
        ("http://shop.example", 403),
        ("https://shop.example.evil", 403),
        ("null", 403),
    ],
)
def test_origins(shared_host: RunningHost, origin: str, status: int) -> None:
    headers = {**WANTS_JSON, "Origin": origin}
    for method, path in [("POST", "/function/echo_js"), ("GET", "/status")]:
        got, _, answer = ask(shared_host, method, path, headers)
        assert got == status
        assert status == 200 or json.loads(answer)["code"] == "origin_not_allowed"


# Answers


@pytest.mark.parametrize("timeout", ["soon", "0", "-1", "nan", "inf", "1e99"])
def test_a_timeout_that_is_no_number_of_seconds(shared_host: RunningHost, timeout: str) -> None:
    headers = {**JSON_TYPE, "JSHost-Timeout": timeout}
    status, _, answer = ask(shared_host, "POST", "/function/echo_js", headers)
    assert (status, b"JSHost-Timeout" in answer) == (400, True)


@pytest.mark.parametrize(
    ("method", "target", "status", "code", "error_name"),
    [
        ("POST", "/function/echo_js?hash=0", 400, "wrong_hash", ""),
        ("POST", "/function/nobody", 404, "unknown_function", ""),
        ("GET", "/function/echo_js", 405, "method_not_allowed", ""),
        ("POST", "/function/greet", 422, "arguments", "TypeError"),
        ("POST", "/function/fails", 500, "function_failed", "TypeError"),
    ],
)
def test_how_an_error_is_told(
    shared_host: RunningHost, method: str, target: str, status: int, code: str, error_name: str
) -> None:
    headers = {**JSON_TYPE, "X-Request-ID": "asked-7"}
    got, answered, answer = ask(shared_host, method, target, headers)
    assert (got, answered["Content-Type"]) == (status, "text/plain; charset=utf-8")
    if code == "function_failed":
        assert answer.startswith(b"TypeError: with a stack\n    at ")
    got, answered_json, answer = ask(shared_host, method, target, {**headers, **WANTS_JSON})
    envelope = json.loads(answer)
    assert (got, answered_json["Content-Type"]) == (status, "application/json")
    assert set(envelope) == {"code", "name", "message", "stack", "function", "requestId"}
    assert (envelope["code"], envelope["name"]) == (code, error_name)
    assert (envelope["requestId"], bool(envelope["message"])) == ("asked-7", True)
    for head in (answered, answered_json):
        assert head["X-Content-Type-Options"] == "nosniff"
        assert head["Cache-Control"] == "no-store"
        assert head["X-Request-ID"] == "asked-7"


def test_what_is_not_http_hurts_nobody(shared_host: RunningHost) -> None:
    request = b"POST /function/echo_py HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    with raw(shared_host, b"NONSENSE\r\n\r\n") as sock:
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ")
    with raw(shared_host, request[:-10]):
        pass  # hangs up in the middle of its head
    with raw(shared_host, request.replace(b"th: 0", b"th: 9") + b'{"a"'):
        pass  # and of its body
    with raw(shared_host, request * 3) as sock:  # and who does not wait is answered in order
        got = b""
        while got.count(b"\r\n\r\n{}") < 3:
            data = sock.recv(4096)
            assert data
            got += data
    assert "Traceback" not in shared_host.log_text()


@both_languages
def test_plain_text_shows_what_caused_an_error(serve: StartHost, tmp_path: Path, name: str) -> None:
    """To curl, which asks for no envelope."""
    (tmp_path / "fails.js").write_text(
        "const cause = new TypeError('k');\n"
        "exports.functions = {echo_js: () => { throw new Error('no such row', {cause}); }};"
    )
    config = """
def fails():
    try:
        raise KeyError("k")
    except KeyError as error:
        raise ValueError("no such row") from error
include = ["fails.js"]
functions = {"echo_py": fails}
"""
    host = serve("host.config.py", config)
    _, _, text = ask(host, "POST", f"/function/{name}")
    first, _, cause = text.decode().partition("\n\nCaused by: ")
    assert "no such row" in first
    assert "KeyError" in cause or "TypeError: k" in cause
    assert "no such row" not in cause
