"""A function's result on its way: its form, its content type, and the value that arrives."""

from __future__ import annotations

import decimal
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ids import id_of

from jshost.protocol import results, values


class Kind(str, enum.Enum):  # noqa: UP042  as in older code
    PAGE = "page"


RESULTS: list[tuple[Any, tuple[bytes, bytes]]] = [
    ("Hi 🙂", (values.TEXT, "Hi 🙂".encode())),
    ("", (values.TEXT, b"")),
    ("\ud800", (values.JSON, b'"\\ud800"')),
    (Kind.PAGE, (values.TEXT, b"page")),
    (b"\xff\x00", (values.BYTES, b"\xff\x00")),
    (bytearray(b"ab"), (values.BYTES, b"ab")),
    (memoryview(b"abcd")[1:3], (values.BYTES, b"bc")),
    (None, (values.JSON, b"null")),
    (0, (values.JSON, b"0")),
    (False, (values.JSON, b"false")),
    ([1, "ü"], (values.JSON, b'[1, "\\u00fc"]')),
    (decimal.Decimal("1.0"), (values.JSON, b'"1.0"')),
]
CONTENT_TYPES = {
    values.JSON: "application/json",
    values.TEXT: "text/plain; charset=utf-8",
    values.BYTES: "application/octet-stream",
}


@pytest.mark.parametrize(("value", "wanted"), RESULTS, ids=[id_of(value) for value, _ in RESULTS])
def test_a_result_has_a_form(value: Any, wanted: tuple[bytes, bytes]) -> None:
    assert values.encode_result(value) == wanted


def test_a_result_is_called_a_result() -> None:
    with pytest.raises(TypeError, match=r"^result rows\[0\]: a set has no JSON form"):
        values.encode_result({"rows": [{1}]})
    with pytest.raises(ValueError, match=r"^result: nan has no JSON form"):
        values.encode_result(math.nan)
    with pytest.raises(TypeError, match=r"^result: the key \(1, 2\) is a tuple"):
        values.encode_result({(1, 2): 1})


def test_content_types_are_read_as_http_spells_them() -> None:
    assert results.decode_result("Application/JSON; charset=utf-8", b"[1]") == [1]
    assert results.decode_result("text/plain", "ü".encode()) == "ü"
    assert results.decode_result("application/octet-stream", b"\xff") == b"\xff"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("", b"1"),
        ("text/html; charset=utf-8", b"<p>"),
        ("application/json", b"{"),
        ("application/json", b""),
        ("application/json", b"\xff"),
        ("text/plain", b"\xff"),
    ],
)
def test_what_functions_never_answer_is_a_value_error(content_type: str, body: bytes) -> None:
    with pytest.raises(ValueError):
        results.decode_result(content_type, body)


texts = st.text(st.characters(), max_size=20)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@settings(deadline=None)
@given(arguments=st.dictionaries(texts, json_values, max_size=5))
def test_arguments_arrive_as_they_were(arguments: dict[str, Any]) -> None:
    body = values.encode_arguments(arguments)
    assert body.isascii()
    assert json.loads(body) == arguments
    assert list(json.loads(body)) == sorted(arguments)


@settings(deadline=None)
@given(value=json_values | st.binary(max_size=20))
def test_results_arrive_as_they_were(value: Any) -> None:
    form, data = values.encode_result(value)
    found = results.decode_result(CONTENT_TYPES[form], data)
    assert found == value
    assert type(found) is type(value)
