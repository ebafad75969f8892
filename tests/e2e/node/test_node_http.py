"""A Node program that calls a host: by its URL, over a unix socket, found, or managed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.hosts import RunningHost, StartHost, wait_until
from support.managing import Program, User, kill, user

import jshost
from jshost.discovery.records import find_hosts

__all__ = ["user"]  # a fixture

PROGRAM = Path(__file__).with_name("http_caller.test.mjs")

CONFIG = {
    "host.config.py": """
import asyncio, os
from jshost import current_call

include = ["host.config.js"]
marks, numbers = set(), {}

def echo(value):
    return value

def fail():
    try:
        {}["page"]
    except KeyError as error:
        raise ValueError("no such page") from error

def count(n):
    yield from range(n)
    return {"done": True}

def pieces():
    yield b"one"
    yield "two"

def break_off():
    yield 0
    raise RuntimeError("no more")

async def wait(mark):
    try:
        await asyncio.sleep(60)
    finally:
        marks.add(mark)

async def forever(mark, size=0):
    try:
        number = 0
        while True:
            numbers[mark] = number
            yield "x" * size if size else number
            number += 1
            await asyncio.sleep(0)
    finally:
        marks.add(mark)

def context():
    call = current_call()
    return [call.request_id, call.traceparent]

functions = {
    "add": lambda a, b: a + b,
    "echo": echo,
    "large": lambda: {"n": 2**63 + 1, "text": "9223372036854775809", "small": 1},
    "digits": lambda number: str(number),
    "die": lambda: os._exit(3),
    "is_marked": lambda mark: mark in marks,
    "sent": lambda mark: numbers[mark],
    "fail": fail, "count": count, "pieces": pieces, "break_off": break_off, "wait": wait,
    "forever": forever, "context": context,
}
""",
    "host.config.js": """
module.exports = {functions: {double({number}) {
  if (number != null) return number * 2;
  throw Object.assign(new TypeError('No number was provided'), {code: 'E_NUMBER'});
}}};
""",
}


def run_program(options: dict[str, object], **environment: str) -> None:
    done = subprocess.run(
        ["node", "--test", str(PROGRAM)],
        env={**os.environ, "OPTIONS": json.dumps(options), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def running(serve: StartHost, tmp_path: Path) -> RunningHost:
    for name, text in CONFIG.items():
        (tmp_path / name).write_text(text)
    return serve("host.config.py", None)


def test_by_its_url(running: RunningHost) -> None:
    run_program({"rootUrl": running.url})


def test_found_by_its_config_file(running: RunningHost, tmp_path: Path) -> None:
    run_program({"configFile": str(tmp_path / "host.config.py")})


def test_over_a_unix_socket(running: RunningHost, tmp_path: Path) -> None:
    (record,) = find_hosts(tmp_path / "host.config.py")
    run_program({"rootUrl": f"unix://{record.socket_path}"})


LINES = """
import {createInterface} from 'node:readline';
import {Function} from %s;

const options = {useManager: true, timeout: 1000, python: %s};
for await (const line of createInterface({input: process.stdin})) {
  const name = JSON.parse(line)[0];
  if (name === 'leave') break;
  console.log(JSON.stringify({result: await new Function(name, options).call()}));
}
"""


@pytest.fixture
def node(user: User) -> Callable[[], Program]:
    """Start a Node program that makes the calls that it reads, on a managed host."""
    module = Path(jshost.__file__).parent / "js" / "client" / "function.mjs"
    code = LINES % (json.dumps(module.as_uri()), json.dumps(sys.executable))
    return lambda: user.start("node", "--input-type=module", "--eval", code)


def test_the_manager_starts_a_host_and_counts_node_programs(
    user: User, node: Callable[[], Program]
) -> None:
    one, other = node(), node()
    pid = one.call("pid")
    assert other.call("pid") == pid
    assert user.holders() == {one.pid, other.pid}
    one.begin("leave")
    one.leave()
    wait_until(lambda: user.holders() == {other.pid}, 5, "end of the first program's hold")
    kill(other.pid)
    user.wait_until_gone()


def test_the_start_of_a_host_does_not_count_for_the_limit(
    user: User, node: Callable[[], Program]
) -> None:
    user.write("host.config.py", "import os, time\ntime.sleep(1.5)\nfunctions = {'pid': os.getpid}")
    assert node().call("pid") > 1


def test_a_python_without_jshost(user: User, tmp_path: Path) -> None:
    bare = tmp_path / "python"  # this one, without what is installed
    bare.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Python 3.11.0 && exit\n'
        f"exec {sys.executable} -I -S -m jshost.cli.hold\n"
    )
    bare.chmod(0o755)
    user.write("host.config.py", "functions = {}")
    module = Path(jshost.__file__).parent / "js" / "client" / "function.mjs"
    code = LINES % (json.dumps(module.as_uri()), json.dumps(str(bare)))
    program = user.start("node", "--input-type=module", "--eval", code)
    program.begin("pid")
    assert program.process.wait(30) == 1
    assert f"{bare} has no jshost, which starts hosts. Install it there" in program.said


def test_a_config_that_does_not_load(user: User, node: Callable[[], Program]) -> None:
    user.write("host.config.py", "functions = {")
    program = node()
    program.begin("pid")
    assert program.process.wait(30) == 1
    assert "host.config.py, line 1" in program.said
