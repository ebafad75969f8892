"""The settings: where each comes from, and what each may be."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from jshost.conf import DEFAULTS, settings
from jshost.exceptions import ConfigError
from jshost.verbosity import Verbosity


def read_in_django(
    folder: Path, js_host: str | None, code: str, environment: dict[str, str] | None = None
) -> Any:
    """What `code` prints as JSON in a Django project with that JS_HOST."""
    lines = ["SECRET_KEY = 'secret'"]
    if js_host is not None:
        lines.append(f"JS_HOST = {js_host}")
    (folder / "site_settings.py").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-c", f"import json\nfrom jshost.conf import settings\n{code}"],
        cwd=folder,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Where a setting comes from


def test_the_defaults() -> None:
    wanted = {
        "SOURCE_ROOT": None,
        "CONFIG_FILE": None,
        "USE_MANAGER": False,
        "PATH_TO_NODE": None,
        "PATH_TO_BIN": "jshost",
        "FUNCTION_TIMEOUT": 10.0,
        "CONNECT_ONCE_CONFIGURED": False,
        "ROOT_URL": None,
        "RETURN_TEXT": False,
        "VERBOSITY": Verbosity.PROCESS_START,
    }
    assert {name: getattr(settings, name) for name in wanted} == wanted
    assert wanted.keys() <= DEFAULTS.keys()


def test_the_environment_beats_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSHOST_FUNCTION_TIMEOUT", "2.5")
    monkeypatch.setenv("JSHOST_RETURN_TEXT", "yes")
    assert settings.FUNCTION_TIMEOUT == 2.5
    assert settings.RETURN_TEXT is True


def test_configure_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSHOST_FUNCTION_TIMEOUT", "2.5")
    settings.configure(FUNCTION_TIMEOUT=None)
    assert settings.FUNCTION_TIMEOUT is None


@pytest.mark.real
def test_each_source_beats_the_next(tmp_path: Path) -> None:
    found = read_in_django(
        tmp_path,
        "{'ROOT_URL': 'http://django', 'PATH_TO_NODE': 'django', 'SOURCE_ROOT': 'django'}",
        "settings.configure(ROOT_URL='http://configure')\n"
        "names = 'ROOT_URL', 'PATH_TO_NODE', 'CONFIG_FILE', 'PATH_TO_BIN'\n"
        "print(json.dumps({name: getattr(settings, name) for name in names}))",
        {
            "JSHOST_ROOT_URL": "http://environment",
            "JSHOST_PATH_TO_NODE": "environment",
            "JSHOST_CONFIG_FILE": "environment",
        },
    )
    assert found == {
        "ROOT_URL": "http://configure",
        "PATH_TO_NODE": "django",
        "CONFIG_FILE": "environment",
        "PATH_TO_BIN": "jshost",
    }


@pytest.mark.real
def test_a_django_project_without_js_host_has_the_defaults(tmp_path: Path) -> None:
    assert read_in_django(tmp_path, None, "print(settings.FUNCTION_TIMEOUT)") == 10.0


@pytest.mark.real
@pytest.mark.parametrize(
    ("js_host", "text"),
    [
        ("{'FUNCTION_TIMEOUT': 0}", "the Django setting JS_HOST: FUNCTION_TIMEOUT must be"),
        ("{'TIMEOUT': 1}", 'the Django setting JS_HOST: there is no setting "TIMEOUT".'),
        ("['ROOT_URL']", "the Django setting JS_HOST must be a dict of settings."),
    ],
)
def test_a_bad_js_host_is_named(tmp_path: Path, js_host: str, text: str) -> None:
    code = """
from jshost import ConfigError
try:
    settings.FUNCTION_TIMEOUT
except ConfigError as error:
    print(json.dumps(str(error)))
