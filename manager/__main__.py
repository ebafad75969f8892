"""The entry of the manager: ``python -m jshost_manager JSON``. Runs in: manager.

The JSON is ``{"folder": the user's runtime directory, "logfile": path, "version": jshost's}``. This
process forks the manager and waits for it. Exit code 0: a manager answers, this one or an earlier
one. 1: it cannot start; the reason is on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from .state import ManagerState, lock_folder

LOG_BYTES = 1024 * 1024
LOG_COUNT = 2
LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def main() -> None:
    arguments = json.loads(sys.argv[1])
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as pipe:
            problem = pipe.read()
        sys.stderr.write(problem)
        sys.exit(1 if problem else 0)
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    _become_daemon(arguments, writing)


def _become_daemon(arguments: dict[str, Any], writing: int) -> None:
    """Never returns. Writes to `writing` why the manager cannot start, or closes it once it has."""
    code = 1
    try:
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        _log_to(Path(arguments["logfile"]))
        lock = lock_folder(Path(arguments["folder"]))
        if lock is not None:
            asyncio.run(_serve(arguments, writing))
        code = 0
    except Exception as error:
        logging.getLogger("jshost_manager").exception("the manager failed")
        with contextlib.suppress(OSError):  # it is closed once the manager has started
            os.write(writing, f"jshost manager: {error}\n".encode())
    finally:
        logging.shutdown()
        os._exit(code)


def _log_to(logfile: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(
        logfile, maxBytes=LOG_BYTES, backupCount=LOG_COUNT, delay=True
    )
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("jshost_manager").setLevel(logging.INFO)
    logging.raiseExceptions = False  # a full disk must not stop the manager


async def _serve(arguments: dict[str, Any], writing: int) -> None:
    import psutil

    from .app import make_app, make_server
    from .supervisor import Supervisor

    folder, version = Path(arguments["folder"]), arguments["version"]
    supervisor = Supervisor(folder)
    token = secrets.token_urlsafe(32)
    # asyncio sets TCP_NODELAY only where TCP is named; without it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    server = make_server(make_app(supervisor, token, version))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: asyncio.ensure_future(supervisor.stop_all()))
    started_at = psutil.Process().create_time()
    port = listener.getsockname()[1]
    state = ManagerState(port, token, os.getpid(), started_at, version)
    state.write(folder)
    os.close(writing)
    await supervisor.over.wait()
    state.remove(folder)
    server.leave()
    await asyncio.wait([serving], timeout=2)


if __name__ == "__main__":
    main()
