"""The reactor: whoever waits reads for all."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hosts import wait_until

from jshost.embedding.reactor import LONGEST_SLEEP_S, Reactor, Waiter
from jshost.platform import kept_lock


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    yield reactor
    reactor.close()


class Wire:
    """A socket pair whose one end the reactor reads: each byte is the number of who is done."""

    def __init__(self, reactor: Reactor, waiters: list[Waiter]) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.heard: list[int] = []
        self._reactor = reactor
        self._waiters = waiters
        with reactor:
            reactor.add_reader(self.ours.fileno(), self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in self.ours.recv(4096):
                self.heard.append(number)
                self._reactor.done(self._waiters[number])

    def close(self) -> None:
        with self._reactor:
            self._reactor.remove_reader(self.ours.fileno())
        self.ours.close()
        self.theirs.close()


def wait(reactor: Reactor, waiter: Waiter) -> None:
    with reactor:
        if not waiter.is_done:
            reactor.enter(waiter)
    reactor.wait(waiter)


def waiting(reactor: Reactor, waiter: Waiter, name: str = "") -> threading.Thread:
    thread = threading.Thread(target=wait, args=(reactor, waiter), name=name, daemon=True)
    thread.start()
    return thread


def has_entered(reactor: Reactor, waiter: Waiter) -> bool:
    return reactor._leader is waiter or waiter in reactor._followers


def test_a_thread_reads_for_itself(reactor: Reactor) -> None:
    waiter = Waiter()
    wire = Wire(reactor, [waiter])
    wire.theirs.send(b"\0")
    wait(reactor, waiter)
    assert waiter.is_done
    assert reactor._leader is None
    wire.close()


def test_the_lead_is_handed_on(reactor: Reactor) -> None:
    waiters = [Waiter() for _ in range(3)]
    wire = Wire(reactor, waiters)
    threads = []
    for waiter in waiters:
        threads.append(waiting(reactor, waiter))
        wait_until(lambda waiter=waiter: has_entered(reactor, waiter), 5, "waiter")
    assert reactor._leader is waiters[0]
    wire.theirs.send(b"\1")  # a follower's answer: read by the leader
    threads[1].join(5)
    assert reactor._leader is waiters[0]
    wire.theirs.send(b"\0")  # the leader's own
    threads[0].join(5)
    assert reactor._leader is waiters[2]
    wire.theirs.send(b"\2")
    threads[2].join(5)
    assert reactor._leader is None
    assert not any(thread.is_alive() for thread in threads)
    wire.close()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_everybody_gets_their_answer(count: int, randomness: random.Random) -> None:
    reactor = Reactor()
    waiters = [Waiter() for _ in range(count)]
    wire = Wire(reactor, waiters)
    threads = [waiting(reactor, waiter) for waiter in waiters]
    order = list(range(count))
    randomness.shuffle(order)
    while order:
        size = randomness.randint(1, len(order))
        some, order = order[:size], order[size:]
        wire.theirs.send(bytes(some))
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(wire.heard) == list(range(count))
    assert (reactor._leader, reactor._followers) == (None, {})
    wire.close()
    reactor.close()


def test_a_follower_competes_for_the_interpreters_lock(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_lock, "_is_wanted", False)
    first, second = Waiter(), Waiter()
    with reactor:
        reactor.enter(first)
        assert not kept_lock.is_wanted()
        reactor.enter(second)
        assert kept_lock.is_wanted()


def test_timers_in_order(reactor: Reactor) -> None:
    waiter, seen = Waiter(), []
    with reactor:
        reactor.call_later(0.03, lambda: (seen.append("c"), reactor.done(waiter)))
        reactor.call_later(0.01, lambda: seen.append("a"))
        reactor.call_later(0.02, lambda: seen.append("b"))
        reactor.call_later(0.015, lambda: seen.append("never")).cancel()
    wait(reactor, waiter)
    assert seen == ["a", "b", "c"]


def test_an_earlier_timer_wakes_the_leader(reactor: Reactor) -> None:
    waiter = Waiter()
    thread = waiting(reactor, waiter)
    wait_until(lambda: reactor._sleeps_until > time.monotonic() + LONGEST_SLEEP_S / 2, 5, "sleep")
    with reactor:
        reactor.call_later(0.01, lambda: reactor.done(waiter))
    thread.join(5)
    assert not thread.is_alive()


def test_what_is_posted_is_done_though_the_lock_is_taken(reactor: Reactor) -> None:
    seen = []
    with reactor:
        reactor.post(lambda: seen.append(1))
        assert seen == []
    assert seen == [1]
    reactor.post(lambda: seen.append(2))
    assert seen == [1, 2]


def test_what_is_to_be_called_unlocked_is(reactor: Reactor) -> None:
    seen = []
    with reactor:
        reactor.call_unlocked(lambda: seen.append(reactor.lock.locked()))
        reactor.call_soon(lambda: reactor.call_unlocked(lambda: seen.append(2)))
    assert seen == [False, 2]


def test_a_callback_that_fails_harms_nobody(
    reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    waiter = Waiter()
    with reactor:
        reactor.call_soon(lambda: 1 / 0)
        reactor.call_later(0.01, lambda: reactor.done(waiter))
    wait(reactor, waiter)
    assert "ZeroDivisionError" in caplog.text


def test_writers_and_readers_of_one_descriptor(reactor: Reactor) -> None:
    ours, theirs = socket.socketpair()
    waiter, seen = Waiter(), []
    fd = ours.fileno()

    def writable() -> None:
        seen.append("w")
        reactor.remove_writer(fd)
        theirs.send(b"x")

    def readable() -> None:
        seen.append(ours.recv(10))
        reactor.remove_reader(fd)
        reactor.done(waiter)

    with reactor:
        reactor.add_reader(fd, readable)
        reactor.add_writer(fd, writable)
        reactor.add_writer(fd, writable)
    wait(reactor, waiter)
    assert seen == ["w", b"x"]
    with reactor:
        reactor.remove_reader(fd)
        reactor.remove_writer(fd)
    ours.close()
    theirs.close()


def test_an_interrupted_leader_hands_the_lead_on(reactor: Reactor) -> None:
    mine, other = Waiter(), Waiter()
    wire = Wire(reactor, [mine, other])
    with reactor:
        reactor.enter(mine)
    thread = waiting(reactor, other)
    wait_until(lambda: has_entered(reactor, other), 5, "follower")
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        reactor.wait(mine)
    assert reactor._leader is other
    wire.theirs.send(b"\1")
    thread.join(5)
    assert not thread.is_alive()
    wire.close()


def test_an_interrupted_follower_is_forgotten(reactor: Reactor) -> None:
    mine, other = Waiter(), Waiter()
    wire = Wire(reactor, [mine, other])
    thread = waiting(reactor, other)
    wait_until(lambda: has_entered(reactor, other), 5, "leader")
    with reactor:
        reactor.enter(mine)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        reactor.wait(mine)
    assert reactor._followers == {}
    wire.theirs.send(b"\1\0")
    thread.join(5)
    assert (reactor._leader, thread.is_alive()) == (None, False)
    wire.close()


def test_a_leader_that_left_without_a_word_is_replaced(reactor: Reactor) -> None:
    lost, other = Waiter(), Waiter()
    wire = Wire(reactor, [lost, other])
    with reactor:
        reactor.enter(lost)  # and is interrupted before it waits
    thread = waiting(reactor, other)
    wire.theirs.send(b"\1")
    thread.join(10)
    assert (reactor._leader, thread.is_alive()) == (None, False)
    wire.close()


def test_a_leader_that_was_taken_for_lost_follows(reactor: Reactor) -> None:
    late, mine, nobody = Waiter(), Waiter(), Waiter()
    wire = Wire(reactor, [late, mine, nobody])
    thread = waiting(reactor, late)
    wait_until(lambda: reactor._leader is late, 5, "leader")
    with reactor:
        reactor._leader = mine
    wire.theirs.send(b"\2")
    wait_until(lambda: late in reactor._followers, 5, "follower")
    wire.theirs.send(b"\1\0")
    reactor.wait(mine)
    thread.join(5)
    assert (reactor._leader, reactor._followers, thread.is_alive()) == (None, {}, False)
    wire.close()


@pytest.mark.parametrize("how", ["call_soon", "call_later", "post"])
def test_what_was_interrupted_is_done_again(reactor: Reactor, how: str) -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append("begun")
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append("done")

    def begin() -> None:
        with reactor:
            if how == "call_later":
                reactor.call_later(0, work)
                reactor.pump()
            else:
                getattr(reactor, how)(work)

    with pytest.raises(KeyboardInterrupt):
        begin()
    with reactor:
        reactor.pump()
    assert seen == ["begun", "begun", "done"]


def test_an_interrupted_print_loses_no_other(reactor: Reactor) -> None:
    seen: list[int] = []

    def interrupted() -> None:
        raise KeyboardInterrupt

    def begin() -> None:
        with reactor:
            reactor.call_unlocked(interrupted)
            reactor.call_unlocked(lambda: seen.append(1))

    with pytest.raises(KeyboardInterrupt):
        begin()
    with reactor:
        pass
    assert seen == [1]


def test_a_waiter_may_wait_again(reactor: Reactor) -> None:
    waiter, leader = Waiter(), Waiter()
    wire = Wire(reactor, [waiter, leader])
    thread = waiting(reactor, leader)
    wait_until(lambda: has_entered(reactor, leader), 5, "leader")
    for _ in range(50):
        waiter.is_done = False
        with reactor:
            reactor.enter(waiter)
        wire.theirs.send(b"\0")
        reactor.wait(waiter)
    wire.theirs.send(b"\1")
    thread.join(5)
    assert wire.heard == [0] * 50 + [1]
    wire.close()


@pytest.mark.real
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_that_closes_its_copies_leaves_the_parents_alone(reactor: Reactor) -> None:
    waiter = Waiter()
    wire = Wire(reactor, [waiter])
    child = os.fork()
    if child == 0:
        try:
            reactor.close()
            wire.ours.close()
            wire.theirs.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    wire.theirs.send(b"\0")
    wait(reactor, waiter)
    assert waiter.is_done
    wire.close()
