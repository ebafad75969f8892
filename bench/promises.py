"""Check what is promised in milliseconds, and fail where one is not kept.

Runs in: the project's Python, by hand or by ``make bench``. Each is measured several times and the
best counts: a busy machine makes them slower, never faster.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import jshost
from jshost.exceptions import FunctionTimeout, ProcessError
from jshost.function import Function
from jshost.testing import run_host

__all__ = ["main"]

CONFIG = """
import os
def spin():
    while True: pass
def stuck():
    print("stuck", flush=True)
    spin()
functions = {"pid": os.getpid, "spin": spin, "stuck": stuck}
"""
ROUNDS = 5


def import_ms() -> float:
    """`import jshost`, beyond what a bare interpreter takes."""
    spent: dict[str, list[float]] = {"pass": [], "import jshost": []}
    for _ in range(15):
        for code, times in spent.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - began)
    bare, ours = (statistics.median(times) for times in spent.values())
    return (ours - bare) * 1000


def killed_worker_ms() -> float:
    """From the death of a worker until its call has failed."""
    found = []
    with run_host():
        for _ in range(ROUNDS):
            pid, died = Function("pid").call(), [0.0]

            def kill(pid: int = pid, died: list[float] = died) -> None:
                died[0] = time.perf_counter()
                os.kill(pid, signal.SIGKILL)

            threading.Timer(0.2, kill).start()
            try:
                Function("stuck", timeout=30).call()
            except ProcessError:
                found.append(time.perf_counter() - died[0])
    return min(found) * 1000


def late_deadline_ms() -> float:
    """How long after its deadline a call is given up whose function never ends."""
    found = []
    with run_host():
        for _ in range(ROUNDS):
            began = time.perf_counter()
            try:
                Function("spin", timeout=0.4).call()
            except FunctionTimeout:
                found.append(time.perf_counter() - began - 0.4)
    return min(found) * 1000


def embedded_deadline_ms() -> float:
    """The same, where the host is embedded."""
    found = []
    with jshost.embedded("host.config.py") as host:
        for _ in range(ROUNDS):
            host.function("pid").call()
            began = time.perf_counter()
            try:
                host.function("spin").with_timeout(0.1).call()
            except FunctionTimeout:
                found.append(time.perf_counter() - began - 0.1)
    return min(found) * 1000


def manager_answer_ms() -> float:
    """An answer of the manager; without TCP_NODELAY it would take 40 ms."""
    from jshost.manager import JSHostManager

    with jshost.settings.override(USE_MANAGER=True, VERBOSITY=0):
        manager, host = JSHostManager(), jshost.JSHost()
        host.connect()
        try:
            found = []
            for _ in range(10 * ROUNDS):
                began = time.perf_counter()
                manager.get_status()
                found.append(time.perf_counter() - began)
        finally:
            host.disconnect()
            manager.stop()
    return statistics.median(found) * 1000


PROMISES: list[tuple[Callable[[], float], float]] = [
    (import_ms, 60),
    (killed_worker_ms, 100),
    (late_deadline_ms, 400),
    (embedded_deadline_ms, 300),
    (manager_answer_ms, 20),
]


def main() -> int:
    """Print each figure beside its limit; 1 where one is beyond it."""
    broken = 0
    with tempfile.TemporaryDirectory(prefix="jshost-promises-") as folder:
        os.chdir(folder)
        os.environ["XDG_RUNTIME_DIR"] = folder
        Path("host.config.py").write_text(CONFIG)
        jshost.settings.configure(SOURCE_ROOT=folder)
        for measure, limit_ms in PROMISES:
            spent_ms = measure()
            broken += spent_ms > limit_ms
            said = (measure.__doc__ or "").rstrip(".")
            print(f"{spent_ms:7.1f} ms (at most {limit_ms:g}): {said}")
        os.chdir("/")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
