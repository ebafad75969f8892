"""The numbers that the scheduler decides by.

Runs in: host, programs that embed.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits of one pool; times in seconds."""

    workers: int = 1
    concurrency: int = 1024
    """Calls that one worker is given at once; more wait in the queue."""
    max_queue: int = 1024
    """Calls that wait for a worker; more are refused."""
    cancel_grace_s: float = 0.5
    """How long a worker may take to drop a cancelled call before it is replaced."""
    unresponsive_s: float = 1.0
    """How long a replaced worker may go on without answering its PING."""
    drain_s: float = 10.0
    """How long a replaced worker that answers its PING may finish its other calls."""
    end_s: float = 2.0
    """How long a worker may take to end after DRAIN before it is killed."""
    start_timeout_s: float = 60.0
    max_start_failures: int = 5
    backoff_s: float = 0.1
    """The first pause before a respawn after a failed start; it doubles up to `max_backoff_s`."""
    max_backoff_s: float = 5.0
    settled_s: float = 1.0
    """A worker that died sooner than this after it was ready counts as a failed respawn."""
    respawn: bool = True
    max_requests: int | None = None
    """Calls after which a worker is recycled: another one is started and takes its place."""
    max_memory: int | None = None
    """Bytes of memory that a worker may use before it is recycled."""
    max_age_s: float | None = None
    """How long a worker serves before it is recycled."""
    jitter: float = 0.1
    """A worker's own `max_requests` and `max_age_s` are smaller by up to this share of them, so
    that those that started together are not recycled together."""
    max_retiring: int = 10
    """Recycled workers that may be busy with their last calls before the next one is recycled."""
    last_calls_s: float = 3600.0
    """How long a recycled worker may be busy with its last calls; most have deadlines."""
    max_recycle_backoff_s: float = 60.0
    """The longest pause before the next attempt to recycle, when the new workers fail to start."""
    reload: bool = False
    """Whether a worker that does not start waits for its code to be mended, as in development."""
