"""The calls of a pool, from start to answer. Runs in: host, programs that embed."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from jshost.exceptions import CODES, RemoteError, from_envelope
from jshost.pool.alarm import Alarm
from jshost.pool.channel import WorkerChannel
from jshost.pool.pending_call import Caller, PendingCall, remote_error
from jshost.pool.scheduling.actions import Action, Fail, Refused
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.statistics import Statistics
from jshost.protocol import frames

__all__ = ["CallTable", "CallTableOwner"]

CALLER_LEFT = "caller_left"
"""The outcome of a call whose caller hung up."""
MAX_NAMED = 5
"""So many calls of a worker are named in the log."""


class CallTableOwner(Protocol):
    """The pool that the calls belong to."""

    def act(self, actions: list[Action]) -> None:
        """Carry out what the scheduler has decided."""

    def explain(self, code: str, worker: int | None = None) -> str:
        """The message of a call that failed, or was refused, with this code."""


class CallTable:
    """Begins calls, gives callers their answers, and counts both.

    Args:
        scheduler: decides which worker gets a call.
        workers: the channels of the workers, by number.
        alarm: is set when a call's deadline is the next thing that falls due.
        owner: carries out the scheduler's actions.

    Attributes:
        pending: the calls that wait or run, by id.
        last_id: the id of the last call that was begun.
        statistics: where calls are counted; None: they are not.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        workers: Mapping[int, WorkerChannel],
        alarm: Alarm,
        owner: CallTableOwner,
    ) -> None:
        self.pending: dict[int, PendingCall] = {}
        self.last_id = 0
        self.statistics: Statistics | None = None
        self._scheduler = scheduler
        self._workers = workers
        self._alarm = alarm
        self._owner = owner
        self._cancelled: dict[int, str] = {}
        """For the log: calls whose callers have their answer, but that their workers still run."""

    def begin(
        self,
        name: str,
        body: bytes,
        timeout_s: float | None,
        request_id: str,
        caller: Caller,
        content_type: str | None = None,
        stream: bool = False,
        traceparent: str = "",
    ) -> PendingCall:
        """Send a call to a worker, or queue it; `frames.call_header` documents the arguments.

        Raises:
            HostUnavailable: the queue is full, or the pool is stopping.
            RequestError: the body is larger than a frame can be.
        """
        self.last_id = call_id = (self.last_id + 1) & 0xFFFFFFFF or 1
        now = time.monotonic()
        deadline = math.inf if timeout_s is None else now + timeout_s
        header = frames.call_header(
            name,
            timeout_s,
            request_id,
            content_type=content_type,
            stream=stream,
            traceparent=traceparent,
        )
        try:
            frame = frames.call_frame(call_id, header, body)
            worker = self._scheduler.submit(call_id, deadline, now)
        except (frames.FrameError, Refused) as error:
            refusal = self._refusal(error, name)
            self.count_refusal(refusal, name)
            raise refusal from None
        if worker is None:
            pending = PendingCall(call_id, name, frame, timeout_s, request_id, now, caller)
        else:
            pending = PendingCall(call_id, name, b"", timeout_s, request_id, now, caller)
            channel = self._workers[worker]
            if self.pending:  # where there are calls, more are likely to come at once
                channel.send_soon(frame)
            else:
                channel.send_frame(frame)
        self.pending[call_id] = pending
        if self._scheduler.next_wake < self._alarm.at:
            self._alarm.set()
        return pending

    def begin_many(
        self,
        name: str,
        bodies: Sequence[bytes],
        timeout_s: float | None,
        request_id: str,
        callers: Sequence[Caller],
        content_type: str | None = None,
        traceparent: str = "",
    ) -> tuple[list[PendingCall], RemoteError | None]:
        """As `begin`, for many calls of one function, each with its own body and caller.

        Returns:
            The calls that were begun (the first ones), and the error of the next one, if any.
        """
        begun: list[PendingCall] = []
        submit, calls, workers = self._scheduler.submit, self.pending, self._workers
        now = time.monotonic()
        deadline = math.inf if timeout_s is None else now + timeout_s
        header = frames.call_header(
            name, timeout_s, request_id, content_type=content_type, traceparent=traceparent
        )
        refusal: RemoteError | None = None
        for body, caller in zip(bodies, callers, strict=True):
            self.last_id = call_id = (self.last_id + 1) & 0xFFFFFFFF or 1
            try:
                frame = frames.call_frame(call_id, header, body)
                worker = submit(call_id, deadline, now)
            except (frames.FrameError, Refused) as error:
                refusal = self._refusal(error, name)
                break
            if worker is None:
                pending = PendingCall(call_id, name, frame, timeout_s, request_id, now, caller)
            else:
                pending = PendingCall(call_id, name, b"", timeout_s, request_id, now, caller)
                workers[worker].send_soon(frame)
            calls[call_id] = pending
            begun.append(pending)
        if self._scheduler.next_wake < self._alarm.at:
            self._alarm.set()
        return begun, refusal

    def _refusal(self, error: Exception, name: str) -> RemoteError:
        if isinstance(error, Refused):
            message = self._owner.explain(error.code)
            return from_envelope({"code": error.code, "message": message}, name=name)
        message = f"The call is larger than what a worker can be sent at once: {error}."
        return from_envelope({"code": "body_too_large", "message": message}, name=name)

    def count_refusal(self, error: RemoteError, name: str) -> None:
        """Count a call that was refused. A batch tries again first, and counts its last try."""
        if self.statistics is not None:
            self.statistics[name].others[error.code] += 1

    def cancel(self, pending: PendingCall) -> None:
        """Drop a call whose caller left, and have its worker stop it."""
        if self.pending.pop(pending.call_id, None) is not None:
            if self.statistics is not None:
                spent = time.monotonic() - pending.started
                self.statistics[pending.name].failed(spent, CALLER_LEFT)
            self._note_cancelled(pending)
            self._owner.act(self._scheduler.cancel(pending.call_id, time.monotonic()))

    def credit(self, pending: PendingCall, size: int) -> None:
        """Let the worker send more: the caller has taken `size` bytes of CHUNK frames."""
        worker = self._scheduler.worker_of(pending.call_id)
        if worker is not None and worker in self._workers:
            self._workers[worker].send(frames.CHUNK, pending.call_id, size.to_bytes(4, "big"))

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None:
        """A worker's RESULT or ERROR frame."""
        pending = self.pending.pop(call_id, None)
        now = time.monotonic()
        actions = self._scheduler.finished(call_id, now)
        if pending is None:
            self._cancelled.pop(call_id, None)
        else:
            if kind == frames.RESULT:
                if self.statistics is not None:
                    self.statistics[pending.name].succeeded(now - pending.started)
                pending.caller.on_result(payload)
            else:
                self._answer_with(remote_error(payload, pending), pending)
        if actions:
            self._owner.act(actions)

    def on_chunk(self, call_id: int, payload: bytes) -> None:
        """A worker's CHUNK frame."""
        pending = self.pending.get(call_id)
        if pending is not None:
            pending.caller.on_chunk(payload)

    def fail(self, action: Fail) -> None:
        """Answer a call with an error, as the scheduler decided."""
        pending = self.pending.pop(action.call, None)
        if pending is None:
            return
        if action.code == "timeout":
            self._note_cancelled(pending)
            spent = time.monotonic() - pending.started
            message = (
                f"no answer within the limit of {pending.timeout_s:g} s ({spent:.2f} s spent); "
                "the call was cancelled"
            )
        else:
            message = self._owner.explain(action.code, action.worker)
        error = from_envelope(
            {"code": action.code, "message": message, "requestId": pending.request_id},
            name=pending.name,
        )
        self._answer_with(error, pending)

    def _answer_with(self, error: RemoteError, pending: PendingCall) -> None:
        if self.statistics is not None:
            code = error.code if error.code in CODES else "function_failed"
            spent = time.monotonic() - pending.started
            self.statistics[pending.name].failed(spent, code)
        pending.caller.on_error(error)

    def in_flight(self) -> Counter[str]:
        """How many calls wait or run, by function."""
        return Counter(pending.name for pending in self.pending.values())

    # Calls in the log

    def _note_cancelled(self, pending: PendingCall) -> None:
        if self._scheduler.worker_of(pending.call_id) is not None:
            self._cancelled[pending.call_id] = _named(pending)

    def names(self, calls: Iterable[int]) -> str:
        """The function and request id of each call, for the log."""
        names = [self._name(call) for call in calls]
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more

    def _name(self, call: int) -> str:
        pending = self.pending.get(call)
        return _named(pending) if pending else self._cancelled.get(call, "?")

    def forget_cancelled(self, calls: Iterable[int]) -> None:
        """The worker that ran these calls is gone."""
        for call in calls:
            self._cancelled.pop(call, None)


def _named(pending: PendingCall) -> str:
    return f"{pending.name} {pending.request_id}".rstrip()
