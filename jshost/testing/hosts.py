"""Hosts that run for a test. Runs in: callers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jshost.client.settings import settings
from jshost.exceptions import ProcessError
from jshost.host import JSHost

if TYPE_CHECKING:
    from jshost.embedding.host import EmbeddedHost

__all__ = ["TestHost", "run_embedded", "run_host"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


class TestHost(JSHost):
    """A real host that runs for a test.

    Attributes:
        pid: its process id.
        status: what it said of itself when it listened: ``{type: "Host", config: {...}, ...}``.
    """

    __test__ = False  # pytest looks at what is called Test...

    def __init__(self, url: str, status: dict[str, Any], log: Path) -> None:
        super().__init__(root_url=url)
        self.pid: int = status["pid"]
        self.status = status
        self._log = log

    def log_text(self) -> str:
        """What the host has logged, with all that its functions printed."""
        return self._log.read_text(errors="replace")


@contextlib.contextmanager
def run_host(config: str | os.PathLike[str] | None = None, *flags: str) -> Iterator[TestHost]:
    """Run a real host on a free port, and have all calls go to it, until the end of a ``with``.

    It is known to this program only: neither does a host that runs already get its calls, nor do
    other programs find this one.

    Args:
        config: the config file; None: the settings' CONFIG_FILE.
        flags: options of ``jshost serve``: ``"--workers", "2"``.

    Raises:
        ConfigError: there is no config file.
        ProcessError: the host does not start; the text is its log.

    Example:
        >>> with run_host("host.config.js"):
        ...     assert Function("double").call(number=2) == 4
    """
    path = Path(config).resolve() if config is not None else settings.config_path()
    folder = Path(tempfile.mkdtemp(prefix="jshost-test-"))  # short: unix sockets are in there
    try:
        with _running(path, folder, flags) as host:
            with settings.override(ROOT_URL=host.get_url(), USE_MANAGER=False, EMBEDDED=False):
                yield host
            host.disconnect()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def run_embedded(
    config: str | os.PathLike[str] | None = None, **options: Any
) -> Iterator[EmbeddedHost]:
    """Run functions in workers of the test's own process, and have all calls go to them, until the
    end of a ``with``: `run_host` without a server.

    What functions print goes where the test prints, so that pytest shows it with the test.

    Args:
        config: the config file; None: the settings' CONFIG_FILE.
        options: as of `jshost.embedded`: ``workers=2``.

    Raises:
        ConfigError: there is no config file, or it does not load.

    Example:
        >>> with run_embedded("host.config.js"):
        ...     assert Function("double").call(number=2) == 4
    """
    from jshost.embedding.api import embedded, stand_in

    path = Path(config).resolve() if config is not None else settings.config_path()
    with (
        embedded(path, **options) as host,
        settings.override(EMBEDDED=True, CONFIG_FILE=str(path)),
        stand_in(path, host),
    ):
        yield host


@contextlib.contextmanager
def _running(config: Path, folder: Path, flags: tuple[str, ...]) -> Iterator[TestHost]:
    log = folder / "host.log"
    command = [sys.executable, "-m", "jshost", "serve", str(config), "-p", "0", "--json", *flags]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    if settings.PATH_TO_NODE:
        environment["JSHOST_PATH_TO_NODE"] = settings.PATH_TO_NODE
    if "DJANGO_SETTINGS_MODULE" in environment:  # it is to be found as it was found here
        environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    killer = threading.Timer(START_TIMEOUT_S, process.kill)
    killer.start()
    try:
        line = process.stdout.readline()
        killer.cancel()
        if not line:
            process.wait(STOP_TIMEOUT_S)
            raise ProcessError(f"the host of {config} does not start: {log.read_text().strip()}")
        status = json.loads(line)
        yield TestHost(f"http://127.0.0.1:{status['config']['port']}", status, log)
    finally:
        killer.cancel()
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
    finally:
        assert process.stdout is not None
        process.stdout.close()
