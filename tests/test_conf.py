"""The settings: where each comes from, what each may be, and which config file they name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_server import Connection, TinyServer

from jshost.conf import CONFIG_FILE_NAMES, DEFAULTS, settings
from jshost.exceptions import ConfigError, ConnectionError, UnexpectedResponse
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


def test_a_django_project_without_js_host_has_the_defaults(tmp_path: Path) -> None:
    assert read_in_django(tmp_path, None, "print(settings.FUNCTION_TIMEOUT)") == 10.0


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


# Which config file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("first", range(len(CONFIG_FILE_NAMES)))
def test_the_first_config_file_that_exists_is_the_default(folder: Path, first: int) -> None:
    for name in CONFIG_FILE_NAMES[first:]:
        (folder / name).touch()
    assert settings.config_path() == folder / CONFIG_FILE_NAMES[first]


def test_the_order_of_the_config_files() -> None:
    endings = [name.removeprefix("host.config") for name in CONFIG_FILE_NAMES]
    assert endings == [".py", ".js", ".mjs", ".cjs"]


def test_a_folder_of_that_name_is_no_config_file(folder: Path) -> None:
    (folder / "host.config.py").mkdir()
    (folder / "host.config.js").touch()
    assert settings.config_path() == folder / "host.config.js"


def test_the_source_root_is_where_it_is_looked_for(folder: Path) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "host.config.js").touch()
    settings.configure(SOURCE_ROOT="site")
    assert settings.config_path() == folder / "site" / "host.config.js"


def test_a_config_file_is_relative_to_the_source_root(folder: Path) -> None:
    settings.configure(SOURCE_ROOT=folder / "site", CONFIG_FILE="../js/my.config.js")
    assert settings.config_path() == folder / "js" / "my.config.js"
    settings.configure(CONFIG_FILE=folder / "absolute.js")
    assert settings.config_path() == folder / "absolute.js"


def test_without_a_config_file_the_error_says_where_it_looked(folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.config_path()
    assert str(folder) in str(caught.value)
    assert all(name in str(caught.value) for name in CONFIG_FILE_NAMES)
    assert "jshost init" in str(caught.value)


# CONNECT_ONCE_CONFIGURED


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_connecting_at_once_raises_when_nobody_answers(closed_port: int) -> None:
    with pytest.raises(ConnectionError, match=f"127.0.0.1:{closed_port}"):
        settings.configure(ROOT_URL=f"http://127.0.0.1:{closed_port}", CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_raises_when_no_host_serves_the_config_file(folder: Path) -> None:
    (folder / "host.config.js").touch()
    with pytest.raises(ConnectionError, match=rf"{folder}/host.config.js.*jshost serve"):
        settings.configure(CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_raises_when_a_stranger_answers() -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(200, b"<h1>It works!</h1>", {"Content-Type": "text/html"})

    with TinyServer(script) as server, pytest.raises(UnexpectedResponse, match="It works!"):
        settings.configure(ROOT_URL=server.url, CONNECT_ONCE_CONFIGURED=True)


def test_connecting_at_once_asks_the_host_for_its_status() -> None:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(200, b'{"type": "Host", "pid": 1}')

    with TinyServer(script) as server:
        settings.configure(ROOT_URL=server.url, CONNECT_ONCE_CONFIGURED=True)
        settings.reset()
    assert [request.target for request in server.requests] == ["/status"]
