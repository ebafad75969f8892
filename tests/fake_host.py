"""A host without a wire, for tests of what calls it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jshost.exceptions import CODES
from jshost.host import JSHost
from jshost.http1 import Response

__all__ = ["FakeHost", "failing_host"]


class FakeHost(JSHost):
    """A host without a wire: it keeps each request, and answers what the test gave it."""

    def __init__(
        self,
        content: bytes = b"null",
        status: int = 200,
        content_type: str = "application/json",
        error: Exception | None = None,
    ) -> None:
        super().__init__(root_url="http://fake.invalid")
        self.answer = Response(status, {"content-type": content_type}, content)
        self.error = error
        self.requests: list[dict[str, Any]] = []

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float | None,
    ) -> Response:
        self.requests.append(
            {
                "method": method,
                "target": target,
                "headers": dict(headers),
                "body": body,
                "timeout_s": timeout_s,
            }
        )
        if self.error is not None:
            raise self.error
        return self.answer


def failing_host(code: str = "function_failed", **fields: Any) -> FakeHost:
    """A host that answers with that error."""
    envelope = {"code": code, "message": "it broke", "function": "f", **fields}
    status = CODES[code][0] if code in CODES else 500
    return FakeHost(json.dumps(envelope).encode(), status)