"""
    assert read_in_django(tmp_path, js_host, code).startswith(text)


@pytest.mark.real
def test_django_is_not_imported_for_its_settings() -> None:
    code = (
        "import sys\nfrom jshost import settings; settings.VERBOSITY; "
        "print('django' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.real
def test_a_settings_module_may_configure_while_it_is_imported(tmp_path: Path) -> None:
    js_host = "{}\nfrom jshost import settings\nsettings.configure(FUNCTION_TIMEOUT=3)"
    assert read_in_django(tmp_path, js_host, "print(settings.FUNCTION_TIMEOUT)") == 3.0


def test_configure_keeps_what_it_does_not_name() -> None:
    settings.configure(FUNCTION_TIMEOUT=3, RETURN_TEXT=True)
    settings.configure(FUNCTION_TIMEOUT=4)
    assert (settings.FUNCTION_TIMEOUT, settings.RETURN_TEXT) == (4.0, True)


def test_reset_reads_everything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.configure(FUNCTION_TIMEOUT=3)
    monkeypatch.setenv("JSHOST_FUNCTION_TIMEOUT", "5")
    settings.reset()
    assert settings.FUNCTION_TIMEOUT == 5.0


# What a setting may be

GOOD: list[tuple[str, Any, Any]] = [
    ("FUNCTION_TIMEOUT", "none", None),
    ("FUNCTION_TIMEOUT", "0.5", 0.5),
    ("FUNCTION_TIMEOUT", 1, 1.0),
    ("RETURN_TEXT", "0", False),
    ("RETURN_TEXT", "", False),
    ("RETURN_TEXT", " TRUE ", True),
    ("USE_MANAGER", 1, True),
    ("ROOT_URL", "http://127.0.0.1:9009/", "http://127.0.0.1:9009"),
    ("ROOT_URL", "https://host.example/js/", "https://host.example/js"),
    ("ROOT_URL", "", None),
    ("ROOT_URL", None, None),
    ("CONFIG_FILE", Path("a/host.config.js"), "a/host.config.js"),
    ("SOURCE_ROOT", "", None),
    ("VERBOSITY", "verbose", Verbosity.VERBOSE),
    ("VERBOSITY", "0", Verbosity.SILENT),
    ("VERBOSITY", 5, Verbosity.FUNCTION_CALL),
    ("VERBOSITY", Verbosity.CONNECT, Verbosity.CONNECT),
]


@pytest.mark.parametrize(("name", "value", "wanted"), GOOD)
def test_a_good_value(name: str, value: Any, wanted: Any) -> None:
    settings.configure(**{name: value})
    found = getattr(settings, name)
    assert found == wanted
    assert type(found) is type(wanted)


BAD: list[tuple[str, Any]] = [
    ("FUNCTION_TIMEOUT", 0),
    ("FUNCTION_TIMEOUT", -1),
    ("FUNCTION_TIMEOUT", "soon"),
    ("FUNCTION_TIMEOUT", True),
    ("FUNCTION_TIMEOUT", float("nan")),
    ("RETURN_TEXT", "maybe"),
    ("RETURN_TEXT", 2),
    ("RETURN_TEXT", None),
    ("RETURN_TEXT", []),
    ("ROOT_URL", "127.0.0.1:9009"),
    ("ROOT_URL", 9009),
    ("CONFIG_FILE", 1),
    ("VERBOSITY", "loud"),
    ("VERBOSITY", 7),
    ("VERBOSITY", -1),
    ("VERBOSITY", None),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused_and_nothing_changes(name: str, value: Any) -> None:
    before = getattr(settings, name)
    with pytest.raises(ConfigError) as caught:
        settings.configure(**{"USE_MANAGER": True, name: value})
    text = str(caught.value)
    assert text.startswith(f"settings.configure(): {name} must be {DEFAULTS[name].wanted}")
    assert text.endswith(f"not {value!r}.")
    assert getattr(settings, name) == before
    assert settings.USE_MANAGER is False


def test_a_bad_value_in_the_environment_is_named_as_it_stands_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JSHOST_FUNCTION_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match=r"^the environment: JSHOST_FUNCTION_TIMEOUT must be "):
        _ = settings.FUNCTION_TIMEOUT


def test_a_misspelt_variable_of_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be ignored in silence, and the default counted."""
    monkeypatch.setenv("JSHOST_FUNCTION_TIMEOT", "1")
    with pytest.raises(ConfigError, match=r'"FUNCTION_TIMEOT".*Did you mean "FUNCTION_TIMEOUT"'):
        _ = settings.FUNCTION_TIMEOUT


def test_other_variables_of_the_environment_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSHOST_SERVICE_PORT_9009_TCP", "tcp://10.0.0.1:9009")  # as Kubernetes does
    monkeypatch.setenv("MY_JSHOST_FUNCTION_TIMEOUT", "soon")
    assert settings.FUNCTION_TIMEOUT == 10.0


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FUNCTION_TIMEOT", "FUNCTION_TIMEOUT"),
        ("function_timeout", "FUNCTION_TIMEOUT"),
        ("PATH_TO_NODEJS", "PATH_TO_NODE"),
        ("CONNECT_WHEN_CONFIGURED", "CONNECT_ONCE_CONFIGURED"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.configure(**{name: 1})
    assert str(caught.value) == (
        f'settings.configure(): there is no setting "{name}". Did you mean "{near}"?'
    )
    with pytest.raises(AttributeError, match=f'no setting "{name}". Did you mean "{near}"'):
        getattr(settings, name)


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(ConfigError) as caught:
        settings.configure(XYZ=1)
    assert all(name in str(caught.value) for name in DEFAULTS)


def test_the_docs_list_each_setting() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)) == DEFAULTS.keys()
