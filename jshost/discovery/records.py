"""The hosts that run on this machine for this user. Runs in: host, callers, command line.

Every host writes one file into the user's runtime directory (mode 0700) and removes it when it
ends. A file whose process is gone, or whose process id now belongs to another process, counts for
nothing, and the next reader removes it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import sys
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jshost.exceptions import ConfigError

__all__ = [
    "HostRecord",
    "all_hosts",
    "find_hosts",
    "is_alive",
    "runtime_folder",
    "socket_path",
    "start_of_process",
]


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A running host: the config file it serves, where it listens, and which process it is.

    `started_at` is the process's start in seconds since the epoch, as psutil tells it; together
    with the id it names one process and no other.
    """

    config_file: str
    url: str
    pid: int
    started_at: float
    version: str
    managed: bool = False
    """Whether the manager started it."""
    token: str = field(default="", repr=False)
    """Its token, for callers of the same user: only they can read the file."""

    @classmethod
    def of_this_process(
        cls, config_file: Path, url: str, version: str, managed: bool, token: str = ""
    ) -> HostRecord:
        started_at = start_of_process(os.getpid())[0]
        return cls(str(config_file), url, os.getpid(), started_at, version, managed, token)

    @classmethod
    def parse(cls, text: str) -> HostRecord:
        """The record in a file's text. Raises: ValueError: there is none."""
        try:
            record = cls(**json.loads(text))
        except (TypeError, RecursionError) as error:
            raise ValueError(str(error)) from error
        texts = (record.config_file, record.url, record.version, record.token)
        pid_fits = isinstance(record.pid, int) and 0 < record.pid < 2**31
        started_at = record.started_at
        if not pid_fits or not isinstance(started_at, int | float) or not abs(started_at) < 1e12:
            raise ValueError("names no process")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("names no host")
        return record

    @property
    def path(self) -> Path:
        return runtime_folder() / f"host-{_digest(self.config_file)}-{self.pid}.json"

    @property
    def socket_path(self) -> Path:
        """The unix socket that the host listens on for callers on this machine."""
        return socket_path(self.config_file, self.pid)

    def write(self) -> None:
        """Make it known; whole or not at all.

        Raises:
            ConfigError: see `runtime_folder`.
            OSError: the file cannot be written.
        """
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        content = {name: value for name, value in asdict(self).items() if value != ""}
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(content))
        temporary.replace(self.path)
        find_hosts(Path(self.config_file))  # removes what hosts of it left that were killed

    def remove(self) -> None:
        for path in (self.path, self.socket_path):
            with contextlib.suppress(OSError, ConfigError):
                path.unlink()

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return is_alive(self.pid, self.started_at)


def socket_path(config_file: str, pid: int) -> Path:
    """Where the host of this process id listens for callers on this machine."""
    return runtime_folder() / f"host-{_digest(config_file)}-{pid}.sock"


def fastest_url(url: str, socket_path: Path) -> str:
    """`url`, or the unix socket's where there is one: a call takes a tenth less time there."""
    return f"unix://{socket_path}" if socket_path.exists() else url


def is_alive(pid: int, started_at: float) -> bool:
    """Whether the process of this id and start time still runs."""
    try:
        its_start, is_dead = start_of_process(pid)
    except ProcessLookupError:
        return False
    return abs(its_start - started_at) < 1.0 and not is_dead


def start_of_process(pid: int) -> tuple[float, bool]:
    """When it began, in seconds since the epoch as psutil tells it, and whether it is a zombie.

    On Linux read here (proc(5)): every program of a managed host asks, and importing psutil takes
    longer than all else that it does.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if sys.platform != "linux":
        return _start_by_psutil(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = re.search(rb"^btime (\d+)", Path("/proc/stat").read_bytes(), re.MULTILINE)
        ticks = int(fields[19])
    except (OSError, IndexError) as error:
        raise ProcessLookupError(pid) from error
    if boot is None:
        return _start_by_psutil(pid)
    return ticks / os.sysconf("SC_CLK_TCK") + int(boot[1]), fields[0] in (b"Z", b"X")


def _start_by_psutil(pid: int) -> tuple[float, bool]:
    import psutil

    try:
        process = psutil.Process(pid)
        return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error as error:
        raise ProcessLookupError(pid) from error


def runtime_folder() -> Path:
    """The user's own folder for records (mode 0700), made where it is missing.

    Raises:
        ConfigError: it, or the folder it lies in, belongs to another user.
    """
    import platformdirs

    advice = "Set XDG_RUNTIME_DIR to a folder of your own."
    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it falls back to a folder in /tmp, and warns; we check the owner.
        warnings.simplefilter("ignore")
        try:
            folder = Path(platformdirs.user_runtime_dir("jshost", appauthor=False))
        except OSError as error:  # its own check of the fallback's owner
            raise ConfigError(f"{error}. {advice}") from error
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        owners = {path: path.stat().st_uid for path in (folder, folder.parent)}
        if stat.S_IMODE(folder.stat().st_mode) & 0o077 and owners[folder] == os.getuid():
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the runtime directory cannot be made ({error.strerror}). {advice}"
        ) from error
    for path, owner in owners.items():
        if owner != os.getuid() and (path == folder or owner != 0):
            raise ConfigError(
                f"{path}: the runtime directory belongs to user {owner}, not to you. {advice}"
            )
    return folder


def all_hosts() -> list[HostRecord]:
    """The hosts that run, the newest first; stale files are removed."""
    return _read("host-*.json")


def find_hosts(config_file: Path) -> list[HostRecord]:
    """The hosts that serve this config file, the newest first."""
    return _read(f"host-{_digest(str(config_file))}-*.json")


def _read(pattern: str) -> list[HostRecord]:
    found = []
    for path in runtime_folder().glob(pattern):
        try:
            record = HostRecord.parse(path.read_text())
        except FileNotFoundError:
            continue  # its host has just ended
        except (OSError, ValueError):
            record = None
        if record is not None and record.is_alive():
            found.append(record)
        else:
            for stale in (path, path.with_suffix(".sock")):
                with contextlib.suppress(OSError):
                    stale.unlink()
    return sorted(found, key=lambda record: record.started_at, reverse=True)


def _digest(config_file: str) -> str:
    return hashlib.sha1(config_file.encode(), usedforsecurity=False).hexdigest()[:16]
