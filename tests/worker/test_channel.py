"""The channel of a Python worker: what is held, and when it is sent."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from jshost.protocol import frames
from jshost.worker.channel import HELD_FRAMES, HELD_PAYLOAD_BYTES, Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.setblocking(False)
    with theirs, channel.socket:
        yield channel, theirs


def received(end: socket.socket) -> list[int]:
    """The ids of the frames that are there now."""
    data = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            data += end.recv(1 << 20)
    return [call_id for _, call_id, _ in frames.Decoder().feed(data)]


def test_what_is_held_goes_before_the_next_frame(ends: tuple[Channel, socket.socket]) -> None:
    channel, end = ends
    channel.hold(frames.RESULT, 1, b"j1")
    channel.hold(frames.RESULT, 2, b"j2")
    assert received(end) == []
    channel.send(frames.RESULT, 3, b"j3")
    assert received(end) == [1, 2, 3]
    channel.send(frames.RESULT, 4, b"j4")
    assert received(end) == [4]


def test_what_is_held_goes_before_pieces(ends: tuple[Channel, socket.socket]) -> None:
    channel, end = ends
    channel.hold(frames.RESULT, 1, b"j1")
    payload = b"t" + b"x" * 100_000
    channel.send(frames.RESULT, 2, payload)
    assert received(end) == [1, 2]


def test_a_flush_sends_it(ends: tuple[Channel, socket.socket]) -> None:
    channel, end = ends
    channel.flush()
    channel.hold(frames.RESULT, 1, b"j1")
    channel.flush()
    assert received(end) == [1]


def test_no_more_is_held_than_the_limit(ends: tuple[Channel, socket.socket]) -> None:
    channel, end = ends
    for call_id in range(1, HELD_FRAMES):
        channel.hold(frames.RESULT, call_id, b"j1")
    assert received(end) == []
    channel.hold(frames.RESULT, HELD_FRAMES, b"j1")
    assert received(end) == list(range(1, HELD_FRAMES + 1))
    channel.hold(frames.RESULT, 1, b"t" + b"x" * HELD_PAYLOAD_BYTES)
    assert received(end) == [1]
