"""The Django app: ``INSTALLED_APPS = ["jshost"]``. Runs in: callers that are Django projects."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed

from jshost.client.settings import settings
from jshost.exceptions import ConfigError

__all__ = ["JSHostConfig"]

RELOADED_BY = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
"""What the reloaders of runserver and runserver_plus say to a process that they have restarted."""


class JSHostConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Registers the checks; keeps a managed host warm; connects where the settings say so."""

    name = "jshost"
    verbose_name = "jshost"

    def ready(self) -> None:
        from jshost.django import checks

        checks.register()
        setting_changed.connect(_reread_settings, dispatch_uid="jshost")
        with contextlib.suppress(ConfigError):  # which the checks and the first call tell of
            if settings.USE_MANAGER and is_reloaded():
                _hold_for_the_reloader()
            if settings.CONNECT_ONCE_CONFIGURED and serves_pages(sys.argv):
                from jshost.host import host

                host.connect()


def _reread_settings(*, setting: str, **_: Any) -> None:
    """``override_settings(JS_HOST=...)`` in a project's tests."""
    if setting == "JS_HOST":
        settings.reread()


def is_reloaded() -> bool:
    """Whether a reloader restarts this process when a file changes."""
    return any(os.environ.get(name) == "true" for name in RELOADED_BY)


def _hold_for_the_reloader() -> None:
    """The host then stays for as long as runserver does, not as long as this process."""
    from jshost.manager import manager

    manager.holder_pid = os.getppid()


def serves_pages(argv: list[str]) -> bool:
    """Whether this process answers requests: no management command but runserver does.

    Example:
        >>> serves_pages(["manage.py", "migrate"])
        False
    """
    program = Path(argv[0]) if argv else Path()
    is_management = program.name in ("manage.py", "django-admin") or program.parent.name == "django"
    if not is_management:
        return True
    if argv[1:2] not in (["runserver"], ["runserver_plus"]):
        return False
    return is_reloaded() or "--noreload" in argv
