"""An embedded host in a notebook: a real Jupyter kernel, and a front end's messages."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from support.hosts import wait_until

CONFIG = """
module.exports = {
  functions: {
    double: ({number}) => number * 2,
    pid: () => process.pid,
    say: ({text}) => { console.log(text); console.error('error: ' + text); return text; },
    later: ({text}) => { setTimeout(() => console.log(text), 50); },
    spin: () => { console.log('spins'); for (;;); },
    sleep: ({ms}) => { console.log('sleeps'); return new Promise((r) => setTimeout(r, ms, ms)); },
    count: function* ({to}) {
      for (let i = 0; i < to; i += 1) { console.log('at ' + i); yield i; }
    },
    endless: async function* () {
      console.log('counts');
      for (let i = 0; ; i += 1) { yield i; await new Promise((r) => setTimeout(r, 10)); }
    },
  },
};
"""
FIRST_CELL = "import jshost\nhost = jshost.embedded('host.config.js')\nsay = host.function('say')"
LIMIT_S = 20.0


class Cell:
    """What a front end shows under a cell."""

    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self.result = ""
        self.error = ""
        self.is_running = True

    def take(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            setattr(self, content["name"], getattr(self, content["name"]) + content["text"])
        elif kind == "execute_result":
            self.result = content["data"]["text/plain"]
        elif kind == "error":
            self.error = content["ename"]
        elif kind == "status":
            self.is_running = content["execution_state"] != "idle"


class Notebook:
    """A kernel, and the cells that it was given."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager = manager
        self._client = client
        self._cells: dict[str, Cell] = {}

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]

    def begin(self, code: str) -> Cell:
        cell = Cell()
        self._cells[self._client.execute(code)] = cell
        return cell

    def run(self, code: str) -> Cell:
        """A cell that runs to its end."""
        cell = self.begin(code)
        self.see(lambda: not cell.is_running, f"end of {code!r}")
        return cell

    def see(self, condition: Any, what: str) -> None:
        """Take the kernel's messages until the condition holds."""
        end = time.monotonic() + LIMIT_S
        while not condition():
            left_s = end - time.monotonic()
            assert left_s > 0, f"no {what} within {LIMIT_S:g} s"
            message = self._client.get_iopub_msg(timeout=left_s)
            cell = self._cells.get(message["parent_header"].get("msg_id", ""))
            if cell is not None:
                cell.take(message["msg_type"], message["content"])

    def interrupt(self, cell: Cell) -> None:
        """Press the stop button, and wait for the cell's end."""
        self.manager.interrupt_kernel()
        self.see(lambda: not cell.is_running, "end of the interrupted cell")

    def restart(self, *, now: bool) -> None:
        self.manager.restart_kernel(now=now)
        self._client.wait_for_ready(LIMIT_S)
        self._cells.clear()


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    (tmp_path / "host.config.js").write_text(CONFIG)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(LIMIT_S)
        notebook = Notebook(manager, client)
        assert notebook.run(FIRST_CELL).error == ""
        yield notebook
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy(linger=0)


def gone(pid: int) -> None:
    wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE,
        5,
        f"end of process {pid}",
    )


def test_calls_inside_of_the_running_loop(notebook: Notebook) -> None:
    assert notebook.run("host.double(number=2)").result == "4"
    assert notebook.run("await host.function('double').acall(number=3)").result == "6"
    assert notebook.run("list(host.function('count').stream(to=2))").result == "[0, 1]"
    code = "[value async for value in host.function('count').astream(to=2)]"
    assert notebook.run(code).result == "[0, 1]"
    code = "import asyncio\nawait asyncio.gather(*(say.acall(text=text) for text in 'ab'))"
    assert notebook.run(code).result == "['a', 'b']"
    code = "host.function('double').map([{'number': 1}, {'number': 2}])"
    assert notebook.run(code).result == "[2, 4]"
    code = "jshost.javascript('return data.a + data.b').call(a=1, b=2)"
    assert notebook.run(code).result == "3"
    code = "async with jshost.embedded('host.config.js') as other: print(other.double(number=4))"
    assert notebook.run(code).stdout == "8\n"


