"""A program's hold on a managed host. Runs in: callers.

The manager keeps a host running for as long as a program holds it.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jshost.client.activity import report
from jshost.client.http.forks import call_after_fork
from jshost.client.settings import settings
from jshost.client.verbosity import DISCONNECT, PROCESS_START
from jshost.exceptions import JSHostError

if TYPE_CHECKING:
    from pathlib import Path

    from jshost.client.http.manager import JSHostManager

__all__ = ["HostHold"]


class HostHold:
    """Keeps the host of one `JSHost` running, by way of the manager.

    Attributes:
        held: the manager's answer ``{config, url, pid, logfile, restarted}``, for as long as this
            process holds the host; else None.
    """

    def __init__(self) -> None:
        self.held: Mapping[str, Any] | None = None
        self._is_released_at_exit = False
        call_after_fork(self)

    @property
    def manager(self) -> JSHostManager:
        """The user's manager."""
        from jshost.client.http.manager import manager  # few programs need it

        return manager

    def connect(self, config_file: Path) -> Mapping[str, Any]:
        """Have the host started where it does not run, and hold it from now on.

        Returns:
            See `held`.
        """
        if not self._is_released_at_exit and self.manager.holder_pid is None:
            atexit.register(self.release)
            self._is_released_at_exit = True
        _warn_in_production()
        answer = self.held = self.manager.connect_host(config_file, self._launch(config_file))
        if answer["restarted"]:
            report(
                PROCESS_START,
                "the host of %s had died, and another one was started (pid %s); its log: %s",
                answer["config"],
                answer["pid"],
                answer["logfile"],
            )
        return answer

    def release(self) -> None:
        """Hold the host no longer."""
        held, self.held = self.held, None
        if held is not None:
            with contextlib.suppress(JSHostError):  # no manager runs, so none counts
                self.manager.disconnect_host(held["config"])
            report(DISCONNECT, "disconnected from the host of %s", held["config"])

    def restart(self, config_file: Path) -> None:
        """Have its process replaced. Raises: ConfigError, ProcessError: as a start."""
        self.manager.restart_host(config_file, self._launch(config_file))

    def stop(self, config_file: Path) -> None:
        """Have it stopped. Raises: ConnectionError: no manager runs."""
        self.manager.stop_host(config_file)
        self.held = None

    def after_fork(self) -> None:
        """The hold is the parent's."""
        self.held = None

    def _launch(self, config_file: Path) -> dict[str, Any]:
        """How the manager is to start the host: as this program runs."""
        from jshost.discovery.log_files import logfile_of

        return {
            "python": sys.executable,
            "folder": settings.SOURCE_ROOT or str(config_file.parent),
            "environment": dict(os.environ),
            "node": settings.PATH_TO_NODE,
            "logfile": str(logfile_of(config_file)),
            "reload": settings.RELOAD,
        }


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
