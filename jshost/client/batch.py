"""Many calls in one request. Runs in: callers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jshost.client import hooks
from jshost.client.call import report_call, timed_out
from jshost.client.host import NO_HEADERS, BatchAnswer, BatchRequest, DeadlinePassed
from jshost.client.settings import settings
from jshost.client.verbosity import FUNCTION_CALL
from jshost.exceptions import UnexpectedResponse
from jshost.protocol import results, values
from jshost.protocol.multipart import Run

if TYPE_CHECKING:
    from jshost.client.call import Callee
    from jshost.client.host import Host

__all__ = ["abatch", "batch"]

Calls = Iterable[tuple["Callee", Mapping[str, Any]]]

REQUEST_BYTES = 4 * 1024 * 1024
"""What one request carries; more calls are sent in several, one after the other. Hosts take 10 MB
where nothing else is set."""
MAX_THREADS = 16
"""Hosts that a batch asks at the same time."""


def batch(calls: Calls) -> list[Any]:
    """Make many calls in one request; the host runs them at the same time.

    Args:
        calls: pairs of a `Function` and its arguments.

    Returns:
        The results in order; in the place of a call that failed, its exception. A call that the
        host did not answer, since it is down or too slow, has failed, too.

    Raises:
        TypeError, ValueError: an argument that cannot be carried; nothing was sent.

    Example:
        >>> double = Function("double")
        >>> jshost.batch([(double, {"number": 1}), (double, {"number": 2})])
        [2, 4]
    """
    plan = _Plan(calls)
    if len(plan.series) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(len(plan.series), MAX_THREADS)) as threads:
            list(threads.map(_send, plan.series))
    else:
        for groups in plan.series:
            _send(groups)
    return plan.answers


async def abatch(calls: Calls) -> list[Any]:
    """As `batch`, from any asyncio loop."""
    import asyncio

    plan = _Plan(calls)
    if len(plan.series) > 1:
        async with asyncio.TaskGroup() as tasks:
            for groups in plan.series:
                tasks.create_task(_asend(groups))
    else:
        for groups in plan.series:
            await _asend(groups)
    return plan.answers


def _send(groups: list[_Group]) -> None:
    for group in groups:
        with group:
            group.take(group.host.batch(group.begin()))


async def _asend(groups: list[_Group]) -> None:
    for group in groups:
        with group:
            group.take(await group.host.abatch(group.begin()))


class _Plan:
    """Which calls travel together, and the answers that have come."""

    def __init__(self, calls: Calls) -> None:
        count = 0
        self.answers: list[Any] = []
        series: dict[tuple[Host, float | None], list[_Group]] = {}
        last: Callee | None = None
        for count, (function, arguments) in enumerate(calls, 1):
            if function is not last:
                if not hasattr(function, "get_host"):
                    raise TypeError(f"call {count - 1}: needs a Function, not {function!r}")
                key, last = (function.get_host(), function.get_timeout()), function
                groups = series.setdefault(key, [])
            # Most are a dict, which is seen sooner.
            if not isinstance(arguments, (dict, Mapping)):
                raise TypeError(
                    f"call {count - 1}: needs a dict of arguments, not {type(arguments).__name__}"
                )
            try:
                body, content_type = values.encode_call(arguments, function.encoder)
            except (TypeError, ValueError) as error:
                raise type(error)(f"call {count - 1}: {error}") from None
            group = groups[-1] if groups else None
            if group is None or group.size + len(body) > REQUEST_BYTES:
                group = _Group(*key, self.answers)
                groups.append(group)
            group.add(count - 1, function, content_type, body)
        self.series = list(series.values())
        """What travels, by host and limit: those of one list are sent one after the other."""
        self.answers += [None] * count


class _Group:
    """The calls to one host that travel together.

    ``with`` it: what is raised inside has failed all of them, and goes no further, unless it says
    that the caller does not wait.
    """

    def __init__(self, host: Host, timeout_s: float | None, answers: list[Any]) -> None:
        self.host = host
        self.size = 0
        self.timeout_s = timeout_s
        self.runs: list[Run] = []
        self._answers = answers
        """Those of the whole batch."""
        self._indices: list[int] = []
        self._functions: list[Callee] = []
        self._began = 0.0
        self._is_over = False
        self._hooked: hooks.OutgoingCall | None = None
        self._answer: BatchAnswer | None = None

    def add(self, index: int, function: Callee, content_type: str, body: bytes) -> None:
        self._indices.append(index)
        self._functions.append(function)
        run = self.runs[-1] if self.runs else None
        if run is None or function.name != run.name or content_type != run.content_type:
            run = Run(function.name, content_type, [])
            self.runs.append(run)
        run.contents.append(body)
        self.size += len(body)

    def begin(self) -> BatchRequest:
        """Returns the request to send. The calls count as begun from now on."""
        names = {run.name for run in self.runs}
        name = names.pop() if len(names) == 1 else "batch"
        self._began = time.monotonic()
        if not (hooks.before or hooks.after):
            return BatchRequest(self.runs, self.timeout_s)
        self._hooked = hooks.OutgoingCall.begin(name, {}, self.timeout_s)
        headers = NO_HEADERS if self._hooked is None else self._hooked.headers
        return BatchRequest(self.runs, self.timeout_s, headers)

    def take(self, answer: BatchAnswer) -> None:
        """Read the answers. Raises: UnexpectedResponse: they are not those of the calls."""
        self._answer = answer
        if self._hooked is not None:
            self._hooked.answer = answer
        if answer.error is not None:
            self._fail(answer.error)
            return
        count, wanted = 0, len(self._indices)
        for _, contents, errors in answer.runs:
            count += len(contents) + len(errors)
        if count != wanted:
            raise UnexpectedResponse(f"batch: {count} answers came for {wanted} calls")
        found: list[Any] = []
        for content_type, contents, errors in answer.runs:
            if errors:
                functions = self._functions[len(found) : len(found) + len(errors)]
                pairs = zip(functions, errors, strict=True)
                found += [function.failure(error) for function, error in pairs]
            else:
                found += _decoded(content_type, contents)
        for index, each in zip(self._indices, found, strict=True):
            self._answers[index] = each
        self._ended(None)

    def __enter__(self) -> None:
        pass

    def __exit__(self, cls: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, Exception):
            self._fail(error)
            return True
        if error is not None:
            self._ended(error, "left")
        return False

    def _fail(self, error: Exception) -> None:
        """All of its calls have failed."""
        if isinstance(error, DeadlinePassed):
            error = timed_out("batch", self.timeout_s, self._began)
        for index in self._indices:
            self._answers[index] = error
        self._ended(error, type(error).__name__)

    def _ended(self, error: BaseException | None, outcome: str = "200") -> None:
        if self._is_over:  # and a hook has made a failure of it
            return
        self._is_over = True
        if settings.VERBOSITY >= FUNCTION_CALL:
            what = f"batch of {len(self._indices)} calls"
            report_call(what, self._answer or outcome, self._began)
        hooked, self._hooked = self._hooked, None
        if hooked is not None:
            hooked.end(error)


def _decoded(content_type: str, contents: Sequence[bytes]) -> list[Any]:
    """The values of results. Raises: UnexpectedResponse: they cannot be read."""
    try:
        return results.decode_results(content_type, contents)
    except RecursionError:
        raise UnexpectedResponse("batch: a result is nested too deeply to be read") from None
    except ValueError as error:
        raise UnexpectedResponse(f"batch: the answer is not a jshost host's: {error}") from error
