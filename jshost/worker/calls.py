"""From a call's body to its function, and from what that returns or raises to a frame's payload.

Runs in: Python workers.
"""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jshost.protocol import frames, results, values
from jshost.worker.config import user_traceback
from jshost.worker.context import Call

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from jshost.worker.streams import Stream

__all__ = ["CallError", "CallHead", "Task", "encode", "envelope", "invoke", "is_async"]

# inspect.CO_COROUTINE and CO_ASYNC_GENERATOR; importing inspect would cost 8 ms of every start
ASYNC_FLAGS = 0x80 | 0x200

PLAIN_HEADER_FIELDS = 3
CAUSES = 5
PROPERTIES_BYTES = 64 * 1024


class CallError(Exception):
    """A call that cannot be answered with a value; `envelope` is the ERROR frame's JSON."""

    def __init__(self, code: str, message: str, name: str = "", stack: str = "") -> None:
        super().__init__(message)
        self.envelope = {"code": code, "name": name, "message": message, "stack": stack}


class CallHead:
    """What stands before the arguments in a CALL's payload; the calls of a batch share it.

    Attributes:
        header: what it says; more than a name, a request id and a timeout if it `is_special`.
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


class Task:
    """A call on its way: the frame's header as the function sees it, and the body's bytes."""

    __slots__ = (
        *("asyncio_task", "begun", "body", "call", "call_id", "content_type", "context"),
        *("force_json", "function", "generator", "stream"),
    )

    def __init__(self, call_id: int, call: Call, function: Callable[..., Any], body: bytes) -> None:
        self.call_id = call_id
        self.call = call
        self.function = function
        self.body = body
        self.asyncio_task: asyncio.Task[None] | None = None
        self.begun = False
        self.content_type = values.JSON_TYPE
        self.force_json = False
        self.stream: Stream | None = None
        self.generator: Any = None
        """What an async function gave to be run in a thread, in `context`."""
        self.context: contextvars.Context | None = None

    def invoke(self) -> Any:
        return invoke(self.call, self.function, self.body, self.content_type)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine or an async generator, as far as one can tell."""
    while isinstance(function, functools.partial):
        function = function.func
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None:
            return bool(code.co_flags & ASYNC_FLAGS)
    return False


def invoke(
    call: Call, function: Callable[..., Any], body: bytes, content_type: str = values.JSON_TYPE
) -> Any:
    """Call the function with the body's members as keyword arguments.

    Raises:
        CallError: the body is not an object, or does not fit the function's parameters.
        BaseException: whatever the function raises.
    """
    arguments = _parse(body, content_type)
    try:
        return function(**arguments)
    except TypeError as error:
        # One frame for us and one for each decorator: the call itself did not fit. More: the
        # function raised it.
        if _depth(error.__traceback__) <= 1 + _decorators(function):
            problem = _signature_problem(function, arguments)
            if problem is not None:
                message = f"{call.name}() {problem}"
                raise CallError("arguments", message, "TypeError") from None
        raise


def _depth(frame: TracebackType | None) -> int:
    depth = 0
    while frame is not None:
        depth, frame = depth + 1, frame.tb_next
    return depth


def _decorators(function: Any) -> int:
    """How many wrappers `functools.wraps` has put around the function."""
    wrapped = getattr(function, "__wrapped__", None)
    return 0 if wrapped is None else 1 + _decorators(wrapped)


def _parse(body: bytes, content_type: str) -> dict[str, Any]:
    if not body:
        return {}
    try:
        arguments = results.decode_call(content_type, body)
    except RecursionError:
        raise CallError("malformed_json", "the body's JSON is nested too deeply") from None
    except ValueError as error:
        if not content_type.startswith(values.JSON_TYPE):
            message = f"the body is not multipart/form-data: {error}"
            raise CallError("malformed_multipart", message) from None
        kind = "UTF-8" if isinstance(error, UnicodeDecodeError) else "JSON"
        raise CallError("malformed_json", f"the body is not {kind}: {error}") from None
    if not isinstance(arguments, dict):
        kind = {list: "array", str: "string", type(None): "null"}.get(type(arguments), "scalar")
        raise CallError("not_an_object", f"the body must be a JSON object, not a JSON {kind}")
    return arguments


def _signature_problem(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    import inspect

    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # a builtin that tells no signature
        return "does not take these arguments: " + ", ".join(arguments)
    return None


def encode(value: Any, *, force_json: bool = False, what: str = "result") -> bytes:
    """A RESULT frame's payload.

    Raises:
        CallError: the value has no form here, or is too large; the text begins with `what`.
    """
    try:
        form, data = values.encode_result(value, force_json=force_json, what=what)
    except (TypeError, ValueError) as error:
        raise CallError("unserializable_result", str(error), type(error).__name__) from error
    if len(data) >= frames.MAX_PAYLOAD_BYTES:
        message = f"{what}: {len(data)} bytes are over the {frames.MAX_PAYLOAD_BYTES} of a frame"
        raise CallError("unserializable_result", message, "ValueError")
    return form + data


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a broken __str__ must not hide that the function failed
        return f"(its message cannot be shown: {traceback.format_exc(limit=0).strip()})"


def envelope(call: Call, error: BaseException) -> dict[str, Any]:
    """The ERROR frame's JSON for whatever a call ended in."""
    if isinstance(error, CallError):
        return error.envelope
    code = "cancelled" if call.signal.aborted else "function_failed"
    return {"code": code, **_describe(error, 0)}


def _describe(error: BaseException, depth: int) -> dict[str, Any]:
    """An error and what caused it, each with its own stack."""
    try:
        stack = user_traceback(error, chain=False)
    except Exception:  # noqa: BLE001  a call must be answered, whatever its exception looks like
        stack = f"(its traceback cannot be shown: {traceback.format_exc(limit=0).strip()})"
    found: dict[str, Any] = {
        "name": type(error).__name__,
        "message": _message(error),
        "stack": stack,
    }
    properties = _properties(error)
    if properties:
        found["properties"] = properties
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None and depth < CAUSES:
        found["cause"] = _describe(cause, depth + 1)
    return found


def _properties(error: BaseException) -> dict[str, Any]:
    """The public attributes of an exception that JSON can say, to a limit."""
    found: dict[str, Any] = {}
    left = PROPERTIES_BYTES
    for name, value in getattr(error, "__dict__", {}).items():
        if name.startswith("_"):
            continue
        try:
            form, data = values.encode_result(value, force_json=True)
        except Exception:  # noqa: BLE001  a user's __json__() may raise anything; nobody asked for it
            continue
        if form == values.JSON and len(name) + len(data) <= left:
            left -= len(name) + len(data)
            found[name] = json.loads(data)
    return found
