"""The settings of a calling program. Runs in: callers.

Example:
    >>> from jshost.conf import settings
    >>> settings.configure(ROOT_URL="http://127.0.0.1:9009", FUNCTION_TIMEOUT=2)
"""

from __future__ import annotations

from jshost.client.settings import CONFIG_FILE_NAMES, DEFAULTS, URL_SCHEMES, Settings, settings

__all__ = ["CONFIG_FILE_NAMES", "DEFAULTS", "URL_SCHEMES", "Settings", "settings"]


def _connect_at_once() -> None:
    if settings.CONNECT_ONCE_CONFIGURED:
        from jshost.host import host  # programs that only configure need no host

        host.connect()


settings.on_configure(_connect_at_once)
