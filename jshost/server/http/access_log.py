"""The access log: one line for each request. Runs in: host."""

from __future__ import annotations

import logging
import time

from jshost.server.http.request import IncomingRequest

__all__ = ["REFUSALS", "log_access", "log_refusal"]

logger = logging.getLogger("jshost.access")

REFUSALS = {
    400: "bad_request",
    408: "request_late",
    431: "head_too_large",
    503: "too_many_connections",
}
"""The code, in `/metrics` and in the log, of a refusal before there was a request; by status."""


def log_access(request: IncomingRequest, status: int, began: float) -> None:
    """Log a request that is answered; it `began` at that time (monotonic seconds)."""
    if not logger.isEnabledFor(logging.INFO):
        return
    method, ms = request.head.method, (time.monotonic() - began) * 1000
    target = request.target.decode("latin-1")  # as sent: an escaped line end stays escaped
    fields = {"method": method, "path": target, "status": status, "ms": round(ms, 3)}
    logger.info(
        "%s %s %d %.1f ms %s",
        method,
        target,
        status,
        ms,
        request.request_id,
        extra={"fields": {**fields, "requestId": request.request_id}},
    )


def log_refusal(status: int) -> None:
    """Log a client that was refused before there was a request."""
    fields = {"status": status, "code": REFUSALS[status]}
    logger.info("- - %d %s", status, REFUSALS[status], extra={"fields": fields})
