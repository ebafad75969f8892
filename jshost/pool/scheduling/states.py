"""The states of a worker, and the events that move it from one to the next.

Runs in: host, programs that embed.

A worker has three phases, which users see in `/status`. It is starting until it has loaded its
config, ready while it serves, and retiring once it gets no more calls. Its state says more:

    starting  STARTING         It loads its config.
              FAILED           It was killed or lost before it was ready.
              OUTDATED         Its code changed while it loaded; it is killed. No other follows it.
    ready     READY            It gets calls.
              PINGED           A call of it was cancelled, and a PING sent. It may be in an endless
                               loop, so it gets no calls until it answers.
              LOST             It served, and its channel is closed. Another follows it at its end.
    retiring  HELD             Its memory grows fast. It gets no calls while the worker that is to
                               take its place starts. If that one fails, it serves again.
              HELD_LOST        It was HELD, and was killed or lost. Another follows it at its end.
              RECYCLED         Another took its place. It finishes its last calls, however long.
              REPLACED         Another takes its place now: it kept a cancelled call, or its code
                               changed. It has a short time to finish its calls.
              ENDING           It has no calls, and was asked to end.
              KILLED           It was killed or lost, and another had taken its place.

HELD_PINGED, RECYCLED_PINGED and REPLACED_PINGED are HELD, RECYCLED and REPLACED with a PING that
is not answered yet.

The events, and the state that each leads to::

    STARTING         ready → READY              kill → FAILED                lost → FAILED
                     outdate → OUTDATED
    FAILED           ready → LOST               outdate → OUTDATED
    OUTDATED         ready → OUTDATED
    READY            ping → PINGED              hold → HELD                  lost → LOST
                     take_over → RECYCLED       replace → REPLACED
    PINGED           pong → READY               hold → HELD_PINGED           lost → LOST
                     take_over → RECYCLED_PINGED                   replace → REPLACED_PINGED
    LOST             replace → KILLED
    HELD             ping → HELD_PINGED         keep → READY
                     take_over → RECYCLED       replace → REPLACED
                     kill → HELD_LOST           lost → HELD_LOST
    HELD_PINGED      pong → HELD                keep → PINGED
                     take_over → RECYCLED_PINGED                   replace → REPLACED_PINGED
                     kill → HELD_LOST           lost → HELD_LOST
    HELD_LOST        take_over → KILLED
    RECYCLED         ping → RECYCLED_PINGED     replace → REPLACED
                     end → ENDING               kill → KILLED                lost → KILLED
    RECYCLED_PINGED  pong → RECYCLED            replace → REPLACED_PINGED
                     kill → KILLED              lost → KILLED
    REPLACED         ping → REPLACED_PINGED
                     end → ENDING               kill → KILLED                lost → KILLED
    REPLACED_PINGED  pong → REPLACED            kill → KILLED                lost → KILLED
    ENDING           kill → KILLED
    KILLED

`ready`: it has loaded its config. `kill`: the scheduler has it killed. `lost`: its channel is
closed. `outdate`: its code has changed. `ping`: a PING was sent. `pong`: it answered, or dropped a
cancelled call. `hold`: its memory grows fast. `keep`: the worker that was to take its place is
gone. `take_over`: another has taken its place. `replace`: it kept a cancelled call for too long, or
its code has changed. `end`: it was asked to end. `gone`, its process has ended, may come in each
state, and the worker is forgotten.

`ping`, `pong` and `lost` may come in each state, too: without a row, they change nothing. Any other
event without a row is an `IllegalTransition`.
"""

from __future__ import annotations

import enum

__all__ = [
    "HELD_BACK",
    "LAST_CALLS",
    "RECYCLING",
    "REPLACEABLE",
    "SERVING",
    "STOPPING",
    "TRANSITIONS",
    "IllegalTransition",
    "Phase",
    "State",
]


