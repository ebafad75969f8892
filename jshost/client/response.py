"""An answer as HTTP shows it: its status, headers and body. Runs in: callers.

`Function.send_request` returns one, and hooks find one in ``call.response``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Response", "decoded_headers"]


class Response:
    """A host's answer.

    Attributes:
        status_code: the HTTP status.
        headers: by lower-case name.
        content: the body's bytes.
    """

    __slots__ = ("_headers", "content", "status_code")

    def __init__(
        self,
        status_code: int,
        headers: Mapping[str, str] | list[tuple[bytes, bytes]],
        content: bytes,
    ) -> None:
        self.status_code = status_code
        self._headers = headers
        self.content = content

    @property
    def headers(self) -> Mapping[str, str]:
        if isinstance(self._headers, list):  # few callers look
            self._headers = decoded_headers(self._headers)
        return self._headers

    @property
    def content_type(self) -> str:
        """The content type, or ""."""
        if isinstance(self._headers, list):
            for name, value in self._headers:
                if name == b"content-type":
                    return value.decode("latin-1")
        return self.headers.get("content-type", "")

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON. Raises: ValueError."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<Response {self.status_code}, {len(self.content)} bytes>"


def decoded_headers(raw: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        known = headers.get(key)
        headers[key] = text if known is None else f"{known}, {text}"
    return headers
