"""Many calls in one request. Runs in: callers.

What travels is multipart/form-data: one part for each call, named by its function, and one part for
each answer, named ``result`` or ``error``, in the same order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jshost.client.call import HOST_ANSWERS_FIRST_S, report_call, timed_out
from jshost.client.hooks import OutgoingCall
from jshost.client.http.messages import DeadlinePassed, Request, Response, batch_response
from jshost.client.settings import settings
from jshost.client.verbosity import FUNCTION_CALL
from jshost.exceptions import (
    UnexpectedResponse,
    from_envelope,
    from_stranger,
)
from jshost.function import Function
from jshost.protocol import results, values
from jshost.protocol.multipart import Run, decode_runs, encode_runs

if TYPE_CHECKING:
    from jshost.host import JSHost

__all__ = ["abatch", "batch"]

Calls = Iterable[tuple[Function, Mapping[str, Any]]]

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
        try:
            group.begin()
            group.take(group.host.send_batch(group))
        except Exception as error:  # noqa: BLE001  each of its calls has failed with it
            group.fail(error)
        except BaseException as error:
            group.left(error)
            raise


async def _asend(groups: list[_Group]) -> None:
    for group in groups:
        try:
            group.begin()
            group.take(await group.host.asend_batch(group))
        except Exception as error:  # noqa: BLE001  each of its calls has failed with it
            group.fail(error)
        except BaseException as error:
            group.left(error)
            raise


class _Plan:
    """Which calls travel together, and the answers that have come."""

    def __init__(self, calls: Calls) -> None:
        count = 0
        self.answers: list[Any] = []
        series: dict[tuple[JSHost, float | None], list[_Group]] = {}
        last: Function | None = None
        for count, (function, arguments) in enumerate(calls, 1):
            if function is not last:
                if not isinstance(function, Function):
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
    """The calls to one host that travel together; a `PreparedBatch`, and an `HttpCall`."""

    def __init__(self, host: JSHost, timeout_s: float | None, answers: list[Any]) -> None:
        self.host = host
        self.size = 0
        self.timeout_s = timeout_s
        self.runs: list[Run] = []
        self._answers = answers
        """Those of the whole batch."""
        self._indices: list[int] = []
        self._functions: list[Function] = []
        self._began = 0.0
        self._is_over = False
        self._hooked: OutgoingCall | None = None
        self._response: Response | None = None

    def add(self, index: int, function: Function, content_type: str, body: bytes) -> None:
        self._indices.append(index)
        self._functions.append(function)
        run = self.runs[-1] if self.runs else None
        if run is None or function.name != run.name or content_type != run.content_type:
            run = Run(function.name, content_type, [])
            self.runs.append(run)
        run.contents.append(body)
        self.size += len(body)

    def begin(self) -> None:
        """It is about to be sent."""
        names = {run.name for run in self.runs}
        name = names.pop() if len(names) == 1 else "batch"
        self._began = time.monotonic()
        self._hooked = OutgoingCall.begin(name, {}, self.timeout_s)

    @property
    def headers(self) -> Mapping[str, str]:
        """What hooks have added, by the names that they gave."""
        return self._hooked.headers if self._hooked is not None else {}

    def request(self) -> Request:
        """See `HttpCall`."""
        content_type, body = encode_runs(self.runs)
        headers = {"Content-Type": content_type, "Accept": "multipart/form-data, application/json"}
        patience_s = None
        if self.timeout_s is not None:
            headers["JSHost-Timeout"] = repr(float(self.timeout_s))
            patience_s = self.timeout_s + HOST_ANSWERS_FIRST_S
        headers |= self.headers
        target = f"/batch?hash={values.body_hash(body)}"
        return Request("POST", target, headers, body, patience_s)

    def take(self, response: Response | list[Run]) -> None:
        """Read the answers. Raises: RemoteError, UnexpectedResponse: there are none."""
        if isinstance(response, Response):
            self._response = response
        elif self._hooked is not None:
            self._response = batch_response(response)
        if self._hooked is not None:
            self._hooked.response = self._response
        runs = _runs_of(response) if isinstance(response, Response) else response
        count, wanted = sum(len(run.contents) for run in runs), len(self._indices)
        if count != wanted:
            raise UnexpectedResponse(f"batch: {count} answers came for {wanted} calls")
        found: list[Any] = []
        for name, content_type, contents in runs:
            if name == "error":
                functions = self._functions[len(found) : len(found) + len(contents)]
                for function, data in zip(functions, contents, strict=True):
                    found.append(function.failure(json.loads(data)))
            else:
                found += _decoded(content_type, contents)
        for index, answer in zip(self._indices, found, strict=True):
            self._answers[index] = answer
        self._ended(None)

    def fail(self, error: Exception) -> None:
        """All of its calls have failed."""
        if isinstance(error, DeadlinePassed):
            error = timed_out("batch", self.timeout_s, self._began)
        for index in self._indices:
            self._answers[index] = error
        self._ended(error, type(error).__name__)

    def left(self, error: BaseException) -> None:
        """Its caller does not wait for its end."""
        self._ended(error, "left")

    def _ended(self, error: BaseException | None, outcome: str = "200") -> None:
        if self._is_over:  # and a hook has made a failure of it
            return
        self._is_over = True
        if settings.VERBOSITY >= FUNCTION_CALL:
            what = f"batch of {len(self._indices)} calls"
            report_call(what, self._response or outcome, self._began)
        hooked, self._hooked = self._hooked, None
        if hooked is not None:
            hooked.end(error)


def _decoded(content_type: str, contents: list[bytes]) -> list[Any]:
    """The values of results. Raises: UnexpectedResponse: they cannot be read."""
    try:
        return results.decode_results(content_type, contents)
    except RecursionError:
        raise UnexpectedResponse("batch: a result is nested too deeply to be read") from None
    except ValueError as error:
        raise UnexpectedResponse(f"batch: the answer is not a jshost host's: {error}") from error


def _runs_of(response: Response) -> list[Run]:
    """What a served host answers. Raises: RemoteError, UnexpectedResponse: no answers."""
    if response.status_code != 200:
        raise _refusal(response)
    try:
        return decode_runs(response.content_type, response.content)
    except ValueError as error:
        raise UnexpectedResponse(f"batch: the answer is not a jshost host's: {error}") from error


def _refusal(response: Response) -> Exception:
    try:
        return from_envelope(response.json(), name="batch")
    except (ValueError, AttributeError):
        return from_stranger("batch", response.status_code, response.text)
