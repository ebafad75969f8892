"""The table of a worker's states: its docstring, its data, and the vectors say the same."""

from __future__ import annotations

import json
import re

import pytest
from support.paths import VECTORS_FOLDER

from jshost.pool.scheduling import states
from jshost.pool.scheduling.roster import Roster
from jshost.pool.scheduling.states import TRANSITIONS, IllegalTransition, State


def test_the_docstring_of_states_is_the_table() -> None:
    written: dict[str, dict[str, str]] = {}
    table = (states.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    for line in table.splitlines():
        if state := re.match(r" {4}(\w+)", line):
            moves = written[state[1]] = {}
        moves |= dict(re.findall(r"(\w+) → (\w+)", line))
    assert written == {
        state.name: {event: target.name for event, target in moves.items()}
        for state, moves in TRANSITIONS.items()
    }
    assert list(written) == [state.name for state in State]


def test_the_docstring_of_states_explains_each_state_and_event() -> None:
    prose = (states.__doc__ or "").replace("::\n\n", "\0").split("\0")
    explained = prose[0] + prose[-1].partition("\n\n")[2]
    for state, moves in TRANSITIONS.items():
        assert state.name in explained
        assert all(f"`{event}`" in explained for event in moves)


def test_the_table_is_that_of_the_vectors() -> None:
    """So that JavaScript's, which is held to the vectors too, is the same."""
    vectors = json.loads((VECTORS_FOLDER / "scheduler.json").read_text())
    assert vectors["states"] == {
        state.value: {
            "phase": state.phase.value,
            "moves": {event: target.value for event, target in moves.items()},
        }
        for state, moves in TRANSITIONS.items()
    }


@pytest.mark.parametrize("state", State)
def test_an_event_without_a_row_is_a_typed_error_and_changes_nothing(state: State) -> None:
    events = {event for moves in TRANSITIONS.values() for event in moves}
    for event in events - set(TRANSITIONS[state]):
        roster = Roster()
        worker = roster.add(0.0)
        worker.state = state
        with pytest.raises(
            IllegalTransition, match=rf"in {state.name} state .*'{event}'"
        ) as raised:
            roster.move(worker, event, 1.0)
        assert (raised.value.state, raised.value.event) == (state, event)
        assert (worker.state, worker.since) == (state, 0.0)
