"""An embedded host in a notebook, with a real Jupyter kernel."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import wait_until
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

TIMEOUT_S = 30.0

CONFIG = """
const {setTimeout: sleep} = require('node:timers/promises');
module.exports = {functions: {
  hello({name}) { console.log(`greeting ${name}`); return `Hello, ${name}!`; },
  warn() { console.error('careful'); },
  async slow() { console.log('begun'); await sleep(60_000); },
  loop() { console.log('begun'); for (;;); },
  pid: () => process.pid,
  *count({n}) { for (let i = 0; i < n; i++) yield i; },
}};
"""


@dataclass
class Cell:
    """What a cell showed."""

    stdout: str = ""
    stderr: str = ""
    result: str = ""
    error: str = ""


class Notebook:
    """A kernel, and its cells, one after the other."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self._client: BlockingKernelClient = manager.client()
        self._client.start_channels()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        self._client.wait_for_ready(timeout=TIMEOUT_S)

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)  # type: ignore[union-attr]

    def run(self, code: str) -> Cell:
        return self.finish(self.begin(code))

    def begin(self, code: str) -> str:
        return str(self._client.execute(code))

    def finish(self, cell_id: str) -> Cell:
        cell = Cell()
        while not self._take(cell_id, cell):
            pass
        return cell

    def wait_for_output(self, cell_id: str) -> Cell:
        """Read until the cell has printed something."""
        cell = Cell()
        while not cell.stdout:
            assert not self._take(cell_id, cell), f"the cell has ended: {cell}"
        return cell

    def _take(self, cell_id: str, cell: Cell) -> bool:
        """One message; True: it says that the cell has ended."""
        message = self._client.get_iopub_msg(timeout=TIMEOUT_S)
        if message["parent_header"].get("msg_id") != cell_id:
            return False
        content: dict[str, Any] = message["content"]
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                cell.stdout += content["text"]
            case "stream":
                cell.stderr += content["text"]
            case "execute_result":
                cell.result = content["data"]["text/plain"]
            case "error":
                cell.error = content["ename"]
            case "status":
                return bool(content["execution_state"] == "idle")
        return False

    def end(self) -> None:
        self._client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.context.destroy(linger=0)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """A kernel whose first cell has made `host`."""
    config = tmp_path / "host.config.js"
    config.write_text(CONFIG)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    manager = KernelManager()
    manager.start_kernel(cwd=str(tmp_path))
    notebook = Notebook(manager)
    try:
        made = notebook.run("import jshost\nhost = jshost.embedded('host.config.js')")
        assert made == Cell()
        yield notebook
    finally:
        notebook.end()


def test_calls_work_though_the_notebook_runs_a_loop(notebook: Notebook) -> None:
    assert notebook.run("host.hello(name='Ada')").result == "'Hello, Ada!'"
    assert notebook.run("await host.function('hello').acall(name='Bo')").result == "'Hello, Bo!'"
    code = "import asyncio\n" + (
        "await asyncio.gather(*(host.function('hello').acall(name=n) for n in 'ab'))"
    )
    assert notebook.run(code).result == "['Hello, a!', 'Hello, b!']"
    assert notebook.run("[n async for n in host.function('count').astream(n=3)]").result == (
        "[0, 1, 2]"
    )
    assert notebook.run("host.function('hello').map([{'name': 'C'}])").result == "['Hello, C!']"


def test_prints_appear_in_the_cell(notebook: Notebook) -> None:
    assert notebook.run("host.hello(name='Ada')").stdout == "greeting Ada\n"
    assert notebook.run("host.warn()").stderr == "careful\n"
    for name in ("Bo", "Cy"):
        shown = notebook.run(f"await host.function('hello').acall(name='{name}')")
        assert shown.stdout == f"greeting {name}\n"


def test_the_host_shows_what_it_is(notebook: Notebook) -> None:
    pid = notebook.run("host.pid()").result
    shown = notebook.run("host").result
    assert shown.startswith("<EmbeddedHost host.config.js: functions: count, hello, loop,")
    assert shown.endswith(f"worker pids: {pid}>")
    names = notebook.run("[name for name in dir(host) if name in ('hello', 'slow')]")
    assert names.result == "['hello', 'slow']"


@pytest.mark.parametrize(
    "code",
    [
        "host.function('slow', timeout=None).call()",
        "host.function('loop', timeout=None).call()",
        "await host.function('slow', timeout=None).acall()",
        "await host.function('loop', timeout=None).acall()",
    ],
)
def test_the_stop_button_cancels_the_call_and_leaves_the_host_usable(
    notebook: Notebook, code: str
) -> None:
    cell = notebook.begin(code)
    notebook.wait_for_output(cell)
    began = time.monotonic()
    notebook.manager.interrupt_kernel()
    if code.startswith("await"):
        notebook.begin("")  # ipykernel's handler is heard at the next turn of its loop
    stopped = notebook.finish(cell)
    assert stopped.error in ("KeyboardInterrupt", "CancelledError")
    assert time.monotonic() - began < 5
    assert notebook.run("host.hello(name='again')").result == "'Hello, again!'"


def worker_of(notebook: Notebook) -> psutil.Process:
    return psutil.Process(int(notebook.run("host.pid()").result))


def test_nothing_is_left_of_a_killed_kernel(notebook: Notebook) -> None:
    worker = worker_of(notebook)
    notebook.begin("host.function('loop', timeout=None).call()")
    os.kill(notebook.pid, signal.SIGKILL)
    wait_until(lambda: not worker.is_running(), 5, "end of the worker")


def test_a_restarted_kernel_starts_anew(notebook: Notebook) -> None:
    worker = worker_of(notebook)
    notebook.manager.restart_kernel(now=False)
    wait_until(lambda: not worker.is_running(), 10, "end of the worker")
    notebook.wait_until_ready()
    assert notebook.run("host").error == "NameError"
    code = "import jshost\nhost = jshost.embedded('host.config.js')\nhost.hello(name='new')"
    assert notebook.run(code).result == "'Hello, new!'"
