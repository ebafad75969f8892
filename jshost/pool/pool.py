"""The workers of one config file: carries out what the scheduler decides.

Runs in: host (and any program that owns a pool). Whoever owns it gives it a loop; it runs in the
thread that drives that loop, or under its lock.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from jshost.exceptions import ConfigError
from jshost.pool.call_table import PoolCalls
from jshost.pool.channel import WorkerChannel, log_line
from jshost.pool.launch import Launch
from jshost.pool.loop import Handle, Loop
from jshost.pool.memory import MemoryWatch
from jshost.pool.pending_call import Caller, PendingCall
from jshost.pool.process import WorkerProcess, spawn
from jshost.pool.scheduling.decisions import (
    Action,
    Cancel,
    Drain,
    Fail,
    Halt,
    Kill,
    Ping,
    Policy,
    Recycled,
    Send,
    Spawn,
    State,
)
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.protocol import frames
from jshost.protocol.lines import Line

__all__ = ["Caller", "PendingCall", "Pool"]

logger = logging.getLogger("jshost.pool")

LAST_OUTPUT_S = 0.05
"""How long a dead worker's error waits for the rest of its stderr."""
END_S = 2.0
"""How long a worker may take to end after DRAIN, or to be gone after SIGKILL."""
POLL_S = 0.002
LONGEST_POLL_S = 0.05
RECYCLED_FOR = {"max_requests": "maxRequests", "max_memory": "maxMemory", "max_age": "maxAge"}

LineListener = Callable[[WorkerChannel, int, Line], None]


