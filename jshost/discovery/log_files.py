"""Where the manager and managed hosts log to. Runs in: callers, command line."""

from __future__ import annotations

from pathlib import Path

from jshost.exceptions import ConfigError

__all__ = ["log_folder", "logfile_of"]


def log_folder() -> Path:
    """The user's log directory for jshost, made where it is missing. Raises: ConfigError."""
    import platformdirs

    folder = Path(platformdirs.user_log_dir("jshost", appauthor=False))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder}: the log directory cannot be made ({error.strerror}). Set XDG_STATE_HOME "
            "to a folder of your own."
        ) from error
    return folder


def logfile_of(config_file: Path) -> Path:
    """Where the managed host of a config file logs to, under a name that one can recognise."""
    import hashlib

    digest = hashlib.sha1(str(config_file).encode(), usedforsecurity=False).hexdigest()[:8]
    return log_folder() / f"{config_file.parent.name or 'root'}-{config_file.name}-{digest}.log"
