"""A worker's channel on fakes: frames and lines, however the sockets and pipes split them."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_workers import LAUNCH, FakeLoop, FakeProcess

from jshost.pool.channel import JOINED_BYTES, WorkerChannel, log_line
from jshost.protocol import frames
from jshost.protocol.lines import Line


class Owner:
    """Notes what it hears; each event is a method of the channel's owner, and its arguments."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None:
        self.heard.append(("answer", kind, call_id, payload))

    def on_chunk(self, call_id: int, payload: bytes) -> None:
        self.heard.append(("chunk", call_id, payload))

    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None:
        self.heard.append(("ready", ready["functions"]))

    def on_update(self, ready: dict[str, Any]) -> None:
        self.heard.append(("update", ready))

    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None:
        self.heard.append(("load failed", failure["message"]))

    def on_pong(self, worker: WorkerChannel) -> None:
        self.heard.append(("pong",))

    def on_gone(self, worker: WorkerChannel) -> None:
        self.heard.append(("gone",))

    def on_line(self, worker: WorkerChannel, level: int, line: Line) -> None:
        self.heard.append(("line", level, line))


class Station:
    """A channel between its owner and a worker."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.owner = Owner()
        self.process = FakeProcess(LAUNCH)
        process: Any = self.process
        self.channel = WorkerChannel(7, process, self.owner, self.owner, self.loop)

    def heard(self) -> list[tuple[Any, ...]]:
        """What the owner has heard since the last time."""
        self.loop.run()
        heard, self.owner.heard = self.owner.heard, []
        return heard


@pytest.fixture
def station() -> Iterator[Station]:
    station = Station()
    yield station
    station.channel.close()
    station.process.end()


# Receiving


def test_each_kind_of_frame(station: Station) -> None:
    process = station.process
    process.load()
    process.load()
    process.send(frames.RESULT, 1, b"j1")
    process.send(frames.RESULT, 2, b"m--x\r\n--x--")
    process.send(frames.ERROR, 3, b"{}")
    process.send(frames.CHUNK, 4, b"j1")
    process.send(frames.PONG)
    process.send(frames.ERROR, 0, b'{"message": "no"}')
    assert station.heard() == [
        ("ready", ["f"]),
        ("update", {"files": []}),
        ("answer", frames.RESULT, 1, b"j1"),
        ("answer", frames.RESULT, 2, b"m--x\r\n--x--"),
        ("answer", frames.ERROR, 3, b"{}"),
        ("chunk", 4, b"j1"),
        ("pong",),
        ("load failed", "no"),
    ]


def test_a_large_frame_comes_in_parts(station: Station) -> None:
    payload = b"b" + b"x" * 3_000_000
    sent = frames.encode(frames.RESULT, 1, payload)
    heard = []
    while sent:
        part, sent = sent[:100_000], sent[100_000:]
        station.process.send_bytes(part)
        heard += station.heard()
    assert heard == [("answer", frames.RESULT, 1, payload)]


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (frames.RESULT, b"x"),
        (frames.RESULT, b""),
        (frames.CHUNK, b"t"),
        (frames.READY, b"[]"),
        (frames.LOG, b""),
    ],
)
def test_a_frame_that_cannot_be_trusted(station: Station, kind: int, payload: bytes) -> None:
    station.process.send(kind, 1, payload)
    station.process.send(frames.RESULT, 2, b"j1")
    assert station.heard() == [("gone",)]
    assert station.process.is_killed
    assert not station.channel.is_connected


def test_the_end_of_the_channel(station: Station) -> None:
    station.process.write_line("last words", to_stderr=True)
    station.process.end(3)
    assert ("gone",) in station.heard()
    assert not station.channel.is_connected
    assert station.channel.open_outputs == 0
    described = "worker 7 (pid 8388608) died: exit code 3; its last lines on stderr:\nlast words"
    assert station.channel.describe_exit() == described


def test_why_it_was_killed(station: Station) -> None:
    station.channel.kill_reason = "did not start in time"
    station.process.end(-9)
    described = station.channel.describe_exit()
    assert described.endswith("died: exit code -9 from its host: it did not start in time")


def test_ctrl_c_in_mid_work_ends_the_worker(station: Station) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    station.owner.on_answer = interrupt  # type: ignore[method-assign]
    station.process.send(frames.RESULT, 1, b"j1")
    with pytest.raises(KeyboardInterrupt):
        station.loop.run()
    assert station.process.is_killed


# Sending


def test_frames_that_are_sent_soon_go_together(station: Station) -> None:
    station.channel.send_soon(frames.encode(frames.CALL, 1))
    station.channel.send_soon(frames.encode(frames.CALL, 2))
    assert station.process.read() == []
    station.channel.send(frames.CANCEL, 1)
    assert [call_id for _, call_id, _ in station.process.read()] == [1, 2, 1], "in order"
    station.loop.run()
    assert station.process.read() == []


def test_a_large_frame_is_not_held(station: Station) -> None:
    station.channel.send_soon(frames.encode(frames.CALL, 1))
    station.channel.send_soon(frames.encode(frames.CALL, 2, b"x" * JOINED_BYTES))
    assert [call_id for _, call_id, _ in station.process.read()] == [1, 2]


def test_what_the_socket_does_not_take_is_sent_later(station: Station) -> None:
    station.process.channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    for call_id in range(1, 100):
        station.channel.send(frames.CALL, call_id, b"x" * 50_000)
    assert station.loop.writers
    received = []
    while station.loop.writers:
        received += station.process.read()
        station.loop.run()
    received += station.process.read()
    while len(received) < 99:
        received += station.process.read()
    assert [call_id for _, call_id, _ in received] == list(range(1, 100))


def test_drain_is_sent_once(station: Station) -> None:
    station.channel.drain()
    station.channel.drain()
    assert station.channel.expected_end
    assert station.process.read() == [(frames.DRAIN, 0, b"")]


def test_a_worker_that_is_gone_takes_nothing(station: Station) -> None:
    station.process.end()
    station.channel.send(frames.PING, 0)
    station.channel.send_soon(frames.encode(frames.CALL, 1))
    assert ("gone",) in station.heard()


# Output


def test_printed_lines(station: Station) -> None:
    station.process.write_line("\x1ef\x1fr-1\x1eHello")
    assert station.heard() == [("line", logging.INFO, Line("Hello", "f", "r-1"))]
    station.process.write_line("careful", to_stderr=True)
    assert station.heard() == [("line", logging.WARNING, Line("careful"))]


def test_lines_are_logged_with_worker_and_call(
    station: Station, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "jshost.worker"):
        log_line(station.channel, logging.INFO, Line("Hello", "f", "r-1"))
        log_line(station.channel, logging.WARNING, Line("careful"))
    assert caplog.record_tuples == [
        ("jshost.worker", logging.INFO, "[worker 7 f r-1] Hello"),
        ("jshost.worker", logging.WARNING, "[worker 7] careful"),
    ]
    assert caplog.records[0].__dict__["fields"] == {
        "worker": 7, "text": "Hello", "function": "f", "requestId": "r-1",
    }  # fmt: skip


def test_log_frames_are_logged(station: Station, caplog: pytest.LogCaptureFixture) -> None:
    entry = b'{"level": "warning", "message": "twice", "function": "f", "requestId": "r-1"}'
    with caplog.at_level(logging.INFO, "jshost.worker"):
        station.process.send(frames.LOG, 0, entry)
        assert station.heard() == []
    assert caplog.record_tuples == [
        ("jshost.worker", logging.WARNING, "[worker 7 f r-1] twice"),
    ]


def test_abandon_closes_our_copies_only(station: Station) -> None:
    station.channel.abandon()
    assert station.process.channel.fileno() == -1
    assert not station.process.is_killed
