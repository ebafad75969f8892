"""The records of running hosts: which count, which are removed, and whose folder it is."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.hosts import wait_until

from jshost.discovery import records
from jshost.discovery.records import (
    HostRecord,
    all_hosts,
    find_hosts,
    runtime_folder,
    start_of_process,
)
from jshost.exceptions import ConfigError

CONFIG = Path("/site/host.config.py")


def record_of(pid: int, config_file: Path = CONFIG, url: str = "http://127.0.0.1:1") -> HostRecord:
    return HostRecord(str(config_file), url, pid, psutil.Process(pid).create_time(), "0.1.0")


@pytest.fixture
def other_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until the test ends it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def files() -> list[str]:
    return sorted(path.name for path in runtime_folder().iterdir())


# What is found


def test_a_host_is_found_by_its_config_file() -> None:
    record = record_of(os.getpid())
    assert find_hosts(CONFIG) == []
    record.write()
    assert find_hosts(CONFIG) == [record]
    assert all_hosts() == [record]
    assert find_hosts(Path("/site/other.config.py")) == []
    assert (record.pid, record.is_alive()) == (os.getpid(), True)


def test_a_host_that_ends_removes_its_record() -> None:
    record = record_of(os.getpid())
    record.write()
    record.remove()
    record.remove()
    assert find_hosts(CONFIG) == []
    assert files() == []


@pytest.mark.real
def test_the_newest_host_comes_first(other_process: subprocess.Popen[bytes]) -> None:
    older, newer = record_of(os.getpid(), url="http://old"), record_of(other_process.pid)
    assert older.started_at < newer.started_at
    newer.write()
    older.write()
    assert find_hosts(CONFIG) == [newer, older]
    assert all_hosts() == [newer, older]


def test_a_host_that_is_written_again_has_one_record() -> None:
    record = record_of(os.getpid())
    record.write()
    moved = replace(record, url="http://127.0.0.1:2")
    moved.write()
    assert find_hosts(CONFIG) == [moved]
    assert len(files()) == 1, "no temporary file is left"


def test_config_files_of_the_same_name_are_told_apart() -> None:
    one, two = (record_of(os.getpid(), Path(f"/{n}/host.config.js")) for n in "ab")
    one.write()
    two.write()
    assert find_hosts(Path("/a/host.config.js")) == [one]
    assert find_hosts(Path("/b/host.config.js")) == [two]
    assert len(all_hosts()) == 2


# What is stale


@pytest.mark.real
def test_a_record_whose_process_is_gone_is_removed(other_process: subprocess.Popen[bytes]) -> None:
    record = record_of(other_process.pid)
    record.write()
    assert find_hosts(CONFIG) == [record]
    other_process.kill()
    other_process.wait()
    assert not record.is_alive()
    assert find_hosts(CONFIG) == []
    assert files() == []


@pytest.mark.real
def test_a_record_whose_process_waits_to_be_buried_is_removed(
    other_process: subprocess.Popen[bytes],
) -> None:
    record = record_of(other_process.pid)
    record.write()
    other_process.kill()
    os.waitid(os.P_PID, other_process.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(other_process.pid).status() == psutil.STATUS_ZOMBIE
    assert find_hosts(CONFIG) == []
    assert files() == []


def test_a_record_of_another_process_with_the_same_number_is_removed() -> None:
    record = record_of(os.getpid())
    replace(record, started_at=record.started_at - 3600).write()
    assert find_hosts(CONFIG) == []
    assert files() == []


def garbage(**changes: Any) -> bytes:
    return json.dumps({**asdict(record_of(os.getpid())), **changes}).encode()


GARBAGE = {
    "nothing": b"",
    "half a record": b'{"config_file": "/si',
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "null": b"null",
    "an object without fields": b"{}",
    "an unknown field": b'{"pid": 1, "colour": "red"}',
    "a process id that is text": lambda: garbage(pid="one"),
    "a process id that is null": lambda: garbage(pid=None),
    "a process id below 0": lambda: garbage(pid=-1),
    "a process id beyond any": lambda: garbage(pid=2**80),
    "a start that is text": lambda: garbage(started_at="today"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_removed_and_hides_nobody(name: str) -> None:
    content: Any = GARBAGE[name]
    good = record_of(os.getpid())
    good.write()
    bad = replace(good, pid=good.pid + 1).path
    bad.write_bytes(content() if callable(content) else content)
    assert find_hosts(CONFIG) == [good]
    assert all_hosts() == [good]
    assert files() == [good.path.name]


def test_what_is_no_record_is_left_alone() -> None:
    (runtime_folder() / "notes.txt").write_text("mine")
    (runtime_folder() / "host-folder.json").mkdir()
    assert all_hosts() == []
    assert files() == ["host-folder.json", "notes.txt"]


# Whose folder it is


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_what_is_in_it_are_the_users_alone(own_runtime_folder: Path) -> None:
    record = record_of(os.getpid())
    record.write()
    assert runtime_folder() == own_runtime_folder / "jshost"
    assert mode(runtime_folder()) == 0o700
    assert mode(record.path) & 0o022 == 0


def test_a_folder_that_others_can_enter_is_closed_to_them(own_runtime_folder: Path) -> None:
    folder = own_runtime_folder / "jshost"
    folder.mkdir()
    folder.chmod(0o777)
    assert runtime_folder() == folder
    assert mode(folder) == 0o700


def test_missing_folders_above_are_made(
    own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own_runtime_folder / "a" / "b"))
    assert runtime_folder() == own_runtime_folder / "a" / "b" / "jshost"
    assert mode(own_runtime_folder / "a" / "b") == 0o700


def test_a_file_in_the_folders_place_is_an_error(own_runtime_folder: Path) -> None:
    (own_runtime_folder / "jshost").touch()
    with pytest.raises(ConfigError, match=r"jshost: the runtime directory cannot be made.*XDG_RUN"):
        runtime_folder()


def require_root() -> None:
    """As `conftest.require`: only root can give a folder to somebody else."""
    if os.getuid() != 0:
        message = "giving a folder to another user takes root"
        if os.environ.get("JSHOST_REQUIRE_ALL"):
            pytest.fail(message)
        pytest.skip(message)


STRANGER = 12345


def test_another_users_folder_is_refused(own_runtime_folder: Path) -> None:
    require_root()
    folder = own_runtime_folder / "jshost"
    folder.mkdir(mode=0o755)
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(ConfigError) as caught:
        all_hosts()
    text = f"{folder}: the runtime directory belongs to user {STRANGER}, not to you."
    assert str(caught.value).startswith(text)
    assert "XDG_RUNTIME_DIR" in str(caught.value)
    assert mode(folder) == 0o755, "it is not ours to change"


@pytest.mark.parametrize("variable", ["set", "not set"])
def test_a_folder_in_another_users_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Neither the one that the variable names, nor one that was put where we look without it."""
    require_root()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    theirs = tmp_path / f"runtime-{os.getuid()}"
    if variable == "set":
        theirs = tmp_path / "run"
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    else:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    theirs.mkdir(mode=0o700)
    os.chown(theirs, STRANGER, STRANGER)
    with contextlib.suppress(ConfigError):
        assert theirs not in runtime_folder().parents
    assert list(theirs.iterdir()) == []


# Processes


@pytest.mark.real
@pytest.mark.parametrize("ask", [start_of_process, records._start_by_psutil])
def test_when_a_process_began(ask: Callable[[int], tuple[float, bool]]) -> None:
    """As psutil tells it: the manager compares the two."""
    began, is_dead = ask(os.getpid())
    assert began == pytest.approx(psutil.Process().create_time(), abs=0.02)
    assert not is_dead
    child = subprocess.Popen(["true"])
    wait_until(lambda: ask(child.pid)[1], 5, "end of the child, unburied")
    child.wait()
    for pid in (child.pid, 2**31 - 1):
        with pytest.raises(ProcessLookupError):
            ask(pid)
