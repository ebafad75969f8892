"""`manage.py jshost`: the command line with the project's settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.django_project import DjangoProject
from support.hosts import STOP_TIMEOUT_S, StartHost

CONFIG = """
import os
def hello(name="World"): return f"Hello, {name}!"
def environment(): return os.environ["DJANGO_SETTINGS_MODULE"]
def fail(): raise ValueError("broken")
functions = {"hello": hello, "environment": environment, "fail": fail}
"""


@pytest.fixture
def project(tmp_path: Path) -> DjangoProject:
    js_host = '{"SOURCE_ROOT": BASE_DIR, "CONFIG_FILE": "functions/site.config.py"}'
    return DjangoProject(tmp_path, js_host, {"functions/site.config.py": CONFIG})


def test_serve_runs_the_projects_config_until_a_signal(project: DjangoProject) -> None:
    with subprocess.Popen(
        project.command("jshost", "serve", "-p", "0", "--json"),
        cwd=project.folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as host:
        try:
            assert host.stdout is not None
            status = json.loads(host.stdout.readline())
            assert status["config"]["configFile"] == f"{project.folder}/functions/site.config.py"
            assert status["pid"] == host.pid, "the same process: a supervisor watches it"
            done = project.manage("jshost", "call", "hello", "name=Ada")
            assert (done.returncode, done.stdout) == (0, "Hello, Ada!\n")
            done = project.manage("jshost", "call", "environment")
            assert done.stdout == "project.settings\n"
            done = project.manage("jshost", "call", "fail")
            assert done.returncode == 1
            assert "jshost: fail: ValueError: broken" in done.stderr
            assert "functions/site.config.py" in project.manage("jshost", "status").stdout
        finally:
            host.send_signal(signal.SIGTERM)
            assert host.wait(STOP_TIMEOUT_S) == 0


def test_check_says_what_the_config_serves(project: DjangoProject) -> None:
    done = project.manage("jshost", "check")
    assert done.returncode == 0
    assert "ok: 3 functions" in done.stdout
    (project.folder / "functions/site.config.py").write_text("functions = 1")
    done = project.manage("jshost", "check")
    assert done.returncode == 1
    assert done.stderr.startswith("jshost: ")


def test_exit_codes_are_kept(project: DjangoProject) -> None:
    assert project.manage("jshost", "call", "hello").returncode == 1, "no host runs"
    assert project.manage("jshost", "status").returncode == 1
    assert project.manage("jshost", "call").returncode == 2, "wrong usage"
    assert project.manage("jshost", "logs").returncode == 1


def test_djangos_own_options_stay_djangos(project: DjangoProject) -> None:
    (project.folder / "other_settings.py").write_text(
        "from project.settings import *\nJS_HOST = {'CONFIG_FILE': '/no/such/file.py'}"
    )
    for flags in (["--settings", "other_settings"], ["--settings=other_settings"]):
        done = project.manage("jshost", *flags, "--no-color", "check")
        assert done.returncode == 1
        assert "/no/such/file.py" in done.stderr


def test_status_asks_the_host_that_root_url_names(
    project: DjangoProject, serve: StartHost, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("elsewhere"))}
    host = serve("functions/site.config.py", None, env=elsewhere)
    assert project.manage("jshost", "status").returncode == 1
    done = project.manage("jshost", "status", JSHOST_ROOT_URL=host.url)
    assert (done.returncode, done.stdout.split()[0]) == (0, host.url)


def test_help(project: DjangoProject) -> None:
    for arguments in (["help", "jshost"], ["jshost", "--help"]):
        done = project.manage(*arguments)
        assert done.returncode == 0
        assert "jshost [OPTIONS] COMMAND" in done.stdout
        assert "serve" in done.stdout


CALL_COMMAND = """
import sys
from django.core.management import CommandError, call_command
call_command("jshost", "check")
try:
    call_command("jshost", "call", "hello")
except CommandError as error:
    print(error, error.returncode)
"""


def test_call_command(project: DjangoProject) -> None:
    done = project.manage("shell", "-c", CALL_COMMAND)
    assert done.returncode == 0, done.stderr
    assert "ok: 3 functions" in done.stdout
    assert done.stdout.endswith("jshost call hello failed 1\n")
