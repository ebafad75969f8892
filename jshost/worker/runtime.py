"""A worker's runtime: reads calls, runs their functions, answers. Runs in: Python workers.

A `Runtime` is given a channel and a loaded config, and returns an `ExitReason`. It knows nothing of
the process around it: that is `main`.

Threads take turns at reading the channel. The thread that reads a call runs it itself while another
thread reads on (leader and followers), so a call costs no hop between threads. ``async def``
functions run on one event loop in the thread that called `Runtime.run`; it starts when needed.

js/worker/runtime.mjs is the same for JavaScript.
"""

from __future__ import annotations

import contextvars
import enum
import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from jshost.protocol import frames, values
from jshost.worker.calls import CallHead, RunningCall
from jshost.worker.channel import Channel
from jshost.worker.config import LoadedConfig
from jshost.worker.context import CallContext, enter
from jshost.worker.encoding import encode_result
from jshost.worker.errors import CallError, describe_error
from jshost.worker.functions import invoke, is_async
from jshost.worker.loaded_files import LoadedFiles
from jshost.worker.loop import EventLoop
from jshost.worker.output import MarkedStream
from jshost.worker.streams import Flusher, OutgoingStream, run_async_generator, run_generator
from jshost.worker.threads import Threads

__all__ = ["DEFAULT_THREADS", "ExitReason", "Runtime"]

DEFAULT_THREADS = 32
READ_BYTES = 64 * 1024
LARGE_READ_BYTES = 512 * 1024
"""For the rest of a large frame. Reading so much at once costs a mapping of new memory."""
QUICK_S = 100e-6
"""An answer waits for the answer of a function that takes less, to be sent with it."""
PLAIN_TYPES = frozenset((type(None), bool, int, float, str, bytes, list, dict))
"""Types of results that are encoded as they are: most results have one of them."""
CANCELLED_EARLY = "the call was cancelled before it began"


class ExitReason(enum.Enum):
    """Why a runtime has ended."""

    DRAINED = "drained"
    """The host said DRAIN."""
    HOST_GONE = "host gone"
    """The channel reached EOF, or cannot be written."""
    PROTOCOL_ERROR = "protocol error"
    """The host sent bytes that are no frames; the channel was shut down."""


