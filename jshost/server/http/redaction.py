"""Hides the text of functions' errors from callers (option exposeErrors). Runs in: host."""

from __future__ import annotations

import logging

from jshost.exceptions import RemoteError

__all__ = ["redact"]

logger = logging.getLogger("jshost.host")

REDACTED = frozenset(
    ("function_failed", "unserializable_result", "load_failed", "cancelled", "worker_died")
)
"""Codes of errors whose text comes from a function or from its process."""


def redact(error: RemoteError) -> RemoteError:
    """The error without a function's own text: its request id, under which the log has the text."""
    if error.code not in REDACTED:
        return error
    request_id = error.request_id
    lines, cause = [str(error)], error.__cause__
    while isinstance(cause, RemoteError):
        lines.append(f"Caused by: {cause.stack or cause}")
        cause = cause.__cause__
    fields = {"function": error.name, "requestId": request_id}
    text = "\n".join(lines)
    logger.error("[%s] %s failed: %s", request_id, error.name, text, extra={"fields": fields})
    message = f"internal error {request_id}"
    return type(error)(message, name=error.name, code=error.code, request_id=request_id)
