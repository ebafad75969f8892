"""The calls of a pool: begun, answered, cancelled.

Runs in: host (and any program that owns a pool).
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence

from jshost.exceptions import CODES, RemoteError, from_envelope
from jshost.pool.channel import WorkerChannel
from jshost.pool.pending_call import REFUSALS, Caller, PendingCall, remote_error
from jshost.pool.scheduling.decisions import Action, Fail, Refused
from jshost.pool.scheduling.scheduler import Scheduler
from jshost.pool.statistics import Statistics
from jshost.protocol import frames

__all__ = ["PoolCalls"]

CALLER_LEFT = "caller_left"
"""The outcome of a call whose caller hung up."""
MAX_NAMED = 5
"""So many calls of a worker are named in the log."""


class PoolCalls:
    """What callers ask of a pool, and what they are answered.

    Attributes:
        workers: the channels of the workers that there are, by number.
        load_error: why the code does not load, since the last worker tried to.
        statistics: where calls are counted, if anywhere.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.workers: dict[int, WorkerChannel] = {}
        self.load_error = ""
        self.statistics: Statistics | None = None
        self._calls: dict[int, PendingCall] = {}
        self._cancelled: dict[int, str] = {}
        """Calls that were answered, but that their workers have not dropped: what the log says."""
        self._last_call_id = 0
        self._wake = math.inf
        """When the scheduler is asked next what is due."""

    def _act(self, actions: list[Action]) -> None:
        """Carry out what the scheduler has decided."""
        raise NotImplementedError

    def _plan_tick(self) -> None:
        """The scheduler wants to be asked earlier."""
        raise NotImplementedError

    def call(
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
        """Hand a call to a worker, or queue it; `frames.call_header` says what the rest is.

        Raises:
            HostUnavailable: the queue is full, or the pool is stopping.
            RequestError: the body is larger than a frame can be.
        """
        self._last_call_id = call_id = (self._last_call_id + 1) & 0xFFFFFFFF or 1
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
            worker = self.scheduler.submit(call_id, deadline, now)
        except (frames.FrameError, Refused) as error:
            refusal = self._refusal(error, name)
            self.count_refusal(refusal, name)
            raise refusal from None
        if worker is None:
            pending = PendingCall(call_id, name, frame, timeout_s, request_id, now, caller)
        else:
            pending = PendingCall(call_id, name, b"", timeout_s, request_id, now, caller)
            channel = self.workers[worker]
            if self._calls:  # where there are calls, more are likely to come at once
                channel.send_soon(frame)
            else:
                channel.send_frame(frame)
        self._calls[call_id] = pending
        if self.scheduler.next_wake < self._wake:
            self._plan_tick()
        return pending

    def call_many(
        self,
        name: str,
        bodies: Sequence[bytes],
        timeout_s: float | None,
        request_id: str,
        callers: Sequence[Caller],
        content_type: str | None = None,
        traceparent: str = "",
    ) -> tuple[list[PendingCall], RemoteError | None]:
        """As `call`, for many calls of one function, each with a body and a caller of its own.

        Returns:
            The calls that were begun, which are the first ones, and why the next one was not.
        """
        begun: list[PendingCall] = []
        submit, calls, workers = self.scheduler.submit, self._calls, self.workers
        now = time.monotonic()
        deadline = math.inf if timeout_s is None else now + timeout_s
        header = frames.call_header(
            name, timeout_s, request_id, content_type=content_type, traceparent=traceparent
        )
        refusal: RemoteError | None = None
        for body, caller in zip(bodies, callers, strict=True):
            self._last_call_id = call_id = (self._last_call_id + 1) & 0xFFFFFFFF or 1
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
        if self.scheduler.next_wake < self._wake:
            self._plan_tick()
        return begun, refusal

    def _refusal(self, error: Exception, name: str) -> RemoteError:
        """What a caller is told whose call is not taken."""
        if isinstance(error, Refused):
            message = REFUSALS.get(error.code, self.load_error)
            message = message.replace("{queue}", str(len(self.scheduler.queue)))
            return from_envelope({"code": error.code, "message": message}, name=name)
        message = f"The call is larger than what a worker can be sent at once: {error}."
        return from_envelope({"code": "body_too_large", "message": message}, name=name)

    def count_refusal(self, error: RemoteError, name: str) -> None:
        """A caller was told so. A batch tries again, and is told only in the end."""
        if self.statistics is not None:
            self.statistics[name].others[error.code] += 1

    @property
    def calls_begun(self) -> int:
        """A number that every call changes."""
        return self._last_call_id

    def cancel(self, pending: PendingCall) -> None:
        """The caller left. The worker is told; the answer is dropped."""
        if self._calls.pop(pending.call_id, None) is not None:
            if self.statistics is not None:
                spent = time.monotonic() - pending.started
                self.statistics[pending.name].failed(spent, CALLER_LEFT)
            self._remember(pending)
            self._act(self.scheduler.cancel(pending.call_id, time.monotonic()))

    def credit(self, pending: PendingCall, size: int) -> None:
        """The caller has taken `size` bytes of the call's CHUNK frames: more may come."""
        worker = self.scheduler.worker_of(pending.call_id)
        if worker is not None and worker in self.workers:
            self.workers[worker].send(frames.CHUNK, pending.call_id, size.to_bytes(4, "big"))

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None:
        """A worker's RESULT or ERROR frame."""
        pending = self._calls.pop(call_id, None)
        now = time.monotonic()
        actions = self.scheduler.finished(call_id, now)
        if pending is None:
            self._cancelled.pop(call_id, None)
        else:
            if kind == frames.RESULT:
                if self.statistics is not None:
                    self.statistics[pending.name].succeeded(now - pending.started)
                pending.caller.on_result(payload)
            else:
                self._tell(pending, remote_error(payload, pending))
        if actions:
            self._act(actions)

    def on_chunk(self, call_id: int, payload: bytes) -> None:
        """A worker's CHUNK frame."""
        pending = self._calls.get(call_id)
        if pending is not None:
            pending.caller.on_chunk(payload)

    def _fail(self, action: Fail) -> None:
        pending = self._calls.pop(action.call, None)
        if pending is None:
            return
        if action.code == "timeout":
            self._remember(pending)
            spent = time.monotonic() - pending.started
            message = (
                f"no answer within the limit of {pending.timeout_s:g} s ({spent:.2f} s spent); "
                "the call was cancelled"
            )
        else:
            worker = self.workers.get(action.worker or 0)
            if action.code == "load_failed":
                message = self.load_error
            elif action.code == "draining":
                message = REFUSALS["draining"]
            elif self.scheduler.halted and self.scheduler.draining:
                message = "the host was stopped before the function had finished"
            elif worker is not None:
                message = worker.obituary()
            else:
                message = self.load_error or "the workers of this function are gone"
        error = from_envelope(
            {"code": action.code, "message": message, "requestId": pending.request_id},
            name=pending.name,
        )
        self._tell(pending, error)

    def _remember(self, pending: PendingCall) -> None:
        if self.scheduler.worker_of(pending.call_id) is not None:
            self._cancelled[pending.call_id] = _named(pending)

    def _calls_of(self, number: int) -> str:
        """The calls that a worker still has, for the log: each function and request id."""
        names = []
        for call in self.scheduler.workers[number].calls:
            pending = self._calls.get(call)
            names.append(_named(pending) if pending else self._cancelled.get(call, "?"))
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more

    def _forget_calls_of(self, number: int) -> None:
        for call in self.scheduler.workers[number].calls:
            self._cancelled.pop(call, None)

    def _tell(self, pending: PendingCall, error: RemoteError) -> None:
        """Answer a call with an error."""
        if self.statistics is not None:
            code = error.code if error.code in CODES else "function_failed"
            spent = time.monotonic() - pending.started
            self.statistics[pending.name].failed(spent, code)
        pending.caller.on_error(error)

    def in_flight(self) -> Counter[str]:
        """How many calls wait or run, by function."""
        return Counter(pending.name for pending in self._calls.values())


def _named(pending: PendingCall) -> str:
    return f"{pending.name} {pending.request_id}".rstrip()
