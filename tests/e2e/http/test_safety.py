"""Who may call, what they are told, and what can never get into a header."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from support.hosts import RunningHost, StartHost, cli

import jshost
from jshost import Function, JSHost, settings
from jshost.exceptions import FunctionError, RequestError, UnexpectedResponse
from jshost.pool.node import find_node

TOKEN = "t0ken-of-16-and-more"
OTHER = "another-token-of-16"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
CONFIG = """
import jshost

@jshost.cacheable(max_age=60)
def hello(name="World"):
    return f"Hello, {name}!"

def fails():
    raise ValueError("the secret is 42")

def dies():
    import os, sys
    print("the secret is 42", file=sys.stderr, flush=True)
    os._exit(3)

def stream():
    yield 1
    raise ValueError("the secret is 42")

def unserializable():
    return {"secret": {42}}

functions = {"hello": hello, "fails": fails, "dies": dies, "stream": stream,
             "unserializable": unserializable}
"""

Answer = tuple[int, http.client.HTTPMessage, bytes]


def ask(
    host: RunningHost,
    target: str,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    body: bytes = b"",
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", host.status["config"]["port"], timeout=10)
    try:
        connection.request(method, target, body, dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


# Tokens


@pytest.fixture
def guarded(serve: StartHost) -> RunningHost:
    return serve("host.config.py", CONFIG + f"token = {TOKEN!r}\n")


def test_what_wants_the_token(guarded: RunningHost) -> None:
    for method, target in [
        ("POST", "/function/hello"),
        ("GET", "/function/hello"),
        ("POST", "/function/nobody"),
        ("POST", "/batch"),
        ("GET", "/status"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("OPTIONS", "/function/hello"),
    ]:
        status, headers, body = ask(guarded, target, None, method)
        assert status == 401, target
        assert headers["WWW-Authenticate"] == 'Bearer realm="jshost"'
        assert headers["Cache-Control"] == "no-store"
        assert TOKEN.encode() not in body
    for target in ("/health", "/ready"):
        assert ask(guarded, target, None, "GET")[0] == 200


def test_which_tokens_do(guarded: RunningHost) -> None:
    for good in (f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"BEARER {TOKEN} "):
        assert ask(guarded, "/function/hello", {"Authorization": good})[0] == 200, good
    for bad in (f"Bearer {OTHER}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ",
                f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}, {TOKEN}", "Bearer \xff"):  # fmt: skip
        assert ask(guarded, "/function/hello", {"Authorization": bad})[0] == 401, bad


def test_a_recognized_request_needs_it_too(guarded: RunningHost) -> None:
    """The second of two that are alike is not parsed."""
    host = JSHost(root_url=guarded.url, token=TOKEN)
    stranger = JSHost(root_url=guarded.url, token=OTHER)
    for _ in range(3):
        assert Function("hello", host).call() == "Hello, World!"
        with pytest.raises(RequestError) as caught:
            Function("hello", stranger).call()
        assert (caught.value.code, caught.value.status) == ("unauthorized", 401)


def test_callers_have_a_setting(guarded: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with settings.override(ROOT_URL=guarded.url, TOKEN=TOKEN):
        assert Function("hello").call() == "Hello, World!"
        assert Function("hello").map([{"name": "A"}]) == ["Hello, A!"]
    monkeypatch.setenv("JSHOST_TOKEN", TOKEN)
    with settings.override(ROOT_URL=guarded.url):
        assert Function("hello").call() == "Hello, World!"
    monkeypatch.setenv("JSHOST_TOKEN", "two words")
    with pytest.raises(jshost.ConfigError) as caught, settings.override(ROOT_URL=guarded.url):
        Function("hello").call()
    assert "two words" not in str(caught.value)


def test_nothing_needs_to_be_said_of_a_host_that_is_found(
    guarded: RunningHost, tmp_path: Path
) -> None:
    host = JSHost(tmp_path / "host.config.py")
    assert Function("hello", host).call() == "Hello, World!"
    found = cli("status", "--json")
    assert json.loads(found.stdout)[0]["pid"] == guarded.pid
    assert cli("call", "hello", "-c", str(tmp_path / "host.config.py")).stdout == "Hello, World!\n"


def test_what_a_caller_without_it_reads(guarded: RunningHost) -> None:
    with pytest.raises(UnexpectedResponse, match="wants a token") as caught:
        JSHost(root_url=guarded.url).connect()
    assert TOKEN not in str(caught.value)


def test_it_is_shown_nowhere(guarded: RunningHost, tmp_path: Path) -> None:
    ask(guarded, "/function/hello", {"Authorization": f"Bearer {OTHER}"})
    ask(guarded, "/function/hello", BEARER)
    ask(guarded, "/function/dies", BEARER)
    shown = [
        json.dumps(guarded.status),
        ask(guarded, "/status", BEARER, "GET")[2].decode(),
        cli("config", str(tmp_path / "host.config.py")).stdout,
        cli("check", str(tmp_path / "host.config.py"), "--json").stdout,
        cli("status", "--json").stdout,
        guarded.log_text(),
    ]
    process = psutil.Process(guarded.pid)
    for each in (process, *process.children(recursive=True)):
        shown.append(" ".join(each.cmdline()))
    assert [text for text in shown if TOKEN in text or OTHER in text] == []
    assert '"token": "(hidden)"' in shown[0]


def test_only_its_user_can_read_what_callers_find(
    guarded: RunningHost, own_runtime_folder: Path
) -> None:
    (record,) = own_runtime_folder.glob("jshost/host-*.json")
    assert record.stat().st_mode & 0o077 == 0
    assert json.loads(record.read_text())["token"] == TOKEN


@pytest.mark.parametrize("way", ["file", "flag", "environment"])
def test_where_it_may_stand(serve: StartHost, tmp_path: Path, way: str) -> None:
    (tmp_path / "secret").write_text(f"{TOKEN}\n")
    options = "tokenFile: 'secret', " if way == "file" else ""
    text = f"module.exports = {{{options}functions: {{hello: () => 'hi'}}}};"
    flags = ["--token-file", str(tmp_path / "secret")] if way == "flag" else []
    environment = {**os.environ, **({"JSHOST_TOKEN": TOKEN} if way == "environment" else {})}
    host = serve("host.config.js", text, *flags, env=environment)
    assert ask(host, "/function/hello")[0] == 401
    assert ask(host, "/function/hello", BEARER)[2] == b"hi"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("token = 'short'", "16 or more"),
        ("token = 'with a space in it'", "16 or more"),
        ("token = 12345678901234567", "16 or more"),
        ("token_file = 'nowhere'", "cannot be read"),
        ("token_file = 'empty'", "is empty"),
        ("token_file = 'short'", "16 characters or more"),
        (f"token = {TOKEN!r}\ntoken_file = 'empty'", "not both"),
    ],
)
def test_what_is_no_token(serve: StartHost, tmp_path: Path, options: str, said: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "short").write_text("2short")
    with pytest.raises(AssertionError, match=said) as caught:
        serve("host.config.py", f"{options}\nfunctions = {{}}")
    for secret in ("'short'", "2short", "with a space", "12345678901234567", TOKEN):
        assert secret not in str(caught.value)


def test_with_a_token_answers_are_for_who_has_it(guarded: RunningHost) -> None:
    _, headers, _ = ask(guarded, "/function/hello", BEARER, "GET")
    assert headers["Cache-Control"] == "max-age=60"
    assert headers["Vary"] == "accept, authorization"


# Addresses


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_public_address_without_a_token_is_warned_of(serve: StartHost, address: str) -> None:
    if address == "::" and not socket.has_ipv6:
        address = "0.0.0.0"
    text = "functions = {}"
    assert "ANYBODY" in serve("host.config.py", text, "--address", address).log_text()
    text += f"\ntoken = {TOKEN!r}"
    assert "ANYBODY" not in serve("host.config.py", text, "--address", address).log_text()
    assert "ANYBODY" not in serve("host.config.py", "functions = {}").log_text()


# Errors


@pytest.fixture
def discreet(serve: StartHost) -> RunningHost:
    return serve("host.config.py", CONFIG + "expose_errors = False\n")


@pytest.mark.parametrize(
    ("name", "code", "status"),
    [
        ("fails", "function_failed", 500),
        ("unserializable", "unserializable_result", 500),
        ("dies", "worker_died", 502),
    ],
)
def test_an_error_that_is_not_told(
    discreet: RunningHost, name: str, code: str, status: int
) -> None:
    sent = {"X-Request-ID": "abc-1", "Accept": "application/json"}
    got, headers, body = ask(discreet, f"/function/{name}", sent)
    envelope = json.loads(body)
    assert (got, headers["X-Request-ID"]) == (status, "abc-1")
    assert envelope == {
        "code": code,
        "name": "",
        "message": "internal error abc-1",
        "stack": "",
        "function": name,
        "requestId": "abc-1",
    }
    text = ask(discreet, f"/function/{name}", {"X-Request-ID": "abc-2"})[2].decode()
    assert text == f"{name}: internal error abc-2\n"
    log = discreet.log_text()
    for line in (f"[abc-1] {name} failed", f"[abc-2] {name} failed"):
        assert line in log
    assert "secret" in log


def test_a_stream_and_a_batch_do_not_tell_it_either(discreet: RunningHost) -> None:
    _, _, events = ask(discreet, "/function/stream", {"Accept": "text/event-stream"})
    assert b"internal error" in events
    assert b"secret" not in events
    results = Function("fails", discreet.host).map([{}, {}])
    for result in results:
        assert isinstance(result, FunctionError)
        assert str(result).startswith("fails: internal error ")
        assert result.stack == ""


def test_what_the_caller_did_wrong_is_told(discreet: RunningHost) -> None:
    wants_json = {"Accept": "application/json", "Content-Type": "application/json"}
    status, _, body = ask(discreet, "/function/hello", wants_json, body=b'{"nome": 1}')
    assert (status, "nome" in json.loads(body)["message"]) == (422, True)
    assert b"nobody" in ask(discreet, "/function/nobody", wants_json)[2]
    slow = {**wants_json, "JSHost-Timeout": "x"}
    assert b"JSHost-Timeout" in ask(discreet, "/function/hello", slow)[2]


# Pages of other origins


@pytest.fixture
def shop(serve: StartHost) -> RunningHost:
    return serve(
        "host.config.py", CONFIG + f"token = {TOKEN!r}\nallowed_origins = ['https://shop.example']"
    )


SHOP = {"Origin": "https://shop.example"}


def test_a_page_that_may_call_can(shop: RunningHost) -> None:
    asks = {**SHOP, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type"}  # fmt: skip
    status, headers, body = ask(shop, "/function/hello", asks, "OPTIONS")
    assert (status, body) == (204, b"")
    assert headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    allowed = headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "jshost-timeout", "x-request-id"} <= set(allowed)
    for target, extra, expected in [
        ("/function/hello", {}, 200),
        ("/function/stream", {"Accept": "text/event-stream"}, 200),
        ("/function/fails", {}, 500),
        ("/function/nobody", {}, 404),
    ]:
        for _ in range(2):
            sent = {**SHOP, **BEARER, **extra}
            status, headers, _ = ask(shop, target, sent)
            assert (status, headers["Access-Control-Allow-Origin"]) == (expected, SHOP["Origin"])
            assert "x-request-id" in headers["Access-Control-Expose-Headers"]
    assert ask(shop, "/function/hello", SHOP)[0] == 401
    cached = ask(shop, "/function/hello", {**SHOP, **BEARER}, "GET")[1]
    assert cached["Vary"] == "accept, authorization, origin"


def test_other_pages_cannot(shop: RunningHost) -> None:
    for origin in ("https://evil.example", "null", "https://shop.example.evil.example"):
        for method in ("OPTIONS", "POST", "GET"):
            status, headers, _ = ask(shop, "/function/hello", {"Origin": origin, **BEARER}, method)
            assert (status, headers["Access-Control-Allow-Origin"]) == (403, None)


# Headers


def raw(host: RunningHost, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", host.status["config"]["port"]), 10) as sock:
        sock.sendall(data)
        answer = b""
        while more := sock.recv(65536):
            answer += more
    return answer


CRLF = ["%0d%0aX-Evil:%201", "%0aX-Evil:%201", "%0d%0a%0d%0aX-Evil"]


@pytest.mark.parametrize("evil", CRLF)
def test_nothing_that_is_sent_becomes_a_header(serve: StartHost, evil: str) -> None:
    host = serve("host.config.py", CONFIG)
    for target in (
        f"/function/{evil}", f"/function/hello?hash={evil}", f"/{evil}", f"/function/hello{evil}",
        f"/function/hello?data={evil}",
    ):  # fmt: skip
        for method in ("GET", "POST", "PUT"):
            head = ask(host, target, None, method)[1]
            assert head["X-Evil"] is None
    for name in ("X-Request-ID", "traceparent", "Accept", "If-None-Match", "JSHost-Timeout"):
        line = f"POST /function/hello HTTP/1.1\r\nHost: localhost\r\n{name}: ".encode()
        for value in (b"x\rX-Evil: 1", b"x\x00X-Evil: 1", b"x\x0bX-Evil: 1", b"x\r\n X-Evil: 1"):
            answer = raw(host, line + value + b"\r\nConnection: close\r\n\r\n")
            assert b"\nx-evil" not in answer.lower()
            assert b"\rx-evil" not in answer.lower()


def test_every_response_says_nosniff(serve: StartHost) -> None:
    host = serve("host.config.py", CONFIG + "request_data_limit = 100\n")
    requests = [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"POST /function/hello HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"POST /function/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n"
        b"Connection: close\r\n\r\n" + b"x" * 999,
        b"POST /function/hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
        b"PUT /function/hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ]
    for path in (b"/health", b"/ready", b"/status", b"/metrics", b"/nowhere", b"/function/hello",
                 b"/function/plain", b"/batch", b"/function/fails"):  # fmt: skip
        for method in (b"GET", b"POST", b"HEAD", b"OPTIONS"):
            line = method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n"
            requests.append(line + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
    for data in requests:
        head = raw(host, data).partition(b"\r\n\r\n")[0].lower()
        assert head.startswith(b"http/1.1 "), data[:60]
        assert b"\r\nx-content-type-options: nosniff" in head, data[:60]
        assert b"\r\ncache-control: " in head, data[:60]


# Node programs

NODE_PROGRAM = """
const {Host} = await import(process.argv[2]);
const [, , , options] = process.argv;
try {
  console.log((await new Host(JSON.parse(options)).status()).type);
} catch (error) {
  console.log(error.constructor.name);
}
"""


@pytest.mark.parametrize("found", [True, False])
def test_a_node_program(guarded: RunningHost, tmp_path: Path, found: bool) -> None:
    program = tmp_path / "program.mjs"
    program.write_text(NODE_PROGRAM)
    module = str(Path(jshost.__file__).parent / "js" / "index.mjs")
    if found:
        tries = [({"configFile": str(tmp_path / "host.config.py")}, {}, True)]
    else:
        url = {"rootUrl": guarded.url}
        tries = [
            ({**url, "token": TOKEN}, {}, True),
            (url, {"JSHOST_TOKEN": TOKEN}, True),
            ({**url, "token": OTHER}, {"JSHOST_TOKEN": TOKEN}, False),
            (url, {}, False),
        ]
    for options, environment, succeeds in tries:
        done = subprocess.run(
            [find_node().path, str(program), module, json.dumps(options)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.stdout == "Host\n") == succeeds, done
