"""A host as its callers see it. Runs in: callers.

`host` is the one that the settings name; it is found at the first call, not before.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shlex
import sys
import weakref
from typing import TYPE_CHECKING, Any

from jshost.client.activity import report
from jshost.client.http.messages import DeadlinePassed, Request
from jshost.client.http.requests import HostRequests
from jshost.client.settings import URL_SCHEMES, settings
from jshost.client.verbosity import CONNECT, DISCONNECT, PROCESS_START, PROCESS_STOP
from jshost.exceptions import ConfigError, ConnectionError, JSHostError, UnexpectedResponse

if TYPE_CHECKING:
    from pathlib import Path

    from jshost.manager import JSHostManager

__all__ = ["JSHost", "host", "manager"]  # noqa: F822  manager: see __getattr__

STATUS_TIMEOUT_S = 5.0


class JSHost(HostRequests):
    """A host: the one at `root_url`, or the running one that serves `config_file`.

    Args:
        config_file: a config file's path; None: the settings' CONFIG_FILE.
        root_url: where the host, or a proxy in front of it, listens; None: the settings' ROOT_URL
            where no config file is given, else whatever the host registered.
        token: what the host wants to be told; None: the settings' TOKEN, or, for a running host of
            this user, whatever that registered.

    Example:
        >>> other = JSHost(root_url="http://127.0.0.1:9010")
        >>> Function("render", host=other).call(component="App")
    """

    def __init__(
        self,
        config_file: str | Path | None = None,
        *,
        root_url: str | None = None,
        token: str | None = None,
    ) -> None:
        super().__init__()
        self._config_file = _absolute(config_file) if config_file is not None else None
        if root_url is not None and not root_url.startswith(URL_SCHEMES):
            raise ConfigError(
                f"root_url must begin with http://, https:// or unix:///, not {root_url!r}."
            )
        self._root_url = root_url.rstrip("/") if root_url is not None else None
        self._token = token
        self._leaves_at_exit = False
        _hosts.add(self)

    def __repr__(self) -> str:
        return f"<JSHost {self._root_url or self._config_file or 'of the settings'}>"

    @property
    def config_file(self) -> Path:
        """The absolute path of the config file. Raises: ConfigError: there is none."""
        return self._config_file if self._config_file is not None else settings.config_path()

    def get_url(self) -> str:
        """The root URL that calls go to.

        Raises:
            ConnectionError: no URL is set, and no running host serves the config file.
        """
        return self._locate()[0]

    def fastest_url(self) -> str:
        """As `get_url`, by which this machine's processes get there fastest: a unix socket's."""
        return self._locate()[1]

    def _locate(self) -> tuple[str, str, str]:
        """The root URL, the one by which this process gets there fastest, and the token ("": none);
        raises as `get_url`.

        A host that was found is on this machine, and listens on a unix socket, too.
        """
        if self._root_url is not None:
            return self._root_url, self._root_url, self._known_token()
        if self._config_file is None and settings.ROOT_URL is not None:
            if settings.USE_MANAGER:
                raise ConfigError(
                    "ROOT_URL and USE_MANAGER exclude each other: the one says where the host is, "
                    "the other has it started. Remove one of them."
                )
            return str(settings.ROOT_URL), str(settings.ROOT_URL), self._known_token()
        from jshost.discovery import records  # not needed, nor psutil, where ROOT_URL is set

        config_file = self.config_file
        found = records.find_hosts(config_file)
        if settings.USE_MANAGER:
            found = [record for record in found if not record.managed]
            if not found:
                answer = self._connect_managed()
                socket_path = records.socket_path(answer["config"], answer["pid"])
                url = records.fastest_url(answer["url"], socket_path)
                own = [each for each in records.find_hosts(config_file) if each.managed]
                return answer["url"], url, self._known_token(own[0].token if own else "")
        if not found:
            raise ConnectionError(
                f"No running host serves {config_file}. Start one with: jshost serve "
                f"{shlex.quote(str(config_file))} (or set ROOT_URL to where one listens)."
            )
        url = records.fastest_url(found[0].url, found[0].socket_path)
        return found[0].url, url, self._known_token(found[0].token)

    def _known_token(self, registered: str = "") -> str:
        if self._token is not None:
            return self._token
        return registered or settings.TOKEN or ""

    def connect(self) -> None:
        """Find the host and check that it is one.

        Raises:
            ConnectionError: nobody answers.
            UnexpectedResponse: somebody answers who is not a jshost host.
        """
        status = self.request_status()
        report(CONNECT, "connected to the host at %s (pid %s)", self.get_url(), status.get("pid"))

    def disconnect(self) -> None:
        """Close the idle connections, and no longer hold a managed host; a call connects again."""
        self.forget()
        managed, self._managed = self._managed, None
        if managed is not None:
            with contextlib.suppress(JSHostError):  # no manager: then nobody counts
                self.manager.disconnect_host(managed["config"])
            report(DISCONNECT, "disconnected from the host of %s", managed["config"])

    # Managed hosts

    @property
    def manager(self) -> JSHostManager:
        """The user's manager, which starts hosts where USE_MANAGER is set."""
        from jshost.manager import manager

        return manager

    @property
    def logfile(self) -> Path:
        """The absolute path of the file that the managed host of this config file logs to."""
        from jshost.manager import logfile_of

        return logfile_of(self.config_file)

    def restart(self) -> None:
        """Have the manager replace the host's process, on the same port.

        Raises:
            ConfigError, ProcessError: as a start.
        """
        self.manager.restart_host(self.config_file, self._launch())
        self.forget()
        report(PROCESS_START, "restarted the host of %s", self.config_file)

    def stop(self) -> None:
        """Have the manager stop the host, whoever else uses it.

        Raises:
            ConnectionError: no manager runs.
        """
        self.manager.stop_host(self.config_file)
        self.forget()
        self._managed = None
        report(PROCESS_STOP, "stopped the host of %s", self.config_file)

    def _connect_managed(self) -> dict[str, Any]:
        """Have the host started where it does not run, and hold it from now on.

        Returns:
            The manager's answer: ``{config, url, pid, logfile, restarted}``.
        """
        if not self._leaves_at_exit and self.manager.holder_pid is None:
            atexit.register(self.disconnect)
            self._leaves_at_exit = True
        _warn_in_production()
        answer = self._managed = self.manager.connect_host(self.config_file, self._launch())
        if answer["restarted"]:
            report(
                PROCESS_START,
                "the host of %s had died, and another one was started (pid %s); its log: %s",
                answer["config"],
                answer["pid"],
                answer["logfile"],
            )
        return answer

    def _launch(self) -> dict[str, Any]:
        """How the manager is to start the host: as this program runs."""
        return {
            "python": sys.executable,
            "folder": settings.SOURCE_ROOT or str(self.config_file.parent),
            "environment": dict(os.environ),
            "node": settings.PATH_TO_NODE,
            "logfile": str(self.logfile),
            "reload": settings.RELOAD,
        }

    def is_running(self) -> bool:
        """Whether a host answers."""
        try:
            self.request_status()
        except (ConnectionError, UnexpectedResponse):
            return False
        return True

    def request_status(self) -> dict[str, Any]:
        """What the host says of itself now: ``{type: "Host", version, config, pid, ...}``.

        Raises:
            ConnectionError, UnexpectedResponse: as `connect`.
        """
        try:
            response = self.request(Request("GET", "/status", timeout_s=STATUS_TIMEOUT_S))
        except DeadlinePassed:
            raise ConnectionError(
                f"{self.get_url()}/status does not answer within {STATUS_TIMEOUT_S:g} s."
            ) from None
        try:
            status = response.json()
            is_host = status["type"] == "Host"
        except (ValueError, TypeError, KeyError):
            is_host = False
        if not is_host:
            raise UnexpectedResponse(
                f"{self.get_url()}/status answers with {response.status_code}, not as a jshost "
                f"host does: {response.text[:200]!r}"
            )
        assert isinstance(status, dict)
        return status

    get_status = request_status

    def get_config(self) -> dict[str, Any]:
        """The effective configuration of the running host: ``{address, port, functions, ...}``."""
        config = self.request_status()["config"]
        assert isinstance(config, dict)
        return config

    @property
    def _moves(self) -> bool:
        """Whether a restarted host may listen at another address than before."""
        return self._root_url is None and (
            self._config_file is not None or settings.ROOT_URL is None
        )


