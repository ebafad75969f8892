"""The Django app: what it does when a project starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.django_project import DjangoProject
from support.hosts import StartHost

from jshost.apps import is_reloaded, serves_pages

HOST_CONFIG = "exports.functions = {hello: () => 'Hello'};"


def test_import_jshost_never_imports_django(tmp_path: Path) -> None:
    code = "import jshost, jshost.function, jshost.testing, sys; print('django' in sys.modules)"
    assert DjangoProject(tmp_path, files={"manage.py": code}).manage().stdout == "False\n"


@pytest.mark.parametrize(
    ("argv", "serves"),
    [
        (["/srv/.venv/bin/gunicorn", "project.wsgi"], True),
        (["/usr/lib/python3/dist-packages/uvicorn/__main__.py", "project.asgi:app"], True),
        (["worker.py"], True),
        (["manage.py", "migrate"], False),
        (["./manage.py"], False),
        (["/srv/.venv/bin/django-admin", "check"], False),
        (["/srv/site-packages/django/__main__.py", "check"], False),
        (["manage.py", "runserver"], False),
        (["manage.py", "runserver", "--noreload"], True),
        ([], True),
    ],
)
def test_which_processes_serve_pages(argv: list[str], serves: bool) -> None:
    assert serves_pages(argv) == serves


def test_the_process_that_a_reloader_starts_serves_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_reloaded()
    monkeypatch.setenv("RUN_MAIN", "true")
    assert is_reloaded()
    assert serves_pages(["manage.py", "runserver"])


SERVER = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django
django.setup()
print("started")
"""


def test_connect_once_configured(tmp_path: Path, serve: StartHost) -> None:
    """A server does not start without a host; management commands do."""
    host = serve("host.config.js", HOST_CONFIG)
    js_host = f'{{"ROOT_URL": "{host.url}", "CONNECT_ONCE_CONFIGURED": True}}'
    project = DjangoProject(tmp_path, js_host)
    manage_py = (tmp_path / "manage.py").read_text()

    def start() -> tuple[int, str]:
        (tmp_path / "manage.py").write_text(f"import sys; sys.argv[0] = 'gunicorn'\n{SERVER}")
        done = project.manage()
        (tmp_path / "manage.py").write_text(manage_py)
        return done.returncode, done.stdout + done.stderr

    code, said = start()
    assert code == 0
    assert f"connected to the host at {host.url}" in said
    host.stop()
    code, said = start()
    assert code == 1
    assert "jshost.exceptions.ConnectionError" in said
    assert project.manage("check").returncode == 0


def test_a_wrong_setting_does_not_keep_the_app_from_loading(tmp_path: Path) -> None:
    done = DjangoProject(tmp_path, '{"USE_MANAGR": True}').manage("diffsettings")
    assert done.returncode == 0, done.stderr
