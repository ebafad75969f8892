"""The worker that runs a host.config.py's functions. Runs in: Python workers.

Started by `process.spawn` as ``python python_worker.py CONFIG SETTINGS``. Threads take turns at
reading the channel: the one that reads a call gives the reading to another thread and runs the
call itself (leader and followers), so that a call costs no hop between threads. ``async def``
functions run on one event loop in the main thread, which is started when there is one.

Uses the standard library only: it must also run where jshost's own dependencies are missing.
"""

# ruff: noqa: E402  which jshost is imported is decided first
from __future__ import annotations

import contextvars
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType
from typing import TYPE_CHECKING, Any

OWN = Path(__file__).parent.parent.parent
try:
    import jshost

    if not Path(jshost.__file__).is_relative_to(OWN):  # the npm package's copy runs this
        import runpy

        own = runpy.run_path(str(OWN / "jshost" / "protocol" / "version.py"))
        if own["__version__"] != jshost.__version__:  # whose frames may differ
            for name in [name for name in sys.modules if name.partition(".")[0] == "jshost"]:
                del sys.modules[name]
            sys.path.insert(0, str(OWN))
except ImportError:  # started from a copy that is not installed
    sys.path.append(str(OWN))

from jshost.protocol import frames, values
from jshost.worker import caching, context
from jshost.worker import config as python_config
from jshost.worker.calls import CallError, CallHead, Task, encode, envelope, is_async
from jshost.worker.channel import Channel, prepare_process
from jshost.worker.output import MarkedStream
from jshost.worker.streams import Flusher, Stream, run_async_generator, run_generator
from jshost.worker.threads import Threads

if TYPE_CHECKING:
    import asyncio

DEFAULT_THREADS = 32
READ_BYTES = 64 * 1024
LARGE_READ_BYTES = 512 * 1024
"""For the rest of a large frame. Reading so much at once costs a mapping of new memory."""
END_GRACE_S = 1.0
QUICK_S = 100e-6
"""An answer waits for that of a function which takes less, to be sent with it."""
PLAIN_TYPES = frozenset((type(None), bool, int, float, str, bytes, list, dict))
"""Results that are no more than values: most are."""
CANCELLED_EARLY = "the call was cancelled before it began"


