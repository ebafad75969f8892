"""The payloads of frames: what they must hold, and what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from jshost.protocol import payloads
from jshost.protocol.frames import FrameError

READY = {"language": "python", "version": "3", "functions": ["f"], "options": {}, "files": ["a"]}


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("payload", [b"j", b"j1", b"t", b"b\xff", b"m--x\r\n"])
def test_results(payload: bytes) -> None:
    payloads.check_result(payload)


@pytest.mark.parametrize("payload", [b"", b"x", b"\0", b"m", b"m--x", b"m--\xff\r\n"])
def test_no_results(payload: bytes) -> None:
    with pytest.raises(FrameError, match="RESULT"):
        payloads.check_result(payload)


@pytest.mark.parametrize("payload", [b"j1", b"b", b"b\n"])
def test_chunks(payload: bytes) -> None:
    payloads.check_chunk(payload)


@pytest.mark.parametrize("payload", [b"", b"t", b"m--x\r\n", b"j1\ndata: 2"])
def test_no_chunks(payload: bytes) -> None:
    with pytest.raises(FrameError, match="CHUNK"):
        payloads.check_chunk(payload)


def test_a_ready_is_whole() -> None:
    assert payloads.ready_of(as_json(READY)) == READY | {"cacheable": {}, "fingerprint": ""}
    with pytest.raises(FrameError, match="READY"):
        payloads.ready_of(as_json(READY | {"cacheable": {"f": "60"}}))
    for name in [*READY, "cacheable", "fingerprint"]:
        with pytest.raises(FrameError, match="READY"):
            payloads.ready_of(as_json({**READY, name: None}))
    for name in ("functions", "files"):
        with pytest.raises(FrameError, match="strings"):
            payloads.ready_of(as_json({**READY, name: [1]}))


def test_an_update_names_files() -> None:
    assert payloads.update_of(b'{"files": ["a"]}') == {"files": ["a"]}
    with pytest.raises(FrameError, match="strings"):
        payloads.update_of(b'{"functions": []}')


def test_what_else_is_said_is_made_text() -> None:
    assert payloads.log_of(b'{"level": 5, "message": null}') == {
        "level": "5", "message": "", "function": "", "requestId": "",
    }  # fmt: skip
    assert payloads.failure_of(b'{"message": ["m"]}') == {
        "message": "['m']", "stack": "", "files": [],
    }  # fmt: skip


READERS = [payloads.failure_of, payloads.log_of, payloads.ready_of, payloads.update_of]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b"{"])
def test_no_objects(read: Callable[[bytes], Any], payload: bytes) -> None:
    with pytest.raises(FrameError, match="a JSON object was expected"):
        read(payload)
