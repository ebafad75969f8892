"""Calls that a worker runs. Runs in: Python workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jshost.protocol import values
from jshost.worker.context import CallContext
from jshost.worker.streams import OutgoingStream

if TYPE_CHECKING:
    import asyncio
    import contextvars

__all__ = ["CallHead", "RunningCall"]

PLAIN_HEADER_FIELDS = 3


class CallHead:
    """What stands before the arguments in a CALL's payload; the calls of a batch share it.

    Attributes:
        header: its JSON; has more than a name, a request id and a timeout if it `is_special`.
        data: its bytes.
    """

    __slots__ = ("data", "header", "is_special", "name", "request_id", "timeout_s")

    def __init__(self, header: dict[str, Any], data: bytes) -> None:
        self.header = header
        self.data = data
        self.name = str(header["name"])
        self.request_id = str(header["requestId"])
        timeout = header["timeout"]
        assert timeout is None or isinstance(timeout, int | float)
        self.timeout_s = timeout
        self.is_special = len(header) > PLAIN_HEADER_FIELDS


class RunningCall:
    """What the runtime keeps of a call until it is answered.

    Attributes:
        context: what the function sees of it.
        begun: whether its asyncio task has begun.
        generator: what an async function returned to be run in a thread, with `variables`.
    """

    __slots__ = (
        *("asyncio_task", "begun", "body", "content_type", "context", "force_json"),
        *("function", "generator", "id", "stream", "variables"),
    )

    def __init__(
        self, call_id: int, context: CallContext, function: Callable[..., Any], body: bytes
    ) -> None:
        self.id = call_id
        self.context = context
        self.function = function
        self.body = body
        self.content_type = values.JSON_TYPE
        self.force_json = False
        self.stream: OutgoingStream | None = None
        self.begun = False
        self.asyncio_task: asyncio.Task[None] | None = None
        self.generator: Any = None
        self.variables: contextvars.Context | None = None