def _warn_in_production() -> None:
    """The manager is for development: say so where this looks like anything else."""
    signs = _signs_of_production()
    if signs:
        logging.getLogger("jshost.host").warning(
            "USE_MANAGER is on and %s: DO NOT USE THE MANAGER IN PRODUCTION. Run hosts under a "
            "supervisor (jshost serve CONFIG), and set USE_MANAGER in development only, with "
            "Django 'USE_MANAGER': DEBUG in JS_HOST.",
            signs,
        )


def _signs_of_production() -> str:
    """What makes this program look like production; "" where nothing does."""
    django_conf = sys.modules.get("django.conf")
    if django_conf is not None and django_conf.settings.configured:
        is_tested = hasattr(sys.modules.get("django.core.mail"), "outbox")  # with DEBUG off
        return "" if django_conf.settings.DEBUG or is_tested else "Django's DEBUG is off"
    by_hand = any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    if os.geteuid() == 0 and not by_hand and not os.environ.get("CI"):
        return "this program runs as root, without a terminal"
    return ""


def __getattr__(name: str) -> Any:
    """`manager`, which needs more imports than callers without one should pay for."""
    if name == "manager":
        return host.manager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _absolute(config_file: str | Path) -> Path:
    from pathlib import Path

    return Path(config_file).resolve()


_hosts: weakref.WeakSet[JSHost] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_hosts):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)

host = JSHost()
"""The host of the settings, connected at the first call."""

settings.on_change(host.forget)