def test_it_says_what_it_is(notebook: Notebook) -> None:
    pid = notebook.run("host.pid()").result
    said = notebook.run("host").result
    assert said.startswith("<EmbeddedHost host.config.js: functions: count, double, ")
    assert said.endswith(f"worker pids: {pid}>")
    assert "'double'" in notebook.run("dir(host)").result
    assert notebook.run("host.no_such_function()").error == "AttributeError"
    assert notebook.run("host.close(); host").result == "<EmbeddedHost host.config.js: closed>"


def test_what_functions_print_appears_under_the_cell_that_calls(notebook: Notebook) -> None:
    calls = {
        "one": "host.say(text='one')",
        "two": "await say.acall(text='two')",
        "three": "say.map([{'text': 'three'}])[0]",
        "four": "await say.acall(text='four')",
        "five": "import concurrent.futures as f\n"
        "with f.ThreadPoolExecutor(1) as pool: pool.submit(say.call, text='five').result()",
        "six": "await say.acall(text='six')",
    }
    for text, code in calls.items():
        cell = notebook.run(code)
        assert (cell.error, cell.stdout, cell.stderr) == ("", f"{text}\n", f"error: {text}\n")
    code = "[value async for value in host.function('count').astream(to=2)]"
    assert notebook.run(code).stdout == "at 0\nat 1\n"


def test_what_is_printed_after_the_answer_appears_without_another_call(notebook: Notebook) -> None:
    cell = notebook.run("await host.function('later').acall(text='late')")
    notebook.see(lambda: cell.stdout, "late print")
    assert cell.stdout == "late\n"


@pytest.mark.parametrize(
    ("call", "begun", "error"),
    [
        ("host.sleep(ms=20_000)", "sleeps", "KeyboardInterrupt"),
        ("host.function('spin', timeout=None).call()", "spins", "KeyboardInterrupt"),
        ("list(host.function('endless').stream())", "counts", "KeyboardInterrupt"),
        ("await host.function('sleep').acall(ms=20_000)", "sleeps", "CancelledError"),
        ("await host.function('spin', timeout=None).acall()", "spins", "CancelledError"),
        ("[v async for v in host.function('endless').astream()]", "counts", "CancelledError"),
    ],
)
def test_the_stop_button_cancels_the_call(
    notebook: Notebook, call: str, begun: str, error: str
) -> None:
    before = int(notebook.run("host.pid()").result)
    cell = notebook.begin(call)
    notebook.see(lambda: begun in cell.stdout, "print of the function")
    notebook.interrupt(cell)
    assert cell.error == error
    assert notebook.run("host.double(number=2)").result == "4"
    assert notebook.run("await host.function('double').acall(number=3)").result == "6"
    if begun != "counts":  # it is replaced: it goes on, which nobody waits for
        gone(before)


def test_a_killed_kernel_leaves_nothing(notebook: Notebook) -> None:
    worker = int(notebook.run("host.pid()").result)
    cell = notebook.begin("host.function('spin', timeout=None).call()")
    notebook.see(lambda: "spins" in cell.stdout, "print of the function")
    os.kill(notebook.pid, signal.SIGKILL)
    gone(worker)


@pytest.mark.parametrize("now", [True, False])
def test_a_restarted_kernel_leaves_nothing_and_begins_anew(notebook: Notebook, now: bool) -> None:
    worker = int(notebook.run("host.pid()").result)
    notebook.restart(now=now)
    gone(worker)
    assert notebook.run("host").error == "NameError"
    assert notebook.run(f"{FIRST_CELL}\nhost.double(number=2)").result == "4"


def test_a_kernel_that_is_shut_down_leaves_nothing(notebook: Notebook) -> None:
    worker, kernel = int(notebook.run("await host.function('pid').acall()").result), notebook.pid
    notebook.manager.shutdown_kernel()
    gone(worker)
    gone(kernel)
