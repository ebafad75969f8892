"""`manage.py runserver` with its reloader: the managed host outlives the restarts."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from support import managing
from support.django_project import DjangoProject
from support.hosts import wait_until
from support.managing import User

user = managing.user

FILES = {
    "host.config.py": """
import os
disconnect_timeout = 0.2
functions = {"pid": os.getppid}
""",
    "project/urls.py": """
from django.urls import path
from pages import views
urlpatterns = [path("pid", views.pid), path("server", views.server)]
""",
    "pages/views.py": """
import os
from django.http import HttpResponse
from jshost import Function

def pid(request):
    return HttpResponse(Function("pid").call())

def server(request):
    return HttpResponse(os.getpid())
""",
}
START_TIMEOUT_S = 20.0


@contextmanager
def runserver(
    project: DjangoProject, port: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py runserver`, answering; ended as by Ctrl-C."""
    with (project.folder / "runserver.log").open("wb") as log:
        process = subprocess.Popen(
            project.command("runserver", str(port), "--skip-checks"),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(START_TIMEOUT_S)


def ask(port: int, path: str) -> int | None:
    """The number that a page shows; None while nobody answers, or not to the end."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
            return int(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_host_stays_while_runserver_restarts(tmp_path: Path, user: User, port: int) -> None:
    js_host = '{"SOURCE_ROOT": BASE_DIR, "USE_MANAGER": DEBUG}'
    project = DjangoProject(tmp_path, js_host, FILES)
    with runserver(project, port, user.environment):
        wait_until(lambda: ask(port, "server"), START_TIMEOUT_S, "answer")
        host, server = ask(port, "pid"), ask(port, "server")
        assert host is not None
        restarts = []
        for number in range(2):
            time.sleep(1.1)  # the reloader compares modification times
            views = tmp_path / "pages" / "views.py"
            views.write_text(f"{views.read_text()}\n# {number}\n")
            known = (None, server)
            wait_until(lambda: ask(port, "server") not in known, START_TIMEOUT_S, "restart")  # noqa: B023
            server = ask(port, "server")
            time.sleep(0.5)  # longer than an idle host stays
            assert psutil.pid_exists(host), "before the first call after the restart"
            restarts.append(ask(port, "pid"))
        assert restarts == [host, host]
    log = (tmp_path / "runserver.log").read_text()
    assert not re.search("Traceback|DO NOT USE THE MANAGER", log), log
    wait_until(lambda: not psutil.pid_exists(host), 10, "end of the host after runserver's")