class Runtime:
    """The calls of one channel.

    Args:
        threads: how many plain functions run at once.
        new_files: reports files that calls are the first to import; for hosts that watch them.
        output: ends the lines that calls print.
        on_end: called when the runtime begins to end, from any thread. `run` returns later, or
            never if an async function blocks the event loop.
    """

    def __init__(
        self,
        channel: Channel,
        config: LoadedConfig,
        *,
        threads: int = DEFAULT_THREADS,
        new_files: LoadedFiles | None = None,
        output: Sequence[MarkedStream] = (),
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._channel = channel
        self._config = config
        self._host = config.host
        self._new_files = new_files
        self._output = output
        self._on_end = on_end
        self._async_names = {
            name for name, function in self._host.functions.items() if is_async(function)
        }
        self._threads = Threads(threads, self._read, self._run_plain, self._flush)
        self._loop = EventLoop()
        self._flusher = Flusher()
        self._decoder = frames.Decoder()
        self._calls: dict[int, RunningCall] = {}
        self._last_head: CallHead | None = None
        self._quick: set[str] = set()
        """Functions whose last call took less than `QUICK_S`."""
        self._loop_thread = 0
        self._exit_reason: ExitReason | None = None

    def run(self) -> ExitReason:
        """Say READY, then read and run calls until the host says DRAIN or is gone."""
        self._loop_thread = threading.get_ident()
        try:
            self._say_ready()
        except OSError:
            return ExitReason.HOST_GONE
        self._threads.start()
        if self._async_names:
            self._loop.want()
        self._loop.run()
        assert self._exit_reason is not None
        return self._exit_reason

    def _say_ready(self) -> None:
        ready = {
            "language": "python",
            "version": sys.version.partition(" ")[0],
            "functions": list(self._host.functions),
            "options": self._config.options,
            "files": self._config.files,
            **self._config.caching,
        }
        self._channel.send_json(frames.READY, 0, ready)

    def _end(self, reason: ExitReason) -> None:
        if self._exit_reason is not None:
            return
        self._exit_reason = reason
        self._on_end()
        if reason is ExitReason.PROTOCOL_ERROR:
            self._channel.shut_down()
        self._flusher.stop()
        self._loop.stop()

    # Reading

    def _read(self) -> list[RunningCall] | None:
        """Wait for bytes and act on their frames; returns the plain calls among them."""
        try:
            size = LARGE_READ_BYTES if self._decoder.pending_bytes else READ_BYTES
            data = self._channel.socket.recv(size)
        except OSError:
            data = b""
        if not data:
            self._end(ExitReason.HOST_GONE)
            return None
        try:
            return self._act(self._decoder.feed(data))
        except OSError:  # the host is gone, and does not hear our answer
            self._end(ExitReason.HOST_GONE)
            return None
        except Exception:  # noqa: BLE001  the bytes that follow cannot be trusted
            traceback.print_exc()
            self._end(ExitReason.PROTOCOL_ERROR)
            return None

    def _act(self, received: list[frames.Frame]) -> list[RunningCall] | None:
        plain: list[RunningCall] = []
        for_loop: list[RunningCall] = []
        for kind, call_id, payload in received:
            if kind == frames.CALL:
                call = self._accept(call_id, payload)
                if call is not None and call.context.name in self._async_names:
                    for_loop.append(call)
                elif call is not None:
                    plain.append(call)
            elif kind == frames.CHUNK:
                call = self._calls.get(call_id)
                if call is not None and call.stream is not None:
                    call.stream.credit(int.from_bytes(payload, "big"))
            elif kind == frames.CANCEL:
                self._cancel(call_id)
            elif kind == frames.PING:
                self._pong(call_id, payload)
            elif kind == frames.DRAIN:
                self._end(ExitReason.DRAINED)
                return None
        if for_loop:
            self._loop.post(self._start_each, for_loop)
        return plain

    def _accept(self, call_id: int, payload: bytes) -> RunningCall | None:
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
        context = CallContext(head.name, head.request_id, head.timeout_s, self._host)
        call = self._calls[call_id] = RunningCall(call_id, context, function, body)
        if head.is_special:
            self._specify(call, head.header)
        return call

    def _specify(self, call: RunningCall, header: dict[str, Any]) -> None:
        """Apply what a header says beside the name, the request id and the timeout."""
        call.content_type = header.get("type") or values.JSON_TYPE
        call.force_json = bool(header.get("stream"))
        call.context.traceparent = header.get("traceparent")
        if header.get("stream"):
            stream = OutgoingStream(
                self._channel, call.id, call.context, self._flusher, self._loop_thread
            )
            call.stream = call.context.sink = stream

    def _cancel(self, call_id: int) -> None:
        call = self._calls.get(call_id)
        if call is None:
            return
        call.context.signal.aborted = True
        if self._threads.discard(call):
            self._fail(call, CallError("cancelled", CANCELLED_EARLY))
            return
        if self._loop.loop is not None:
            self._loop.post(self._cancel_async, call)
        if call.stream is not None:
            call.stream.cancel()

    def _pong(self, call_id: int, payload: bytes) -> None:
        """Answer a PING; an event loop that runs must be alive to do so."""
        if self._loop.loop is not None:
            self._loop.post(self._channel.send, frames.PONG, call_id, payload)
        else:
            self._channel.send(frames.PONG, call_id, payload)

    # Running

    def _run_plain(self, call: RunningCall) -> None:
        begun = time.perf_counter()
        (call.variables or contextvars.copy_context()).run(self._call_plain, call)
        if time.perf_counter() - begun < QUICK_S:
            self._quick.add(call.context.name)
        else:
            self._quick.discard(call.context.name)

    def _call_plain(self, call: RunningCall) -> None:
        enter(call.context)
        try:
            if call.context.signal.aborted:  # its CANCEL came with it
                raise CallError("cancelled", CANCELLED_EARLY)
            result = call.generator
            if result is None:
                result = invoke(call.function, call.context.name, call.body, call.content_type)
            if type(result) in PLAIN_TYPES:
                self._answer(call, result)
                return
            if hasattr(result, "__await__") or isinstance(result, AsyncGeneratorType):
                self._loop.post(self._start_async, call, result)
                return
            if isinstance(result, GeneratorType):
                result = run_generator(call.context, call.stream, result)
            self._answer(call, result)
        except BaseException as error:  # noqa: BLE001  any exception is the function's answer
            self._fail(call, error)

    def _start_each(self, calls: list[RunningCall]) -> None:
        for call in calls:
            self._start_async(call)

    def _start_async(self, call: RunningCall, awaitable: Any = None) -> None:
        assert self._loop.loop is not None
        variables = contextvars.copy_context()
        variables.run(enter, call.context)
        call.asyncio_task = self._loop.loop.create_task(
            self._call_async(call, awaitable), context=variables
        )

    async def _call_async(self, call: RunningCall, result: Any) -> None:
        call.begun = True
        try:
            if call.context.signal.aborted:
                if hasattr(result, "close"):
                    result.close()
                raise CallError("cancelled", CANCELLED_EARLY)
            if result is None:
                result = invoke(call.function, call.context.name, call.body, call.content_type)
            if hasattr(result, "__await__"):
                result = await result
            if isinstance(result, GeneratorType):  # it may block, and so needs a thread
                call.generator, call.variables = result, contextvars.copy_context()
                self._threads.submit(call)
                return
            if isinstance(result, AsyncGeneratorType):
                await run_async_generator(call.context, result)
                result = None
            await self._drained(call)
            self._answer(call, result)
        except BaseException as error:  # noqa: BLE001  any exception is the function's answer
            try:
                await self._drained(call)
            except BaseException:  # noqa: BLE001  cancelled: the queue was dropped
                call.context.signal.aborted = True
            self._fail(call, error)

    async def _drained(self, call: RunningCall) -> None:
        """Wait for a reader that is behind, without blocking the event loop."""
        if call.stream is not None:
            await call.stream.drained()

    def _cancel_async(self, call: RunningCall) -> None:
        # A task that is cancelled before its first step never runs, and so would never answer.
        if call.begun and call.asyncio_task is not None:
            call.asyncio_task.cancel()

    # Answering

    def _answer(self, call: RunningCall, result: Any) -> None:
        """Answer with the function's result, or with its chunks if the caller does not stream.

        Raises:
            CallError: the result cannot be sent.
        """
        if result is None and call.context.chunks is not None and call.stream is None:
            result = call.context.chunks
        self._finish(call, frames.RESULT, encode_result(result, force_json=call.force_json))

    def _fail(self, call: RunningCall, error: BaseException) -> None:
        described = describe_error(error, call.context)
        self._finish(call, frames.ERROR, json.dumps(described).encode())

    def _finish(self, call: RunningCall, kind: int, payload: bytes) -> None:
        call.context.settled = True
        for output in self._output:
            if output.open_lines:
                output.end_call(call.context)
        if call.stream is not None:  # it needs credit until its last chunk is sent
            call.stream.drain()
            call.context.sink = None  # it refers to the context
        del self._calls[call.id]
        try:
            if self._new_files is not None:
                self._report_files(self._new_files)
            if call.stream is None:
                following = self._threads.peek()
                if following is not None and following.context.name in self._quick:
                    self._channel.hold(kind, call.id, payload)
                else:
                    self._channel.send(kind, call.id, payload)
            else:
                call.stream.finish(kind, payload)
        except OSError:
            self._end(ExitReason.HOST_GONE)

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self._end(ExitReason.HOST_GONE)

    def _report_files(self, loaded_files: LoadedFiles) -> None:
        files = loaded_files.more()
        if files is not None:
            self._channel.send_json(frames.READY, 0, {"files": files})
