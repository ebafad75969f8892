"""Programs with an embedded host: how they start, fork, are interrupted, and what they leave."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.hosts import wait_until

CONFIG = {
    "host.config.js": """
let calls = 0;
module.exports = {
  functions: {
    double: ({number}) => number * 2,
    pid: () => process.pid,
    calls: () => calls += 1,
    spin: () => { for (;;); },
    sleep: ({ms}, cb) => { setTimeout(cb, ms, null, ms); },
  },
};
""",
    "host.config.py": """
import os, time
def pid(): return os.getpid()
def spin():
    while True: pass
functions = {"pid": pid, "spin": spin, "sleep": lambda ms: time.sleep(ms / 1000)}
""",
}

both_languages = pytest.mark.parametrize("config", CONFIG)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in CONFIG.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def begin(folder: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import jshost, os, sys, threading, time, signal\n{code}"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, code: str) -> str:
    """What the program prints."""
    process = begin(folder, code)
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return out


def gone(pid: int) -> None:
    wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
        5,
        f"end of worker {pid}",
    )


# The end


@both_languages
def test_a_program_that_ends_leaves_nothing(folder: Path, config: str) -> None:
    pid = int(run(folder, f"host = jshost.embedded({config!r}); print(host.pid())"))
    assert not psutil.pid_exists(pid)


@both_languages
@pytest.mark.parametrize("function", ["pid", "spin"])
def test_kill_9_leaves_nothing(folder: Path, config: str, function: str) -> None:
    code = f"""
host = jshost.embedded({config!r})
print(host.pid(), flush=True)
host.function({function!r}, timeout=None).call()
time.sleep(60)
"""
    process = begin(folder, code)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert psutil.pid_exists(pid)
    time.sleep(0.1)  # until it spins
    process.kill()
    process.communicate()
    gone(pid)


def test_a_program_that_fails_leaves_nothing(folder: Path) -> None:
    code = "host = jshost.embedded('host.config.js'); print(host.pid(), flush=True); 1 / 0"
    process = begin(folder, code)
    out, errors = process.communicate(timeout=30)
    assert "ZeroDivisionError" in errors
    gone(int(out))


def test_a_program_that_ends_in_mid_call(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
print(host.pid(), flush=True)
threading.Thread(target=host.function('spin', timeout=None).call, daemon=True).start()
time.sleep(0.2)
"""
    gone(int(run(folder, code)))


# Interrupts


@pytest.mark.parametrize("where", ["leader", "follower"])
def test_ctrl_c_cancels_the_call_and_leaves_the_host_usable(folder: Path, where: str) -> None:
    code = f"""
host = jshost.embedded('host.config.js')
before = host.pid()
sleep = host.function('sleep', timeout=None)
answers = []
other = threading.Thread(target=lambda: answers.append(sleep.call(ms=1000)))
if {where!r} == 'follower':
    other.start()
    while host.workers[0]['calls'] < 1: time.sleep(0.01)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
if {where!r} == 'leader':
    threading.Timer(0.1, other.start).start()
try:
    sleep.call(ms=20_000)
except KeyboardInterrupt:
    print('interrupted', answers)  # before the other call, which takes a second, has ended
print(host.double(number=2), host.pid() == before)
other.join()
print(answers)
"""
    # the call that nobody waits for ends in 20 s: its worker is replaced, once the other has ended
    assert run(folder, code) == "interrupted []\n4 True\n[1000]\n"


