"""From a call's body to its function, and from what that returns or raises to a frame's payload.

Runs in: Python workers.
"""

from __future__ import annotations

import functools
import json
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from jshost import wire
from jshost.workers import frames
from jshost.workers.context import Call
from jshost.workers.python_config import user_traceback

__all__ = ["CallError", "encode", "envelope", "invoke", "is_async"]

COROUTINE_FLAG = 0x80  # inspect.CO_COROUTINE; importing inspect would cost 8 ms of every start


class CallError(Exception):
    """A call that cannot be answered with a value; `envelope` is the ERROR frame's JSON."""

    def __init__(self, code: str, message: str, name: str = "", stack: str = "") -> None:
        super().__init__(message)
        self.envelope = {"code": code, "name": name, "message": message, "stack": stack}


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine, as far as can be told without calling it."""
    while isinstance(function, functools.partial):
        function = function.func
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None:
            return bool(code.co_flags & COROUTINE_FLAG)
    return False


def invoke(call: Call, function: Callable[..., Any], body: bytes) -> Any:
    """Call the function with the body's members as keyword arguments.

    Raises:
        CallError: the body is not a JSON object, or does not fit the function's parameters.
        BaseException: whatever the function raises.
    """
    arguments = _parse(body)
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


def _parse(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        arguments = _decode(body.decode())
    except UnicodeDecodeError as error:
        raise CallError("malformed_json", f"the body is not UTF-8: {error}") from None
    except RecursionError:
        raise CallError("malformed_json", "the body's JSON is nested too deeply") from None
    except ValueError as error:
        raise CallError("malformed_json", f"the body is not JSON: {error}") from None
    if not isinstance(arguments, dict):
        kind = {list: "array", str: "string", type(None): "null"}.get(type(arguments), "scalar")
        raise CallError("not_an_object", f"the body must be a JSON object, not a JSON {kind}")
    return arguments


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def _signature_problem(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    import inspect

    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # a builtin that tells no signature
        return "does not take these arguments: " + ", ".join(arguments)
    return None


def encode(result: Any) -> bytes:
    try:
        form, data = wire.encode_result(result)
    except (TypeError, ValueError) as error:
        raise CallError("unserializable_result", str(error), type(error).__name__) from error
    if len(data) >= frames.MAX_PAYLOAD_BYTES:
        message = f"result: {len(data)} bytes are over the {frames.MAX_PAYLOAD_BYTES} of a frame"
        raise CallError("unserializable_result", message, "ValueError")
    return form + data


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a broken __str__ must not hide that the function failed
        return f"(its message cannot be shown: {traceback.format_exc(limit=0).strip()})"


def envelope(call: Call, error: BaseException) -> dict[str, str]:
    """The ERROR frame's JSON for whatever a call ended in."""
    if isinstance(error, CallError):
        return error.envelope
    try:
        stack = user_traceback(error)
    except Exception:  # noqa: BLE001  a call must be answered, whatever its exception looks like
        stack = f"(its traceback cannot be shown: {traceback.format_exc(limit=0).strip()})"
    return {
        "code": "cancelled" if call.signal.aborted else "function_failed",
        "name": type(error).__name__,
        "message": _message(error),
        "stack": stack,
    }