class Pool(PoolCalls):
    """Starts, feeds, watches and replaces workers.

    Args:
        launch: how a worker is started.
        policy: the scheduler's numbers.
        loop: watches the workers' descriptors and the clock.
        on_started: called once, with what the first worker says of itself (language, version,
            functions, options), or with why the config file does not load.
        on_halt: called once with a reason when the pool cannot go on.
        on_ready: called with what every worker says of itself, and of the files it has read.
        on_line: called with each line that functions print, and its level.
    """

    def __init__(
        self,
        launch: Launch,
        policy: Policy,
        loop: Loop,
        on_started: Callable[[dict[str, Any] | ConfigError], None],
        on_halt: Callable[[str], None],
        on_ready: Callable[[dict[str, Any]], None] = lambda ready: None,
        on_line: LineListener = log_line,
    ) -> None:
        super().__init__(Scheduler(policy, _random))
        self.launch = launch
        self.max_ages: Mapping[str, int] = {}
        """The cacheable functions, and how old their answers may be, in seconds."""
        self.fingerprint = ""
        """Of the code that all workers run, or "": they do not run the same."""
        self.on_line = on_line
        self._on_started = on_started
        self._on_halt = on_halt
        self._on_ready = on_ready
        self._loop = loop
        self._timer: Handle | None = None
        self._memory = MemoryWatch(self, loop)
        self._has_started = False
        self._first: WorkerProcess | None = None

    # The life of the pool

    def begin(self, first: WorkerProcess | None = None) -> None:
        """Spawn the first worker; `on_started` tells when it has loaded the config.

        Args:
            first: it, where it was spawned before.

        Raises:
            ConfigError: the worker's program cannot be run.
        """
        self._first = first
        self._act(self.scheduler.start(time.monotonic()))

    def set_policy(self, policy: Policy) -> None:
        """Change the numbers, once the config that holds them has been loaded."""
        self._act(self.scheduler.set_policy(policy, time.monotonic()))
        self._memory.start()

    def stop(self, deadline: float, on_stopped: Callable[[], None]) -> None:
        """End all workers: let calls finish until `deadline` (monotonic seconds), then kill.

        `on_stopped` is called when they are gone.
        """
        self.scheduler.drain()
        self._once(
            lambda: self.scheduler.idle, deadline, lambda: self._end_workers(deadline, on_stopped)
        )

    def _end_workers(self, deadline: float, on_stopped: Callable[[], None]) -> None:
        self._act(self.scheduler.halt())
        for worker in list(self.workers.values()):
            worker.drain()
        end = min(deadline, time.monotonic() + END_S)
        self._once(lambda: not self.workers, end, lambda: self._kill_workers(on_stopped))

    def _kill_workers(self, on_stopped: Callable[[], None]) -> None:
        for worker in list(self.workers.values()):
            worker.process.kill()
        end = time.monotonic() + END_S
        self._once(lambda: not self.workers, end, lambda: self._end(on_stopped))

    def _end(self, on_stopped: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._memory.stop()
        on_stopped()

    def _once(
        self,
        condition: Callable[[], bool],
        deadline: float,
        then: Callable[[], None],
        pause_s: float = POLL_S,
    ) -> None:
        """Go on as soon as the condition holds, or at the deadline."""
        if condition() or time.monotonic() >= deadline:
            then()
        else:  # a call may run for long: look less and less often
            longer_s = min(pause_s * 1.1, LONGEST_POLL_S)
            self._loop.call_later(pause_s, lambda: self._once(condition, deadline, then, longer_s))

    def abandon(self) -> None:
        """In a forked child: the workers are the parent's; close our copies of what leads there."""
        for worker in self.workers.values():
            worker.abandon()

    # The code has changed

    def reload(self) -> None:
        """New workers for new calls; the old ones finish theirs; then the pool `is_settled`."""
        self._act(self.scheduler.reload(time.monotonic()))

    @property
    def is_complete(self) -> bool:
        """Whether as many workers as are wanted can take calls."""
        workers = self.scheduler.workers.values()
        ready = sum(worker.state is State.READY and not worker.doomed for worker in workers)
        return ready >= self.scheduler.policy.workers

    @property
    def is_settled(self) -> bool:
        """Whether a worker can take calls, or it is known that the code does not load."""
        scheduler = self.scheduler
        return scheduler.ready or scheduler.broken or scheduler.halted or scheduler.draining

    @property
    def restarts(self) -> Counter[str]:
        """How many workers were followed by another, by reason; see `RESTART_REASONS`."""
        return self.scheduler.restarts

    @property
    def is_resting(self) -> bool:
        """Whether nothing is due but answers and deadlines: no worker is being stopped or replaced,
        and no cancelled call is waited for."""
        scheduler = self.scheduler
        return not (
            any(worker.is_gone for worker in self.workers.values())
            or any(worker.state is State.RETIRING for worker in scheduler.workers.values())
            or any(call.drop_by is not None for call in scheduler.calls.values())
        )

    # What workers say

    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None:
        logger.info("worker %d (pid %d) is ready", worker.number, worker.process.pid)
        self.load_error = ""
        self.max_ages = ready.get("cacheable", {})
        worker.fingerprint = ready.get("fingerprint", "")
        self._compare_code()
        self._on_ready(ready)
        self._memory.measure(worker)
        self._act(self.scheduler.worker_ready(worker.number, time.monotonic()))
        if not self._has_started:
            self._has_started = True
            self._on_started(ready)

    def _compare_code(self) -> None:
        said = {worker.fingerprint for worker in self.workers.values() if worker.is_ready}
        self.fingerprint = said.pop() if len(said) == 1 else ""

    def on_update(self, ready: dict[str, Any]) -> None:
        self._on_ready(ready)

    def ask_lag(self) -> None:
        """Have the workers say how late their event loops are: see `WorkerChannel.lag_s`."""
        for worker in self.workers.values():
            if worker.is_ready and not worker.is_gone and not worker.pinged_at:
                worker.pinged_at = time.monotonic()
                worker.send(frames.PING, 0)

    def on_pong(self, worker: WorkerChannel) -> None:
        if worker.pinged_at:
            worker.last_lag_s, worker.pinged_at = time.monotonic() - worker.pinged_at, 0.0
        self._act(self.scheduler.pong(worker.number))

    def on_memory(self, worker: WorkerChannel, rss: int) -> None:
        """The bytes of memory that a worker uses."""
        self._act(self.scheduler.memory(worker.number, rss, time.monotonic()))

    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None:
        """A worker could not load the config file; it ends by itself."""
        text = failure.get("message") or "the config file could not be loaded"
        if failure.get("stack"):
            text += f"\n{failure['stack']}"
        worker.load_error = self.load_error = text
        self._on_ready({"files": failure.get("files", [])})
        if self._has_started:
            logger.error("worker %d: %s", worker.number, text)

    def on_gone(self, worker: WorkerChannel) -> None:
        """The worker's channel is closed, or its process has ended: wait for both, and for its last
        words, then tell the scheduler."""
        if worker.is_gone:
            return
        worker.is_gone = True
        self.scheduler.worker_lost(worker.number)
        end = time.monotonic() + (END_S if worker.expected_end else LAST_OUTPUT_S)
        self._loop.call_soon(lambda: self._bury(worker, end))

    def _bury(self, worker: WorkerChannel, end: float) -> None:
        process = worker.process
        if not process.has_ended() or worker.open_outputs or worker.is_connected:
            now, has_ended = time.monotonic(), process.has_ended()
            if now < end or not has_ended:  # else what it started, and let go of, holds its pipes
                if now >= end:
                    process.kill()
                    end = now + END_S
                self._loop.call_later(POLL_S, lambda: self._bury(worker, end))
                return
        if not worker.expected_end:
            level = logging.ERROR if self._has_started else logging.DEBUG
            logger.log(level, "%s", worker.obituary())
            if calls := self._calls_of(worker.number):
                logger.log(level, "worker %d ran these calls: %s", worker.number, calls)
        self._forget_calls_of(worker.number)
        failure: ConfigError | None = None
        if not self._has_started:
            self._has_started = self.scheduler.halted = True
            ended = f"{self.launch.config_file}: did not load: {worker.obituary()}"
            failure = ConfigError(worker.load_error or ended)
        self._act(self.scheduler.worker_gone(worker.number, time.monotonic()))
        del self.workers[worker.number]
        self._compare_code()
        worker.close()
        if failure is not None:
            self._on_started(failure)

    # What the scheduler decides

    def _act(self, actions: list[Action]) -> None:
        begun = 0
        try:
            for begun, action in enumerate(actions, 1):  # noqa: B007
                self._carry_out(action)
            self._plan_tick()
        except ConfigError:
            raise  # `begin` tells its caller
        except BaseException:  # Ctrl-C in mid-work: the rest is still to be done
            self._loop.call_soon(lambda: self._act(actions[begun:]))
            raise

    def _carry_out(self, action: Action) -> None:
        match action:
            case Send(worker, call):
                pending = self._calls.get(call)
                if pending is None:  # its caller was interrupted in the middle of `call`
                    self._act(self.scheduler.finished(call, time.monotonic()))
                    return
                self.workers[worker].send_frame(pending.frame)
                pending.frame = b""
            case Fail():
                self._fail(action)
            case Cancel(worker, call):
                self.workers[worker].send(frames.CANCEL, call)
            case Spawn(worker):
                self._spawn(worker)
            case Ping(worker):
                self.workers[worker].send(frames.PING, 0)
            case Drain(worker):
                self.workers[worker].drain()
            case Kill(worker, reason):
                calls = self._calls_of(worker)
                ran = f"; its calls: {calls}" if calls else ""
                logger.warning("worker %d is killed: it %s%s", worker, reason, ran)
                if not self.workers[worker].is_ready:
                    self.workers[worker].load_error = self._slow_start()
                self.workers[worker].expected_end = True
                self.workers[worker].kill_reason = reason
                self.workers[worker].process.kill()
            case Recycled(worker, reason):
                logger.info("worker %d was recycled: %s", worker, RECYCLED_FOR[reason])
            case Halt(reason, worker):
                self._halt(reason, worker)

    def _slow_start(self) -> str:
        limit = self.scheduler.policy.start_timeout_s
        return (
            f"{self.launch.config_file}: did not finish loading within {limit:g} s; does it wait "
            "for something at its top level? --start-timeout gives it more time."
        )

    def _spawn(self, number: int) -> None:
        process: WorkerProcess | None = None
        try:
            first, self._first = self._first, None
            process = first or spawn(self.launch)
            self.workers[number] = WorkerChannel(number, process, self, self._loop)
        except ConfigError as error:
            if not self._has_started:
                raise  # `begin` tells its caller
            self.load_error = str(error)
            logger.error("worker %d: %s", number, error)
            self._was_not_spawned(number)
        except BaseException:  # Ctrl-C in mid-work
            if number not in self.workers:
                if process is not None:
                    process.kill()
                self._loop.call_soon(lambda: self._was_not_spawned(number))
            raise

    def _was_not_spawned(self, number: int) -> None:
        self._act(self.scheduler.worker_gone(number, time.monotonic()))

    def _halt(self, reason: str, number: int) -> None:
        worker = self.workers.get(number)  # none: it could not even be spawned
        last = self.load_error if worker is None else worker.load_error or worker.obituary()
        if reason == "no_respawn":
            text = f"a worker died, and respawn is off: {last}"
        else:
            failures = self.scheduler.policy.max_start_failures
            text = f"{self.launch.config_file}: {failures} workers in a row did not start: {last}"
        logger.critical("%s", text)
        self._on_halt(text)

    def _plan_tick(self) -> None:
        wake = self.scheduler.next_wake
        if wake >= self._wake:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(wake - time.monotonic(), 0), self._tick)
        self._wake = wake  # last: after Ctrl-C in between it is planned again

    def _tick(self) -> None:
        self._wake = math.inf
        self._act(self.scheduler.tick(time.monotonic()))


def _random() -> float:
    """From 0, below 1; importing `random` takes longer than a worker's start can spare."""
    return int.from_bytes(os.urandom(4)) / 2**32
