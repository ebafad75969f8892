"""Errors as ERROR frames describe them. Runs in: Python workers."""

from __future__ import annotations

import json
import traceback
from typing import Any

from jshost.protocol import values
from jshost.worker.context import CallContext
from jshost.worker.stacks import user_stack

__all__ = ["CallError", "describe_error"]

DEEPEST_CAUSE = 5
MAX_PROPERTIES_BYTES = 64 * 1024


class CallError(Exception):
    """A call that cannot be answered with a value; `envelope` is the ERROR frame's JSON."""

    def __init__(self, code: str, message: str, name: str = "", stack: str = "") -> None:
        super().__init__(message)
        self.envelope = {"code": code, "name": name, "message": message, "stack": stack}


def describe_error(error: BaseException, call: CallContext) -> dict[str, Any]:
    """The ERROR frame's JSON for any exception."""
    if isinstance(error, CallError):
        return error.envelope
    code = "cancelled" if call.signal.aborted else "function_failed"
    return {"code": code, **_describe(error, 0)}


def _describe(error: BaseException, depth: int) -> dict[str, Any]:
    """An error and its causes, each with its own stack."""
    try:
        stack = user_stack(error, chain=False)
    except Exception:  # noqa: BLE001  a call must be answered, even with a broken exception
        stack = f"(its traceback cannot be shown: {traceback.format_exc(limit=0).strip()})"
    described: dict[str, Any] = {
        "name": type(error).__name__,
        "message": _message(error),
        "stack": stack,
    }
    properties = _properties(error)
    if properties:
        described["properties"] = properties
    cause = error.__cause__
    if cause is None and not error.__suppress_context__:
        cause = error.__context__
    if cause is not None and depth < DEEPEST_CAUSE:
        described["cause"] = _describe(cause, depth + 1)
    return described


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a broken __str__ must not hide that the function failed
        return f"(its message cannot be shown: {traceback.format_exc(limit=0).strip()})"


def _properties(error: BaseException) -> dict[str, Any]:
    """The public attributes of an exception that have a JSON form, up to a limit."""
    found: dict[str, Any] = {}
    left = MAX_PROPERTIES_BYTES
    for name, value in getattr(error, "__dict__", {}).items():
        if name.startswith("_"):
            continue
        try:
            form, data = values.encode_result(value, force_json=True)
        except Exception:  # noqa: BLE001  a user's __json__() may raise anything; it is left out
            continue
        if form == values.JSON and len(name) + len(data) <= left:
            left -= len(name) + len(data)
            found[name] = json.loads(data)
    return found
