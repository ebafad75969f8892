"""Sets up a host's log: file or stderr, text or JSON. Runs in: host."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jshost.exceptions import ConfigError

__all__ = ["reopen_log", "set_up_logging"]

logger = logging.getLogger("jshost.host")

LOG_BYTES = 5 * 1024 * 1024
LOG_COUNT = 2
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class _ReportsOnce(logging.Handler):
    """A handler that reports lost lines once. Python's default is a traceback for each line, which
    would slow the host down when the disk is full."""

    _has_reported = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._has_reported:
            self._has_reported = True
            problem = sys.exc_info()[1]
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"jshost: the log cannot be written, lines are lost: {problem}\n")
                sys.stderr.flush()


class _LogStream(_ReportsOnce, logging.StreamHandler[Any]):
    pass


class _LogFile(_ReportsOnce, logging.FileHandler):
    pass


class _RotatedLogFile(_ReportsOnce, logging.handlers.RotatingFileHandler):
    pass


class _JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, and the `fields` in its
    `extra`: worker, function, requestId; for a request also method, path, status and ms."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def set_up_logging(
    logfile: str | None,
    verbose: bool,
    rotate: bool,
    *,
    access_log: bool = False,
    as_json: bool = False,
) -> None:
    """Send the lines of the host and its workers to a file (rotated or not) or to stderr.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        handler = _handler(logfile, rotate)
    except OSError as error:
        raise ConfigError(f"{logfile}: cannot be written: {error.strerror}") from error
    handler.setFormatter(_JsonFormatter() if as_json else logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("jshost").setLevel(logging.DEBUG if verbose else logging.INFO)
    access_level = logging.INFO if verbose or access_log else logging.WARNING
    logging.getLogger("jshost.access").setLevel(access_level)


def _handler(logfile: str | None, rotate: bool) -> logging.Handler:
    if logfile is None:
        return _LogStream(sys.stderr)
    if not rotate:
        return _LogFile(logfile, encoding="utf-8", errors="backslashreplace")
    return _RotatedLogFile(
        logfile,
        maxBytes=LOG_BYTES,
        backupCount=LOG_COUNT,
        encoding="utf-8",
        errors="backslashreplace",
    )


def reopen_log() -> None:
    """Open the log file again, in case logrotate has moved it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            try:
                path, errors = Path(handler.baseFilename), handler.errors
                stream = path.open("a", encoding=handler.encoding, errors=errors)
            except OSError as error:
                logger.error("%s: cannot be written: %s", handler.baseFilename, error.strerror)
                continue
            with handler.lock or contextlib.nullcontext():
                old, handler.stream = handler.stream, stream
            if old is not None:
                with contextlib.suppress(OSError):  # a full disk, again
                    old.close()
