"""The ledger's rules: when a host starts and stops, who is told what, when the manager leaves.

Its invariants are in test_ledger_properties.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
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
from jshost_manager.managed_host import TRANSITIONS, Holder, HostState, IllegalHostEvent

APP = "/app/host.config.py"
SHOP = "/shop/host.config.js"
ANN = Holder(101, 1.5)
BEN = Holder(102, 2.5)


def new_ledger() -> Ledger:
    return Ledger(Timeouts(), 0.0)


def running(*holders: Holder, config: str = APP) -> Ledger:
    """A ledger at 1.0 with one host that listens and is held, or is idle."""
    ledger = new_ledger()
    ledger.start(config, "first", 0.0)
    for holder in holders:
        ledger.connect(config, holder, f"first of {holder.pid}", 0.0)
    ledger.started(config, 1.0)
    return ledger


def stopping(*holders: Holder) -> Ledger:
    """The same at 2.0, with a stop by hand on its way."""
    ledger = running(*holders)
    ledger.stop(APP, "stop", 2.0)
    return ledger


def refused(actions: list[Action]) -> list[tuple[object, Refusal]]:
    assert all(isinstance(action, Refuse | StopHost | ExitManager) for action in actions)
    return [(action.waiter, action.why) for action in actions if isinstance(action, Refuse)]


# Somebody wants a host


def test_the_first_who_comes_has_the_host_started_and_is_answered_when_it_listens() -> None:
    ledger = new_ledger()
    assert ledger.connect(APP, ANN, 1, 0.0) == [StartHost(APP)]
    assert ledger.state(APP) is HostState.STARTING
    assert ledger.started(APP, 0.5) == [Grant(1, APP)]
    assert ledger.state(APP) is HostState.RUNNING


def test_all_who_come_meanwhile_wait_for_the_same_start() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    assert ledger.connect(APP, BEN, 2, 0.1) == []
    assert ledger.connect(APP, ANN, 3, 0.2) == []
    assert ledger.started(APP, 0.5) == [Grant(1, APP), Grant(2, APP), Grant(3, APP)]


def test_a_host_that_runs_is_had_at_once() -> None:
    assert running(ANN).connect(APP, BEN, 1, 2.0) == [Grant(1, APP)]


def test_each_config_has_a_host_of_its_own() -> None:
    ledger = running(ANN)
    assert ledger.connect(SHOP, ANN, 1, 2.0) == [StartHost(SHOP)]
    assert ledger.start_failed(SHOP, "no such file", 2.1)[0] == Refuse(
        1, "no such file", Refusal.START_FAILED
    )
    assert ledger.state(APP) is HostState.RUNNING


def test_a_client_has_one_connection_however_often_it_connects() -> None:
    ledger = running(ANN)
    ledger.connect(APP, ANN, 1, 2.0)
    ledger.disconnect(APP, ANN, 3.0)
    assert ledger.state(APP) is HostState.IDLE


def test_another_process_with_the_same_id_is_another_client() -> None:
    ledger = running(ANN)
    later = Holder(ANN.pid, ANN.started_at + 60)
    ledger.connect(APP, later, 1, 2.0)
    ledger.disconnect(APP, ANN, 3.0)
    assert ledger.holders() == {later}
    assert ledger.state(APP) is HostState.RUNNING


def test_a_host_can_be_started_without_holding_it() -> None:
    ledger = new_ledger()
    assert ledger.start(APP, 1, 0.0) == [StartHost(APP)]
    assert ledger.started(APP, 1.0) == [Grant(1, APP)]
    assert ledger.next_wake == 6.0
    assert ledger.start(APP, 2, 4.0) == [Grant(2, APP)]
    assert ledger.next_wake == 9.0, "it was asked for a moment ago"


# A start that fails


def test_a_failed_start_is_told_to_all_who_wait_and_costs_the_next_nothing() -> None:
    ledger = new_ledger()
    error = {"message": "SyntaxError", "file": APP, "line": 3}
    ledger.connect(APP, ANN, 1, 0.0)
    ledger.connect(APP, BEN, 2, 0.0)
    assert ledger.start_failed(APP, error, 1.0) == [
        Refuse(1, error, Refusal.START_FAILED),
        Refuse(2, error, Refusal.START_FAILED),
    ]
    assert ledger.holders() == set()
    assert ledger.connect(APP, ANN, 3, 1.1) == [StartHost(APP)]


def test_a_process_that_ends_while_it_starts_is_a_failed_start() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    (refusal,) = ledger.exited(APP, 1.0)
    assert refusal == Refuse(
        1,
        f"{APP}: the host's process ended while it started. Its log says why.",
        Refusal.START_FAILED,
    )


def test_after_a_failed_start_the_manager_stays_for_those_who_come_again() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    assert ExitManager() not in ledger.start_failed(APP, "error", 1.0)
    assert ledger.next_wake == 6.0
    assert ledger.tick(6.0) == [ExitManager()]


def test_a_start_that_never_reports_back_is_stopped() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    assert ledger.next_wake == 60.0
    assert ledger.tick(59.9) == []
    actions = ledger.tick(60.0)
    assert refused(actions) == [(1, Refusal.START_TIMEOUT)]
    assert actions[-1] == StopHost(APP)
    assert ledger.holders() == set()
    assert ledger.started(APP, 60.1) == [], "too late"
    assert ledger.state(APP) is HostState.STOPPING
    assert ledger.exited(APP, 61.0) == []
    assert ledger.tick(65.0) == [ExitManager()]


# The last one leaves


def test_the_host_waits_for_someone_to_come_back_and_then_goes_and_the_manager_too() -> None:
    ledger = running(ANN, BEN)
    assert ledger.disconnect(APP, ANN, 2.0) == []
    assert ledger.state(APP) is HostState.RUNNING
    assert ledger.disconnect(APP, BEN, 3.0) == []
    assert ledger.state(APP) is HostState.IDLE
    assert ledger.next_wake == 8.0
    assert ledger.tick(7.9) == []
    assert ledger.tick(8.0) == [StopHost(APP)]
    assert ledger.exited(APP, 8.1) == [ExitManager()]


def test_who_comes_back_in_time_finds_the_same_host() -> None:
    ledger = running(ANN)
    ledger.disconnect(APP, ANN, 2.0)
    assert ledger.connect(APP, ANN, 1, 6.9) == [Grant(1, APP)]
    assert ledger.next_wake == math.inf
    assert ledger.tick(100.0) == []
    ledger.disconnect(APP, ANN, 200.0)
    assert ledger.next_wake == 205.0, "it has its whole time again"


def test_a_config_file_names_its_own_time() -> None:
    ledger = new_ledger()
    ledger.start(APP, 1, 0.0)
    ledger.started(APP, 1.0, disconnect_timeout_s=0.5)
    assert ledger.next_wake == 1.5


def test_who_comes_while_the_host_stops_waits_for_the_next_one() -> None:
    ledger = running()
    assert ledger.tick(6.0) == [StopHost(APP)]
    assert ledger.connect(APP, ANN, 1, 6.1) == []
    assert ledger.exited(APP, 6.2) == [StartHost(APP)]
    assert ledger.next_wake == 66.2
    assert ledger.started(APP, 7.0) == [Grant(1, APP)]
    assert ledger.state(APP) is HostState.RUNNING


def test_who_leaves_before_the_host_has_stopped_does_not_have_it_started() -> None:
    ledger = running()
    ledger.tick(6.0)
    ledger.connect(APP, ANN, 1, 6.1)
    assert refused(ledger.disconnect(APP, ANN, 6.2)) == [(1, Refusal.DISCONNECTED)]
    assert ledger.exited(APP, 6.3) == [ExitManager()]


def test_who_leaves_before_the_host_listens_is_not_answered_any_more() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    assert refused(ledger.disconnect(APP, ANN, 0.1)) == [(1, Refusal.DISCONNECTED)]
    assert ledger.started(APP, 1.0) == []
    assert ledger.state(APP) is HostState.IDLE
    assert ledger.next_wake == 6.0


def test_a_client_that_was_killed_leaves_every_host() -> None:
    ledger = running(ANN)
    ledger.connect(SHOP, ANN, 1, 2.0)
    ledger.connect(SHOP, BEN, 2, 2.0)
    assert refused(ledger.holder_gone(ANN, 3.0)) == [(1, Refusal.DISCONNECTED)]
    assert ledger.state(APP) is HostState.IDLE
    assert ledger.started(SHOP, 3.5) == [Grant(2, SHOP)]
    assert ledger.holders() == {BEN}


def test_who_is_not_known_changes_nothing() -> None:
    ledger = running(ANN)
    assert ledger.disconnect(APP, BEN, 2.0) == []
    assert ledger.disconnect(SHOP, ANN, 2.0) == []
    assert ledger.holder_gone(BEN, 2.0) == []
    assert ledger.holders() == {ANN}


def test_one_hosts_end_is_not_the_managers_while_there_is_another() -> None:
    ledger = running(ANN)
    ledger.start(SHOP, 1, 1.0)
    ledger.started(SHOP, 1.0)
    assert ledger.tick(6.0) == [StopHost(SHOP)]
    assert ledger.exited(SHOP, 6.1) == []


# A host dies


def test_after_a_death_the_next_call_starts_another_host_and_says_so() -> None:
    ledger = running(ANN)
    assert ledger.exited(APP, 2.0) == []
    assert ledger.connect(APP, ANN, 1, 3600.0) == [StartHost(APP)]
    assert ledger.started(APP, 3601.0) == [Grant(1, APP, restarted=True)]
    assert ledger.connect(APP, ANN, 2, 3602.0) == [Grant(2, APP)], "it is said once"


def test_only_those_who_held_the_host_hear_of_its_death() -> None:
    ledger = running(ANN)
    ledger.exited(APP, 2.0)
    ledger.connect(APP, BEN, 1, 2.1)
    assert ledger.started(APP, 3.0) == [Grant(1, APP)]
    assert ledger.connect(APP, ANN, 2, 4.0) == [Grant(2, APP, restarted=True)]


def test_a_death_is_told_also_when_the_first_try_after_it_failed() -> None:
    ledger = running(ANN)
    ledger.exited(APP, 2.0)
    ledger.connect(APP, ANN, 1, 3.0)
    ledger.start_failed(APP, "error", 3.1)
    ledger.connect(APP, ANN, 2, 4.0)
    assert ledger.started(APP, 5.0) == [Grant(2, APP, restarted=True)]


def test_the_manager_stays_until_those_whose_host_died_come_again_or_leave() -> None:
    ledger = running(ANN, BEN)
    ledger.exited(APP, 2.0)
    assert ledger.holders() == {ANN, BEN}, "their end must still be seen"
    assert ledger.next_wake == math.inf
    assert ledger.tick(1000.0) == []
    assert ledger.holder_gone(BEN, 1001.0) == []
    assert ledger.disconnect(APP, ANN, 1002.0) == [ExitManager()]


def test_the_manager_leaves_when_the_last_whose_host_died_was_killed() -> None:
    ledger = running(ANN)
    ledger.exited(APP, 2.0)
    assert ledger.holder_gone(ANN, 3.0) == [ExitManager()]


def test_the_death_of_an_idle_host_is_nobodys_loss() -> None:
    ledger = running(ANN)
    ledger.disconnect(APP, ANN, 2.0)
    assert ledger.exited(APP, 3.0) == [ExitManager()]


# A host ends for good


def barred() -> Ledger:
    """At 2.0 the host that ANN and BEN held has ended for good."""
    ledger = running(ANN, BEN)
    assert ledger.exited(APP, 2.0, is_final=True) == []
    return ledger


def test_who_held_a_host_that_ended_is_final_gets_no_other_one() -> None:
    ledger = barred()
    for waiter, holder in enumerate([ANN, ANN, BEN]):
        (refusal,) = ledger.connect(APP, holder, waiter, 1000.0)
        assert isinstance(refusal, Refuse)
        assert (refusal.waiter, refusal.why) == (waiter, Refusal.NO_RESPAWN)
        assert APP in str(refusal.error)
    assert ledger.connect(SHOP, ANN, 9, 1000.0) == [StartHost(SHOP)]


def test_a_new_program_gets_another_one() -> None:
    ledger = barred()
    newcomer = Holder(ANN.pid, 1000.0)
    assert ledger.connect(APP, newcomer, 1, 1001.0) == [StartHost(APP)]
    assert ledger.started(APP, 1002.0) == [Grant(1, APP)]
    assert refused(ledger.connect(APP, ANN, 2, 1003.0)) == [(2, Refusal.NO_RESPAWN)]
    assert ledger.describe(1003.0)[0]["holders"] == [{"pid": ANN.pid, "started_at": 1000.0}]


def test_the_manager_stays_as_long_as_they_live_also_when_they_disconnect() -> None:
    ledger = barred()
    assert ledger.holders() == {ANN, BEN}, "their end must still be seen"
    assert ledger.next_wake == math.inf
    assert ledger.disconnect(APP, ANN, 3.0) == []
    assert refused(ledger.connect(APP, ANN, 1, 4.0)) == [(1, Refusal.NO_RESPAWN)]
    assert ledger.holder_gone(ANN, 5.0) == []
    assert ledger.holder_gone(BEN, 6.0) == [ExitManager()]


def test_a_stop_or_restart_by_hand_forgives() -> None:
    stopped, restarted = barred(), barred()
    assert stopped.stop(APP, 1, 3.0) == [ReportStopped(1), ExitManager()]
    assert restarted.restart(APP, 1, 3.0) == [StartHost(APP)]
    assert restarted.started(APP, 4.0) == [Grant(1, APP)]
    assert restarted.connect(APP, ANN, 2, 5.0) == [Grant(2, APP)]


def test_who_does_not_hold_it_loses_nothing() -> None:
    ledger = running(ANN)
    ledger.disconnect(APP, ANN, 2.0)
    assert ledger.exited(APP, 3.0, is_final=True) == [ExitManager()]


def test_an_end_that_was_asked_for_is_not_is_final() -> None:
    ledger = running(ANN)
    ledger.restart(APP, 1, 2.0)
    assert ledger.exited(APP, 2.5, is_final=True) == [StartHost(APP, again=True)]


# By hand


def test_a_stop_by_hand_does_not_ask_who_holds_the_host() -> None:
    ledger = running(ANN)
    assert ledger.stop(APP, 1, 2.0) == [StopHost(APP)]
    assert ledger.holders() == set()
    assert ledger.exited(APP, 2.5) == [ReportStopped(1), ExitManager()]


def test_what_does_not_run_is_stopped_at_once() -> None:
    ledger = running(ANN)
    assert ledger.stop(SHOP, 1, 2.0) == [ReportStopped(1)]


def test_who_is_stopped_while_waiting_is_told() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    actions = ledger.stop(APP, 2, 0.1)
    assert refused(actions) == [(1, Refusal.STOPPED)]
    assert actions[-1] == StopHost(APP)
    assert ledger.start_failed(APP, "it was killed", 0.2) == [ReportStopped(2), ExitManager()]


def test_two_stops_are_one() -> None:
    ledger = stopping(ANN)
    assert ledger.stop(APP, 2, 2.1) == []
    assert ledger.exited(APP, 2.5) == [ReportStopped("stop"), ReportStopped(2), ExitManager()]


def test_who_comes_after_a_stop_has_the_host_started_again() -> None:
    ledger = stopping(ANN)
    assert ledger.connect(APP, ANN, 2, 2.1) == []
    assert ledger.exited(APP, 2.5) == [ReportStopped("stop"), StartHost(APP)]
    assert ledger.started(APP, 3.0) == [Grant(2, APP)], "who stops a host knows of it"


def test_a_stop_ends_the_memory_of_a_death() -> None:
    ledger = running(ANN)
    ledger.exited(APP, 2.0)
    assert ledger.stop(APP, 1, 3.0) == [ReportStopped(1), ExitManager()]


def test_a_restart_keeps_the_connections_and_says_that_it_is_one() -> None:
    ledger = running(ANN)
    assert ledger.restart(APP, 1, 2.0) == [StopHost(APP)]
    assert ledger.exited(APP, 2.5) == [StartHost(APP, again=True)]
    assert ledger.started(APP, 3.0) == [Grant(1, APP)]
    assert ledger.holders() == {ANN}
    assert ledger.state(APP) is HostState.RUNNING


def test_a_restart_of_what_does_not_run_is_a_start() -> None:
    ledger = new_ledger()
    assert ledger.restart(APP, 1, 0.0) == [StartHost(APP)]
    assert ledger.started(APP, 1.0) == [Grant(1, APP)]
    assert ledger.state(APP) is HostState.IDLE


def test_restarts_that_meet_are_one() -> None:
    ledger = running(ANN)
    ledger.restart(APP, 1, 2.0)
    assert ledger.restart(APP, 2, 2.1) == []
    assert ledger.connect(APP, BEN, 3, 2.2) == []
    ledger.exited(APP, 2.5)
    assert ledger.started(APP, 3.0) == [Grant(1, APP), Grant(2, APP), Grant(3, APP)]


def test_a_restart_during_a_start_runs_the_newest_code_for_all_who_wait() -> None:
    ledger = new_ledger()
    ledger.connect(APP, ANN, 1, 0.0)
    assert ledger.restart(APP, 2, 0.1) == [StopHost(APP)]
    assert ledger.started(APP, 0.2) == [], "that was the old process"
    assert ledger.exited(APP, 0.3) == [StartHost(APP, again=True)]
    assert ledger.started(APP, 1.0) == [Grant(1, APP), Grant(2, APP)]


def test_a_stop_after_a_restart_is_the_last_word() -> None:
    ledger = running(ANN)
    ledger.restart(APP, 1, 2.0)
    assert refused(ledger.stop(APP, 2, 2.1)) == [(1, Refusal.STOPPED)]
    assert ledger.exited(APP, 2.5) == [ReportStopped(2), ExitManager()]


def test_who_comes_after_that_gets_a_new_host_and_not_the_restarted_one() -> None:
    ledger = running(ANN)
    ledger.restart(APP, 1, 2.0)
    ledger.stop(APP, 2, 2.1)
    ledger.connect(APP, ANN, 3, 2.2)
    assert ledger.exited(APP, 2.5) == [ReportStopped(2), StartHost(APP, again=False)]


def test_a_restart_after_a_stop_is_the_last_word() -> None:
    ledger = stopping(ANN)
    assert ledger.restart(APP, 2, 2.1) == []
    assert ledger.exited(APP, 2.5) == [ReportStopped("stop"), StartHost(APP, again=True)]


def test_a_restart_that_fails_has_cost_its_holders_their_host() -> None:
    ledger = running(ANN)
    ledger.restart(APP, 1, 2.0)
    ledger.exited(APP, 2.5)
    assert ledger.start_failed(APP, "error", 3.0) == [Refuse(1, "error", Refusal.START_FAILED)]
    ledger.connect(APP, ANN, 2, 4.0)
    assert ledger.started(APP, 5.0) == [Grant(2, APP, restarted=True)]


def test_stop_all_ends_every_host_and_then_the_manager() -> None:
    ledger = running(ANN)
    ledger.connect(SHOP, BEN, 1, 1.5)
    actions = ledger.stop_all(2, 2.0)
    assert refused(actions) == [(1, Refusal.STOPPED)]
    assert [action for action in actions if isinstance(action, StopHost)] == [
        StopHost(APP),
        StopHost(SHOP),
    ]
    assert ledger.exited(SHOP, 2.5) == []
    assert ledger.exited(APP, 2.6) == [ReportStopped(2), ExitManager()]


def test_a_manager_that_was_told_to_stop_starts_nothing_any_more() -> None:
    ledger = running(ANN)
    ledger.stop_all(1, 2.0)
    assert refused(ledger.connect(APP, BEN, 2, 2.1)) == [(2, Refusal.LEAVING)]
    assert refused(ledger.start(SHOP, 3, 2.1)) == [(3, Refusal.LEAVING)]
    assert refused(ledger.restart(APP, 4, 2.1)) == [(4, Refusal.LEAVING)]
    assert ledger.stop(APP, 5, 2.2) == []
    assert ledger.exited(APP, 2.5) == [ReportStopped(5), ReportStopped(1), ExitManager()]


def test_stop_all_does_not_wait_for_those_whose_host_died() -> None:
    ledger = running(ANN)
    ledger.exited(APP, 2.0)
    assert ledger.stop_all(1, 3.0) == [ReportStopped(1), ExitManager()]


# The manager's own end


def test_a_manager_that_nobody_asks_for_anything_leaves() -> None:
    ledger = new_ledger()
    assert ledger.next_wake == 5.0
    assert ledger.stop(APP, 1, 1.0) == [ReportStopped(1)]
    assert ledger.tick(4.9) == []
    assert ledger.tick(5.0) == [ExitManager()]


def test_a_manager_with_nothing_to_stop_leaves_at_once() -> None:
    ledger = new_ledger()
    assert ledger.stop_all(1, 0.1) == [ReportStopped(1), ExitManager()]
    assert ledger.tick(5.0) == []


def test_a_manager_leaves_once_and_refuses_who_comes_too_late() -> None:
    ledger = new_ledger()
    ledger.tick(5.0)
    assert ledger.next_wake == math.inf
    assert ledger.tick(10.0) == []
    assert ledger.disconnect(APP, ANN, 10.0) == []
    assert ledger.stop_all(1, 10.0) == [ReportStopped(1)]
    assert refused(ledger.connect(APP, ANN, 2, 10.0)) == [(2, Refusal.LEAVING)]


# Taking over from a manager that was killed


def test_a_host_that_was_left_running_is_taken_over_with_its_holders() -> None:
    ledger = new_ledger()
    assert ledger.take_over(APP, [ANN], 1.0) == []
    assert ledger.state(APP) is HostState.RUNNING
    assert ledger.connect(APP, BEN, 1, 2.0) == [Grant(1, APP)]
    assert ledger.tick(1000.0) == []


def test_a_manager_that_took_a_host_over_leaves_with_it() -> None:
    ledger = new_ledger()
    ledger.take_over(APP, [ANN], 1.0)
    ledger.stop(APP, 1, 2.0)
    assert ledger.exited(APP, 2.5) == [ReportStopped(1), ExitManager()]


def test_a_host_that_was_left_running_for_nobody_has_its_time() -> None:
    ledger = new_ledger()
    ledger.take_over(APP, [], 1.0, disconnect_timeout_s=2.0)
    assert ledger.next_wake == 3.0
    assert ledger.tick(3.0) == [StopHost(APP)]


# What is known


def test_the_status_tells_what_jshost_ps_shows() -> None:
    ledger = running(BEN, ANN)
    ledger.start(SHOP, 1, 1.0)
    assert ledger.describe(2.0) == [
        {
            "config": APP,
            "state": "running",
            "holders": [{"pid": 101, "started_at": 1.5}, {"pid": 102, "started_at": 2.5}],
            "waiting": 0,
            "idle_s_left": None,
        },
        {"config": SHOP, "state": "starting", "holders": [], "waiting": 1, "idle_s_left": None},
    ]
    ledger.started(SHOP, 2.0)
    assert [host["idle_s_left"] for host in ledger.describe(4.5)] == [None, 2.5]
    assert [host["idle_s_left"] for host in ledger.describe(9.0)] == [None, 0.0]


def test_the_status_of_a_host_that_may_be_idle_for_ever_is_json() -> None:
    ledger = new_ledger()
    ledger.take_over(APP, [], 0.0, disconnect_timeout_s=math.inf)
    assert '"idle_s_left": null' in json.dumps(ledger.describe(1.0), allow_nan=False)


# What a host's state does not allow

REPORTS: dict[str, Callable[[Ledger], list[Action]]] = {
    "started": lambda ledger: ledger.started(APP, 9.0),
    "start_failed": lambda ledger: ledger.start_failed(APP, "error", 9.0),
    "exited": lambda ledger: ledger.exited(APP, 9.0),
    "take_over": lambda ledger: ledger.take_over(APP, [], 9.0),
}


def in_state(state: HostState | None) -> Ledger:
    if state is None:
        return new_ledger()
    if state is HostState.STARTING:
        ledger = new_ledger()
        ledger.connect(APP, ANN, 1, 0.0)
        return ledger
    if state is HostState.STOPPING:
        return stopping(ANN)
    return running(ANN) if state is HostState.RUNNING else running()


@pytest.mark.parametrize("state", [None, *HostState])
@pytest.mark.parametrize("event", REPORTS)
def test_the_table_says_which_reports_a_host_can_take(state: HostState | None, event: str) -> None:
    ledger = in_state(state)
    assert ledger.state(APP) is state
    if (state, event) in TRANSITIONS:
        REPORTS[event](ledger)
        return
    with pytest.raises(IllegalHostEvent) as caught:
        REPORTS[event](ledger)
    name = state.name if state is not None else "no"
    assert str(caught.value) == f"host of {APP!r} in {name} state cannot take {event!r}"
    assert ledger.state(APP) is state


def test_a_manager_that_leaves_takes_nothing_over() -> None:
    ledger = new_ledger()
    ledger.tick(5.0)
    with pytest.raises(IllegalHostEvent):
        ledger.take_over(APP, [ANN], 5.1)


@pytest.mark.parametrize("state", HostState)
def test_every_state_has_a_way_in_and_a_way_out(state: HostState) -> None:
    assert state in TRANSITIONS.values()
    reached = {state}
    for _ in HostState:
        reached |= {to for (at, _), to in TRANSITIONS.items() if at in reached and to}
    assert HostState.STOPPING in reached
    assert any(to is None for (at, _), to in TRANSITIONS.items() if at is state)