class Worker:
    """The calls of one process: from frame to function to frame."""

    def __init__(
        self,
        channel: Channel,
        host: context.HostContext,
        streams: list[MarkedStream],
        path: Path,
        reports_files: bool,
    ) -> None:
        self._channel = channel
        self._path = path
        self._known_modules = len(sys.modules) if reports_files else None
        self._host = host
        self._async_names = {
            name for name, function in host.functions.items() if is_async(function)
        }
        self._streams = streams
        self._decoder = frames.Decoder()
        self._last_head: CallHead | None = None
        self._tasks: dict[int, Task] = {}
        self._quick: set[str] = set()
        """Functions whose last call was over within `QUICK_S`."""
        self._flusher = Flusher()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._loop_wanted = threading.Event()
        self._loop_started = threading.Event()
        self._over = False

    def serve(self, threads: int) -> None:
        """Read and run calls until the host says DRAIN or is gone. Called in the main thread."""
        self._threads = Threads(threads, self._read, self._run_plain, self._flush)
        self._threads.start()
        if self._async_names:
            self._loop_wanted.set()
        self._loop_wanted.wait()
        if not self._over:
            import asyncio

            asyncio.run(self._run_loop())

    # Reading

    def _read(self) -> list[Task] | None:
        """Wait for bytes and act on their frames; returns the plain calls among them."""
        try:
            size = LARGE_READ_BYTES if self._decoder.pending_bytes else READ_BYTES
            data = self._channel.socket.recv(size)
        except OSError:
            data = b""
        if not data:
            self._end()
            return None
        try:
            return self._act(self._decoder.feed(data))
        except OSError:  # the host is gone, and does not hear our answer
            self._end()
            return None
        except Exception:  # noqa: BLE001  whatever is wrong: no byte that follows can be trusted
            traceback.print_exc()
            os._exit(1)

    def _act(self, received: list[frames.Frame]) -> list[Task] | None:
        plain: list[Task] = []
        for_loop: list[Task] = []
        for kind, call_id, payload in received:
            if kind == frames.CALL:
                task = self._accept(call_id, payload)
                if task is not None and task.call.name in self._async_names:
                    for_loop.append(task)
                elif task is not None:
                    plain.append(task)
            elif kind == frames.CHUNK:
                task = self._tasks.get(call_id)
                if task is not None and task.stream is not None:
                    task.stream.credit(int.from_bytes(payload, "big"))
            elif kind == frames.CANCEL:
                self._cancel(call_id)
            elif kind == frames.PING:
                self._pong(call_id, payload)
            elif kind == frames.DRAIN:
                self._end()
                return None
        if for_loop:
            self._on_loop(self._start_each, for_loop)
        return plain

    def _accept(self, call_id: int, payload: bytes) -> Task | None:
        head = self._last_head
        if head is not None and payload.startswith(head.data):
            body = payload[len(head.data) :]
        else:
            header, body = frames.split_call(payload)
            head = self._last_head = CallHead(header, payload[: len(payload) - len(body)])
        function = self._host.functions.get(head.name)
        if function is None:
            error = CallError("unknown_function", f'Not found. Unknown function "{head.name}"')
            self._channel.send_json(frames.ERROR, call_id, error.envelope)
            return None
        call = context.Call(head.name, head.request_id, head.timeout_s, self._host)
        task = self._tasks[call_id] = Task(call_id, call, function, body)
        if head.is_special:
            self._specify(task, head.header)
        return task

    def _specify(self, task: Task, header: dict[str, Any]) -> None:
        """What a call's header may say beside its name, its request id and its timeout."""
        task.content_type = header.get("type") or values.JSON_TYPE
        task.force_json = bool(header.get("stream"))
        task.call.traceparent = header.get("traceparent")
        if header.get("stream"):
            task.stream = Stream(self._channel, task.call_id, task.call, self._flusher)
            task.call.sink = task.stream

    def _cancel(self, call_id: int) -> None:
        task = self._tasks.get(call_id)
        if task is None:
            return
        task.call.signal.aborted = True
        if self._threads.discard(task):
            self._fail(task, CallError("cancelled", CANCELLED_EARLY))
            return
        if self._loop is not None:
            self._on_loop(self._cancel_async, task)
        if task.stream is not None:
            task.stream.cancel()

    def _pong(self, call_id: int, payload: bytes) -> None:
        """Answer a PING; where there is an event loop, it must be alive to do so."""
        if self._loop is not None:
            self._on_loop(self._channel.send, frames.PONG, call_id, payload)
        else:
            self._channel.send(frames.PONG, call_id, payload)

    def _end(self) -> None:
        self._over = True
        self._loop_wanted.set()
        if self._loop is not None and self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        # Code that never returns must not keep the process: nobody can talk to it any more.
        last_resort = threading.Timer(END_GRACE_S, os._exit, [1])
        last_resort.daemon = True
        last_resort.start()

    # Running

    def _run_plain(self, task: Task) -> None:
        begun = time.perf_counter()
        (task.context or contextvars.copy_context()).run(self._call_plain, task)
        if time.perf_counter() - begun < QUICK_S:
            self._quick.add(task.call.name)
        else:
            self._quick.discard(task.call.name)

    def _call_plain(self, task: Task) -> None:
        context.enter(task.call)
        try:
            if task.call.signal.aborted:  # its CANCEL came with it
                raise CallError("cancelled", CANCELLED_EARLY)
            result = task.invoke() if task.generator is None else task.generator
            if type(result) in PLAIN_TYPES:
                self._answer(task, result)
                return
            if hasattr(result, "__await__") or isinstance(result, AsyncGeneratorType):
                self._on_loop(self._start_async, task, result)
                return
            if isinstance(result, GeneratorType):
                result = run_generator(task.call, task.stream, result)
            self._answer(task, result)
        except BaseException as error:  # noqa: BLE001  whatever a function raises is its answer
            self._fail(task, error)

    def _start_each(self, tasks: list[Task]) -> None:
        for task in tasks:
            self._start_async(task)

    def _start_async(self, task: Task, awaitable: Any = None) -> None:
        assert self._loop is not None
        running = contextvars.copy_context()
        running.run(context.enter, task.call)
        task.asyncio_task = self._loop.create_task(
            self._call_async(task, awaitable), context=running
        )

    async def _call_async(self, task: Task, result: Any) -> None:
        task.begun = True
        try:
            if task.call.signal.aborted:
                if hasattr(result, "close"):
                    result.close()
                raise CallError("cancelled", CANCELLED_EARLY)
            if result is None:
                result = task.invoke()
            if hasattr(result, "__await__"):
                result = await result
            if isinstance(result, GeneratorType):  # it may block, and so needs a thread
                task.generator, task.context = result, contextvars.copy_context()
                self._threads.submit(task)
                return
            if isinstance(result, AsyncGeneratorType):
                await run_async_generator(task.call, result)
                result = None
            await self._drained(task)
            self._answer(task, result)
        except BaseException as error:  # noqa: BLE001  whatever a function raises is its answer
            try:
                await self._drained(task)
            except BaseException:  # noqa: BLE001  cancelled: what was queued has been dropped
                task.call.signal.aborted = True
            self._fail(task, error)

    async def _drained(self, task: Task) -> None:
        """The event loop must not block for a reader that is behind."""
        if task.stream is not None:
            await task.stream.drained()

    def _cancel_async(self, task: Task) -> None:
        # A task that is cancelled before its first step never runs, and so would never answer.
        if task.begun and task.asyncio_task is not None:
            task.asyncio_task.cancel()

    # Answering

    def _answer(self, task: Task, result: Any) -> None:
        """Answer with what the function gave, or with what it has sent to one who did not stream.

        Raises:
            CallError: the result cannot be sent.
        """
        if result is None and task.call.chunks is not None and task.stream is None:
            result = task.call.chunks
        self._finish(task, frames.RESULT, encode(result, force_json=task.force_json))

    def _fail(self, task: Task, error: BaseException) -> None:
        self._finish(task, frames.ERROR, json.dumps(envelope(task.call, error)).encode())

    def _finish(self, task: Task, kind: int, payload: bytes) -> None:
        task.call.settled = True
        for stream in self._streams:
            if stream.open_lines:
                stream.end_call(task.call)
        if task.stream is not None:  # which needs credit until its last chunk is sent
            task.stream.drain()
            task.call.sink = None  # it refers to the call
        del self._tasks[task.call_id]
        if self._known_modules is not None:
            self._report_files()
        try:
            if task.stream is None:
                following = self._threads.peek()
                if following is not None and following.call.name in self._quick:
                    self._channel.hold(kind, task.call_id, payload)
                else:
                    self._channel.send(kind, task.call_id, payload)
            else:
                task.stream.finish(kind, payload)
        except OSError:
            self._end()

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self._end()

    def _report_files(self) -> None:
        """With --reload: tell the host of the files that this call has been the first to import."""
        if self._known_modules != len(sys.modules):
            self._known_modules = len(sys.modules)
            files = python_config.project_files(self._path)
            self._channel.send_json(frames.READY, 0, {"files": files})

    # The event loop

    def _on_loop(self, function: Callable[..., None], *args: object) -> None:
        self._loop_wanted.set()
        while not self._loop_started.wait(END_GRACE_S):
            if self._over:
                return
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *args)

    async def _run_loop(self) -> None:
        import asyncio

        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop_started.set()
        if not self._over:
            await self._stopped.wait()