class Phase(enum.Enum):
    """What users see of a worker's state."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"


class State(enum.Enum):
    """See the module's docstring. `phase` is what users see of it."""

    phase: Phase

    def __new__(cls, value: str, phase: Phase) -> State:
        state = object.__new__(cls)
        state._value_ = value
        state.phase = phase
        return state

    STARTING = "starting", Phase.STARTING
    FAILED = "failed", Phase.STARTING
    OUTDATED = "outdated", Phase.STARTING
    READY = "ready", Phase.READY
    PINGED = "pinged", Phase.READY
    LOST = "lost", Phase.READY
    HELD = "held", Phase.RETIRING
    HELD_PINGED = "held_pinged", Phase.RETIRING
    HELD_LOST = "held_lost", Phase.RETIRING
    RECYCLED = "recycled", Phase.RETIRING
    RECYCLED_PINGED = "recycled_pinged", Phase.RETIRING
    REPLACED = "replaced", Phase.RETIRING
    REPLACED_PINGED = "replaced_pinged", Phase.RETIRING
    ENDING = "ending", Phase.RETIRING
    KILLED = "killed", Phase.RETIRING


SERVING = (State.READY, State.PINGED)
"""Such a worker serves; a PINGED one again once it has answered."""
HELD_BACK = (State.HELD, State.HELD_PINGED)
REPLACEABLE = (*SERVING, State.LOST, *HELD_BACK)
"""Such a worker is replaced when it keeps a cancelled call."""
RECYCLING = (State.RECYCLED, State.RECYCLED_PINGED)
LAST_CALLS = (*RECYCLING, State.REPLACED, State.REPLACED_PINGED)
"""Such a worker finishes its last calls, and is ended then."""
STOPPING = (
    *(State.FAILED, State.OUTDATED, State.LOST, State.HELD_LOST),
    *(State.ENDING, State.KILLED),
)
"""The process of such a worker is about to end."""

TRANSITIONS: dict[State, dict[str, State]] = {
    State.STARTING: {
        "ready": State.READY,
        "kill": State.FAILED,
        "lost": State.FAILED,
        "outdate": State.OUTDATED,
    },
    State.FAILED: {"ready": State.LOST, "outdate": State.OUTDATED},
    State.OUTDATED: {"ready": State.OUTDATED},
    State.READY: {
        "ping": State.PINGED,
        "hold": State.HELD,
        "lost": State.LOST,
        "take_over": State.RECYCLED,
        "replace": State.REPLACED,
    },
    State.PINGED: {
        "pong": State.READY,
        "hold": State.HELD_PINGED,
        "lost": State.LOST,
        "take_over": State.RECYCLED_PINGED,
        "replace": State.REPLACED_PINGED,
    },
    State.LOST: {"replace": State.KILLED},
    State.HELD: {
        "ping": State.HELD_PINGED,
        "keep": State.READY,
        "take_over": State.RECYCLED,
        "replace": State.REPLACED,
        "kill": State.HELD_LOST,
        "lost": State.HELD_LOST,
    },
    State.HELD_PINGED: {
        "pong": State.HELD,
        "keep": State.PINGED,
        "take_over": State.RECYCLED_PINGED,
        "replace": State.REPLACED_PINGED,
        "kill": State.HELD_LOST,
        "lost": State.HELD_LOST,
    },
    State.HELD_LOST: {"take_over": State.KILLED},
    State.RECYCLED: {
        "ping": State.RECYCLED_PINGED,
        "replace": State.REPLACED,
        "end": State.ENDING,
        "kill": State.KILLED,
        "lost": State.KILLED,
    },
    State.RECYCLED_PINGED: {
        "pong": State.RECYCLED,
        "replace": State.REPLACED_PINGED,
        "kill": State.KILLED,
        "lost": State.KILLED,
    },
    State.REPLACED: {
        "ping": State.REPLACED_PINGED,
        "end": State.ENDING,
        "kill": State.KILLED,
        "lost": State.KILLED,
    },
    State.REPLACED_PINGED: {
        "pong": State.REPLACED,
        "kill": State.KILLED,
        "lost": State.KILLED,
    },
    State.ENDING: {"kill": State.KILLED},
    State.KILLED: {},
}


class IllegalTransition(Exception):
    """An event that a worker's state does not allow: a mistake of its sender."""

    def __init__(self, number: int, state: State | None, event: str) -> None:
        name = state.name if state is not None else "no"
        super().__init__(f"worker {number} in {name} state cannot take {event!r}")
        self.number = number
        self.state = state
        self.event = event
