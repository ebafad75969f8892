"""May a request be sent to the host again, and where to. Runs in: callers.

A request is sent again only if no function can have run: no host listened there, or a managed host
refused it because it stops. What was sent and not answered is never sent again.
"""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

from jshost.exceptions import ConnectionError

if TYPE_CHECKING:
    from jshost.client.response import Response

__all__ = ["RETRY_POLL_S", "Next", "Retry", "next_step"]

RETRY_S = 1.0
RETRY_POLL_S = 0.02


class Next(enum.Enum):
    """What follows an outcome."""

    DELIVER = "deliver"
    """The caller gets it."""
    DELIVER_AND_FORGET = "deliver and forget"
    """So too, and the next call looks for the host again."""
    SEND_AGAIN = "send again"
    """The host is looked for again, and the request sent there."""


def next_step(outcome: Response | ConnectionError, *, moves: bool, is_managed: bool) -> Next:
    """What follows a response or a failed connection.

    Args:
        moves: whether a restarted host may listen elsewhere.
        is_managed: whether the manager started the host.
    """
    if not isinstance(outcome, ConnectionError):
        # It stops, or ends as its worker did; the manager knows what comes next.
        return Next.SEND_AGAIN if is_managed and _is_leaving(outcome) else Next.DELIVER
    if not moves:
        return Next.DELIVER
    if isinstance(outcome.__cause__, ConnectionRefusedError | FileNotFoundError):
        # The host may have come back elsewhere; or it was killed just now, and the manager has not
        # noticed yet.
        return Next.SEND_AGAIN
    return Next.DELIVER_AND_FORGET  # it may have died


class Retry:
    """The outcomes of one request: how long it is sent again."""

    __slots__ = ("_give_up",)

    def __init__(self) -> None:
        self._give_up = 0.0

    def next(self, outcome: Response | ConnectionError, *, moves: bool, is_managed: bool) -> Next:
        """As `next_step`, for a second at most."""
        step = next_step(outcome, moves=moves, is_managed=is_managed)
        if step is Next.SEND_AGAIN:
            now = time.monotonic()
            self._give_up = self._give_up or now + RETRY_S
            if now >= self._give_up:
                return Next.DELIVER
        return step


def _is_leaving(response: Response) -> bool:
    """Whether the host takes no more calls; this one was not begun."""
    if response.status_code != 503:
        return False
    try:
        envelope = response.json()
    except ValueError:
        return False
    return isinstance(envelope, dict) and envelope.get("code") == "draining"
