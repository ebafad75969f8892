"""What caches are told of answers, calls by GET, and what a new version of the code changes."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from support.hosts import RunningHost, StartHost, wait_until

CONFIG = {
    "host.config.py": """
import jshost
include = ["host.config.js"]
calls = 0

@jshost.cacheable(max_age=60)
def count_py(text="", fail=False):
    global calls
    calls += 1
    if fail:
        raise ValueError("no")
    return f"{calls} {text}"

@jshost.cacheable(max_age=60)
async def kinds(kind):
    return {"bytes": b"\\0\\1", "null": None, "both": {"a": b"x"}, "text": "t"}[kind]

@jshost.cacheable(max_age=1)
def brief():
    return count_py()

@jshost.cacheable(max_age=60)
def stream(count):
    yield from range(count)

def plain_py():
    return 1

functions = {"count_py": count_py, "kinds": kinds, "brief": brief, "plain_py": plain_py,
             "stream": stream}
""",
    "host.config.js": """
let calls = 0;
const count_js = ({text = '', fail}) => {
  calls += 1;
  if (fail) throw new Error('no');
  return `${calls} ${text}`;
};
count_js.cacheable = {maxAge: 60};
module.exports = {functions: {count_js, plain_js: () => 1}};
""",
}

both_languages = pytest.mark.parametrize("name", ["count_py", "count_js"])
Answer = tuple[int, http.client.HTTPMessage, bytes]


def ask(
    host: RunningHost,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", host.status["config"]["port"], timeout=10)
    try:
        typed = {"Content-Type": "application/json"} if body else {}
        connection.request(method, target, body, {**typed, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def post(
    host: RunningHost, name: str, headers: Mapping[str, str] | None = None, **arguments: object
) -> Answer:
    body = json.dumps(arguments).encode()
    return ask(host, "POST", f"/function/{name}?hash={sha1(body)}", body, headers)


def get(
    host: RunningHost,
    name: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    **arguments: object,
) -> Answer:
    body = json.dumps(arguments)
    target = f"/function/{name}?hash={sha1(body.encode())}&data={quote(body)}"
    return ask(host, method, target, None, headers)


# What caches are told


@both_languages
def test_a_cacheable_answer(shared_host: RunningHost, name: str) -> None:
    body = b'{"text": "tea"}'
    status, headers, answer = post(shared_host, name, text="tea")
    assert (status, answer.split()[1]) == (200, b"tea")
    assert headers["Cache-Control"] == "public, max-age=60"
    assert headers["ETag"].startswith(f'W/"{sha1(body)}-')
    assert headers["Vary"] == "accept"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Request-ID"]
    again = post(shared_host, name, text="tea")
    assert again[2] != answer, "a host is no cache"
    assert again[1]["ETag"].split("-")[1] == headers["ETag"].split("-")[1]


@both_languages
def test_who_has_an_answer_that_holds_is_told_so(shared_host: RunningHost, name: str) -> None:
    _, headers, answer = post(shared_host, name, text="tea")
    tag = headers["ETag"]
    for ask_again in (post, get):
        for given in (tag, f'"other", {tag}', tag.removeprefix("W/")):
            status, headers, body = ask_again(
                shared_host, name, {"If-None-Match": given}, text="tea"
            )
            assert (status, body, headers["ETag"]) == (304, b"", tag)
            kind, age = headers["Cache-Control"].split("=")
            assert kind == "public, max-age"
            assert 50 < int(age) <= 60
            assert headers["X-Content-Type-Options"] == "nosniff"
    calls = int(post(shared_host, name, text="tea")[2].split()[0])
    assert calls == int(answer.split()[0]) + 1, "the function was not asked"


@both_languages
def test_which_tags_do_not_hold(shared_host: RunningHost, name: str) -> None:
    tag = post(shared_host, name, text="tea")[1]["ETag"]
    hash_, code, made_at = tag[3:-1].split("-")
    other = post(shared_host, name, text="milk")[1]["ETag"]
    hour = f"{int(made_at, 16) + 3600:x}"
    bad = [other, f'"{hash_}-{code}x-{made_at}"', f'"{hash_}-0-{made_at}"', f'"{hash_}-{code}-0"',
           f'"{hash_}-{code}-{hour}"', f'"{hash_}-{code}-{"f" * 40}"', "*", "", '"']  # fmt: skip
    for given in bad:
        status, _, answer = post(shared_host, name, {"If-None-Match": given}, text="tea")
        assert (status, answer.split()[1]) == (200, b"tea"), given


def test_no_answer_is_older_than_its_function_allows(shared_host: RunningHost) -> None:
    _, headers, answer = post(shared_host, "brief")
    assert headers["Cache-Control"] == "public, max-age=1"

    def is_asked_again() -> bool:
        status, _, later = post(shared_host, "brief", {"If-None-Match": headers["ETag"]})
        return status == 200 and later != answer

    wait_until(is_asked_again, 10, "new answer")


@pytest.mark.parametrize("name", ["plain_py", "plain_js"])
def test_other_functions_are_not_kept(shared_host: RunningHost, name: str) -> None:
    status, headers, _ = post(shared_host, name, {"If-None-Match": "*"})
    assert (status, headers["Cache-Control"], headers["ETag"]) == (200, "no-store", None)


@both_languages
def test_a_url_that_does_not_stand_for_the_call_is_not_kept(
    shared_host: RunningHost, name: str
) -> None:
    for target in (f"/function/{name}", f"/function/{name}?v=2"):
        status, headers, _ = ask(shared_host, "POST", target, b"{}")
        assert (status, headers["Cache-Control"], headers["ETag"]) == (200, "no-store", None)


@both_languages
def test_errors_are_not_kept(shared_host: RunningHost, name: str) -> None:
    for ask_one in (post, get):
        status, headers, _ = ask_one(shared_host, name, fail=True)
        assert (status, headers["Cache-Control"], headers["ETag"]) == (500, "no-store", None)
    wrong = f"/function/{name}?hash={'0' * 40}"
    for answer in (ask(shared_host, "POST", wrong, b"{}"), ask(shared_host, "GET", wrong)):
        assert (answer[0], answer[1]["Cache-Control"]) == (400, "no-store")


def test_streams_are_not_kept(shared_host: RunningHost) -> None:
    events = {"Accept": "text/event-stream"}
    for ask_one in (post, get):
        status, headers, body = ask_one(shared_host, "stream", events, count=2)
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        assert body.count(b"event: chunk") == 2
    assert post(shared_host, "stream", count=2)[1]["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize(
    ("kind", "content_type", "body"),
    [
        ("text", "text/plain; charset=utf-8", b"t"),
        ("null", "application/json", b"null"),
        ("bytes", "application/octet-stream", b"\0\1"),
        ("both", "multipart/form-data", None),
    ],
)
def test_answers_of_every_kind(
    shared_host: RunningHost, kind: str, content_type: str, body: bytes | None
) -> None:
    for ask_one in (post, get):
        status, headers, answer = ask_one(shared_host, "kinds", kind=kind)
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=60")
        assert headers["Content-Type"].startswith(content_type)
        assert body is None or answer == body


# GET


@both_languages
def test_head_is_get_without_the_body(shared_host: RunningHost, name: str) -> None:
    _, got, _ = get(shared_host, name, text="tea")
    status, headers, body = get(shared_host, name, None, "HEAD", text="tea")
    assert (status, body, headers["Cache-Control"]) == (200, b"", "public, max-age=60")
    assert int(headers["Content-Length"]) >= int(got["Content-Length"])
    for error in (get(shared_host, name, None, "HEAD", fail=True),):
        assert error[0] == 500
        assert error[2] == b""


@both_languages
def test_how_arguments_may_be_written(shared_host: RunningHost, name: str) -> None:
    data = {"text": "a+b c&d=é%☃"}
    text = json.dumps(data, ensure_ascii=False)
    hash_ = sha1(text.encode())
    for query in (
        f"data={quote(text)}",
        f"hash={hash_}&data={quote(text, safe='')}",
        urlencode({"data": text, "hash": hash_}),
        f"utm=1&data={quote(text)}&hash={hash_.upper()}",
    ):
        status, headers, answer = ask(shared_host, "GET", f"/function/{name}?{query}")
        assert (status, headers["Cache-Control"]) == (200, "public, max-age=60"), query
        assert answer.decode().split(" ", 1)[1] == data["text"]


@both_languages
def test_no_arguments(shared_host: RunningHost, name: str) -> None:
    for query in ("", "?", f"?hash={sha1(b'')}", "?data=", "?data={}", "?data=%7B%7D"):
        assert ask(shared_host, "GET", f"/function/{name}{query}")[0] == 200, query


@both_languages
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("data=%7B", "malformed_json"),
        ("data=[1]", "not_an_object"),
        ("data=%FF", "malformed_json"),
        ("data={}&data={}", "bad_request"),
        (f"hash={'0' * 40}&data={{}}", "wrong_hash"),
        (f"hash={sha1(b'{}')}", "wrong_hash"),
    ],
)
def test_arguments_that_cannot_be_read(
    shared_host: RunningHost, name: str, query: str, code: str
) -> None:
    wants_json = {"Accept": "application/json"}
    status, headers, body = ask(shared_host, "GET", f"/function/{name}?{query}", None, wants_json)
    assert (status, json.loads(body)["code"]) == (400, code)
    assert headers["Cache-Control"] == "no-store"


def test_which_methods_there_are(shared_host: RunningHost) -> None:
    for name, methods, allowed in (
        ("count_py", ["PUT", "DELETE", "PATCH"], "GET, HEAD, POST"),
        ("plain_py", ["GET", "HEAD", "PUT"], "POST"),
        ("plain_js", ["GET"], "POST"),
    ):
        for method in methods:
            status, headers, body = ask(shared_host, method, f"/function/{name}")
            assert (status, headers["Allow"]) == (405, allowed)
            assert method == "HEAD" or b"not " + method.encode() in body
    assert ask(shared_host, "GET", "/batch")[1]["Allow"] == "POST"
    assert ask(shared_host, "PUT", "/status")[1]["Allow"] == "GET, HEAD"
    assert ask(shared_host, "GET", "/function/nobody")[0] == 404


def test_status_says_what_is_cacheable(shared_host: RunningHost) -> None:
    pools = shared_host.host.request_status()["config"]["pools"]
    assert [pool["cacheable"] for pool in pools] == [
        {"count_py": 60, "kinds": 60, "brief": 1, "stream": 60},
        {"count_js": 60},
    ]


# New code

PYTHON = """
import jshost
from helper import VALUE

