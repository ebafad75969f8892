"""What the owner of a scheduler knows, without the rules: for test_scheduler_properties.

It keeps the calls and the workers as somebody would who carries the actions out, and holds each
action to what it knows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jshost.pool.scheduling.actions import (
    RESTART_REASONS,
    Action,
    Cancel,
    Drain,
    Fail,
    Halt,
    Kill,
    Ping,
    Recycled,
    Send,
    Spawn,
)
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.scheduling.states import SERVING

__all__ = ["QUEUED", "Owner", "Process"]

QUEUED = 0


@dataclass
class Process:
    """A worker as its owner sees it."""

    calls: set[int] = field(default_factory=set)
    is_ready: bool = False
    pinged: bool = False
    drained: bool = False
    killed: bool = False
    lost: bool = False
    recycled: bool = False
    rss: int = 0


class Owner:
    """The calls and the processes of one pool."""

    scheduler: Scheduler

    def __init__(self) -> None:
        self.now = 1000.0
        self.processes: dict[int, Process] = {}
        self.places: dict[int, int] = {}
        """Where each call is: QUEUED, or on a worker; until it is answered or dropped."""
        self.deadlines: dict[int, float] = {}
        self.answers: Counter[int] = Counter()
        self.left: set[int] = set()
        """Calls whose callers hung up."""
        self.outdated: set[int] = set()
        """The workers that were there when the code changed last."""
        self.halts = 0
        self.stopped = False
        self.last_call = 0

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Spawn(number):
                    assert number not in self.processes
                    assert not self.is_over
                    assert self.scheduler.queue or not self.scheduler.draining
                    self.processes[number] = Process()
                case Send(number, call):
                    assert self.places[call] == QUEUED
                    self.put(number, call)
                case Cancel(number, call):
                    assert self.places[call] == number
                    assert not self.is_awaited(call), "only what nobody waits for is cancelled"
                case Ping(number):
                    self.processes[number].pinged = True
                case Fail(call, code, number):
                    self.fail(call, code, number)
                case Drain(number):
                    assert not self.processes[number].calls
                    assert not self.processes[number].drained
                    self.processes[number].drained = True
                case Kill(number):
                    assert not self.processes[number].killed
                    self.processes[number].killed = True
                case Recycled(number, reason):
                    process = self.processes[number]
                    assert not process.recycled
                    process.recycled = True
                    successor = self.scheduler.workers[number].successor
                    assert successor is not None
                    assert self.can_take(self.processes[successor]), "the new one is ready first"
                    assert reason in RESTART_REASONS
                case Halt():
                    self.halts += 1

    def put(self, number: int, call: int) -> None:
        process = self.processes[number]
        assert process.is_ready
        assert not process.pinged, "it may hang"
        assert not process.drained
        assert not process.killed
        assert not process.lost
        assert self.scheduler.workers[number].state in SERVING
        process.calls.add(call)
        self.places[call] = number

    def fail(self, call: int, code: str, number: int | None) -> None:
        assert self.is_awaited(call)
        if code == "timeout":
            assert self.deadlines[call] <= self.now
            if self.places[call] == QUEUED:
                del self.places[call]
        else:
            assert code == "worker_died" or {
                "load_failed": self.scheduler.broken,
                "draining": self.stopped,
            }.get(code)
            place = self.places.pop(call)
            assert place in (QUEUED, number)
        self.answers[call] += 1

    @property
    def is_over(self) -> bool:
        return self.stopped or self.halts > 0

    def is_awaited(self, call: int) -> bool:
        return not self.answers[call] and call not in self.left

    @staticmethod
    def can_take(process: Process) -> bool:
        held = process.pinged or process.drained or process.killed or process.lost
        return process.is_ready and not held

    def takers(self) -> list[int]:
        """The workers that may be given calls, however many they have."""
        workers = self.scheduler.workers
        there = self.processes.items()
        return [n for n, p in there if self.can_take(p) and workers[n].state in SERVING]
