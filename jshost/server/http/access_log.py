"""The access log, and answers to what never became a request. Runs in: host."""

from __future__ import annotations

import logging
import time

from jshost.server.http.request import IncomingRequest

__all__ = ["REFUSALS", "log_access", "log_refusal"]

access_logger = logging.getLogger("jshost.access")

REFUSALS = {
    400: "bad_request",
    408: "request_late",
    431: "head_too_large",
    503: "too_many_connections",
}
"""By status, what `/metrics` and the access log call a refusal that no request was read for."""


def log_access(request: IncomingRequest, status: int, began: float) -> None:
    """The line in the access log of a request that `began` (monotonic seconds)."""
    if not access_logger.isEnabledFor(logging.INFO):
        return
    method, ms = request.head.method, (time.monotonic() - began) * 1000
    target = request.target.decode("latin-1")  # as sent: an escaped line end stays one
    fields = {"method": method, "path": target, "status": status, "ms": round(ms, 3)}
    access_logger.info(
        "%s %s %d %.1f ms %s",
        method,
        target,
        status,
        ms,
        request.request_id,
        extra={"fields": {**fields, "requestId": request.request_id}},
    )


def log_refusal(status: int) -> None:
    """The line of somebody who was refused before there was a request."""
    fields = {"status": status, "code": REFUSALS[status]}
    access_logger.info("- - %d %s", status, REFUSALS[status], extra={"fields": fields})
