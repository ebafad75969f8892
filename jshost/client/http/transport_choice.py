"""Chooses the transport for a root URL. Runs in: callers.

A plain ``http://`` URL and a unix socket get our own short path. https, and http through a proxy,
are httpx's.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jshost.client.http.http1 import UNIX_SCHEME
from jshost.client.http.plain_transport import PlainTransport

if TYPE_CHECKING:
    from jshost.client.http.transport import AsyncTransport, Transport

__all__ = ["connect", "connect_async"]


def connect(root_url: str, token: str = "") -> Transport:
    """The transport for a root URL ("http://127.0.0.1:9009", with or without a path)."""
    if _is_plain(root_url):
        return PlainTransport(root_url, token)
    from jshost.client.http.httpx_transport import (
        HttpxTransport,  # takes 90 ms; few programs need it
    )

    return HttpxTransport(root_url, token)


def connect_async(root_url: str, token: str = "") -> AsyncTransport:
    """As `connect`, for the running asyncio loop."""
    if _is_plain(root_url):
        from jshost.client.http.async_plain_transport import AsyncPlainTransport

        return AsyncPlainTransport(root_url, token)
    from jshost.client.http.httpx_transport import AsyncHttpxTransport

    return AsyncHttpxTransport(root_url, token)


def _is_plain(root_url: str) -> bool:
    """Whether the way is unencrypted and goes through no proxy."""
    if root_url.startswith(UNIX_SCHEME):
        return True
    return root_url.startswith("http://") and not _has_proxy(root_url)


def _has_proxy(root_url: str) -> bool:
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in os.environ):
        return False
    from urllib.request import getproxies, proxy_bypass

    host = urlsplit(root_url).hostname or ""
    if host in ("localhost", "127.0.0.1", "::1"):
        return False
    return bool(getproxies().get("http") or getproxies().get("all")) and not proxy_bypass(host)
