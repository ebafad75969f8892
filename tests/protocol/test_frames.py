"""The frame codec: the vectors that both languages share, and bytes however they are split."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import VECTORS_FOLDER

from jshost.protocol import frames
from jshost.protocol.frames import Decoder, Frame, FrameError

VECTORS: dict[str, Any] = json.loads((VECTORS_FOLDER / "frames.json").read_text(encoding="utf-8"))


def vectors(section: str) -> pytest.MarkDecorator:
    cases = VECTORS[section]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def as_frames(case: dict[str, Any]) -> list[Frame]:
    return [
        (VECTORS["kinds"][frame["kind"]], frame["callId"], bytes.fromhex(frame["payload"]))
        for frame in case["frames"]
    ]


def decode(chunks: list[bytes]) -> list[Frame]:
    """What a decoder makes of the chunks; nothing may be left over."""
    decoder = Decoder()
    found = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    assert decoder.pending_bytes == 0
    return found


def test_kinds_have_the_numbers_of_the_protocol() -> None:
    assert {name: getattr(frames, name) for name in VECTORS["kinds"]} == VECTORS["kinds"]


@vectors("streams")
def test_a_stream_decodes(case: dict[str, Any]) -> None:
    assert decode([bytes.fromhex(case["hex"])]) == as_frames(case)


@vectors("streams")
def test_a_stream_decodes_byte_by_byte(case: dict[str, Any]) -> None:
    stream = bytes.fromhex(case["hex"])
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == as_frames(case)


@vectors("streams")
def test_frames_encode(case: dict[str, Any]) -> None:
    assert b"".join(frames.encode(*frame) for frame in as_frames(case)).hex() == case["hex"]


@vectors("streams")
def test_a_header_apart_is_the_header_of_the_whole(case: dict[str, Any]) -> None:
    apart = b"".join(
        frames.encode_header(kind, call_id, len(payload)) + payload
        for kind, call_id, payload in as_frames(case)
    )
    assert apart.hex() == case["hex"]


@vectors("unfinished")
def test_an_unfinished_frame_waits(case: dict[str, Any]) -> None:
    decoder = Decoder()
    assert decoder.feed(bytes.fromhex(case["hex"])) == as_frames(case)
    assert decoder.pending_bytes == case["pendingBytes"]


@vectors("malformed")
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "byte by byte"])
def test_malformed_bytes_raise(case: dict[str, Any], at_once: bool) -> None:
    stream = bytes.fromhex(case["hex"])
    decoder = Decoder()
    chunks = [stream] if at_once else [stream[i : i + 1] for i in range(len(stream))]
    with pytest.raises(FrameError, match="no frame begins like this"):
        any(decoder.feed(chunk) and False for chunk in chunks)


@vectors("calls")
def test_a_call_splits(case: dict[str, Any]) -> None:
    header, body = frames.split_call(bytes.fromhex(case["payload"]))
    assert header == case["header"]
    assert body.hex() == case["body"]


@vectors("calls")
def test_a_call_is_written(case: dict[str, Any]) -> None:
    wanted = case["header"]
    header = frames.call_header(wanted["name"], wanted["timeout"], wanted["requestId"])
    frame = frames.call_frame(7, header, bytes.fromhex(case["body"]))
    assert decode([frame]) == [(frames.CALL, 7, bytes.fromhex(case["payload"]))]


def test_a_call_whose_header_is_too_long_is_not_written() -> None:
    header = frames.call_header("f", None, "1", content_type="x" * 70_000)
    with pytest.raises(FrameError, match="over 65535"):
        frames.call_frame(1, header, b"{}")


@vectors("malformedCalls")
def test_a_malformed_call_raises(case: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="CALL"):
        frames.split_call(bytes.fromhex(case["hex"]))


class Sized(bytes):
    """Bytes that claim a length; a real payload of a gibibyte would take the machine's memory."""

    def __len__(self) -> int:
        return frames.MAX_PAYLOAD_BYTES + 1


def test_a_payload_over_the_limit_is_not_sent() -> None:
    with pytest.raises(FrameError, match="1073741825 bytes is over the 1073741824"):
        frames.encode(frames.RESULT, 1, Sized())


frame_lists = st.lists(
    st.tuples(
        st.integers(frames.READY, frames.DRAIN),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=40) | st.builds(bytes, st.integers(0, 3000)),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(data=st.data(), sent=frame_lists)
def test_however_the_stream_is_split(data: st.DataObject, sent: list[Frame]) -> None:
    stream = b"".join(frames.encode(*frame) for frame in sent)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=20).map(sorted))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(edges)]
    assert decode(chunks) == sent


@settings(deadline=None)
@given(data=st.data(), sent=frame_lists)
def test_frames_come_out_as_soon_as_they_are_whole(data: st.DataObject, sent: list[Frame]) -> None:
    """Not one byte later: a host would wait for an answer that is there."""
    decoder = Decoder()
    for frame in sent:
        encoded = frames.encode(*frame)
        cut = data.draw(st.integers(0, len(encoded) - 1))
        assert decoder.feed(encoded[:cut]) == []
        assert decoder.pending_bytes == cut
        assert decoder.feed(encoded[cut:]) == [frame]


@settings(deadline=None)
@given(stream=st.binary(max_size=60))
def test_random_bytes_raise_or_wait_but_do_nothing_else(stream: bytes) -> None:
    decoder = Decoder()
    try:
        found = decoder.feed(stream)
    except FrameError:
        return
    assert b"".join(frames.encode(*frame) for frame in found) == stream[: _used(found)]
    assert decoder.pending_bytes == len(stream) - _used(found)


def _used(found: list[Frame]) -> int:
    return sum(frames.HEADER.size + len(payload) for _, _, payload in found)


@settings(deadline=None)
@given(header=st.binary(max_size=300), body=st.binary(max_size=300))
def test_a_body_is_not_touched(header: bytes, body: bytes) -> None:
    payload = frames.call_frame(1, header, body)[frames.HEADER.size :]
    assert payload[2 + len(header) :] == body
    assert int.from_bytes(payload[:2], "big") == len(header)


class Half(float):
    def __repr__(self) -> str:
        return "np.float64(0.5)"  # as numpy's floats, which are floats, are written


@pytest.mark.parametrize("traceparent", ["", "00-a-b-01"])
@pytest.mark.parametrize(("timeout_s", "written"), [(True, 1.0), (Half(0.5), 0.5), (3, 3.0)])
def test_a_timeout_may_be_any_number(timeout_s: float, written: float, traceparent: str) -> None:
    header = frames.call_header("f", timeout_s, "id", traceparent=traceparent)
    assert json.loads(header)["timeout"] == written


@settings(deadline=None)
@given(
    name=st.text(max_size=50),
    request_id=st.text(max_size=50),
    timeout_s=st.none() | st.floats(1e-6, 1e9),
)
def test_whatever_a_call_is_named(name: str, request_id: str, timeout_s: float | None) -> None:
    header = frames.call_header(name, timeout_s, request_id)
    found, body = frames.split_call(frames.call_frame(1, header, b"{}")[frames.HEADER.size :])
    assert found == {"name": name, "requestId": request_id, "timeout": timeout_s}
    assert body == b"{}"


def test_a_large_frame_in_small_chunks_takes_linear_time() -> None:
    """Joining at every chunk would copy half a terabyte, which no time limit of a test allows."""
    stream = memoryview(frames.encode(frames.RESULT, 1, bytes(32 << 20)))
    chunks = [bytes(stream[at : at + 1024]) for at in range(0, len(stream), 1024)]
    [(_, _, payload)] = decode(chunks)
    assert payload == bytes(32 << 20)
