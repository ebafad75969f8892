"""The workers of one config file: carries out the scheduler's decisions.

Runs in: host, programs that embed. A pool runs in the thread that drives its loop, or under that
loop's lock.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from jshost.exceptions import ConfigError
from jshost.pool.alarm import Alarm
from jshost.pool.call_table import CallTable
from jshost.pool.channel import WorkerChannel, log_line
from jshost.pool.fleet import Fleet, Spawner
from jshost.pool.launch import Launch
from jshost.pool.loop import Loop, when
from jshost.pool.memory import MemoryWatch
from jshost.pool.process import WorkerProcess, spawn
from jshost.pool.scheduling.actions import (
    Action,
    Cancel,
    Drain,
    Fail,
    Halt,
    Kill,
    Ping,
    Recycled,
    Send,
    Spawn,
)
from jshost.pool.scheduling.policy import Policy
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.scheduling.states import Phase
from jshost.protocol import frames
from jshost.protocol.lines import Line

__all__ = ["LineListener", "Pool"]

logger = logging.getLogger("jshost.pool")

RECYCLED_FOR = {"max_requests": "maxRequests", "max_memory": "maxMemory", "max_age": "maxAge"}

LineListener = Callable[[WorkerChannel, int, Line], None]


class Pool:
    """Starts, feeds, watches and replaces workers.

    Args:
        launch: how a worker is started.
        policy: the scheduler's numbers.
        loop: watches the workers' descriptors and the clock.
        on_started: called once, with the first worker's READY (language, version, functions,
            options), or with the reason why the config file does not load.
        on_halt: called once with a reason when the pool cannot go on.
        on_ready: called with every worker's READY, and with the files that it reads later.
        on_line: called with each line that functions print, and its level.
        spawn: starts a worker process.

    Attributes:
        workers: the channels of the workers, by number.
        fleet: spawns and stops the workers.
        calls: the calls that wait or run.
        call, call_many, cancel, credit: the methods of `calls`, bound here because a method that
            passes a call on would slow down each of them.
        load_error: why the code does not load; "" if it loaded the last time.
        max_ages: the cacheable functions, and for how many seconds their answers may be kept.
        fingerprint: of the code that all workers run; "" while they do not run the same.
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
        spawn: Spawner = spawn,
    ) -> None:
        self.launch = launch
        self.scheduler = Scheduler(policy, _random)
        self.workers: dict[int, WorkerChannel] = {}
        self.load_error = ""
        self.max_ages: Mapping[str, int] = {}
        self.fingerprint = ""
        self.on_line = on_line
        self._on_started = on_started
        self._on_halt = on_halt
        self._on_ready = on_ready
        self._loop = loop
        self._alarm = Alarm(self.scheduler, loop, self._tick)
        self.calls = calls = CallTable(self.scheduler, self.workers, self._alarm, self)
        self.call, self.call_many = calls.begin, calls.begin_many
        self.cancel, self.credit = calls.cancel, calls.credit
        self.fleet = Fleet(self.workers, calls, self, loop, spawn)
        self._memory = MemoryWatch(self, loop)
        self._has_started = False
        self._first: WorkerProcess | None = None

    # The life of the pool

    def begin(self, first: WorkerProcess | None = None) -> None:
        """Spawn the first worker; `on_started` is called when it has loaded the config.

        Args:
            first: the first worker, if it was spawned before.

        Raises:
            ConfigError: the worker's program cannot be run.
        """
        self._first = first
        self.act(self.scheduler.start(time.monotonic()))

    def set_policy(self, policy: Policy) -> None:
        """Change the numbers, once the config that holds them has been loaded."""
        self.act(self.scheduler.set_policy(policy, time.monotonic()))
        self._memory.start()

    def stop(self, deadline: float, on_stopped: Callable[[], None]) -> None:
        """End all workers: let calls finish until `deadline` (monotonic seconds), then kill.

        `on_stopped` is called when they are gone.
        """
        self.scheduler.drain()

        def end() -> None:
            self._alarm.stop()
            self._memory.stop()
            on_stopped()

        def end_workers() -> None:
            self.act(self.scheduler.halt())
            self.fleet.stop(deadline, end)

        when(lambda: self.scheduler.idle, deadline, end_workers, self._loop)

    def abandon(self) -> None:
        """In a forked child: the workers are the parent's; close our copies of the descriptors."""
        self.fleet.abandon()

    # Reload

    def reload(self) -> None:
        """Start workers with the new code; the old ones finish their calls. See `is_settled`."""
        self.act(self.scheduler.reload(time.monotonic()))

    # State

    @property
    def is_complete(self) -> bool:
        """Whether as many workers can take calls as the policy wants."""
        return self.scheduler.serving >= self.scheduler.policy.workers

    @property
    def is_settled(self) -> bool:
        """Whether a worker can take calls, or none will: the code does not load, or it stops."""
        scheduler = self.scheduler
        return scheduler.ready or scheduler.broken or scheduler.halted or scheduler.draining

    @property
    def restarts(self) -> Counter[str]:
        """How many workers were replaced, by reason; see `RESTART_REASONS`."""
        return self.scheduler.restarts

    @property
    def is_resting(self) -> bool:
        """Whether no worker is being stopped or replaced, and no cancelled call still runs: then
        the pool needs no thread of its own to drive it."""
        scheduler = self.scheduler
        return not (
            any(worker.is_gone for worker in self.workers.values())
            or any(w.state.phase is Phase.RETIRING for w in scheduler.workers.values())
            or any(call.drop_by is not None for call in scheduler.calls.values())
        )

    def explain(self, code: str, worker: int | None = None) -> str:
        """The message of a call that failed, or was refused, with this code."""
        scheduler = self.scheduler
        if code == "queue_full":
            waiting = len(scheduler.queue)
            return f"the queue is full: {waiting} calls wait already; try again later"
        if code == "load_failed":
            return self.load_error
        if code == "draining":
            return "the host is stopping and takes no more calls"
        if scheduler.halted and scheduler.draining:
            return "the host was stopped before the function had finished"
        if worker in self.workers:
            return self.workers[worker].describe_exit()
        return self.load_error or "the workers of this function are gone"

    # Events of workers

    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None:
        logger.info("worker %d (pid %d) is ready", worker.number, worker.process.pid)
        self.load_error = ""
        self.max_ages = ready.get("cacheable", {})
        worker.fingerprint = ready.get("fingerprint", "")
        self.fingerprint = self.fleet.fingerprint
        self._on_ready(ready)
        self._memory.measure(worker)
        self.act(self.scheduler.worker_ready(worker.number, time.monotonic()))
        if not self._has_started:
            self._has_started = True
            self._on_started(ready)

    def on_update(self, ready: dict[str, Any]) -> None:
        self._on_ready(ready)

    def on_pong(self, worker: WorkerChannel) -> None:
        self.act(self.scheduler.pong(worker.number))

    def on_memory(self, worker: WorkerChannel, rss: int) -> None:
        """A worker uses so many bytes of memory."""
        self.act(self.scheduler.memory(worker.number, rss, time.monotonic()))

    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None:
        """A worker could not load the config file; it ends without being asked."""
        text = failure.get("message") or "the config file could not be loaded"
        if failure.get("stack"):
            text += f"\n{failure['stack']}"
        worker.load_error = self.load_error = text
        self._on_ready({"files": failure.get("files", [])})
        if self._has_started:
            logger.error("worker %d: %s", worker.number, text)

    def on_gone(self, worker: WorkerChannel) -> None:
        """The worker's channel is closed, or its process has ended; `on_ended` follows."""
        if not worker.is_gone:
            worker.is_gone = True
            self.scheduler.worker_lost(worker.number)
            self.fleet.await_end(worker)

    def on_ended(self, worker: WorkerChannel) -> None:
        """The worker's process has ended, and all of its output has been read."""
        calls = self.scheduler.workers[worker.number].calls
        if not worker.expected_end:
            level = logging.ERROR if self._has_started else logging.DEBUG
            logger.log(level, "%s", worker.describe_exit())
            if calls:
                names = self.calls.names(calls)
                logger.log(level, "worker %d ran these calls: %s", worker.number, names)
        self.calls.forget_cancelled(calls)
        failure: ConfigError | None = None
        if not self._has_started:
            self._has_started = self.scheduler.halted = True
            ended = f"{self.launch.config_file}: did not load: {worker.describe_exit()}"
            failure = ConfigError(worker.load_error or ended)
        self.act(self.scheduler.worker_gone(worker.number, time.monotonic()))
        del self.workers[worker.number]
        self.fingerprint = self.fleet.fingerprint
        worker.close()
        if failure is not None:
            self._on_started(failure)

    # Actions of the scheduler

    def act(self, actions: list[Action]) -> None:
        """Carry out what the scheduler has decided."""
        begun = 0
        try:
            for begun, action in enumerate(actions, 1):  # noqa: B007
                self._carry_out(action)
            self._alarm.set()
        except ConfigError:
            raise  # `begin` raises it
        except BaseException:  # Ctrl-C in mid-work: the rest must still be done
            self._loop.call_soon(lambda: self.act(actions[begun:]))
            raise

    def _carry_out(self, action: Action) -> None:
        match action:
            case Send(worker, call):
                self._send(worker, call)
            case Fail():
                self.calls.fail(action)
            case Cancel(worker, call):
                self.workers[worker].send(frames.CANCEL, call)
            case Spawn(worker):
                self._spawn(worker)
            case Ping(worker):
                self.workers[worker].send(frames.PING, 0)
            case Drain(worker):
                self.workers[worker].drain()
            case Kill(worker, reason):
                self._kill(self.workers[worker], reason)
            case Recycled(worker, reason):
                logger.info("worker %d was recycled: %s", worker, RECYCLED_FOR[reason])
            case Halt(reason, worker):
                self._halt(reason, worker)

    def _send(self, worker: int, call: int) -> None:
        """Send a call that has waited in the queue."""
        pending = self.calls.pending.get(call)
        if pending is None:  # its caller was interrupted in the middle of `call`
            self.act(self.scheduler.finished(call, time.monotonic()))
            return
        self.workers[worker].send_frame(pending.frame)
        pending.frame = b""

    def _kill(self, worker: WorkerChannel, reason: str) -> None:
        names = self.calls.names(self.scheduler.workers[worker.number].calls)
        ran = f"; its calls: {names}" if names else ""
        logger.warning("worker %d is killed: it %s%s", worker.number, reason, ran)
        if not worker.is_ready:
            worker.load_error = self._slow_start()
        worker.expected_end = True
        worker.kill_reason = reason
        worker.process.kill()

    def _slow_start(self) -> str:
        limit = self.scheduler.policy.start_timeout_s
        return (
            f"{self.launch.config_file}: did not finish loading within {limit:g} s; does it wait "
            "for something at its top level? --start-timeout gives it more time."
        )

    def _spawn(self, number: int) -> None:
        try:
            first, self._first = self._first, None
            self.fleet.spawn(number, self.launch, first)
        except ConfigError as error:
            if not self._has_started:
                raise  # `begin` raises it
            self.load_error = str(error)
            logger.error("worker %d: %s", number, error)
            self._was_not_spawned(number)
        except BaseException:  # Ctrl-C in mid-work
            if number not in self.workers:
                self._loop.call_soon(lambda: self._was_not_spawned(number))
            raise

    def _was_not_spawned(self, number: int) -> None:
        self.act(self.scheduler.worker_gone(number, time.monotonic()))

    def _halt(self, reason: str, number: int) -> None:
        worker = self.workers.get(number)  # none: it could not even be spawned
        last = self.load_error if worker is None else worker.load_error or worker.describe_exit()
        if reason == "no_respawn":
            text = f"a worker died, and respawn is off: {last}"
        else:
            failures = self.scheduler.policy.max_start_failures
            text = f"{self.launch.config_file}: {failures} workers in a row did not start: {last}"
        logger.critical("%s", text)
        self._on_halt(text)

    def _tick(self) -> None:
        self.act(self.scheduler.tick(time.monotonic()))


def _random() -> float:
    """From 0, below 1; importing `random` takes longer than a worker's start can spare."""
    return int.from_bytes(os.urandom(4)) / 2**32
