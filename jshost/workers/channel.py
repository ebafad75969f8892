"""One worker as its pool talks to it: frames both ways, and its printed lines.

Runs in: host (and any asyncio program that owns a pool).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import deque
from typing import IO, Any, Protocol, cast

from jshost.workers import frames
from jshost.workers.output import LineSplitter, parse_line
from jshost.workers.process import WorkerProcess

__all__ = ["ChannelOwner", "WorkerChannel"]

logger = logging.getLogger("jshost.pool")
output_logger = logging.getLogger("jshost.worker")

STDERR_TAIL_LINES = 20


class ChannelOwner(Protocol):
    """Who hears what a worker says: the pool."""

    def on_answer(self, kind: int, call_id: int, payload: bytes) -> None: ...
    def on_chunk(self, call_id: int, payload: bytes) -> None: ...
    def on_ready(self, worker: WorkerChannel, ready: dict[str, Any]) -> None: ...
    def on_update(self, ready: dict[str, Any]) -> None: ...
    def on_load_failed(self, worker: WorkerChannel, failure: dict[str, Any]) -> None: ...
    def on_pong(self, worker: WorkerChannel) -> None: ...
    def on_gone(self, worker: WorkerChannel) -> None: ...


class WorkerChannel(asyncio.Protocol):
    """One worker's channel and outputs."""

    def __init__(self, number: int, process: WorkerProcess, owner: ChannelOwner) -> None:
        self.number = number
        self.process = process
        self.load_error = ""
        self.expected_end = False
        self.is_ready = False
        self.is_connected = False
        self.is_gone = False
        self.open_outputs = 0
        self._pidfd = -1
        self._owner = owner
        self._decoder = frames.Decoder()
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_TAIL_LINES)
        self._unsent: list[bytes] = []
        self._held: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._pipes: list[asyncio.BaseTransport] = []
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._watch(self.process.stdout, logging.INFO)
            await self._watch(self.process.stderr, logging.WARNING)
            await loop.create_unix_connection(lambda: self, sock=self.process.channel)
            self._watch_process()
        except OSError as error:
            logger.error("worker %d cannot be talked to: %s", self.number, error)
            self._owner.on_gone(self)

    async def _watch(self, pipe: IO[bytes], level: int) -> None:
        self.open_outputs += 1
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: OutputPipe(self, level), pipe)
        self._pipes.append(transport)

    def _watch_process(self) -> None:
        """Hear of the process's end though a child of it holds the channel open (Linux)."""
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self.process.pid)
            loop = asyncio.get_running_loop()
            loop.add_reader(self._pidfd, self._on_process_end)

    def _on_process_end(self) -> None:
        self._forget_process()
        self._owner.on_gone(self)

    def _forget_process(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self.is_connected = True
        for data in self._unsent:
            self._transport.write(data)
        self._unsent.clear()

    def data_received(self, data: bytes) -> None:
        owner = self._owner
        try:
            received = self._decoder.feed(data)
        except frames.FrameError as error:
            logger.error("worker %d is killed: %s", self.number, error)
            self.process.kill()
            return
        for kind, call_id, payload in received:
            if kind == frames.RESULT or (kind == frames.ERROR and call_id):
                owner.on_answer(kind, call_id, payload)
            elif kind == frames.CHUNK:
                owner.on_chunk(call_id, payload)
            elif kind == frames.LOG:
                self.log(json.loads(payload))
            elif kind == frames.PONG:
                owner.on_pong(self)
            elif kind == frames.READY and self.is_ready:
                owner.on_update(json.loads(payload))
            elif kind == frames.READY:
                self.is_ready = True
                owner.on_ready(self, json.loads(payload))
            elif kind == frames.ERROR:
                owner.on_load_failed(self, json.loads(payload))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_connected = False
        self._owner.on_gone(self)

    # Doing

    def send(self, kind: int, call_id: int, payload: bytes = b"") -> None:
        if self._held:
            self._flush()
        data = frames.encode(kind, call_id, payload)
        if self._transport is not None:
            self._transport.write(data)
        else:
            self._unsent.append(data)

    def send_soon(self, kind: int, call_id: int, payload: bytes) -> None:
        """Send it together with what else is sent so, at the end of this turn of the loop."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held.append(frames.encode(kind, call_id, payload))

    def _flush(self) -> None:
        data, self._held = b"".join(self._held), []
        if self._transport is None:
            self._unsent.append(data)
        elif data:
            self._transport.write(data)

    def drain(self) -> None:
        if not self.expected_end:
            self.expected_end = True
            self.send(frames.DRAIN, 0)

    def close(self) -> None:
        self._forget_process()
        if self._transport is not None:
            self._transport.close()
        for pipe in self._pipes:
            pipe.close()
        self.process.close()

    # Saying

    def printed(self, raw: bytes, level: int) -> None:
        line = parse_line(raw)
        if level == logging.WARNING:
            self._stderr_tail.append(line.text)
        self.log(
            {
                "level": "info" if level == logging.INFO else "warning",
                "message": line.text,
                "function": line.function,
                "requestId": line.request_id,
            }
        )

    def log(self, entry: dict[str, Any]) -> None:
        level = logging.getLevelNamesMapping().get(str(entry["level"]).upper(), logging.INFO)
        where = f"worker {self.number}"
        if entry["function"]:
            where += f" {entry['function']} {entry['requestId']}"
        output_logger.log(level, "[%s] %s", where, entry["message"])

    def obituary(self) -> str:
        """What is known of the worker's end: how it ended, and what it said last."""
        process = self.process
        text = f"worker {self.number} (pid {process.pid}) died: {process.describe_end()}"
        if self._stderr_tail:
            text += "; its last lines on stderr:\n" + "\n".join(self._stderr_tail)
        return text


class OutputPipe(asyncio.Protocol):
    """A worker's stdout or stderr, line by line into the host's log."""

    def __init__(self, worker: WorkerChannel, level: int) -> None:
        self._worker = worker
        self._level = level
        self._splitter = LineSplitter()

    def data_received(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._worker.printed(line, self._level)

    def connection_lost(self, exc: Exception | None) -> None:
        for line in self._splitter.end():
            self._worker.printed(line, self._level)
        self._worker.open_outputs -= 1
