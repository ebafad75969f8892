"""Calling a host's functions. Runs in: callers.

Functions without a host of their own call the one that the settings name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jshost.client.function import Function
from jshost.client.host import choose_default_host, default_host
from jshost.client.settings import settings

if TYPE_CHECKING:
    from jshost.client.host import Host

__all__ = ["Function", "default_host"]


def _host_of_the_settings() -> Host:
    if settings.EMBEDDED:
        from jshost.embedding import api

        return api.default_host()
    from jshost.host import host

    return host


choose_default_host(_host_of_the_settings)
settings.on_change(default_host.cache_clear)