def test_ctrl_c_stops_what_spins(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
before = host.pid()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    host.function('spin', timeout=None).call()
except KeyboardInterrupt:
    print('interrupted')
print(host.double(number=2), host.pid() != before)
"""
    assert run(folder, code) == "interrupted\n4 True\n"


def test_a_load_that_was_interrupted_begins_anew(folder: Path) -> None:
    """Ctrl-C where the worker says that it is ready costs the worker, but not the next call."""
    code = """
from jshost.pool.channel import WorkerChannel
host = jshost.embedded('host.config.js')
take = WorkerChannel._take
def interrupted(self, data):
    WorkerChannel._take = take
    raise KeyboardInterrupt
WorkerChannel._take = interrupted
try:
    host.double(number=1)
except KeyboardInterrupt:
    print('interrupted', host.double(number=2))
"""
    assert run(folder, code) == "interrupted 4\n"


def test_interrupts_at_any_time(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
double = host.function('double', timeout=20)
stop = False
def interrupt():
    while not stop:
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)
class Interrupted(BaseException): pass
armed = False
def handle(*_):
    if armed: raise Interrupted
signal.signal(signal.SIGUSR1, handle)
threading.Thread(target=interrupt, daemon=True).start()
interrupts = 0
end = time.monotonic() + 3
while time.monotonic() < end:
    try:
        armed = True
        double.call(number=1)
        armed = False
    except Interrupted:
        armed = False
        interrupts += 1
    except jshost.ProcessError:
        armed = False
stop = True
for _ in range(3):
    try: double.call(number=1)
    except jshost.ProcessError: pass
print(interrupts > 5, double.call(number=2))
"""
    assert run(folder, code) == "True 4\n"


# Forks


def test_a_forked_child_has_workers_of_its_own(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
parent = host.pid()
child = os.fork()
if child == 0:
    own = host.pid()
    print('child', own != parent, host.double(number=3), flush=True)
    host.close()
    os._exit(0)
os.waitpid(child, 0)
print('parent', host.pid() == parent, host.double(number=3))
"""
    assert run(folder, code) == "child True 6\nparent True 6\n"


def test_a_child_does_not_keep_the_parents_workers_alive(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
print(host.pid(), flush=True)
if os.fork() == 0:
    os.close(1); os.close(2)
    time.sleep(3)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = begin(folder, code)
    out, _ = process.communicate(timeout=30)
    gone(int(out))


def test_a_fork_while_threads_call(folder: Path) -> None:
    code = """
host = jshost.embedded('host.config.js')
double = host.function('double')
stop = False
def work():
    while not stop: double.call(number=1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        ok = double.call(number=4) == 8
        host.close()
        os._exit(0 if ok else 1)
    print(os.waitpid(child, 0)[1])
stop = True
for thread in threads: thread.join()
print(double.call(number=1))
"""
    assert run(folder, code) == "0\n" * 5 + "2\n"


# The start

HEAVY = ["starlette", "uvicorn", "uvloop", "httpx", "httptools", "asyncio", "click", "psutil"]


def test_what_is_imported(folder: Path) -> None:
    code = f"""
with jshost.embedded('host.config.js') as host:
    host.double(number=1)
    list(host.function('double').map([{{'number': 1}}]))
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert ast.literal_eval(run(folder, code)) == []


def test_the_setting_imports_no_more(folder: Path) -> None:
    code = f"""
jshost.settings.configure(EMBEDDED=True, CONFIG_FILE='host.config.js')
print(jshost.Function('double').call(number=1))
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run(folder, code) == "2\n[]\n"


def test_a_host_that_leaves_no_descriptor_open(folder: Path) -> None:
    code = """
import asyncio
def count(): return len(os.listdir('/proc/self/fd'))
for _ in range(3):
    with jshost.embedded('host.config.js') as host: host.double(number=1)
async def main():
    async with jshost.embedded('host.config.js') as host:
        await host.function('double').acall(number=1)
asyncio.run(main())
before = count()
for _ in range(3):
    with jshost.embedded('host.config.js') as host: host.double(number=1)
    asyncio.run(main())
print(count() - before)
"""
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        pytest.skip("no /proc")
    assert run(folder, code) == "0\n"


def test_workers_are_not_interrupted_by_the_terminal(folder: Path) -> None:
    """Ctrl-C reaches the whole foreground group; workers lead groups of their own."""
    code = (
        "host = jshost.embedded('host.config.js'); print(os.getpgid(host.pid()) != os.getpgid(0))"
    )
    assert run(folder, code) == "True\n"
