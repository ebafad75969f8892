"""Real hosts for tests: behind a server, inside of the test's process, as a pytest fixture."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from jshost.conf import settings
from jshost.exceptions import ConfigError, ConnectionError, ProcessError
from jshost.function import Function
from jshost.testing import override_function, run_embedded, run_host

pytestmark = pytest.mark.real

CONFIG = """
import os
def double(number): print("doubling"); return number * 2
functions = {"double": double, "pid": os.getppid}
"""


def test_run_host_serves_for_a_while_and_for_this_program_only(tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text(CONFIG)
    settings.configure(SOURCE_ROOT=tmp_path, FUNCTION_TIMEOUT=3)
    with run_host() as host:
        assert Function("double").call(number=2) == 4
        assert Function("pid").call() == host.pid
        assert host.status["config"]["functions"] == ["double", "pid"]
        assert host.status["config"]["workers"] == 1
        assert "doubling" in host.log_text()
        assert settings.FUNCTION_TIMEOUT == 3
        with override_function("double", returns=5):
            assert Function("double").call(number=2) == 5
    assert settings.ROOT_URL is None
    assert not psutil.pid_exists(host.pid)
    with pytest.raises(ConnectionError, match="No running host serves"):
        Function("double").call(number=2)


def test_run_host_takes_the_options_of_serve(tmp_path: Path) -> None:
    (tmp_path / "other.config.py").write_text(CONFIG)
    with run_host(tmp_path / "other.config.py", "--workers", "2") as host:
        assert host.status["config"]["workers"] == 2


def test_run_host_says_why_it_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text("import no_such_module")
    with pytest.raises(ProcessError, match="no_such_module"), run_host(tmp_path / "host.config.py"):
        pytest.fail("it started")
    settings.configure(SOURCE_ROOT=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there is none of"), run_host():
        pytest.fail("it started")
    assert settings.ROOT_URL is None


# Embedded


def test_run_embedded_takes_the_server_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "host.config.py").write_text(CONFIG)
    settings.configure(SOURCE_ROOT=tmp_path, FUNCTION_TIMEOUT=3, USE_MANAGER=True)
    double, pid = Function("double"), Function("pid")
    with run_embedded(workers=2) as host:
        assert double.call(number=2) == 4
        assert capsys.readouterr().out == "doubling\n"
        assert asyncio.run(double.acall(number=3)) == 6
        assert pid.call() == os.getpid()
        assert host.get_config()["workers"] == 2
        assert settings.FUNCTION_TIMEOUT == 3
        workers = [worker["pid"] for worker in host.workers]
        with override_function("double", returns=5):
            assert double.call(number=2) == 5
    assert not any(map(psutil.pid_exists, workers))
    assert (settings.EMBEDDED, settings.USE_MANAGER) == (False, True)


def test_the_inner_one_of_two_hosts_counts(tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text(CONFIG)
    pid = Function("pid")
    with run_embedded(tmp_path / "host.config.py") as outer:
        with run_embedded(tmp_path / "host.config.py") as inner:
            assert pid.get_host() is inner
        assert pid.get_host() is outer
        with run_host(tmp_path / "host.config.py") as served:
            assert pid.call() == served.pid
        assert pid.call() == os.getpid()


def test_run_embedded_says_what_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "host.config.py").write_text("import no_such_module")
    path = tmp_path / "host.config.py"
    with pytest.raises(ConfigError, match="no_such_module"), run_embedded(path):
        pytest.fail("it started")
    assert settings.EMBEDDED is False


# With pytest

TEST_FILE = """
from jshost import Function
from jshost.testing import TestHost

def test_first(js_host):
    assert Function("double").call(number=2) == 4
    assert Function("pid").call() == js_host.pid

def test_second(js_host):
    test_first(js_host)
    assert isinstance(js_host, TestHost)
    assert js_host.log_text().count("doubling") == 2
"""


EMBEDDED_TEST_FILE = """
import os
from jshost import Function

def test_first(js_host):
    assert Function("pid").call() == os.getpid()
    assert js_host.double(number=3) == 6

def test_second(js_host, capsys):
    assert Function("double").call(number=2) == 4
    assert capsys.readouterr().out == "doubling\\n"
"""


@pytest.mark.parametrize("ini", ["", "jshost_config = functions/host.config.py"])
@pytest.mark.parametrize("is_embedded", [False, True])
def test_the_fixture_runs_one_host_for_a_session(
    tmp_path: Path, ini: str, is_embedded: bool
) -> None:
    config = tmp_path / ("functions" if ini else "") / "host.config.py"
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG)
    (tmp_path / "test_it.py").write_text(EMBEDDED_TEST_FILE if is_embedded else TEST_FILE)
    ini += f"\njshost_embedded = {str(is_embedded).lower()}"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "jshost.testing.pytest_plugin"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
