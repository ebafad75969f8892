"""multipart/form-data: the vectors that both languages share, and whatever parts there are."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import VECTORS_FOLDER

from jshost.protocol import results
from jshost.protocol.attachments import attach
from jshost.protocol.multipart import (
    Part,
    Run,
    boundary_of,
    decode_parts,
    decode_runs,
    encode_parts,
    encode_runs,
)

VECTORS: dict[str, Any] = json.loads(
    (VECTORS_FOLDER / "multipart.json").read_text(encoding="utf-8")
)
FORM = "multipart/form-data; boundary=x"


def vectors(section: str) -> pytest.MarkDecorator:
    cases = VECTORS[section]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def as_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def as_parts(case: dict[str, Any]) -> list[Part]:
    return [
        Part(part["name"], part["type"], as_bytes(part["data"]), part.get("filename"))
        for part in case["parts"]
    ]


# The vectors


@vectors("encode")
def test_parts_have_these_bytes(case: dict[str, Any]) -> None:
    assert encode_parts(as_parts(case)) == (case["type"], as_bytes(case["body"]))


@vectors("encode")
def test_what_we_write_is_read_again(case: dict[str, Any]) -> None:
    assert decode_parts(case["type"], as_bytes(case["body"])) == as_parts(case)


@vectors("decode")
def test_what_others_write_is_read(case: dict[str, Any]) -> None:
    assert decode_parts(case["type"], as_bytes(case["body"])) == as_parts(case)


@vectors("refused")
def test_what_is_malformed_is_a_value_error(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        decode_parts(case["type"], as_bytes(case["body"]))


@vectors("calls")
def test_parts_mean_arguments(case: dict[str, Any]) -> None:
    wanted = case["value"]
    for place, data in case["bytes"].items():
        attach(wanted, place, as_bytes(data))
    assert results.decode_call(*encode_parts(as_parts(case))) == wanted


@vectors("refusedCalls")
def test_parts_that_mean_no_arguments(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the part '"):
        results.decode_call(*encode_parts(as_parts(case)))


# What vectors do not reach


def test_of_a_parameter_that_is_there_twice_the_first_counts() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\n1\r\n--x--'
    assert decode_parts(FORM, body) == [Part("a", "text/plain", b"1")]


def test_a_file_name_cannot_pass_for_the_name() -> None:
    disposition = b'form-data; filename="; name=evil"; name="good"'
    body = b"--x\r\nContent-Disposition: " + disposition + b"\r\n\r\n1\r\n--x--"
    assert [part.name for part in decode_parts(FORM, body)] == ["good"]


def test_a_name_that_is_no_utf8() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--x--'
    with pytest.raises(ValueError, match="utf-8"):
        decode_parts(FORM, body)


names = st.text(max_size=8) | st.text('%"\r\n\\;= 0245DA/~', max_size=12)
contents = st.binary(max_size=20) | st.text("\r\n-x ", max_size=12).map(str.encode)
parts = st.lists(
    st.builds(Part, names, st.sampled_from(["application/json", "text/plain"]), contents),
    max_size=5,
)


@settings(deadline=None)
@given(parts=parts)
def test_parts_arrive_as_they_were(parts: list[Part]) -> None:
    content_type, body = encode_parts(parts)
    assert decode_parts(content_type, body) == parts
    assert encode_parts(list(parts)) == (content_type, body)


@settings(deadline=None)
@given(parts=parts, data=st.data())
def test_a_body_that_was_cut_is_never_read_as_whole(parts: list[Part], data: st.DataObject) -> None:
    content_type, body = encode_parts(parts)
    cut = data.draw(st.integers(0, len(body) - len(b"--\r\n") - 1))
    with pytest.raises(ValueError):
        decode_parts(content_type, body[:cut])


@settings(deadline=None)
@given(body=st.binary(max_size=60) | st.text('-x\r\n: name="a"', max_size=60).map(str.encode))
def test_any_bytes_are_parts_or_a_value_error(body: bytes) -> None:
    try:
        found = decode_parts(FORM, body)
    except ValueError:
        return
    assert all(isinstance(part, Part) for part in found)


def test_a_boundary_is_read_from_its_content_type() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"; charset=utf-8') == "a b"


names = st.sampled_from(["a", "größe", 'quo"te', "line\r\nend", ""])
kinds = st.sampled_from(["application/json", "text/plain"])
contents = st.lists(
    st.sampled_from([b"", b"1", b"\r\n", b"--", b"\r\n--jshost-", b"x" * 2000]), min_size=1
)


@settings(deadline=None)
@given(st.lists(st.builds(Run, names, kinds, contents), max_size=3))
def test_runs_are_parts_written_alike(runs: list[Run]) -> None:
    parts = [Part(run.name, run.content_type, data) for run in runs for data in run.contents]
    content_type, body = encode_runs(runs)
    assert (content_type, body) == encode_parts(parts)
    found = decode_runs(content_type, body)
    assert [(run[0], run[1], data) for run in found for data in run.contents] == [
        (part.name, part.content_type, part.data) for part in parts
    ]
    assert all(one[:2] != next_one[:2] for one, next_one in pairwise(found))


def test_a_run_that_holds_its_own_delimiter_is_read_part_by_part() -> None:
    content_type, body = encode_runs([Run("a", "text/plain", [b"1", b"2"])])
    boundary = boundary_of(content_type).encode()
    tricky = body.replace(b"\r\n1\r\n", b"\r\n1\r\n--" + boundary + b"x\r\n")
    assert decode_runs(content_type, tricky) == [
        Run("a", "text/plain", [b"1\r\n--" + boundary + b"x", b"2"])
    ]


def test_runs_of_a_form_that_curl_wrote() -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="double"\r\n\r\n{"number": 1}\r\n'
        b'--b\r\nContent-Disposition: form-data; name="double"\r\n\r\n{"number": 2}\r\n--b--\r\n'
    )
    assert decode_runs("multipart/form-data; boundary=b", body) == [
        Run("double", "text/plain", [b'{"number": 1}', b'{"number": 2}'])
    ]
