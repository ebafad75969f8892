"""The worker that runs a host.config.py's functions. Runs in: Python workers.

Started by `process.spawn` as ``python python_worker.py CONFIG SETTINGS``. Threads take turns at
reading the channel: the one that reads a call gives the reading to another thread and runs the
call itself (leader and followers), so that a call costs no hop between threads. ``async def``
functions run on one event loop in the main thread, which is started when there is one.

Uses the standard library only: it must also run where jshost's own dependencies are missing.
"""

from __future__ import annotations

import contextvars
import json
import logging
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import jshost  # noqa: F401
except ImportError:  # started from a copy that is not installed
    sys.path.append(str(Path(__file__).parent.parent.parent))

from jshost.workers import context, frames, python_config
from jshost.workers.output import MarkedStream
from jshost.workers.python_calls import CallError, encode, envelope, invoke, is_async
from jshost.workers.threads import Threads

if TYPE_CHECKING:
    import asyncio

DEFAULT_THREADS = 32
READ_BYTES = 256 * 1024
END_GRACE_S = 1.0
COPY_LIMIT_BYTES = 64 * 1024


class Channel:
    """Our end of the socket pair: frames out from any thread, one whole frame at a time."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        self.socket.setblocking(True)
        self._lock = threading.Lock()

    def send(self, kind: int, call_id: int, payload: bytes) -> None:
        """Raises: OSError: the host is gone."""
        if len(payload) <= COPY_LIMIT_BYTES:
            data = frames.encode(kind, call_id, payload)
            with self._lock:
                self.socket.sendall(data)
        else:
            header = frames.encode_header(kind, call_id, len(payload))
            with self._lock:
                self.socket.sendall(header)
                self.socket.sendall(payload)

    def send_json(self, kind: int, call_id: int, value: object) -> None:
        self.send(kind, call_id, json.dumps(value).encode())


class FrameHandler(logging.Handler):
    """Log records of the user's code as LOG frames, with the call they belong to."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        call = context.running_call()
        try:
            entry = {
                "level": record.levelname.lower(),
                "message": self.format(record),
                "function": call.name if call else "",
                "requestId": call.request_id if call else "",
            }
            self._channel.send_json(frames.LOG, 0, entry)
        except Exception:  # noqa: BLE001  as in logging's own handlers: a log line fails no call
            self.handleError(record)


