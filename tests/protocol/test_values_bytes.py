"""Bytes in arguments and results: out beside the JSON, and in again at their places."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jshost.protocol import results, values
from jshost.protocol.multipart import Part, boundary_of, decode_parts


@dataclasses.dataclass
class Photo:
    name: str
    data: Any


class Custom:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __json__(self) -> Any:
        return self.value


def there_and_back(arguments: dict[str, Any]) -> Any:
    body, content_type = values.encode_call(arguments)
    return results.decode_call(content_type, body)


def result_type(form: bytes, data: bytes) -> str:
    """The content type that a host gives to a result of this form."""
    if form == values.MULTIPART:
        boundary = data[2:].partition(b"\r")[0].decode()
        return f"multipart/form-data; boundary={boundary}"
    types = {values.JSON: "application/json", values.BYTES: "application/octet-stream"}
    return types.get(form, "text/plain; charset=utf-8")


# Arguments


def test_without_bytes_a_call_is_the_json_that_it_was() -> None:
    arguments = {"b": [1, "ü"], "a": {"z": None}}
    assert values.encode_call(arguments) == (values.encode_arguments(arguments), "application/json")


def test_bytes_are_parts_named_by_their_places() -> None:
    arguments = {"image": b"\xff", "data": {"a/b~": [1, bytearray(b"x")], "width": 100}}
    body, content_type = values.encode_call(arguments)
    assert decode_parts(content_type, body) == [
        Part(
            "data",
            "application/json",
            b'{"data": {"a/b~": [1, null], "width": 100}, "image": null}',
        ),
        Part("/data/a~1b~0/1", "application/octet-stream", b"x"),
        Part("/image", "application/octet-stream", b"\xff"),
    ]


def test_equal_calls_have_equal_bytes_and_others_do_not() -> None:
    body = values.encode_call({"a": b"1", "b": 2})
    assert body == values.encode_call({"b": 2, "a": b"1"})
    assert boundary_of(body[1]) != boundary_of(values.encode_call({"a": b"2", "b": 2})[1])


CASES: list[tuple[str, Any, Any]] = [
    ("bytes", b"\x00\xff\r\n--", b"\x00\xff\r\n--"),
    ("no bytes at all", b"", b""),
    ("a bytearray", bytearray(b"ab"), b"ab"),
    ("a memoryview", memoryview(b"abcd")[::2], b"ac"),
    ("a file", io.BytesIO(b"file"), b"file"),
    ("in a dataclass", Photo("a.png", b"png"), {"name": "a.png", "data": b"png"}),
    ("what __json__ returns", Custom(b"x"), b"x"),
    ("in what __json__ returns", Custom({"deep": (1, [b"x"])}), {"deep": [1, [b"x"]]}),
    ("under a key that is no string", {2: b"a", None: b"b", True: b"c"}, None),
]


@pytest.mark.parametrize(
    ("value", "wanted"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_bytes_at_any_depth_arrive(value: Any, wanted: Any) -> None:
    if wanted is None:
        wanted = {"2": b"a", "null": b"b", "true": b"c"}
    found = there_and_back({"more": [0, {"value": value}], "none": None})
    assert found == {"more": [0, {"value": wanted}], "none": None}


def test_a_file_is_read_to_its_end_once(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file:
        file.seek(1)
        assert there_and_back({"a": file, "b": [file]}) == {
            "a": b"x" * 99_999,
            "b": [b"x" * 99_999],
        }


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r'^argument a\[0\]: .*text mode; open it .* "rb"'):
        values.encode_call({"a": [io.StringIO("x")]})


class Coroutines:
    async def read(self) -> bytes:
        return b""


def test_a_file_that_has_to_be_awaited_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^argument a: its read\(\) gave a coroutine, not bytes"):
        values.encode_call({"a": Coroutines()})


@pytest.mark.parametrize(
    ("value", "cls", "text"),
    [
        ({1}, TypeError, "argument b[1]: a set has no JSON form"),
        (math.nan, ValueError, "argument b[1]: nan has no JSON form"),
        (io.BytesIO, TypeError, "argument b[1]: a type has no JSON form"),
    ],
)
def test_beside_bytes_faults_are_found_as_ever(value: Any, cls: type[Exception], text: str) -> None:
    with pytest.raises(cls) as caught:
        values.encode_call({"a": b"x", "b": [b"y", value]})
    assert str(caught.value).startswith(text)


def test_encode_arguments_is_for_json_alone() -> None:
    with pytest.raises(TypeError, match="bytes"):
        values.encode_arguments({"a": b"x"})


class Base64(values.Encoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, bytes):
            return base64.b64encode(o).decode()
        return super().default(o)


def test_an_encoder_may_have_a_rule_of_its_own_for_bytes() -> None:
    assert values.encode_call({"a": b"x"}, Base64) == (b'{"a": "eA=="}', "application/json")
    body, content_type = values.encode_call({"a": b"x", "b": bytearray(b"y")}, Base64)
    assert results.decode_call(content_type, body) == {"a": "eA==", "b": b"y"}


def test_any_encoder_may_hold_bytes() -> None:
    body, content_type = values.encode_call({"a": b"x"}, json.JSONEncoder)
    assert results.decode_call(content_type, body) == {"a": b"x"}


# Results


def test_a_result_with_bytes_inside_is_multipart_and_decodes() -> None:
    value = {"pages": [b"1", b"2"], "title": "ü"}
    form, data = values.encode_result(value)
    assert form == values.MULTIPART
    assert data.startswith(b"--jshost-")
    assert results.decode_result(result_type(form, data), data) == value


@pytest.mark.parametrize("value", [io.BytesIO(b"x"), Custom(b"x"), bytearray(b"x")])
def test_a_result_that_is_bytes_as_a_whole_is_bytes(value: Any) -> None:
    assert values.encode_result(value) == (values.BYTES, b"x")


def test_json_can_be_forced() -> None:
    assert values.encode_result("a\nü", force_json=True) == (values.JSON, b'"a\\n\\u00fc"')
    assert values.encode_result(b"x", force_json=True) == (values.BYTES, b"x")
    assert values.encode_result([b"x"], force_json=True)[0] == values.MULTIPART


def test_a_value_is_called_what_it_is() -> None:
    with pytest.raises(TypeError, match=r"^chunk \[0\]: a set has no JSON form"):
        values.encode_result([{1}], what="chunk")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"NaN"),
        ("application/json", b"\xff"),
        ("multipart/form-data; boundary=x", b"{}"),
        ("text/plain", b"{}"),
    ],
)
def test_a_body_that_is_no_call_is_a_value_error(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError):
        results.decode_call(content_type, body)


texts = st.text(st.characters(), max_size=8) | st.text("~01/%2\"'", max_size=8)
any_value = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(arguments=st.dictionaries(texts, any_value, max_size=4))
def test_arguments_with_bytes_arrive_as_they_were(arguments: dict[str, Any]) -> None:
    assert there_and_back(arguments) == arguments


@settings(deadline=None)
@given(value=any_value)
def test_results_with_bytes_arrive_as_they_were(value: Any) -> None:
    form, data = values.encode_result(value)
    assert results.decode_result(result_type(form, data), data) == value
