"""Which hosts run, who holds them, and when they go away: only decisions, no I/O.

Runs in: manager. Events and the time go in as method calls; what must be done comes out as a list
of actions, to be carried out in their order. Times are seconds of one monotonic clock.
`next_wake` says when `tick` wants to be called. A waiter is whatever names a request; each is
answered exactly once, with `Grant`, `Refuse` or `ReportStopped`.

The words it uses stand in `ledger_actions`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from .ledger_actions import (
    SENTENCES,
    TRANSITIONS,
    Action,
    ExitManager,
    Grant,
    Holder,
    HolderStatus,
    HostState,
    HostStatus,
    IllegalTransition,
    Refusal,
    Refuse,
    ReportStopped,
    StartHost,
    StopHost,
    Timeouts,
)

__all__ = ["Ledger"]


@dataclass(slots=True)
class _Host:
    config: str
    state: HostState = HostState.STARTING
    due: float = math.inf
    """When it is stopped: STARTING, because it did not listen in time; IDLE, because it is idle."""
    timeout_s: float = math.inf
    """How long it may be idle; known once it listens."""
    holders: set[Holder] = field(default_factory=set)
    """In STOPPING: who holds the process that follows."""
    waiters: dict[Hashable, Holder | None] = field(default_factory=dict)
    """Who waits until it listens. In STOPPING: another process follows if there are any."""
    stop_waiters: list[Hashable] = field(default_factory=list)
    again: bool = False
    """In STOPPING: the process that follows takes over port and log."""


class Ledger:
    """Keeps the hosts of one manager. Hosts are named by the path of their config file."""

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self.timeouts = timeouts
        self.leaving = False
        """It starts nothing any more: `stop_all` was called, or `ExitManager` returned."""
        self._hosts: dict[str, _Host] = {}
        self._bereaved: set[tuple[str, Holder]] = set()
        """Who held a host that died, and has neither come back nor left."""
        self._bereft: set[tuple[str, Holder]] = set()
        """Who held a host that ended for good, and still lives: it gets no other one."""
        self._stop_all_waiters: list[Hashable] = []
        self._stay_until = now + timeouts.disconnect_timeout_s
        self._exited = False

    # Callers

    def connect(self, config: str, holder: Holder, waiter: Hashable, now: float) -> list[Action]:
        """A client wants the host, and holds it from now on: it has one connection, however often
        it comes. A refusal ends the connection."""
        if (config, holder) in self._bereft:
            error = SENTENCES[Refusal.NO_RESPAWN].format(config=config)
            return [Refuse(waiter, error, Refusal.NO_RESPAWN)]
        return self._want(config, holder, waiter, now)

    def start(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Somebody wants the host to run, and does not hold it: it is given its idle time."""
        return self._want(config, None, waiter, now)

    def disconnect(self, config: str, holder: Holder, now: float) -> list[Action]:
        """A client needs the host no more. What it still waits for is refused."""
        return self._release(config, holder, now) + self._leave_if_over(now)

    def holder_gone(self, holder: Holder, now: float) -> list[Action]:
        """A client's process has ended: as if it had disconnected from every host."""
        self._bereft = {(config, other) for config, other in self._bereft if other != holder}
        configs = {*self._hosts, *(config for config, _ in self._bereaved)}
        actions: list[Action] = []
        for config in sorted(configs):
            actions += self._release(config, holder, now)
        return actions + self._leave_if_over(now)

    def stop(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Stop the host whoever holds it, and forget who does. Who comes later starts it again."""
        self._bereaved = {(other, holder) for other, holder in self._bereaved if other != config}
        self._forgive(config)
        host = self._hosts.get(config)
        if host is None:
            return [ReportStopped(waiter), *self._leave_if_over(now)]
        host.stop_waiters.append(waiter)
        return self._stop_by_hand(host)

    def restart(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Replace the process: those who hold or await it go on to do so. Starts one if none is."""
        self._forgive(config)
        host = self._hosts.get(config)
        if host is None or self.leaving:
            return self._want(config, None, waiter, now)
        host.waiters[waiter] = None
        host.again = True
        return self._stop(host, "stop")

    def stop_all(self, waiter: Hashable, now: float) -> list[Action]:
        """Stop every host, and then the manager; from now on whoever wants a host is refused."""
        self.leaving = True
        self._bereaved.clear()
        self._bereft.clear()
        self._stay_until = -math.inf
        self._stop_all_waiters.append(waiter)
        actions: list[Action] = []
        for host in self._hosts.values():
            actions += self._stop_by_hand(host)
        return actions + self._leave_if_over(now)

    # Processes

    def started(
        self, config: str, now: float, disconnect_timeout_s: float | None = None
    ) -> list[Action]:
        """The process listens."""
        host = self._move(config, "started")
        if host.state is HostState.STOPPING:
            return []
        return self._serve(host, disconnect_timeout_s, now)

    def start_failed(self, config: str, error: object, now: float) -> list[Action]:
        """The process could not be started, or has ended before it listened."""
        return self._gone(self._move(config, "start_failed"), error, now)

    def exited(self, config: str, now: float, for_good: bool = False) -> list[Action]:
        """The process has ended, because it was stopped or by itself.

        `for_good`: those who held it while it ran must not be given another one.
        """
        error = SENTENCES[Refusal.START_FAILED].format(config=config)
        if for_good and self.state(config) is HostState.RUNNING:
            host = self._hosts[config]
            self._bereft.update((config, holder) for holder in host.holders)
            host.holders.clear()
        return self._gone(self._move(config, "exited"), error, now)

    def take_over(
        self,
        config: str,
        holders: Collection[Holder],
        now: float,
        disconnect_timeout_s: float | None = None,
    ) -> list[Action]:
        """An earlier manager, which was killed, has left this process running for those holders.

        Raises:
            IllegalTransition: there is a host for the config, or the manager is leaving.
        """
        if self.leaving:
            raise IllegalTransition(config, None, "take_over")
        host = self._move(config, "take_over")
        self._stay_until = -math.inf
        host.holders.update(holders)
        return self._serve(host, disconnect_timeout_s, now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Whatever has fallen due: idle hosts, starts that take too long, the manager's end."""
        actions: list[Action] = []
        for host in list(self._hosts.values()):
            if host.due <= now:
                if host.state is HostState.STARTING:
                    error = SENTENCES[Refusal.START_TIMEOUT].format(config=host.config)
                    actions += self._fail_start(host, Refusal.START_TIMEOUT, error, now)
                actions += self._stop(host, "expire")
        return actions + self._leave_if_over(now)

    @property
    def next_wake(self) -> float:
        """When something falls due; infinity when nothing does."""
        if self._hosts:
            return min(host.due for host in self._hosts.values())
        if self._bereaved or self._bereft or self._exited:
            return math.inf
        return self._stay_until

    # What is known

    def holders(self) -> set[Holder]:
        """Every process whose end must be reported with `holder_gone`."""
        held = {holder for host in self._hosts.values() for holder in host.holders}
        return held | {holder for _, holder in self._bereaved | self._bereft}

    def state(self, config: str) -> HostState | None:
        """The host's state, or None when there is none."""
        host = self._hosts.get(config)
        return host.state if host is not None else None

    def describe(self, now: float) -> list[HostStatus]:
        """Every host, by config, as data that JSON can carry."""
        return [
            HostStatus(
                config=host.config,
                state=host.state.value,
                holders=[
                    HolderStatus(pid=holder.pid, started_at=holder.started_at)
                    for holder in sorted(host.holders)
                ],
                waiting=len(host.waiters) + len(host.stop_waiters),
                idle_s_left=(
                    max(0.0, host.due - now)
                    if host.state is HostState.IDLE and math.isfinite(host.due)
                    else None
                ),
            )
            for _, host in sorted(self._hosts.items())
        ]

    # Decisions

    def _want(
        self, config: str, holder: Holder | None, waiter: Hashable, now: float
    ) -> list[Action]:
        if self.leaving:
            error = SENTENCES[Refusal.LEAVING].format(config=config)
            return [Refuse(waiter, error, Refusal.LEAVING)]
        self._stay_until = -math.inf
        actions: list[Action] = []
        if config not in self._hosts:
            actions.append(self._start(config, now))
        host = self._hosts[config]
        host.waiters[waiter] = holder
        if holder is not None:
            host.holders.add(holder)
        if host.state is HostState.IDLE:
            if holder is not None:
                self._move(config, "held")
            else:
                host.due = now + host.timeout_s
        if host.state in (HostState.RUNNING, HostState.IDLE):
            actions += self._answer(host)
        return actions

    def _start(self, config: str, now: float, again: bool = False) -> StartHost:
        host = self._move(config, "start")
        host.due = now + self.timeouts.start_timeout_s
        return StartHost(config, again)

    def _serve(self, host: _Host, timeout_s: float | None, now: float) -> list[Action]:
        """The host listens: answer those who wait; it is idle if they have all left meanwhile."""
        host.timeout_s = self.timeouts.disconnect_timeout_s if timeout_s is None else timeout_s
        actions = self._answer(host)
        self._rest_if_unheld(host, now)
        return actions

    def _answer(self, host: _Host) -> list[Action]:
        waiters = host.waiters.items()
        pairs = [(waiter, (host.config, holder)) for waiter, holder in waiters]
        answers: list[Action] = [
            Grant(waiter, host.config, restarted=claim in self._bereaved) for waiter, claim in pairs
        ]
        self._bereaved.difference_update(claim for _, claim in pairs)
        host.waiters.clear()
        return answers

    def _refuse(self, host: _Host, waiters: list[Hashable], why: Refusal) -> list[Action]:
        error = SENTENCES[why].format(config=host.config)
        for waiter in waiters:
            del host.waiters[waiter]
        return [Refuse(waiter, error, why) for waiter in waiters]

    def _release(self, config: str, holder: Holder, now: float) -> list[Action]:
        self._bereaved.discard((config, holder))
        host = self._hosts.get(config)
        if host is None or holder not in host.holders:
            return []
        host.holders.remove(holder)
        self._rest_if_unheld(host, now)
        its_own = [waiter for waiter, other in host.waiters.items() if other == holder]
        return self._refuse(host, its_own, Refusal.DISCONNECTED)

    def _rest_if_unheld(self, host: _Host, now: float) -> None:
        if host.state is HostState.RUNNING and not host.holders:
            self._move(host.config, "released")
            host.due = now + host.timeout_s

    def _stop_by_hand(self, host: _Host) -> list[Action]:
        host.holders.clear()
        host.again = False
        return self._refuse(host, list(host.waiters), Refusal.STOPPED) + self._stop(host, "stop")

    def _stop(self, host: _Host, event: str) -> list[Action]:
        was_stopping = host.state is HostState.STOPPING
        self._move(host.config, event)
        return [] if was_stopping else [StopHost(host.config)]

    def _fail_start(self, host: _Host, why: Refusal, error: object, now: float) -> list[Action]:
        """Refuse those who wait. Who holds without waiting had the process before a restart."""
        refusals: list[Action] = [Refuse(waiter, error, why) for waiter in host.waiters]
        bereft = host.holders.difference(host.waiters.values())
        self._bereaved.update((host.config, holder) for holder in bereft)
        host.holders.clear()
        host.waiters.clear()
        # The callers were told at once and may come again at once, and others with them.
        self._stay_until = now + self.timeouts.disconnect_timeout_s
        return refusals

    def _gone(self, host: _Host, error: object, now: float) -> list[Action]:
        """The process of this host, which is forgotten by now, is no more."""
        actions: list[Action] = [ReportStopped(waiter) for waiter in host.stop_waiters]
        if host.state is HostState.STARTING:
            actions += self._fail_start(host, Refusal.START_FAILED, error, now)
        elif host.state is not HostState.STOPPING:
            self._bereaved.update((host.config, holder) for holder in host.holders)
        elif host.waiters:
            actions.append(self._start(host.config, now, host.again))
            follower = self._hosts[host.config]
            follower.holders, follower.waiters = host.holders, host.waiters
        return actions + self._leave_if_over(now)

    def _forgive(self, config: str) -> None:
        """Somebody wants the config's host stopped or started by hand, whatever was."""
        self._bereft = {(other, holder) for other, holder in self._bereft if other != config}

    def _leave_if_over(self, now: float) -> list[Action]:
        if self._hosts:
            return []
        actions: list[Action] = [ReportStopped(waiter) for waiter in self._stop_all_waiters]
        self._stop_all_waiters.clear()
        if self._bereaved or self._bereft or self._exited or now < self._stay_until:
            return actions
        self.leaving = self._exited = True
        return [*actions, ExitManager()]

    def _move(self, config: str, event: str) -> _Host:
        """Make the transition. A host that is forgotten is returned in the state it had."""
        host = self._hosts.get(config)
        state = host.state if host is not None else None
        if (state, event) not in TRANSITIONS:
            raise IllegalTransition(config, state, event)
        target = TRANSITIONS[state, event]
        if host is None:
            host = self._hosts[config] = _Host(config)
        if target is None:
            del self._hosts[config]
        else:
            host.state, host.due = target, math.inf
        return host
