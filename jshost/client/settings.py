"""The settings of a calling program. Runs in: callers.

A setting comes from the first of these that names it: `settings.configure(...)`, the dict
``JS_HOST`` of a configured Django project, the environment variable ``JSHOST_<NAME>``, the default.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from jshost.client.verbosity import Verbosity
from jshost.exceptions import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CONFIG_FILE_NAMES",
    "DEFAULTS",
    "URL_SCHEMES",
    "Setting",
    "Settings",
    "problem_with",
    "settings",
]

URL_SCHEMES = ("http://", "https://", "unix:///")

CONFIG_FILE_NAMES = ("host.config.py", "host.config.js", "host.config.mjs", "host.config.cjs")


class Setting(NamedTuple):
    """A setting's default, how it is checked, and what it must be, in words."""

    default: Any
    check: Callable[[Any], Any]
    wanted: str


def _path(value: Any) -> str:
    return str(os.fspath(value))


def _optional_path(value: Any) -> str | None:
    return None if value is None or value == "" else os.fspath(value)


def _boolean(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False, "": False}
    return (
        words[value.strip().lower()]
        if isinstance(value, str)
        else {True: True, False: False}[value]
    )


def _seconds(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    if isinstance(value, bool) or not 0 < float(value) < 1e9:
        raise ValueError
    return float(value)


def _token(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise ValueError
    return str(value)


def _verbosity(value: Any) -> Verbosity:
    if isinstance(value, str) and not value.isdigit():
        return Verbosity[value.upper()]
    return Verbosity(int(value))


def _url(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not value.startswith(URL_SCHEMES):
        raise ValueError
    return str(value).rstrip("/")


DEFAULTS: Mapping[str, Setting] = {
    "SOURCE_ROOT": Setting(None, _optional_path, "a path"),
    "CONFIG_FILE": Setting(None, _optional_path, "a path"),
    "USE_MANAGER": Setting(False, _boolean, "True or False"),
    "EMBEDDED": Setting(False, _boolean, "True or False"),
    "PATH_TO_NODE": Setting(None, _optional_path, "a path or a command"),
    "PATH_TO_BIN": Setting("jshost", _path, "a path or a command"),
    "FUNCTION_TIMEOUT": Setting(10.0, _seconds, "a number of seconds above 0, or None"),
    "CONNECT_ONCE_CONFIGURED": Setting(False, _boolean, "True or False"),
    "ROOT_URL": Setting(None, _url, "a URL that begins with http://, https:// or unix:///"),
    "RELOAD": Setting(True, _boolean, "True or False"),
    "RETURN_TEXT": Setting(False, _boolean, "True or False"),
    "TOKEN": Setting(None, _token, "the text of a token, or None"),
    "VERBOSITY": Setting(Verbosity.PROCESS_START, _verbosity, "a level of jshost.verbosity"),
}


class Settings:
    """The settings as attributes: ``settings.FUNCTION_TIMEOUT``; read when first needed.

    Once they are read they are instance attributes, which every call can look up for nothing.
    """

    def __init__(self) -> None:
        self._configured: dict[str, Any] = {}
        self._on_change: list[Callable[[], object]] = []
        self._on_configure: list[Callable[[], object]] = []
        self._lock = threading.RLock()  # reading Django's settings may run `configure`

    def configure(self, **values: Any) -> None:
        """Set settings by name; others that were set before stay.

        Raises:
            ConfigError: an unknown name, or a value that the setting cannot have.
            ConnectionError: CONNECT_ONCE_CONFIGURED is set, and no host answers.

        Example:
            >>> settings.configure(ROOT_URL="http://127.0.0.1:9009", FUNCTION_TIMEOUT=2)
        """
        checked = _check_all(values, "settings.configure()")
        with self._lock:
            self._configured.update(checked)
        self.reread()
        for listener in self._on_configure:
            listener()

    def reset(self) -> None:
        """Forget what `configure` has set, and read the other sources again; for tests."""
        with self._lock:
            self._configured.clear()
        self.reread()

    def reread(self) -> None:
        """Read the other sources again; what `configure` has set stays."""
        with self._lock:
            for name in DEFAULTS:
                self.__dict__.pop(name, None)
        for listener in self._on_change:
            listener()

    def on_change(self, listener: Callable[[], object]) -> None:
        """Call `listener()` after every change: what was derived from settings is out of date."""
        self._on_change.append(listener)

    def on_configure(self, listener: Callable[[], object]) -> None:
        """Call `listener()` at the end of every `configure`, after those of `on_change`."""
        self._on_configure.append(listener)

    @contextlib.contextmanager
    def override(self, **values: Any) -> Iterator[None]:
        """As `configure`, until the end of a ``with``; for tests.

        Example:
            >>> with settings.override(FUNCTION_TIMEOUT=0.1):
            ...     test_a_slow_function()
        """
        before = dict(self._configured)
        try:
            self.configure(**values)
            yield
        finally:
            with self._lock:
                self._configured = before
            self.reread()

    def config_path(self) -> Path:
        """The absolute path of the config file: CONFIG_FILE, or the first that exists.

        Raises:
            ConfigError: CONFIG_FILE is not set and SOURCE_ROOT has none of the usual names.
        """
        from pathlib import Path  # with `dataclasses`, half of what this import would cost

        root = Path(self.SOURCE_ROOT or Path.cwd())
        if self.CONFIG_FILE:
            return Path(root, self.CONFIG_FILE).resolve()
        for name in CONFIG_FILE_NAMES:
            if (root / name).is_file():
                return (root / name).resolve()
        raise ConfigError(
            f"{root}: there is none of {', '.join(CONFIG_FILE_NAMES)}. Set SOURCE_ROOT or "
            "CONFIG_FILE, or write a first config file with: jshost init"
        )

    def __getattr__(self, name: str) -> Any:
        """A setting that has not been read yet. Raises: AttributeError: there is none."""
        if name not in DEFAULTS:
            raise AttributeError(name if name.startswith("_") else _unknown(name, "settings"))
        with self._lock:
            values = self._read()
            self.__dict__.update(values)
        return values[name]

    def _read(self) -> dict[str, Any]:
        values = {name: setting.default for name, setting in DEFAULTS.items()}
        environment = {
            name: os.environ[f"JSHOST_{name}"]
            for name in DEFAULTS
            if f"JSHOST_{name}" in os.environ
        }
        _refuse_misspelled(os.environ)
        values.update(_check_all(environment, "the environment", prefix="JSHOST_"))
        values.update(_check_all(_django_settings(), "the Django setting JS_HOST"))
        values.update(self._configured)
        return values


def _check_all(values: Mapping[str, Any], source: str, prefix: str = "") -> dict[str, Any]:
    checked = {}
    for name, value in values.items():
        setting = DEFAULTS.get(name)
        if setting is None:
            raise ConfigError(_unknown(name, source))
        try:
            checked[name] = setting.check(value)
        except (TypeError, ValueError, KeyError, AttributeError):
            given = "" if name == "TOKEN" else f", not {value!r}"  # it is a secret all the same
            raise ConfigError(
                f"{source}: {prefix}{name} must be {setting.wanted}{given}."
            ) from None
    return checked


def problem_with(name: str, value: Any) -> str | None:
    """What is wrong with one setting of JS_HOST, if anything is."""
    try:
        _check_all({name: value}, "the Django setting JS_HOST")
    except ConfigError as error:
        return str(error)
    return None


def _refuse_misspelled(environment: Mapping[str, str]) -> None:
    """A variable that nearly names a setting is a mistake; others are not ours to judge."""
    for variable in environment:
        name = variable.removeprefix("JSHOST_")
        if name == variable or name in DEFAULTS:
            continue
        if _near(name, 0.85):
            raise ConfigError(_unknown(name, "the environment"))


def _near(name: str, cutoff: float = 0.6) -> list[str]:
    import difflib

    return difflib.get_close_matches(name, DEFAULTS, 1, cutoff)


def _unknown(name: str, source: str) -> str:
    near = _near(name.upper())
    hint = f' Did you mean "{near[0]}"?' if near else f" There are: {', '.join(DEFAULTS)}."
    return f'{source}: there is no setting "{name}".{hint}'


def _django_settings() -> Mapping[str, Any]:
    """JS_HOST, where Django is imported and configured; Django is never imported for it."""
    if "django.conf" not in sys.modules and "DJANGO_SETTINGS_MODULE" not in os.environ:
        return {}
    try:
        from django.conf import settings as django_settings
    except ImportError:
        return {}
    if not django_settings.configured and "DJANGO_SETTINGS_MODULE" not in os.environ:
        return {}
    values = getattr(django_settings, "JS_HOST", {})
    if not isinstance(values, Mapping):
        raise ConfigError("the Django setting JS_HOST must be a dict of settings.")
    return values


settings = Settings()
