"""When a host that stops is done."""

from __future__ import annotations

import math

import pytest

from jshost.server.drain import GOODBYE_S, DrainLimits, DrainState


def test_it_has_an_end_if_there_is_a_limit() -> None:
    assert DrainLimits.begin(10.0, 5.0) == DrainLimits(10.0 + GOODBYE_S, 15.0)
    assert DrainLimits.begin(10.0, None).end == math.inf


@pytest.mark.parametrize(
    ("now", "calls_done", "closed", "stop_now", "state"),
    [
        (0.0, False, False, False, DrainState.WAIT),
        (0.0, False, True, False, DrainState.WAIT),
        (0.0, True, False, False, DrainState.WAIT),
        (0.0, True, True, False, DrainState.DONE),
        (0.1, True, False, False, DrainState.DONE),
        (0.1, False, False, False, DrainState.WAIT),
        (4.9, False, True, False, DrainState.WAIT),
        (5.0, False, False, False, DrainState.TIME_OVER),
        (5.0, True, True, False, DrainState.TIME_OVER),
        (0.0, False, False, True, DrainState.STOP_NOW),
        (9.0, False, False, True, DrainState.STOP_NOW),
    ],
)
def test_where_it_stands(
    now: float, calls_done: bool, closed: bool, stop_now: bool, state: DrainState
) -> None:
    drain = DrainLimits(goodbye=0.1, end=5.0)
    assert (
        drain.state(now, calls_done=calls_done, connections_closed=closed, stop_now=stop_now)
        is state
    )
