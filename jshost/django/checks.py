"""What ``manage.py check`` says of a project's use of jshost. Runs in: callers.

============  ==================================================================================
jshost.E001   there is no config file
jshost.E002   JS_HOST has a setting that does not exist
jshost.E003   a setting has a value that it cannot have
jshost.E004   the config file needs Node, and there is none
jshost.E005   USE_MANAGER with DEBUG off (with ``--deploy``; else W001)
jshost.E006   ROOT_URL and USE_MANAGER exclude each other
jshost.E007   no host answers (with ``--deploy``)
jshost.W001   USE_MANAGER with DEBUG off
jshost.W002   a function is named that the running host does not serve
============  ==================================================================================
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core import checks

from jshost.client.settings import DEFAULTS, problem_with, settings
from jshost.exceptions import ConfigError, JSHostError
from jshost.host import JSHost, host

__all__ = ["TAG", "register"]

TAG = "jshost"

Check = Callable[[], Iterable[checks.CheckMessage]]


def register() -> None:
    """Make the checks known to Django, under the tag ``jshost``."""
    for check in (check_settings, check_config_file, check_manager, check_names):
        checks.register(_as_django_calls_it(check), TAG)
    for check in (check_manager_in_production, check_host):
        checks.register(_as_django_calls_it(check), TAG, deploy=True)


def _as_django_calls_it(check: Check) -> Callable[..., list[checks.CheckMessage]]:
    def django_check(app_configs: object = None, **_: Any) -> list[checks.CheckMessage]:
        if app_configs is not None and all(app.name != "jshost" for app in app_configs):  # type: ignore[attr-defined]
            return []
        if check is not check_settings and any(check_settings()):
            return []  # they say what comes first
        return list(check())

    django_check.__name__ = check.__name__
    return django_check


# Settings


def check_settings() -> Iterable[checks.CheckMessage]:
    values = getattr(django_settings, "JS_HOST", {})
    if not isinstance(values, Mapping):
        yield _error(
            "E003",
            f"the Django setting JS_HOST must be a dict of settings, not {values!r}.",
            "JS_HOST = {'SOURCE_ROOT': BASE_DIR, 'USE_MANAGER': DEBUG}",
        )
        return
    found = False
    for name, value in values.items():
        problem = problem_with(name, value)
        if problem is not None:
            found = True
            is_known = name in DEFAULTS
            hint = "Correct it" if is_known else "Correct or remove it"
            yield _error(
                "E003" if is_known else "E002",
                problem,
                f"{hint}; docs/settings.md lists them all.",
            )
    if found:
        return
    try:
        _ = settings.USE_MANAGER
    except ConfigError as error:  # the environment's
        yield _error("E003", str(error), "Correct the environment variable, or remove it.")


# The config file and Node


def check_config_file() -> Iterable[checks.CheckMessage]:
    if settings.ROOT_URL is not None:
        return  # the host runs elsewhere, with its own files
    try:
        path = settings.config_path()
    except ConfigError as error:
        yield _error("E001", str(error), "Write a first one with: manage.py jshost init")
        return
    if not path.is_file():
        yield _error(
            "E001",
            f"The config file {path} does not exist.",
            "Set SOURCE_ROOT and CONFIG_FILE in JS_HOST to where it is, write a first one with "
            "manage.py jshost init, or set ROOT_URL if the host runs elsewhere.",
        )
    elif needs_node(path):
        from jshost.pool.node import find_node

        try:
            find_node(settings.PATH_TO_NODE)
        except ConfigError as error:
            yield _error(
                "E004",
                f"{path} needs Node. {error}",
                "Set PATH_TO_NODE in JS_HOST, or run: pip install 'jshost[node]'",
            )


def needs_node(path: Path) -> bool:
    """Whether a config file is JavaScript, or says outright that it includes some."""
    if path.suffix != ".py":
        return True
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False  # `jshost check` says what is wrong with it
    for node in module.body:
        is_include = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "include"
        if is_include:
            texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            return any(str(text).endswith((".js", ".mjs", ".cjs")) for text in texts)
    return False


# The manager


def check_manager() -> Iterable[checks.CheckMessage]:
    if not settings.USE_MANAGER:
        return
    if settings.ROOT_URL is not None:
        yield _error(
            "E006",
            "ROOT_URL and USE_MANAGER exclude each other: the one says where the host is, the "
            "other has it started.",
            "Remove one of them from JS_HOST.",
        )
    if not django_settings.DEBUG and not _is_tested():
        yield checks.Warning(*_manager_in_production(), id="jshost.W001")


def check_manager_in_production() -> Iterable[checks.CheckMessage]:
    if settings.USE_MANAGER and not django_settings.DEBUG:
        yield checks.Error(*_manager_in_production(), id="jshost.E005")


def _manager_in_production() -> tuple[str, str]:
    return (
        "USE_MANAGER is on while DEBUG is off: the manager is for development only.",
        "Set 'USE_MANAGER': DEBUG in JS_HOST, and run the host under a supervisor: "
        "manage.py jshost serve",
    )


def _is_tested() -> bool:
    """Django's test runners turn DEBUG off, whatever the project says."""
    return hasattr(sys.modules.get("django.core.mail"), "outbox")


# The host, where it can be asked


def check_host() -> Iterable[checks.CheckMessage]:
    if settings.USE_MANAGER:
        return  # asking would have one started; E005 says that it must not be on
    try:
        names = set(host.get_config()["functions"])
    except JSHostError as error:
        yield _error(
            "E007",
            str(error),
            "Start it with manage.py jshost serve, or correct ROOT_URL in JS_HOST.",
        )
        return
    if settings.ROOT_URL is not None and not _is_near(settings.ROOT_URL):
        yield from _unknown_names(names, settings.ROOT_URL)


def check_names() -> Iterable[checks.CheckMessage]:
    """Asks a host that runs on this machine; where none does, nothing can be known."""
    found = _near_host()
    if found is None:
        return
    try:
        names = set(found.get_config()["functions"])
    except JSHostError:
        return  # E007's
    finally:
        found.disconnect()
    yield from _unknown_names(names, found.get_url())


def _near_host() -> JSHost | None:
    if settings.ROOT_URL is not None:
        return JSHost(root_url=settings.ROOT_URL) if _is_near(settings.ROOT_URL) else None
    from jshost.discovery import records

    try:
        running = records.find_hosts(settings.config_path())
    except ConfigError:
        return None
    return JSHost(root_url=running[0].url, token=running[0].token or None) if running else None


def _is_near(url: str) -> bool:
    return urlsplit(url).hostname in (None, "localhost", "127.0.0.1", "::1")


def _unknown_names(served: set[str], url: str) -> Iterable[checks.CheckMessage]:
    from jshost.django.named_functions import named_functions

    for name, place in named_functions():
        if name in served:
            continue
        near = difflib.get_close_matches(name, served, 1)
        serves = f"It serves: {', '.join(sorted(served)) or 'nothing'}."
        yield checks.Warning(
            f'{place}: the host at {url} serves no function "{name}".',
            f'Did you mean "{near[0]}"? {serves}' if near else serves,
            id="jshost.W002",
        )


def _error(number: str, text: str, hint: str) -> checks.CheckMessage:
    return checks.Error(text, hint, id=f"jshost.{number}")
