"""Finds the host that a program calls. Runs in: callers.

A root URL says where it is. Else the host of a config file is looked for among those that run on
this machine, and started by the manager where the setting USE_MANAGER allows it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from jshost.client.settings import URL_SCHEMES, settings
from jshost.exceptions import ConfigError, ConnectionError

if TYPE_CHECKING:
    from pathlib import Path

    from jshost.client.http.host_hold import HostHold

__all__ = ["Location", "Locator"]


class Location(NamedTuple):
    """Where a host is.

    Attributes:
        url: its root URL.
        fastest_url: the one that this machine's processes reach it fastest by: a unix socket's,
            where it has one.
        token: what it wants to be given; "": nothing.
    """

    url: str
    fastest_url: str
    token: str


class Locator:
    """Finds one host, again and again.

    Args: as of `JSHost`.
    """

    def __init__(
        self,
        config_file: Path | None,
        root_url: str | None,
        token: str | None,
        managed: HostHold,
    ) -> None:
        if root_url is not None and not root_url.startswith(URL_SCHEMES):
            raise ConfigError(
                f"root_url must begin with http://, https:// or unix:///, not {root_url!r}."
            )
        self._config_file = config_file
        self._root_url = root_url.rstrip("/") if root_url is not None else None
        self._token = token
        self._managed = managed

    def __str__(self) -> str:
        return str(self._root_url or self._config_file or "of the settings")

    @property
    def config_file(self) -> Path:
        """The absolute path of the config file. Raises: ConfigError: there is none."""
        return self._config_file if self._config_file is not None else settings.config_path()

    @property
    def moves(self) -> bool:
        """Whether a restarted host may listen at another address than before."""
        return self._root_url is None and (
            self._config_file is not None or settings.ROOT_URL is None
        )

    def locate(self) -> Location:
        """Where the host is now; a managed one is started where it does not run.

        Raises:
            ConfigError: there is no config file, or settings exclude each other.
            ConnectionError: no URL is set, and no running host serves the config file.
            ProcessError: the manager, or the host that it starts, does not start.
        """
        url = self._root_url
        if url is None and self._config_file is None and settings.ROOT_URL is not None:
            if settings.USE_MANAGER:
                raise ConfigError(
                    "ROOT_URL and USE_MANAGER exclude each other: the one says where the host is, "
                    "the other has it started. Remove one of them."
                )
            url = str(settings.ROOT_URL)
        if url is not None:
            return Location(url, url, self._known_token())
        return self._find(self.config_file)

    def _find(self, config_file: Path) -> Location:
        """A host that is found is on this machine, and listens on a unix socket, too."""
        from jshost.discovery import records  # not needed, nor psutil, where ROOT_URL is set

        found = records.find_hosts(config_file)
        if settings.USE_MANAGER:
            found = [record for record in found if not record.managed]
            if not found:
                answer = self._managed.connect(config_file)
                socket_path = records.socket_path(answer["config"], answer["pid"])
                url = records.fastest_url(answer["url"], socket_path)
                own = [each for each in records.find_hosts(config_file) if each.managed]
                return Location(answer["url"], url, self._known_token(own[0].token if own else ""))
        if not found:
            raise ConnectionError(
                f"No running host serves {config_file}. Start one with: jshost serve "
                f"{shlex.quote(str(config_file))} (or set ROOT_URL to where one listens)."
            )
        url = records.fastest_url(found[0].url, found[0].socket_path)
        return Location(found[0].url, url, self._known_token(found[0].token))

    def _known_token(self, registered: str = "") -> str:
        if self._token is not None:
            return self._token
        return registered or settings.TOKEN or ""
