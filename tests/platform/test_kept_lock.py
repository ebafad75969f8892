"""Reading and writing with the interpreter's lock kept: as a socket's own methods do it."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from jshost.platform import kept_lock
from jshost.platform.kept_lock import BYTES, SendReceive
from jshost.pool.channel import NO_SIGNAL

Make = Callable[[socket.socket], SendReceive]


@pytest.fixture(params=[kept_lock.kept_lock_socket, lambda usual: usual], ids=["kept", "usual"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[SendReceive, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield request.param(ours), theirs


def test_it_is_not_the_socket_itself() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert kept_lock.kept_lock_socket(ours) is not ours


def test_what_is_sent_arrives(pair: tuple[SendReceive, socket.socket]) -> None:
    ours, theirs = pair
    assert ours.send(b"a\0b", NO_SIGNAL) == 3
    assert theirs.recv(10) == b"a\0b"
    theirs.sendall(b"c\0d")
    assert ours.recv(2) == b"c\0"
    assert ours.recv(10) == b"d"


def test_nothing_has_come(pair: tuple[SendReceive, socket.socket]) -> None:
    ours, _ = pair
    with pytest.raises(BlockingIOError):
        ours.recv(10)


@pytest.mark.parametrize("size", [BYTES, BYTES + 1])
def test_a_full_buffer(pair: tuple[SendReceive, socket.socket], size: int) -> None:
    ours, theirs = pair
    sent = 0

    def fill() -> None:
        nonlocal sent
        while True:
            sent += ours.send(b"x" * size, NO_SIGNAL)

    with pytest.raises(BlockingIOError):
        fill()
    received = 0
    while received < sent:
        received += len(theirs.recv(1 << 20))
    assert received == sent


def test_the_other_end_is_closed(pair: tuple[SendReceive, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    assert ours.recv(10) == b""
    with pytest.raises(BrokenPipeError):
        ours.send(b"a", NO_SIGNAL)


def test_a_closed_socket() -> None:
    """Its number may be another file's by now."""
    ours, theirs = socket.socketpair()
    kept = kept_lock.kept_lock_socket(ours)
    ours.close()
    with theirs:
        for act in (lambda: kept.recv(1), lambda: kept.send(b"a", 0)):
            with pytest.raises(OSError) as caught:
                act()
            assert caught.value.errno == errno.EBADF


def test_much_is_read_at_once(pair: tuple[SendReceive, socket.socket]) -> None:
    ours, theirs = pair
    data = bytes(range(256)) * 500
    writer = threading.Thread(target=theirs.sendall, args=(data,))
    writer.start()
    writer.join(5)
    received = b""
    for size in (10, BYTES, BYTES + 1):
        received += ours.recv(size)
    assert received == data


def test_a_python_without_ctypes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    kept_lock._library.cache_clear()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert kept_lock.kept_lock_socket(ours) is ours
    kept_lock._library.cache_clear()
