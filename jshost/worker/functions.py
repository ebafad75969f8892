"""Calling a function with a CALL's body. Runs in: Python workers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any

from jshost.protocol import results, values
from jshost.worker.errors import CallError

__all__ = ["invoke", "is_async"]

# inspect.CO_COROUTINE and CO_ASYNC_GENERATOR; importing inspect would cost 8 ms of every start
ASYNC_FLAGS = 0x80 | 0x200


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine or an async generator, as far as its code shows."""
    while isinstance(function, functools.partial):
        function = function.func
    for candidate in (function, getattr(function, "__call__", None)):  # noqa: B004
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None:
            return bool(code.co_flags & ASYNC_FLAGS)
    return False


def invoke(
    function: Callable[..., Any], name: str, body: bytes, content_type: str = values.JSON_TYPE
) -> Any:
    """Call the function with the body's members as keyword arguments.

    Raises:
        CallError: the body is not an object, or does not fit the function's parameters.
        BaseException: any exception of the function's.
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
                raise CallError("arguments", f"{name}() {problem}", "TypeError") from None
        raise


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


def _depth(traceback: TracebackType | None) -> int:
    depth = 0
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    return depth


def _decorators(function: Any) -> int:
    """How many wrappers `functools.wraps` has put around the function."""
    wrapped = getattr(function, "__wrapped__", None)
    return 0 if wrapped is None else 1 + _decorators(wrapped)


def _signature_problem(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    import inspect

    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # a builtin that has no signature
        return "does not take these arguments: " + ", ".join(arguments)
    return None
