"""A pool on fakes: its calls, the life of its workers, and what it logs of both."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.fake_workers import LAUNCH, FakeCaller, FakeLoop, FakeProcess, Spawner

from jshost.exceptions import (
    ConfigError,
    FunctionError,
    FunctionTimeout,
    HostUnavailable,
    ProcessError,
    RequestError,
)
from jshost.pool.pending_call import PendingCall
from jshost.pool.pool import Pool
from jshost.pool.scheduling.policy import Policy
from jshost.pool.statistics import Statistics
from jshost.protocol import frames

MOMENT_S = 1e-6
AT_ONCE = {
    "backoff_s": MOMENT_S,
    "settled_s": MOMENT_S,
    "cancel_grace_s": MOMENT_S,
    "unresponsive_s": MOMENT_S,
}
"""Numbers for tests that fire timers by hand: their time has always come."""


class Owner:
    """A pool, and what it told its owner."""

    def __init__(self, **policy: Any) -> None:
        self.loop = FakeLoop()
        self.spawner = Spawner()
        self.started: list[dict[str, Any] | ConfigError] = []
        self.halted: list[str] = []
        self.heard: list[dict[str, Any]] = []
        self.printed: list[tuple[int, int, str]] = []
        self.policy = Policy(**policy)
        self.pool = Pool(
            LAUNCH,
            self.policy,
            self.loop,
            self.started.append,
            self.halted.append,
            self.heard.append,
            lambda worker, level, line: self.printed.append((worker.number, level, line.text)),
            self.spawner,
        )

    @property
    def processes(self) -> list[FakeProcess]:
        return self.spawner.processes

    def start(self) -> FakeProcess:
        """Begin, and have the first worker load."""
        self.pool.begin()
        self.processes[0].load()
        self.loop.run()
        self.pool.set_policy(self.policy)
        self.loop.run()
        for process in self.processes[1:]:
            process.load()
        self.loop.run()
        return self.processes[0]

    def call(
        self, name: str = "f", body: bytes = b"{}", timeout_s: float | None = None, **more: Any
    ) -> tuple[PendingCall, FakeCaller]:
        caller = FakeCaller()
        pending = self.pool.call(name, body, timeout_s, "r-1", caller, **more)
        self.loop.run()
        return pending, caller

    def answer(self, process: FakeProcess, call_id: int, payload: bytes = b"j1") -> None:
        process.send(frames.RESULT, call_id, payload)
        self.loop.run()

    def stop(self, timeout_s: float = 60.0) -> list[bool]:
        stopped: list[bool] = []
        self.pool.stop(time.monotonic() + timeout_s, lambda: stopped.append(True))
        self.loop.run()
        return stopped


@pytest.fixture
def owners() -> Iterator[list[Owner]]:
    owners: list[Owner] = []
    yield owners
    for owner in owners:
        for worker in owner.pool.workers.values():
            worker.close()
        owner.spawner.close()


@pytest.fixture
def owner(owners: list[Owner]) -> Owner:
    owners.append(Owner(**AT_ONCE))
    return owners[-1]


def kinds(process: FakeProcess) -> list[int]:
    return [kind for kind, _, _ in process.read()]


# Start


def test_the_first_worker_shows_that_the_config_loads(owners: list[Owner]) -> None:
    owners.append(owner := Owner(workers=3))
    owner.pool.begin()
    assert len(owner.processes) == 1
    assert not owner.pool.is_settled
    owner.processes[0].load(version="3.12.9")
    owner.loop.run()
    (ready,) = owner.started
    assert isinstance(ready, dict)
    assert ready["version"] == "3.12.9"
    owner.pool.set_policy(owner.policy)
    assert len(owner.processes) == 3
    assert (owner.pool.is_settled, owner.pool.is_complete) == (True, False)
    for process in owner.processes[1:]:
        process.load()
    owner.loop.run()
    assert owner.pool.is_complete
    assert len(owner.started) == 1
    assert len(owner.heard) == 3


def test_a_first_worker_that_was_spawned_before(owner: Owner) -> None:
    process: Any = owner.spawner(LAUNCH)
    owner.pool.begin(process)
    process.load()
    owner.loop.run()
    assert owner.processes == [process]
    assert owner.pool.workers[1].process is process
    assert owner.pool.is_settled


def test_a_config_that_does_not_load(owner: Owner) -> None:
    owner.pool.begin()
    owner.processes[0].fail_to_load("SyntaxError: line 3")
    owner.loop.fire()
    (error,) = owner.started
    assert isinstance(error, ConfigError)
    assert str(error) == "SyntaxError: line 3"
    assert owner.pool.workers == {}


def test_a_worker_that_dies_while_it_loads(owner: Owner) -> None:
    owner.pool.begin()
    owner.processes[0].write_line("out of luck", to_stderr=True)
    owner.processes[0].end(3)
    owner.loop.fire()
    (error,) = owner.started
    assert isinstance(error, ConfigError)
    assert "host.config.py: did not load: worker 1 (pid " in str(error)
    assert str(error).endswith("died: exit code 3; its last lines on stderr:\nout of luck")


def test_a_worker_that_cannot_be_spawned(owner: Owner) -> None:
    owner.spawner.problem = ConfigError("python: cannot be run")
    with pytest.raises(ConfigError, match="cannot be run"):
        owner.pool.begin()


def test_a_slow_start(owners: list[Owner]) -> None:
    owners.append(owner := Owner(start_timeout_s=0.0))
    owner.pool.begin()
    owner.loop.fire(2)
    assert owner.processes[0].is_killed
    (error,) = owner.started
    assert isinstance(error, ConfigError)
    assert "did not finish loading within 0 s" in str(error)
    assert "--start-timeout" in str(error)


# Calls


def test_a_call_and_its_result(owner: Owner) -> None:
    worker = owner.start()
    owner.pool.calls.statistics = Statistics()
    pending, caller = owner.call("add", b'{"a": 1}', 5.0)
    ((kind, call_id, payload),) = worker.read()
    assert (kind, call_id) == (frames.CALL, pending.call_id)
    header, body = frames.split_call(payload)
    assert header == {"name": "add", "requestId": "r-1", "timeout": 5.0}
    assert body == b'{"a": 1}'
    assert owner.pool.calls.in_flight() == {"add": 1}
    owner.answer(worker, call_id, b"j2")
    assert caller.heard == [("result", b"j2")]
    assert owner.pool.calls.in_flight() == {}
    assert owner.pool.calls.statistics["add"].outcomes == {"ok": 1}
    owner.answer(worker, call_id, b"j3")
    assert caller.heard == [("result", b"j2")], "an answer counts once"


def test_a_call_that_fails(owner: Owner) -> None:
    worker = owner.start()
    owner.pool.calls.statistics = Statistics()
    pending, caller = owner.call()
    envelope = {"name": "ValueError", "message": "no number", "code": "function_failed"}
    worker.send(frames.ERROR, pending.call_id, json.dumps(envelope).encode())
    owner.loop.run()
    assert isinstance(caller.error, FunctionError)
    assert "no number" in str(caller.error)
    assert caller.error.request_id == "r-1"
    assert owner.pool.calls.statistics["f"].outcomes == {"ok": 0, "function_failed": 1}


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"[" * 100_000])
def test_an_error_that_cannot_be_read(owner: Owner, payload: bytes) -> None:
    worker = owner.start()
    pending, caller = owner.call()
    worker.send(frames.ERROR, pending.call_id, payload)
    owner.loop.run()
    assert isinstance(caller.error, ProcessError)


def test_the_chunks_of_a_stream(owner: Owner) -> None:
    worker = owner.start()
    pending, caller = owner.call(stream=True)
    worker.read()
    worker.send(frames.CHUNK, pending.call_id, b"j1")
    worker.send(frames.CHUNK, pending.call_id, b"b2")
    owner.loop.run()
    assert caller.heard == [("chunk", b"j1"), ("chunk", b"b2")]
    owner.pool.credit(pending, 1000)
    assert worker.read() == [(frames.CHUNK, pending.call_id, (1000).to_bytes(4, "big"))]
    owner.answer(worker, pending.call_id)
    owner.pool.credit(pending, 1)
    assert worker.read() == [], "the call has ended"


def test_a_caller_that_leaves(owner: Owner) -> None:
    worker = owner.start()
    owner.pool.calls.statistics = Statistics()
    pending, caller = owner.call()
    worker.read()
    owner.pool.cancel(pending)
    owner.pool.cancel(pending)
    assert worker.read() == [(frames.CANCEL, pending.call_id, b""), (frames.PING, 0, b"")]
    assert not owner.pool.is_resting
    worker.send(frames.PONG)
    owner.answer(worker, pending.call_id)
    assert caller.heard == []
    assert owner.pool.is_resting
    assert owner.pool.calls.statistics["f"].outcomes == {"ok": 0, "caller_left": 1}


def test_a_deadline_that_passes(owner: Owner) -> None:
    worker = owner.start()
    pending, caller = owner.call(timeout_s=0.0)
    worker.read()
    owner.loop.fire()
    assert isinstance(caller.error, FunctionTimeout)
    assert "no answer within the limit of 0 s" in str(caller.error)
    assert (frames.CANCEL, pending.call_id, b"") in worker.read()
    owner.answer(worker, pending.call_id)
    assert len(caller.heard) == 1


def test_a_call_that_its_worker_does_not_drop(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    worker = owner.start()
    owner.call("spin", timeout_s=0.0)
    with caplog.at_level(logging.WARNING, "jshost.pool"):
        for _ in range(3):
            owner.loop.fire()
            if len(owner.processes) == 2:
                owner.processes[1].load()
        owner.loop.fire(2)
    assert worker.is_killed
    assert "worker 1 is killed" in caplog.text
    assert "spin r-1" in caplog.text
    assert list(owner.pool.workers) == [2]
    assert owner.pool.restarts == {"unresponsive": 1}


def test_calls_wait_in_the_queue(owners: list[Owner]) -> None:
    owners.append(owner := Owner(concurrency=1, max_queue=1))
    worker = owner.start()
    owner.pool.calls.statistics = Statistics()
    first, _ = owner.call(body=b"1")
    _, second = owner.call(body=b"2")
    assert list(worker.calls().values()) == [b"1"]
    with pytest.raises(HostUnavailable, match="the queue is full: 1 calls wait already"):
        owner.call()
    assert owner.pool.calls.statistics["f"].outcomes == {"ok": 0, "queue_full": 1}
    owner.answer(worker, first.call_id)
    (call_id,) = worker.calls()
    owner.answer(worker, call_id, b"j2")
    assert second.heard == [("result", b"j2")]


def test_a_call_that_leaves_the_queue(owners: list[Owner]) -> None:
    owners.append(owner := Owner(concurrency=1))
    worker = owner.start()
    first, _ = owner.call(body=b"1")
    second, _ = owner.call(body=b"2")
    _, third = owner.call(body=b"3")
    owner.pool.cancel(second)
    worker.read()
    owner.answer(worker, first.call_id)
    assert list(worker.calls().values()) == [b"3"]
    assert third.heard == []


def test_many_calls_at_once(owners: list[Owner]) -> None:
    owners.append(owner := Owner(concurrency=2, max_queue=1))
    worker = owner.start()
    callers = [FakeCaller() for _ in range(5)]
    bodies = [b"%d" % number for number in range(5)]
    begun, refusal = owner.pool.call_many("f", bodies, None, "r", callers)
    assert isinstance(refusal, HostUnavailable)
    assert len(begun) == 3
    assert worker.read() == [], "they are sent together, at the end of this turn"
    owner.loop.run()
    sent = worker.calls()
    assert list(sent.values()) == [b"0", b"1"]
    for call_id in sent:
        owner.answer(worker, call_id, b"j")
    (call_id,) = worker.calls()
    owner.answer(worker, call_id, b"j")
    assert [len(caller.heard) for caller in callers] == [1, 1, 1, 0, 0]


def test_a_call_that_no_frame_can_hold(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 100)
    worker = owner.start()
    with pytest.raises(RequestError, match="larger than what a worker can be sent at once"):
        owner.call(body=b"x" * 101)
    assert worker.read() == []
    assert owner.pool.is_resting


# The end of a worker


def test_a_worker_that_dies(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    worker = owner.start()
    _, caller = owner.call("segfault")
    worker.write_line("Segmentation fault", to_stderr=True)
    with caplog.at_level(logging.ERROR, "jshost.pool"):
        worker.end(11)
        owner.loop.fire()
    assert isinstance(caller.error, ProcessError)
    assert str(caller.error).startswith("segfault: worker 1 (pid ")
    assert "died: exit code 11; its last lines on stderr:\nSegmentation fault" in str(caller.error)
    assert "worker 1 ran these calls: segfault r-1" in caplog.text
    owner.loop.fire()
    owner.processes[1].load()
    owner.loop.run()
    _, caller = owner.call()
    (call_id,) = owner.processes[1].calls()
    owner.answer(owner.processes[1], call_id)
    assert caller.heard == [("result", b"j1")]
    assert owner.pool.restarts == {"died": 1}
    assert owner.halted == []
    assert len(owner.started) == 1


def test_only_some_calls_are_named(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    worker = owner.start()
    for _ in range(7):
        owner.call()
    with caplog.at_level(logging.ERROR, "jshost.pool"):
        worker.end(1)
        owner.loop.fire()
    assert f"ran these calls: {', '.join(['f r-1'] * 5)} and 2 more" in caplog.text


def test_a_worker_that_closes_its_channel_is_killed(owner: Owner) -> None:
    worker = owner.start()
    _, caller = owner.call()
    worker.hang_up()
    while not caller.heard:
        owner.loop.fire()
    assert worker.is_killed
    assert isinstance(caller.error, ProcessError)


def test_a_worker_whose_outputs_stay_open(owner: Owner) -> None:
    """A process that it has started holds them, and is not waited for."""
    worker = owner.start()
    _, caller = owner.call()
    worker.write_line("last words", to_stderr=True)
    worker.end(1, keep_outputs=True)
    while not caller.heard:
        owner.loop.fire()
    assert "last words" in str(caller.error)
    assert not worker.is_killed


def test_frames_that_are_none_end_a_worker(owner: Owner) -> None:
    worker = owner.start()
    _, caller = owner.call()
    worker.send_bytes(b"\xff" * 100)
    owner.loop.fire()
    assert worker.is_killed
    assert isinstance(caller.error, ProcessError)


def test_without_respawn_the_pool_halts(owners: list[Owner]) -> None:
    owners.append(owner := Owner(respawn=False))
    owner.start().end(1)
    owner.loop.fire(2)
    (reason,) = owner.halted
    assert reason.startswith("a worker died, and respawn is off: worker 1 (pid ")
    assert len(owner.processes) == 1
    with pytest.raises(HostUnavailable):
        owner.call()


def test_too_many_failed_starts_halt_the_pool(owners: list[Owner]) -> None:
    owners.append(owner := Owner(**AT_ONCE, max_start_failures=2))
    owner.start().end(1)
    owner.loop.fire(2)
    for process in owner.processes[1:]:
        process.fail_to_load("no such module")
        owner.loop.fire(3)
    owner.processes[-1].fail_to_load("no such module")
    owner.loop.fire(3)
    (reason,) = owner.halted
    assert "2 workers in a row did not start: no such module" in reason


def test_a_respawn_that_is_not_possible(owner: Owner, caplog: pytest.LogCaptureFixture) -> None:
    owner.start().end(1)
    owner.spawner.problem = ConfigError("python: cannot be run")
    owner.loop.fire(2)
    assert owner.pool.load_error == "python: cannot be run"
    assert "worker 2: python: cannot be run" in caplog.text
    owner.loop.fire(2)
    assert len(owner.processes) == 2, "it is tried again"


def test_ctrl_c_while_a_worker_is_spawned(owner: Owner) -> None:
    owner.start().end(1)
    owner.spawner.problem = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        owner.loop.fire(3)
    owner.loop.fire(2)
    assert len(owner.processes) == 2, "it is tried again"


# The end of the pool


def test_stop_lets_calls_finish(owner: Owner) -> None:
    worker = owner.start()
    pending, caller = owner.call()
    stopped = owner.stop()
    owner.loop.fire()
    assert frames.DRAIN not in kinds(worker)
    with pytest.raises(HostUnavailable, match="the host is stopping and takes no more calls"):
        owner.call()
    owner.answer(worker, pending.call_id)
    assert caller.heard == [("result", b"j1")]
    owner.loop.fire()
    assert kinds(worker) == [frames.DRAIN]
    assert stopped == []
    worker.end()
    owner.loop.fire(3)
    assert stopped == [True]
    assert not worker.is_killed
    assert len(owner.processes) == 1


def test_stop_at_the_deadline(owner: Owner) -> None:
    worker = owner.start()
    _, caller = owner.call()
    stopped = owner.stop(0.0)
    owner.loop.fire(3)
    assert worker.is_killed
    assert stopped == [True]
    assert "the host was stopped before the function had finished" in str(caller.error)


def test_stop_while_calls_wait(owners: list[Owner]) -> None:
    owners.append(owner := Owner(concurrency=1))
    owner.start()
    owner.call()
    _, caller = owner.call()
    owner.stop(0.0)
    assert isinstance(caller.error, HostUnavailable)
    assert "takes no more calls" in str(caller.error)


def test_abandon_leaves_the_workers_alone(owner: Owner) -> None:
    worker = owner.start()
    worker.read()
    owner.pool.abandon()
    assert not worker.is_killed
    assert worker.channel.fileno() == -1
    assert worker.read() == []


# Reload, recycling, and what workers say


def test_reload(owner: Owner) -> None:
    old = owner.start()
    pending, caller = owner.call()
    owner.pool.reload()
    assert not owner.pool.is_resting
    owner.processes[1].load(fingerprint="new")
    owner.loop.run()
    _, other = owner.call(body=b"2")
    ((call_id, body),) = owner.processes[1].calls().items()
    assert body == b"2"
    owner.answer(owner.processes[1], call_id)
    owner.answer(old, pending.call_id)
    assert len(caller.heard) == len(other.heard) == 1
    assert frames.DRAIN in kinds(old)
    old.end()
    owner.loop.fire(2)
    assert list(owner.pool.workers) == [2]
    assert owner.pool.restarts == {"reload": 1}


def test_a_worker_that_needs_too_much_memory(
    owners: list[Owner], caplog: pytest.LogCaptureFixture
) -> None:
    owners.append(owner := Owner(max_memory=1000, jitter=0.0))
    owner.pool.begin()
    old = owner.processes[0]
    old.rss = 100
    old.load()
    owner.loop.run()
    owner.pool.set_policy(owner.policy)
    old.rss = 1001
    with caplog.at_level(logging.INFO, "jshost.pool"):
        owner.loop.fire()
        owner.processes[1].load()
        owner.loop.fire()
    assert "worker 1 was recycled: maxMemory" in caplog.text
    assert frames.DRAIN in kinds(old)


def test_a_limit_below_the_first_measure(
    owners: list[Owner], caplog: pytest.LogCaptureFixture
) -> None:
    owners.append(owner := Owner(max_memory=1 << 20))
    owner.pool.begin()
    owner.processes[0].rss = 5 << 20
    owner.processes[0].load()
    owner.loop.run()
    owner.pool.set_policy(owner.policy)
    owner.loop.fire(3)
    ((_, _, message),) = [each for each in caplog.record_tuples if "maxMemory" in each[2]]
    assert message.startswith("host.config.py: a worker uses 5 MB before its first call")
    assert len(owner.processes) == 1


def test_how_late_a_workers_loop_is(owner: Owner) -> None:
    worker = owner.start()
    channel = owner.pool.workers[1]
    assert channel.lag_s(math.inf) == 0.0
    owner.pool.fleet.ask_lag()
    owner.pool.fleet.ask_lag()
    assert kinds(worker) == [frames.PING]
    assert channel.lag_s(channel.pinged_at + 3.0) == 3.0
    worker.send(frames.PONG)
    owner.loop.run()
    assert channel.pinged_at == 0.0
    assert channel.lag_s(time.monotonic()) == channel.last_lag_s > 0


def test_what_all_workers_run(owners: list[Owner]) -> None:
    owners.append(owner := Owner(workers=2))
    owner.pool.begin()
    owner.processes[0].load(fingerprint="one", cacheable={"f": 60})
    owner.loop.run()
    assert (owner.pool.fingerprint, owner.pool.max_ages) == ("one", {"f": 60})
    owner.pool.set_policy(owner.policy)
    owner.processes[1].load(fingerprint="two")
    owner.loop.run()
    assert owner.pool.fingerprint == ""


def test_files_and_lines_reach_the_owner(owner: Owner) -> None:
    worker = owner.start()
    worker.send(frames.READY, 0, b'{"files": ["a.py"]}')
    worker.write_line("out")
    worker.write_line("err", to_stderr=True)
    owner.loop.run()
    assert owner.heard[-1] == {"files": ["a.py"]}
    assert sorted(owner.printed) == [(1, logging.INFO, "out"), (1, logging.WARNING, "err")]