def main() -> None:
    path, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    channel, streams = prepare_process(settings)
    sys.argv = [str(path)]
    if settings.get("reload"):
        # A .pyc is told from its source by whole seconds: two saves in one would run the first.
        sys.dont_write_bytecode = True
    try:
        host = python_config.load_config(path, settings.get("serve", ""))
        options = python_config.read_options(host, settings["options"])
        files = python_config.project_files(path)
        cached = caching.describe(host.functions, files)
    except BaseException as error:  # noqa: BLE001  whatever the config raises is what it needs to know
        failure = python_config.describe_failure(error, path)
        files = python_config.project_files(path, error)
        channel.send_json(frames.ERROR, 0, {"code": "config", "files": files, **failure})
        sys.exit(1)
    ready = {
        "language": "python",
        "version": sys.version.partition(" ")[0],
        "functions": list(host.functions),
        "options": options,
        "files": files,
        **cached,
    }
    channel.send_json(frames.READY, 0, ready)
    threads = options.get("threads", settings.get("threads", DEFAULT_THREADS))
    if not isinstance(threads, int) or threads < 1:
        threads = DEFAULT_THREADS  # the host refuses the value, and says why
    Worker(channel, host, streams, path, bool(settings.get("reload"))).serve(threads)


if __name__ == "__main__":
    main()