class Task:
    """A call on its way: the frame's header as the function sees it, and the body's bytes."""

    __slots__ = ("asyncio_task", "begun", "body", "call", "call_id", "function")

    def __init__(
        self, call_id: int, call: context.Call, function: Callable[..., Any], body: bytes
    ) -> None:
        self.call_id = call_id
        self.call = call
        self.function = function
        self.body = body
        self.asyncio_task: asyncio.Task[None] | None = None
        self.begun = False


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
        self._tasks: dict[int, Task] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._loop_wanted = threading.Event()
        self._loop_started = threading.Event()
        self._over = False

    def serve(self, threads: int) -> None:
        """Read and run calls until the host says DRAIN or is gone. Called in the main thread."""
        self._threads = Threads(threads, self._read, self._run_plain)
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
            data = self._channel.socket.recv(READ_BYTES)
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
        except frames.FrameError:
            traceback.print_exc()
            os._exit(1)

    def _act(self, received: list[frames.Frame]) -> list[Task] | None:
        plain: list[Task] = []
        for kind, call_id, payload in received:
            if kind == frames.CALL:
                task = self._accept(call_id, payload)
                if task is not None and task.call.name in self._async_names:
                    self._on_loop(self._start_async, task)
                elif task is not None:
                    plain.append(task)
            elif kind == frames.CANCEL:
                self._cancel(call_id)
            elif kind == frames.PING:
                self._pong(call_id, payload)
            elif kind == frames.DRAIN:
                self._end()
                return None
        return plain

    def _accept(self, call_id: int, payload: bytes) -> Task | None:
        header, body = frames.split_call(payload)
        name = str(header["name"])
        function = self._host.functions.get(name)
        if function is None:
            error = CallError("unknown_function", f'Not found. Unknown function "{name}"')
            self._channel.send_json(frames.ERROR, call_id, error.envelope)
            return None
        timeout = header["timeout"]
        assert timeout is None or isinstance(timeout, int | float)
        call = context.Call(name, str(header["requestId"]), timeout, self._host)
        task = self._tasks[call_id] = Task(call_id, call, function, body)
        return task

    def _cancel(self, call_id: int) -> None:
        task = self._tasks.get(call_id)
        if task is None:
            return
        task.call.signal.aborted = True
        if self._threads.discard(task):
            self._fail(task, CallError("cancelled", "the call was cancelled before it began"))
        elif self._loop is not None:
            self._on_loop(self._cancel_async, task)

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
        contextvars.copy_context().run(self._call_plain, task)

    def _call_plain(self, task: Task) -> None:
        context.enter(task.call)
        try:
            if task.call.signal.aborted:  # its CANCEL came with it
                raise CallError("cancelled", "the call was cancelled before it began")
            result = invoke(task.call, task.function, task.body)
            if hasattr(result, "__await__"):
                self._on_loop(self._start_async, task, result)
                return
            self._answer(task, encode(result))
        except BaseException as error:  # noqa: BLE001  whatever a function raises is its answer
            self._fail(task, error)

    def _start_async(self, task: Task, awaitable: Any = None) -> None:
        assert self._loop is not None
        running = contextvars.copy_context()
        running.run(context.enter, task.call)
        task.asyncio_task = self._loop.create_task(
            self._call_async(task, awaitable), context=running
        )

    async def _call_async(self, task: Task, awaitable: Any) -> None:
        task.begun = True
        try:
            if task.call.signal.aborted:
                if hasattr(awaitable, "close"):
                    awaitable.close()
                raise CallError("cancelled", "the call was cancelled before it began")
            result = await (
                invoke(task.call, task.function, task.body) if awaitable is None else awaitable
            )
            self._answer(task, encode(result))
        except BaseException as error:  # noqa: BLE001  whatever a function raises is its answer
            self._fail(task, error)

    def _cancel_async(self, task: Task) -> None:
        # A task that is cancelled before its first step never runs, and so would never answer.
        if task.begun and task.asyncio_task is not None:
            task.asyncio_task.cancel()

    # Answering

    def _answer(self, task: Task, payload: bytes) -> None:
        self._finish(task, frames.RESULT, payload)

    def _fail(self, task: Task, error: BaseException) -> None:
        self._finish(task, frames.ERROR, json.dumps(envelope(task.call, error)).encode())

    def _finish(self, task: Task, kind: int, payload: bytes) -> None:
        for stream in self._streams:
            stream.end_call(task.call)
        del self._tasks[task.call_id]
        self._report_files()
        try:
            self._channel.send(kind, task.call_id, payload)
        except OSError:
            self._end()

    def _report_files(self) -> None:
        """With --reload: tell the host of the files that this call has been the first to import."""
        if self._known_modules is not None and self._known_modules != len(sys.modules):
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


def _prepare_process(settings: dict[str, Any]) -> tuple[Channel, list[MarkedStream]]:
    """Keep our descriptors from child processes, and mark what is printed."""
    for descriptor in (settings["channel"], settings["lifeline"]):
        os.set_inheritable(descriptor, False)
    channel = Channel(settings["channel"])
    streams = [MarkedStream(1), MarkedStream(2)]
    sys.stdout, sys.stderr = streams
    root = logging.getLogger()
    handler = FrameHandler(channel)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    os.register_at_fork(after_in_child=lambda: _after_fork(channel, streams, handler))
    logging.getLogger("host").setLevel(logging.DEBUG)  # what a function logs, the host filters
    return channel, streams


def _after_fork(channel: Channel, streams: list[MarkedStream], handler: FrameHandler) -> None:
    """In a forked child: it would hold the channel open after us, and another thread of ours may
    have held any lock when it was forked."""
    channel.socket.close()  # not os.close: a grandchild's number may be another file's by now
    for stream in streams:
        stream.after_fork()
    root = logging.getLogger()
    if handler in root.handlers:
        root.removeHandler(handler)
        root.addHandler(logging.StreamHandler(sys.stderr))


def main() -> None:
    path, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    channel, streams = _prepare_process(settings)
    sys.argv = [str(path)]
    if settings.get("reload"):
        # A .pyc is told from its source by whole seconds: two saves in one would run the first.
        sys.dont_write_bytecode = True
    try:
        host = python_config.load_config(path)
        options = python_config.read_options(host, settings["options"])
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
        "files": python_config.project_files(path),
    }
    channel.send_json(frames.READY, 0, ready)
    threads = options.get("threads", settings.get("threads", DEFAULT_THREADS))
    if not isinstance(threads, int) or threads < 1:
        threads = DEFAULT_THREADS  # the host refuses the value, and says why
    Worker(channel, host, streams, path, bool(settings.get("reload"))).serve(threads)


if __name__ == "__main__":
    main()