@jshost.cacheable(max_age=60)
def answer():
    return VALUE

functions = {"answer": answer}
"""
JAVASCRIPT = """
const answer = () => require('./helper').VALUE;
answer.cacheable = {maxAge: 60};
require('./helper');
module.exports = {functions: {answer}};
"""
MODULE = """
import {VALUE} from './helper.mjs';
const answer = () => VALUE;
answer.cacheable = {maxAge: 60};
export default {functions: {answer}};
"""
PROJECTS = {
    "host.config.py": (PYTHON, "helper.py", "VALUE = {}"),
    "host.config.js": (JAVASCRIPT, "helper.js", "exports.VALUE = {};"),
    "host.config.mjs": (MODULE, "helper.mjs", "export const VALUE = {};"),
}


@pytest.mark.parametrize("name", PROJECTS)
def test_a_deploy_ends_the_old_codes_answers(serve: StartHost, tmp_path: Path, name: str) -> None:
    text, helper, line = PROJECTS[name]
    (tmp_path / helper).write_text(line.format(1))
    first = serve(name, text)
    old = get(first, "answer")
    held = {"If-None-Match": old[1]["ETag"]}
    first.stop()
    same = serve(name)
    assert get(same, "answer", held)[0] == 304, "the same code, restarted"
    same.stop()
    (tmp_path / helper).write_text(line.format(2))
    new = serve(name)
    status, headers, answer = get(new, "answer", held)
    assert (old[2], status, answer) == (b"1", 200, b"2")
    assert headers["ETag"] != old[1]["ETag"]


@pytest.mark.parametrize("name", PROJECTS)
def test_nothing_is_kept_while_old_code_and_new_code_answer(
    serve: StartHost, tmp_path: Path, name: str
) -> None:
    text, helper, line = PROJECTS[name]
    (tmp_path / helper).write_text(line.format(1))
    host = serve(name, text, "--workers", "2")
    wait_until(lambda: len(ready(host)) == 2, 10, "two workers")
    old = get(host, "answer")[1]["ETag"]
    assert old
    (tmp_path / helper).write_text(line.format(2))
    replace_one(host)
    for ask_one in (get, post):
        status, headers, _ = ask_one(host, "answer", {"If-None-Match": old})
        assert (status, headers["Cache-Control"], headers["ETag"]) == (200, "no-store", None)
    replace_one(host)
    status, headers, answer = get(host, "answer", {"If-None-Match": old})
    assert (status, answer, headers["Cache-Control"]) == (200, b"2", "public, max-age=60")


def replace_one(host: RunningHost) -> None:
    """Kill the oldest worker, and wait for the next."""
    first = ready(host)[0]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(pids := ready(host)) == 2 and first not in pids, 10, "another worker")


def ready(host: RunningHost) -> list[int]:
    """The workers that are ready, the oldest first."""
    workers = host.host.request_status()["workers"]
    return [worker["pid"] for worker in workers if worker["state"] == "ready"]


def test_an_edited_mark_counts_with_reload(serve: StartHost, tmp_path: Path) -> None:
    config = "functions = {{'f': f}}"
    mark = "import jshost\n@jshost.cacheable(max_age={})\ndef f(): return 1\n" + config
    host = serve("host.config.py", mark.format(60), "--reload")
    assert get(host, "f")[1]["Cache-Control"] == "public, max-age=60"
    (tmp_path / "host.config.py").write_text(mark.format(5))
    assert get(host, "f")[1]["Cache-Control"] in ("no-store", "public, max-age=5")
    wait_until(
        lambda: get(host, "f")[1]["Cache-Control"] == "public, max-age=5",
        5,
        "end of the old worker",
    )
    (tmp_path / "host.config.py").write_text("def f(): return 1\n" + config.format())
    assert post(host, "f")[1]["Cache-Control"] == "no-store"
    assert get(host, "f")[0] == 405


def test_a_mark_that_is_none(serve: StartHost) -> None:
    with pytest.raises(AssertionError, match='"f" is marked as cacheable by 60'):
        serve("host.config.js", "const f = () => 1; f.cacheable = 60; exports.functions = {f};")
