"""The program of a worker that runs a host.config.py's functions. Runs in: Python workers.

`pool/process.py` starts it as ``python main.py CONFIG SETTINGS``. Only this file knows the process:
its arguments, descriptors, stdout and stderr, and how it exits. The work is done by `runtime`.

Uses the standard library only: it must also run where jshost's own dependencies are missing.
"""

# ruff: noqa: E402  which jshost is imported is decided first
from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

OWN = Path(__file__).parent.parent.parent
try:
    import jshost

    if not Path(jshost.__file__).is_relative_to(OWN):  # the npm package's copy runs this
        import runpy

        own = runpy.run_path(str(OWN / "jshost" / "protocol" / "version.py"))
        if own["__version__"] != jshost.__version__:  # whose frames may differ
            for name in [name for name in sys.modules if name.partition(".")[0] == "jshost"]:
                del sys.modules[name]
            sys.path.insert(0, str(OWN))
except ImportError:  # started from a copy that is not installed
    sys.path.append(str(OWN))

from jshost.platform.lifeline import guard_myself
from jshost.protocol import frames
from jshost.worker import config
from jshost.worker.channel import Channel
from jshost.worker.loaded_files import LoadedFiles
from jshost.worker.logs import FrameHandler
from jshost.worker.output import MarkedStream
from jshost.worker.runtime import DEFAULT_THREADS, ExitReason, Runtime

SOCKET_BUFFER_BYTES = 1 << 20
END_GRACE_S = 1.0


def main() -> None:
    path, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv = [str(path)]
    channel = open_channel(settings)
    output = [MarkedStream(1), MarkedStream(2)]
    sys.stdout, sys.stderr = output
    log_to(channel, output)
    files = LoadedFiles(path)
    if settings.get("reload"):
        # A .pyc is compared with its source by whole seconds: two saves in one would run the first.
        sys.dont_write_bytecode = True
    loaded = load_or_exit(path, files, settings, channel)
    threads = loaded.options.get("threads", settings.get("threads", DEFAULT_THREADS))
    if not isinstance(threads, int) or threads < 1:
        threads = DEFAULT_THREADS  # the host refuses the value, and says why
    runtime = Runtime(
        channel,
        loaded,
        threads=threads,
        new_files=files if settings.get("reload") else None,
        output=output,
        on_end=exit_soon,
    )
    if runtime.run() is ExitReason.PROTOCOL_ERROR:
        os._exit(1)


def load_or_exit(
    path: Path, files: LoadedFiles, settings: dict[str, Any], channel: Channel
) -> config.LoadedConfig:
    """Load the config file; if it fails, say why to the host and exit."""
    try:
        return config.load(path, files, settings.get("serve", ""), settings["options"])
    except BaseException as error:  # noqa: BLE001  any error of the config belongs to its author
        failure = config.describe_failure(error, path)
        failure = {"code": "config", "files": files.all(error), **failure}
        channel.send_json(frames.ERROR, 0, failure)
        sys.exit(1)


def open_channel(settings: dict[str, Any]) -> Channel:
    """The channel to the host; child processes get neither it nor the lifeline."""
    for descriptor in (settings["channel"], settings["lifeline"]):
        os.set_inheritable(descriptor, False)
    channel = Channel(socket.socket(fileno=settings["channel"]))
    if settings.get("guard"):
        guard_myself(settings["lifeline"])
        channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
    return channel


def log_to(channel: Channel, output: list[MarkedStream]) -> None:
    """Send log records to the host; a forked child prints its own."""
    root = logging.getLogger()
    handler = FrameHandler(channel)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("host").setLevel(logging.DEBUG)  # the host filters what functions log

    def after_fork() -> None:
        # The child would hold the channel open after us, and another thread of ours may have held
        # any lock when it was forked.
        channel.socket.close()  # not os.close: a grandchild's number may be another file's by now
        for stream in output:
            stream.after_fork()
        if handler in root.handlers:
            root.removeHandler(handler)
            root.addHandler(logging.StreamHandler(sys.stderr))

    os.register_at_fork(after_in_child=after_fork)


def exit_soon() -> None:
    """The last resort: code that never returns must not keep a process without a host."""
    timer = threading.Timer(END_GRACE_S, os._exit, [1])
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
