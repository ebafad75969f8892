"""The ledger under random events, beside a simulated process table and a list of who holds what.

The model knows the ledger's promises and not its rules: it starts and ends processes as the actions
say, remembers what every client did, and checks each action, and what must always hold, on that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from jshost_manager.ledger import Ledger
from jshost_manager.ledger_actions import (
    Action,
    ExitManager,
    Grant,
    Refusal,
    Refuse,
    ReportStopped,
    StartHost,
    StopHost,
    Timeouts,
)
from jshost_manager.managed_host import Holder
from support.extent import examples

CONFIGS = ["/a/host.config.py", "/b/host.config.js"]
HOLDERS = [Holder(1, 10.0), Holder(2, 10.0), Holder(2, 20.0)]
POLICY = Timeouts(disconnect_timeout_s=5.0, start_timeout_s=60.0)

configs = st.sampled_from(CONFIGS)
holders = st.sampled_from(HOLDERS)


@dataclass
class Process:
    """A host as the process table shows it."""

    number: int
    began: float
    listens: bool = False
    stopping: bool = False
    timeout_s: float = math.inf
    free_since: float = 0.0
    """When it began to listen, or was last let go or asked for."""


@dataclass
class Wish:
    """A request that waits for its answer."""

    config: str | None
    holder: Holder | None = None
    ends: set[int] = field(default_factory=set)
    """The processes that a stop waits for."""
    is_stop: bool = False


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.last_number = 0
        self.last_waiter = 0
        self.answers: Counter[Hashable] = Counter()
        self.processes: dict[str, Process] = {}
        self.lost: set[tuple[str, Holder]] = set()
        self.barred: set[tuple[str, Holder]] = set()
        self.forgotten: set[Hashable] = set()
        """Waiters whose manager was killed."""

    @initialize()
    def begin(self) -> None:
        self.begin_manager()

    def begin_manager(self) -> None:
        self.ledger = Ledger(POLICY, self.now)
        self.held: set[tuple[str, Holder]] = set()
        self.lost = set()
        self.barred = set()
        self.wishes: dict[Hashable, Wish] = {}
        self.may_stop: set[str] = set()
        """Configs that may be stopped though somebody holds them."""
        self.again: set[str] = set()
        self.stay_until = self.now + POLICY.disconnect_timeout_s
        self.leaving = False
        self.exits = 0

    def wish(self, config: str | None, holder: Holder | None = None, is_stop: bool = False) -> int:
        self.last_waiter += 1
        ends = set()
        if is_stop:
            ends = {p.number for c, p in self.processes.items() if config in (c, None)}
        self.wishes[self.last_waiter] = Wish(config, holder, ends, is_stop)
        return self.last_waiter

    # What the owner does with actions

    def carry_out(self, actions: list[Action]) -> None:
        for action in actions:
            assert self.exits == 0 or isinstance(action, Refuse | ReportStopped), (
                "exit is the last word"
            )
            match action:
                case StartHost(config, again):
                    self.begin_process(config, again)
                case StopHost(config):
                    self.stop_process(config)
                case Grant(waiter, config, restarted):
                    self.answer(waiter, config, restarted)
                case Refuse(waiter, error, why):
                    self.refuse(waiter, error, why)
                case ReportStopped(waiter):
                    wish = self.wishes.pop(waiter)
                    assert wish.is_stop
                    there = {process.number for process in self.processes.values()}
                    assert not wish.ends & there, "it is said when it is true"
                    self.answers[waiter] += 1
                case ExitManager():
                    self.exits += 1
                    assert not self.is_anything_left()

    def begin_process(self, config: str, again: bool) -> None:
        assert config not in self.processes, "never two processes for one config"
        assert not self.leaving
        assert again == (config in self.again)
        self.again.discard(config)
        self.may_stop.discard(config)
        self.last_number += 1
        self.processes[config] = Process(self.last_number, self.now)

    def stop_process(self, config: str) -> None:
        process = self.processes[config]
        assert not process.stopping, "it was told before"
        if config not in self.may_stop:
            assert not self.is_held(config)
            if process.listens:
                assert process.free_since + process.timeout_s <= self.now
            else:
                assert process.began + POLICY.start_timeout_s <= self.now
        process.stopping = True

    def answer(self, waiter: Hashable, config: str, restarted: bool) -> None:
        wish = self.wishes.pop(waiter)
        assert wish.config == config
        assert not wish.is_stop
        process = self.processes[config]
        assert process.listens
        assert not process.stopping
        claim = (config, wish.holder)
        assert wish.holder is None or claim in self.held, "who gets it holds it"
        assert restarted == (claim in self.lost)
        if not any((w.config, w.holder) == claim for w in self.wishes.values()):
            self.lost -= {claim}
        self.answers[waiter] += 1

    def refuse(self, waiter: Hashable, error: object, why: Refusal) -> None:
        wish = self.wishes.pop(waiter)
        assert not wish.is_stop
        if isinstance(error, str):
            assert str(wish.config) in error
        match why:
            case Refusal.LEAVING:
                assert self.leaving or self.exits
            case Refusal.NO_RESPAWN:
                assert (wish.config, wish.holder) in self.barred
            case Refusal.START_TIMEOUT:
                process = self.processes[str(wish.config)]
                assert process.began + POLICY.start_timeout_s <= self.now
        self.answers[waiter] += 1

    # What its owner and its clients see of it

    def is_held(self, config: str) -> bool:
        return any(held == config for held, _ in self.held)

    def is_anything_left(self) -> bool:
        stays = self.now < self.stay_until
        return bool(self.processes or self.wishes or self.lost or self.barred or stays)

    def let_go(self, config: str, holder: Holder) -> None:
        self.lost.discard((config, holder))
        if (config, holder) not in self.held:
            return
        self.held.remove((config, holder))
        if config in self.processes and not self.is_held(config):
            self.processes[config].free_since = self.now

    def drop_all(self, config: str) -> None:
        """A stop by hand was wanted."""
        self.held = {claim for claim in self.held if claim[0] != config}
        self.lost = {claim for claim in self.lost if claim[0] != config}
        self.forgive(config)
        self.again.discard(config)
        if config in self.processes:
            self.may_stop.add(config)

    def forgive(self, config: str) -> None:
        self.barred = {claim for claim in self.barred if claim[0] != config}

    def fail_start(self, config: str) -> None:
        """Who waits is refused; who had the host before a restart has lost it."""
        waiting = {w.holder for w in self.wishes.values() if w.config == config}
        ours = {claim for claim in self.held if claim[0] == config}
        self.lost |= {claim for claim in ours if claim[1] not in waiting}
        self.held -= ours
        self.stay_until = self.now + POLICY.disconnect_timeout_s

    def pending(self, config: str) -> list[Wish]:
        return [w for w in self.wishes.values() if w.config == config and not w.is_stop]

    # Clients

    @rule(config=configs, holder=holders)
    def connect(self, config: str, holder: Holder) -> None:
        waiter = self.wish(config, holder)
        if not (self.leaving or self.exits or (config, holder) in self.barred):
            self.held.add((config, holder))
            self.stay_until = -math.inf
        self.carry_out(self.ledger.connect(config, holder, waiter, self.now))

    @rule(config=configs)
    def start(self, config: str) -> None:
        waiter = self.wish(config)
        if not (self.leaving or self.exits):
            self.stay_until = -math.inf
            if config in self.processes and not self.is_held(config):
                self.processes[config].free_since = self.now
        self.carry_out(self.ledger.start(config, waiter, self.now))

    @rule(config=configs, holder=holders)
    def disconnect(self, config: str, holder: Holder) -> None:
        """Also of one that never connected."""
        self.let_go(config, holder)
        self.carry_out(self.ledger.disconnect(config, holder, self.now))
        assert not any(w.holder == holder for w in self.pending(config))

    @rule(holder=holders)
    def lose_holder(self, holder: Holder) -> None:
        for config in CONFIGS:
            self.let_go(config, holder)
            self.barred.discard((config, holder))
        self.carry_out(self.ledger.holder_gone(holder, self.now))
        assert not any(wish.holder == holder for wish in self.wishes.values())

    @rule(config=configs)
    def stop(self, config: str) -> None:
        waiter = self.wish(config, is_stop=True)
        self.drop_all(config)
        self.carry_out(self.ledger.stop(config, waiter, self.now))
        assert config not in self.processes or self.processes[config].stopping

    @rule(config=configs)
    def restart(self, config: str) -> None:
        waiter = self.wish(config)
        self.forgive(config)
        if not (self.leaving or self.exits):
            if config in self.processes:
                self.again.add(config)
                self.may_stop.add(config)
            else:
                self.stay_until = -math.inf
        self.carry_out(self.ledger.restart(config, waiter, self.now))

    @precondition(lambda self: self.last_waiter > 8)
    @rule()
    def stop_all(self) -> None:
        waiter = self.wish(None, is_stop=True)
        self.leaving = True
        self.stay_until = -math.inf
        for config in CONFIGS:
            self.drop_all(config)
        self.carry_out(self.ledger.stop_all(waiter, self.now))
        assert all(process.stopping for process in self.processes.values())

    # Processes

    @precondition(lambda self: any(not p.listens for p in self.processes.values()))
    @rule(data=st.data(), timeout_s=st.sampled_from([None, None, 0.0, 2.0, 30.0]))
    def listen(self, data: st.DataObject, timeout_s: float | None) -> None:
        """Also of a process that is being stopped: its report was on its way."""
        silent = sorted(config for config, p in self.processes.items() if not p.listens)
        self.listens(data.draw(st.sampled_from(silent)), timeout_s)

    def listens(self, config: str, timeout_s: float | None = None) -> None:
        process = self.processes[config]
        process.listens = True
        process.free_since = self.now
        process.timeout_s = POLICY.disconnect_timeout_s if timeout_s is None else timeout_s
        self.carry_out(self.ledger.started(config, self.now, timeout_s))
        assert process.stopping or not self.pending(config), "all who waited are answered"
        self.wake_if_due()

    @precondition(lambda self: any(not p.listens for p in self.processes.values()))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """A process reports that it cannot start, and is gone."""
        silent = sorted(config for config, p in self.processes.items() if not p.listens)
        config = data.draw(st.sampled_from(silent))
        if not self.processes.pop(config).stopping:
            self.fail_start(config)
        self.carry_out(self.ledger.start_failed(config, {"message": "no"}, self.now))

    @precondition(lambda self: self.processes)
    @rule(data=st.data(), is_final=st.booleans())
    def die(self, data: st.DataObject, is_final: bool) -> None:
        """A process ends: because it was told to, or by itself."""
        self.gone(data.draw(st.sampled_from(sorted(self.processes))), is_final)

    def gone(self, config: str, is_final: bool = False) -> None:
        process = self.processes.pop(config)
        wanted = bool(self.pending(config))
        if not process.stopping:
            if process.listens:
                ours = {claim for claim in self.held if claim[0] == config}
                if is_final:
                    self.barred |= ours
                else:
                    self.lost |= ours
                self.held -= ours
            else:
                self.fail_start(config)
        self.carry_out(self.ledger.exited(config, self.now, is_final))
        follows = config in self.processes
        assert follows == (process.stopping and wanted), "another starts when one is wanted"

    # Time

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        """The owner ticks when it was told to, or late."""
        self.now += seconds
        self.wake_if_due()

    @precondition(lambda self: self.ledger.next_wake < math.inf)
    @rule()
    def wake(self) -> None:
        self.now = max(self.now, self.ledger.next_wake)
        self.tick()

    @rule()
    def tick(self) -> None:
        """Also when nothing is due."""
        for config, process in self.processes.items():
            late = process.began + POLICY.start_timeout_s <= self.now
            if late and not process.listens and not process.stopping:
                self.fail_start(config)
        self.carry_out(self.ledger.tick(self.now))
        assert self.ledger.next_wake > self.now

    def wake_if_due(self) -> None:
        if self.ledger.next_wake <= self.now:
            self.tick()

    # Managers

    @precondition(lambda self: self.exits)
    @rule()
    def next_manager(self) -> None:
        self.begin_manager()

    @precondition(lambda self: self.last_waiter > 8 and not self.exits)
    @rule()
    def kill_manager(self) -> None:
        """Its requests die with it, and so do the processes that it did not see start or end."""
        left = {c: p for c, p in self.processes.items() if p.listens and not p.stopping}
        held = self.held
        self.forgotten |= set(self.wishes)
        self.processes = {}
        self.begin_manager()
        for config, process in left.items():
            self.processes[config] = process
            theirs = {claim for claim in held if claim[0] == config}
            self.held |= theirs
            self.stay_until = -math.inf
            process.free_since = self.now
            names = [holder for _, holder in theirs]
            timeout_s = process.timeout_s
            self.carry_out(self.ledger.take_over(config, names, self.now, timeout_s))
        self.wake_if_due()

    # What always holds

    @invariant()
    def it_knows_what_there_is(self) -> None:
        shown = {host["config"]: host for host in self.ledger.describe(self.now)}
        assert set(shown) == set(self.processes)
        for config, process in self.processes.items():
            ours = [(h["pid"], h["started_at"]) for h in shown[config]["holders"]]
            held = sorted((h.pid, h.started_at) for c, h in self.held if c == config)
            assert ours == held, "one connection per client and host"
            if process.stopping:
                expected = "stopping"
            elif not process.listens:
                expected = "starting"
            else:
                expected = "running" if held else "idle"
            assert shown[config]["state"] == expected
        watched = {holder for _, holder in self.held | self.lost | self.barred}
        assert self.ledger.holders() == watched

    @invariant()
    def who_holds_has_a_host_or_waits_for_one(self) -> None:
        assert {config for config, _ in self.held} <= set(self.processes)
        for config, process in self.processes.items():
            if process.listens and not process.stopping:
                assert not self.pending(config)
            if process.stopping and self.is_held(config):
                assert self.pending(config)

    def dues(self) -> list[float]:
        dues = []
        for config, process in self.processes.items():
            if process.stopping:
                continue
            if not process.listens:
                dues.append(process.began + POLICY.start_timeout_s)
            elif not self.is_held(config):
                dues.append(process.free_since + process.timeout_s)
        if not (self.processes or self.wishes or self.lost or self.barred or self.exits):
            dues.append(self.stay_until)
        return dues

    @invariant()
    def it_wakes_in_time(self) -> None:
        assert self.ledger.next_wake == min(self.dues(), default=math.inf)

    @invariant()
    def it_leaves_when_nothing_is_left(self) -> None:
        assert self.exits == (not self.is_anything_left())

    @invariant()
    def nobody_is_answered_twice_or_forgotten(self) -> None:
        assert all(count == 1 for count in self.answers.values())
        asked: set[Hashable] = {*range(1, self.last_waiter + 1)}
        open_now = asked - set(self.answers) - self.forgotten
        assert open_now == set(self.wishes)
        there = set(self.processes)
        assert all(wish.config in there for wish in self.wishes.values() if wish.config)

    def teardown(self) -> None:
        """Once all clients have left and time has passed, nothing is left."""
        if not hasattr(self, "ledger"):
            return
        for holder in HOLDERS:
            self.lose_holder(holder)
        for _ in range(50):
            for config, process in list(self.processes.items()):
                if process.stopping:
                    self.gone(config)
                elif not process.listens:
                    self.listens(config)
            if self.ledger.next_wake < math.inf:
                self.wake()
        assert self.exits == 1
        assert not self.processes
        assert not self.wishes


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(
    max_examples=examples(300), stateful_step_count=50, deadline=None, print_blob=True
)
