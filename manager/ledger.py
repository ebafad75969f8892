"""Decides when hosts start and stop and when the manager ends. It does no I/O. Runs in: manager.

Events and the time go in as method calls. A list of actions comes out, to be carried out in order.
Times are seconds of one monotonic clock; `tick` must be called at `next_wake`. A waiter is any
value that identifies a request; each gets exactly one `Grant`, `Refuse` or `ReportStopped`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable

from .ledger_actions import (
    SENTENCES,
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
from .managed_host import TRANSITIONS, Holder, HostState, HostStatus, IllegalHostEvent, ManagedHost

__all__ = ["Ledger"]


class Ledger:
    """The hosts of one manager, by the path of their config file.

    Attributes:
        leaving: whether it starts no more hosts, because the manager is about to end.
    """

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self.timeouts = timeouts
        self.leaving = False
        self._hosts: dict[str, ManagedHost] = {}
        self._lost: set[tuple[str, Holder]] = set()
        """Holders of a host that died, until they connect again or leave."""
        self._barred: set[tuple[str, Holder]] = set()
        """Holders whose host ended for good, until their process ends: they get no other host."""
        self._stop_all_waiters: list[Hashable] = []
        self._stay_until = now + timeouts.disconnect_timeout_s
        self._exited = False

    # Callers

    def connect(self, config: str, holder: Holder, waiter: Hashable, now: float) -> list[Action]:
        """A client wants the host, and holds it from now on. Connecting again changes nothing; a
        refusal ends the connection."""
        if (config, holder) in self._barred:
            error = SENTENCES[Refusal.NO_RESPAWN].format(config=config)
            return [Refuse(waiter, error, Refusal.NO_RESPAWN)]
        return self._want(config, holder, waiter, now)

    def start(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Start the host without holding it: it runs for its idle time."""
        return self._want(config, None, waiter, now)

    def disconnect(self, config: str, holder: Holder, now: float) -> list[Action]:
        """A client no longer needs the host. Its waiting requests are refused."""
        return self._release(config, holder, now) + self._leave_if_over(now)

    def holder_gone(self, holder: Holder, now: float) -> list[Action]:
        """A client's process has ended: it is disconnected from every host."""
        self._barred = {(config, other) for config, other in self._barred if other != holder}
        configs = {*self._hosts, *(config for config, _ in self._lost)}
        actions: list[Action] = []
        for config in sorted(configs):
            actions += self._release(config, holder, now)
        return actions + self._leave_if_over(now)

    def stop(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Stop the host even if clients hold it, and forget them. A later one starts it again."""
        self._lost = {(other, holder) for other, holder in self._lost if other != config}
        self._forgive(config)
        host = self._hosts.get(config)
        if host is None:
            return [ReportStopped(waiter), *self._leave_if_over(now)]
        host.stop_waiters.append(waiter)
        return self._stop_by_hand(host)

    def restart(self, config: str, waiter: Hashable, now: float) -> list[Action]:
        """Replace the process, or start one. Holders and waiters are kept."""
        self._forgive(config)
        host = self._hosts.get(config)
        if host is None or self.leaving:
            return self._want(config, None, waiter, now)
        host.waiters[waiter] = None
        host.again = True
        return self._stop(host, "stop")

    def stop_all(self, waiter: Hashable, now: float) -> list[Action]:
        """Stop every host, then the manager. From now on requests for a host are refused."""
        self.leaving = True
        self._lost.clear()
        self._barred.clear()
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
        """The process listens. It may be idle for `disconnect_timeout_s` (None: the default)."""
        host = self._move(config, "started")
        if host.state is HostState.STOPPING:
            return []
        return self._serve(host, disconnect_timeout_s, now)

    def start_failed(self, config: str, error: object, now: float) -> list[Action]:
        """The process could not be started, or ended before it listened."""
        return self._gone(self._move(config, "start_failed"), error, now)

    def exited(self, config: str, now: float, is_final: bool = False) -> list[Action]:
        """The process has ended: it was stopped, or ended by itself.

        `is_final`: the clients that held it must not get another one.
        """
        error = SENTENCES[Refusal.START_FAILED].format(config=config)
        if is_final and self.state(config) is HostState.RUNNING:
            host = self._hosts[config]
            self._barred.update((config, holder) for holder in host.holders)
            host.holders.clear()
        return self._gone(self._move(config, "exited"), error, now)

    def take_over(
        self,
        config: str,
        holders: Collection[Holder],
        now: float,
        disconnect_timeout_s: float | None = None,
    ) -> list[Action]:
        """An earlier manager was killed and left this process running, with these holders.

        Raises:
            IllegalHostEvent: there is a host for the config, or the manager is leaving.
        """
        if self.leaving:
            raise IllegalHostEvent(config, None, "take_over")
        host = self._move(config, "take_over")
        self._stay_until = -math.inf
        host.holders.update(holders)
        return self._serve(host, disconnect_timeout_s, now)

    # Time

    def tick(self, now: float) -> list[Action]:
        """Do what is due: stop idle hosts and starts that take too long, end the manager."""
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
        """When `tick` must be called next; infinity: not at all."""
        if self._hosts:
            return min(host.due for host in self._hosts.values())
        if self._lost or self._barred or self._exited:
            return math.inf
        return self._stay_until

    # State

    def holders(self) -> set[Holder]:
        """The processes whose end must be reported with `holder_gone`."""
        held = {holder for host in self._hosts.values() for holder in host.holders}
        return held | {holder for _, holder in self._lost | self._barred}

    def state(self, config: str) -> HostState | None:
        """The host's state; None: there is no such host."""
        host = self._hosts.get(config)
        return host.state if host is not None else None

    def describe(self, now: float) -> list[HostStatus]:
        """Every host, in the order of their configs, as data that JSON can carry."""
        return [host.describe(now) for _, host in sorted(self._hosts.items())]

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

    def _serve(self, host: ManagedHost, timeout_s: float | None, now: float) -> list[Action]:
        """The host listens: answer its waiters. It is idle if they have all left meanwhile."""
        host.timeout_s = self.timeouts.disconnect_timeout_s if timeout_s is None else timeout_s
        actions = self._answer(host)
        self._rest_if_unheld(host, now)
        return actions

    def _answer(self, host: ManagedHost) -> list[Action]:
        waiters = host.waiters.items()
        pairs = [(waiter, (host.config, holder)) for waiter, holder in waiters]
        answers: list[Action] = [
            Grant(waiter, host.config, restarted=claim in self._lost) for waiter, claim in pairs
        ]
        self._lost.difference_update(claim for _, claim in pairs)
        host.waiters.clear()
        return answers

    def _refuse(self, host: ManagedHost, waiters: list[Hashable], why: Refusal) -> list[Action]:
        error = SENTENCES[why].format(config=host.config)
        for waiter in waiters:
            del host.waiters[waiter]
        return [Refuse(waiter, error, why) for waiter in waiters]

    def _release(self, config: str, holder: Holder, now: float) -> list[Action]:
        self._lost.discard((config, holder))
        host = self._hosts.get(config)
        if host is None or holder not in host.holders:
            return []
        host.holders.remove(holder)
        self._rest_if_unheld(host, now)
        own = [waiter for waiter, other in host.waiters.items() if other == holder]
        return self._refuse(host, own, Refusal.DISCONNECTED)

    def _rest_if_unheld(self, host: ManagedHost, now: float) -> None:
        if host.state is HostState.RUNNING and not host.holders:
            self._move(host.config, "released")
            host.due = now + host.timeout_s

    def _stop_by_hand(self, host: ManagedHost) -> list[Action]:
        host.holders.clear()
        host.again = False
        return self._refuse(host, list(host.waiters), Refusal.STOPPED) + self._stop(host, "stop")

    def _stop(self, host: ManagedHost, event: str) -> list[Action]:
        was_stopping = host.state is HostState.STOPPING
        self._move(host.config, event)
        return [] if was_stopping else [StopHost(host.config)]

    def _fail_start(
        self, host: ManagedHost, why: Refusal, error: object, now: float
    ) -> list[Action]:
        """Refuse the waiters. Holders that do not wait had the process before a restart."""
        refusals: list[Action] = [Refuse(waiter, error, why) for waiter in host.waiters]
        former = host.holders.difference(host.waiters.values())
        self._lost.update((host.config, holder) for holder in former)
        host.holders.clear()
        host.waiters.clear()
        # The callers get the error now, and may try again at once.
        self._stay_until = now + self.timeouts.disconnect_timeout_s
        return refusals

    def _gone(self, host: ManagedHost, error: object, now: float) -> list[Action]:
        """The process of this host, which is already forgotten, has ended."""
        actions: list[Action] = [ReportStopped(waiter) for waiter in host.stop_waiters]
        if host.state is HostState.STARTING:
            actions += self._fail_start(host, Refusal.START_FAILED, error, now)
        elif host.state is not HostState.STOPPING:
            self._lost.update((host.config, holder) for holder in host.holders)
        elif host.waiters:
            actions.append(self._start(host.config, now, host.again))
            follower = self._hosts[host.config]
            follower.holders, follower.waiters = host.holders, host.waiters
        return actions + self._leave_if_over(now)

    def _forgive(self, config: str) -> None:
        """The host is stopped or started by hand: its former holders may have it again."""
        self._barred = {(other, holder) for other, holder in self._barred if other != config}

    def _leave_if_over(self, now: float) -> list[Action]:
        if self._hosts:
            return []
        actions: list[Action] = [ReportStopped(waiter) for waiter in self._stop_all_waiters]
        self._stop_all_waiters.clear()
        if self._lost or self._barred or self._exited or now < self._stay_until:
            return actions
        self.leaving = self._exited = True
        return [*actions, ExitManager()]

    def _move(self, config: str, event: str) -> ManagedHost:
        """Change the host's state. A host that is now forgotten is returned in its last state."""
        host = self._hosts.get(config)
        state = host.state if host is not None else None
        if (state, event) not in TRANSITIONS:
            raise IllegalHostEvent(config, state, event)
        target = TRANSITIONS[state, event]
        if host is None:
            host = self._hosts[config] = ManagedHost(config)
        if target is None:
            del self._hosts[config]
        else:
            host.state, host.due = target, math.inf
        return host
