"""What functions start themselves does not hide, nor outlive, the end of their worker."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from support.hosts import StartHost, wait_until

from jshost.exceptions import ProcessError

CONFIG_PY = """
include = ["host.config.js"]
import os, subprocess

def child_py():
    return subprocess.Popen(["sleep", "60"]).pid

def die_py():
    os._exit(3)

def pid_py():
    return os.getpid()

functions = {"child_py": child_py, "die_py": die_py, "pid_py": pid_py}
"""

CONFIG_JS = """
const {spawn} = require('node:child_process');
module.exports = {functions: {
  child_js: () => spawn('sleep', ['60'], {stdio: 'ignore'}).pid,
  die_js: () => process.exit(3),
  pid_js: () => process.pid,
}};
"""


@pytest.mark.parametrize("language", ["js", "py"])
@pytest.mark.parametrize("death", ["exits", "killed"])
def test_a_dead_worker_is_noticed_though_its_child_lives(
    serve: StartHost, language: str, death: str
) -> None:
    serve("host.config.js", CONFIG_JS)  # so that the next host's descriptors are not the first
    host = serve("host.config.py", CONFIG_PY)
    child = host.function(f"child_{language}").call()
    worker = host.function(f"pid_{language}").call()
    if death == "killed":
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: worker not in host.worker_pids(), 5, "notice of the death")
    else:
        with pytest.raises(ProcessError):
            host.function(f"die_{language}", timeout=None).call()
    assert host.function(f"pid_{language}", timeout=5).call() != worker
    wait_until(lambda: not psutil.pid_exists(child), 2, "end of the child")
    assert host.stop() == 0
