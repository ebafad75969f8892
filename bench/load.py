"""The load generator: the same few loads for every row. Runs in: a row's driver.

Every load makes its connections first, then measures, and returns a dict of named numbers. Some ask
for more of a client than single calls, see `rows.Row.can`.
"""

import asyncio
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from callers import AsyncCaller, Batcher, Caller, Owner, Streamer

__all__ = ["LOADS"]

START_DEADLINE_S = 20.0
FINISH_DEADLINE_S = 60.0
PROBE_PAUSE_S = 0.001
UNDER_WAY_S = 0.05
"""How long a call is left to reach its function, before that is killed."""
CHUNK = "0123456789"
LINE = '<li class="item">line</li>\n'

Numbers = dict[str, float]


def latency(caller: Caller, function: str, count: int, seconds: float, **data: Any) -> Numbers:
    """One caller, one call after another, up to ``count`` calls or ``seconds``.

    ``text_bytes`` in ``data`` stands for a ``text`` of that many bytes of markup.
    """
    if "text_bytes" in data:
        size = data.pop("text_bytes")
        data["text"] = (LINE * (size // len(LINE) + 1))[:size]
    _check(caller, function, data)
    samples: list[int] = []
    end_ns = time.perf_counter_ns() + int(seconds * 1e9)
    while len(samples) < count:
        before_ns = time.perf_counter_ns()
        caller.call(function, **data)
        after_ns = time.perf_counter_ns()
        samples.append(after_ns - before_ns)
        if after_ns > end_ns:
            break
    samples.sort()
    return {
        "calls": len(samples),
        "p50_us": statistics.median(samples) / 1e3,
        "p95_us": samples[min(len(samples) - 1, round(len(samples) * 0.95))] / 1e3,
    }


def throughput(caller: Caller, threads: int, seconds: float) -> Numbers:
    """``threads`` callers of the tiny function for ``seconds``: calls per second."""

    def body(begin_s: float) -> int:
        calls, end_s = 0, begin_s + seconds
        while time.perf_counter() < end_s:
            caller.call("tiny", x=1)
            calls += 1
        return calls

    elapsed_s, counts = _together(caller, [body] * threads)
    return {"calls_per_s": sum(counts) / elapsed_s}


def async_throughput(caller: AsyncCaller, tasks: int, loop: str, seconds: float) -> Numbers:
    """``tasks`` tasks of one asyncio program, as ``throughput``; ``loop``: asyncio or uvloop."""

    async def body(begin_s: float) -> int:
        calls, end_s = 0, begin_s + seconds
        while time.perf_counter() < end_s:
            await caller.acall("tiny", x=1)
            calls += 1
        return calls

    async def main() -> Numbers:
        # Connected before it is timed.
        results = await asyncio.gather(*[caller.acall("tiny", x=i) for i in range(tasks)])
        if results != list(range(1, tasks + 1)):
            raise AssertionError(f"tiny answered {str(results)[:60]}")
        begin_s = time.perf_counter()
        counts = await asyncio.gather(*[body(begin_s) for _ in range(tasks)])
        return {"calls_per_s": sum(counts) / (time.perf_counter() - begin_s)}

    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        return runner.run(asyncio.wait_for(main(), FINISH_DEADLINE_S))


def batch(caller: Batcher, count: int, seconds: float) -> Numbers:
    """Batches of ``count`` tiny calls, one batch after another: microseconds for each call."""
    calls: list[dict[str, object]] = [{"x": i} for i in range(count)]
    expected = list(range(1, count + 1))
    samples_us: list[float] = []
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s or len(samples_us) < 2:
        before_s = time.perf_counter()
        results = caller.map("tiny", calls)
        samples_us.append((time.perf_counter() - before_s) * 1e6 / count)
        if results != expected:
            raise AssertionError(f"a batch answered {str(results)[:60]}")
    return {"call_us": statistics.median(samples_us[1:])}  # the first one connects


def stream(caller: Streamer, function: str, count: int, seconds: float) -> Numbers:
    """Read streams of ``count`` chunks of 10 bytes, one stream after another: chunks per second."""
    for _ in caller.stream(function, count=100):
        pass  # connected and compiled before it is timed
    chunks, begin_s = 0, time.perf_counter()
    while (elapsed_s := time.perf_counter() - begin_s) < seconds:
        last, read = None, 0
        for last in caller.stream(function, count=count):  # noqa: B007 - looked at below
            read += 1
        if read != count or last != CHUNK:
            raise AssertionError(f"{function} gave {read} chunks, at last {str(last)[:60]!r}")
        chunks += read
    return {"chunks_per_s": chunks / elapsed_s}


def fan(caller: Caller, callers: int, ms: float) -> Numbers:
    """``callers`` callers at once of a function that waits ``ms``: until all have finished."""

    def body(_: float) -> object:
        return caller.call("sleep", ms=ms)

    elapsed_s, _ = _together(caller, [body] * callers)
    return {"ms": elapsed_s * 1e3}


def burn(caller: Caller, callers: int, calls: int, ms: float) -> Numbers:
    """``callers`` callers of a function that burns ``ms`` of CPU; another makes tiny calls.

    ``speed_up`` is the CPU time burned over the wall time it took: 1.0 is one core.
    """
    finished = threading.Semaphore(0)
    caller.call("burn", ms=ms)  # compiled before it is timed

    def burner(begin_s: float) -> float:
        try:
            for _ in range(calls):
                caller.call("burn", ms=ms)
        finally:
            finished.release()
        return time.perf_counter() - begin_s

    def prober(begin_s: float) -> list[float]:
        waits_ms, burning = [], callers
        while burning and time.perf_counter() - begin_s < FINISH_DEADLINE_S:
            before_s = time.perf_counter()
            caller.call("tiny", x=1)
            waits_ms.append((time.perf_counter() - before_s) * 1e3)
            time.sleep(PROBE_PAUSE_S)
            while finished.acquire(blocking=False):
                burning -= 1
        return waits_ms

    _, (waits_ms, *taken_s) = _together(caller, [prober, *[burner] * callers])
    return {
        "speed_up": callers * calls * ms / 1e3 / max(taken_s),
        "wait_p50_ms": statistics.median(waits_ms),
        "wait_max_ms": max(waits_ms),
    }


def killed(caller: Owner, ms: float) -> Numbers:
    """Kill the process of a function that waits ``ms``: until its caller has an error, and how long
    the next call takes."""
    caller.call("tiny", x=1)
    outcomes: list[tuple[float, str]] = []

    def wait() -> None:
        try:
            outcome = f"sleep answered {caller.call('sleep', ms=ms)}"
        except Exception:  # noqa: BLE001 - whatever a row's client raises will do
            outcome = ""
        outcomes.append((time.perf_counter(), outcome))

    thread = threading.Thread(target=wait, daemon=True, name="killed")
    thread.start()
    time.sleep(UNDER_WAY_S)
    killed_s = time.perf_counter()
    os.kill(caller.worker_pid(), signal.SIGKILL)
    thread.join(FINISH_DEADLINE_S)
    if not outcomes:
        raise TimeoutError(f"no error {FINISH_DEADLINE_S:.0f} s after its worker was killed")
    failed_s, outcome = outcomes[0]
    if outcome:
        raise AssertionError(outcome)
    next_s = time.perf_counter()
    _check(caller, "tiny", {"x": 1})
    return {"ms": (failed_s - killed_s) * 1e3, "next_ms": (time.perf_counter() - next_s) * 1e3}


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop  # only the project's own environment has it

    return uvloop.new_event_loop


def _check(caller: Caller, function: str, data: dict[str, Any]) -> None:
    """One call whose result is looked at: a fast wrong answer is not a result."""
    expected = {"tiny": lambda: data["x"] + 1, "echo": lambda: data["text"]}[function]()
    result = caller.call(function, **data)
    if str(result) != str(expected):
        raise AssertionError(f"{function} answered {str(result)[:60]!r}")


def _together(caller: Caller, bodies: list[Callable[[float], Any]]) -> tuple[float, list[Any]]:
    """Run every body in a thread of its own from one moment on; seconds taken, and results.

    A body is given that moment, in ``time.perf_counter()``'s seconds.
    """
    begin_s = 0.0
    results: list[Any] = [None] * len(bodies)
    failures: list[Exception] = []

    def begin() -> None:
        nonlocal begin_s
        begin_s = time.perf_counter()

    barrier = threading.Barrier(len(bodies), begin, START_DEADLINE_S)

    def run(index: int) -> None:
        try:
            caller.call("tiny", x=1)  # connected before it is timed
            barrier.wait()
            results[index] = bodies[index](begin_s)
        except threading.BrokenBarrierError:
            pass  # another thread failed first and has said why
        except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
            failures.append(error)
            barrier.abort()

    threads = [
        threading.Thread(target=run, args=(i,), daemon=True, name=f"caller-{i}")
        for i in range(len(bodies))
    ]
    for thread in threads:
        thread.start()
    deadline_s = time.perf_counter() + FINISH_DEADLINE_S
    for thread in threads:
        thread.join(max(0.0, deadline_s - time.perf_counter()))
    elapsed_s = time.perf_counter() - begin_s
    if failures:
        raise failures[0]
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"{len(threads)} callers did not finish in {FINISH_DEADLINE_S:.0f} s")
    return elapsed_s, results


LOADS: dict[str, Callable[..., Numbers]] = {
    "latency": latency,
    "throughput": throughput,
    "async_throughput": async_throughput,
    "batch": batch,
    "stream": stream,
    "fan": fan,
    "burn": burn,
    "killed": killed,
}
