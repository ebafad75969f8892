"""Config files: every kind of them, what they include and import, and what functions get."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.hosts import RunningHost, StartHost, cli, wait_until

import jshost
from jshost.exceptions import ArgumentsError, FunctionTimeout

pytestmark = pytest.mark.versions

CALLERS = 32

CONFIG = {
    # Python -> JavaScript -> Python -> JavaScript, each path relative to the file that names it.
    "host.config.py": """
import asyncio, functools, os, threading, time
import jshost, sibling
from package import inner

include = ["common/host.config.js", "module/host.config.js", "named.mjs", "require.cjs"]
extra = {"from": "python"}
aborted = []
count_so_far = 0
barrier = threading.Barrier(32)
arrived = []

class Adder:
    def __call__(self, a, b=10):
        return a + b
    async def later(self, a):
        return a + 100
async def double(number):
    await asyncio.sleep(0)
    return number * 2
def context():
    call = jshost.current_call()
    return {"name": call.name, "requestId": call.request_id, "timeout": call.timeout_s,
            "aborted": call.signal.aborted, "extra": call.host.config.extra}
async def context_async():
    await asyncio.sleep(0)
    return context()
def log_python():
    logger = jshost.current_call().host.logger
    logger.warning("python says warn")
    logger.log(20, "python says log")
    for level in ("debug", "info", "error"):
        getattr(logger, level)("python says %s", level)
def until_aborted():
    end = time.monotonic() + 5
    while time.monotonic() < end and not jshost.current_call().signal.aborted:
        time.sleep(0.001)
    aborted.append("until_aborted")
async def until_cancelled():
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        aborted.append("until_cancelled")
        raise
def count():
    global count_so_far
    count_so_far += 1
    return count_so_far
def meet_in_threads(count):
    assert barrier.parties == count
    barrier.wait(5)
    return count
async def meet_on_the_loop(count):
    mine = asyncio.get_running_loop().create_future()
    arrived.append(mine)
    if len(arrived) == count:
        for each in arrived:
            each.set_result(count)
    return await mine
def extend_host(host):
    host.addFunction("added_python", lambda: host.config.extra["from"])
functions = {
    "python": lambda: "python", "sibling": lambda: [sibling.NAME, inner.NAME],
    "python_cwd": os.getcwd, "double": double, "adder": Adder(), "method": Adder().later,
    "partial": functools.partial(Adder(), 1), "async_partial": functools.partial(double, number=4),
    "builtin": pow, "positional_builtin": len, "class": dict,
    "awaitable": lambda: double(21), "plain_python": context, "async_python": context_async,
    "log_python": log_python, "until_aborted": until_aborted, "until_cancelled": until_cancelled,
    "python_aborted": lambda: aborted, "python_count": count,
    "meet_in_threads": meet_in_threads, "meet_on_the_loop": meet_on_the_loop,
}
""",
    "sibling.py": "NAME = 'sibling'",
    "package/__init__.py": "",
    "package/inner.py": "from sibling import NAME as OUTER\nNAME = f'{OUTER} inside'",
    "common/host.config.js": """
const tool = require('./lib/tool');
const scoped = require('@scope/scoped');
const dual = require('dual');
const aborted = [];
let countSoFar = 0;
let arrived = [];
function describe(call) {
  return {name: call.name, requestId: call.requestId, timeout: call.timeout,
          aborted: call.signal.aborted, extra: call.host.config.extra};
}
module.exports = {
  include: ['../nested/host.config.py'],
  extra: {from: 'javascript'},
  async extendHost(host) {
    await null;
    host.addFunction('added_javascript', () => host.config.extra.from);
  },
  functions: {
    commonjs: () => 'commonjs',
    required: () => [tool.name, scoped.name, dual.name],
    javascript_cwd: () => process.cwd(),
    callback(data, cb) { setTimeout(cb, 1, null, data.a + 1); },
    returned_timer: (data, cb) => setTimeout(cb, 1, null, data.a + 2),
    promise: ({a}) => Promise.resolve(a + 3),
    plain: ({a}) => a + 4,
    nothing: () => {},
    this_javascript(data, cb, context) { cb(null, this === context && describe(this)); },
    argument_javascript: async (data, cb, context) => { await null; return describe(context); },
    log_javascript(data, cb, {host: {logger}}) {
      for (const level of ['log', 'info', 'warn', 'error', 'debug']) {
        logger[level]('javascript says %s', level);
      }
      cb();
    },
    until_signal: (data, cb, {signal}) => new Promise((resolve) => {
      signal.addEventListener('abort', () => { aborted.push('until_signal'); resolve(); });
    }),
    javascript_aborted: () => aborted,
    javascript_count: () => ++countSoFar,
    meet_in_node: ({count}) => new Promise((resolve) => {
      if (arrived.push(resolve) === count) arrived.forEach((each) => each(count));
    }),
  },
};
""",
    "common/lib/tool.js": "exports.name = 'tool';",
    # Found from common/ by walking up, as in any npm project.
    "node_modules/@scope/scoped/package.json": '{"name": "@scope/scoped", "main": "lib/main"}',
    "node_modules/@scope/scoped/lib/main.js": "exports.name = 'scoped';",
    "node_modules/dual/package.json": """
{"name": "dual", "exports": {"import": "./index.mjs", "require": "./index.cjs"}}""",
    "node_modules/dual/index.mjs": "export const name = 'dual by import';",
    "node_modules/dual/index.cjs": "exports.name = 'dual by require';",
    "module/package.json": '{"type": "module"}',
    "module/host.config.js": """
import {name as dual} from 'dual';
import tool from './tool.js';
const scoped = await import('@scope/scoped');
export default {functions: {
  module: () => 'module',
  imported: () => [tool, scoped.default.name, dual],
}};
""",
    "module/tool.js": "export default 'module tool';",
    "named.mjs": "export const functions = {named: () => 'named'};",
    "require.cjs": "module.exports = {functions: {cjs: () => 'cjs'}};",
    "nested/host.config.py": """
import neighbour
include = ["deep.mjs"]
functions = {"nested": lambda: neighbour.NAME}
""",
    "nested/neighbour.py": "NAME = 'nested neighbour'",
    "nested/deep.mjs": "export default {functions: {deep: () => 'deep'}};",
}
FLAGS = ("--verbose",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", "python"),
        ("commonjs", "commonjs"),
        ("module", "module"),
        ("named", "named"),
        ("cjs", "cjs"),
        ("nested", "nested neighbour"),
        ("deep", "deep"),
        ("sibling", ["sibling", "sibling inside"]),
        ("required", ["tool", "scoped", "dual by require"]),
        ("imported", ["module tool", "scoped", "dual by import"]),
        ("added_python", "python"),
        ("added_javascript", "javascript"),
    ],
)
def test_every_kind_of_config_is_served_with_what_lies_beside_it(
    shared_host: RunningHost, name: str, expected: object
) -> None:
    assert shared_host.function(name).call() == expected


@pytest.mark.parametrize("name", ["python_cwd", "javascript_cwd"])
def test_the_working_directory_stays_the_users(shared_host: RunningHost, name: str) -> None:
    config_file = Path(shared_host.status["config"]["configFile"])
    assert shared_host.function(name).call() == str(Path.cwd()) != str(config_file.parent)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("callback", {"a": 1}, 2),
        ("returned_timer", {"a": 1}, 3),
        ("promise", {"a": 1}, 4),
        ("plain", {"a": 1}, 5),
        ("nothing", {}, None),
        ("double", {"number": 20}, 40),
        ("adder", {"a": 1}, 11),
        ("method", {"a": 1}, 101),
        ("partial", {"b": 2}, 3),
        ("async_partial", {}, 8),
        ("builtin", {"base": 2, "exp": 5}, 32),
        ("class", {"a": 1}, {"a": 1}),
        ("awaitable", {}, 42),
    ],
)
def test_function_forms(
    shared_host: RunningHost, name: str, arguments: dict[str, Any], expected: object
) -> None:
    assert shared_host.function(name).call(**arguments) == expected


def test_a_builtin_that_takes_no_keywords_says_so(shared_host: RunningHost) -> None:
    with pytest.raises(ArgumentsError, match=r"positional_builtin: (?=.*'obj')(?=.*positional)"):
        shared_host.function("positional_builtin").call(obj=[1, 2])


@pytest.mark.parametrize(
    "name", ["this_javascript", "argument_javascript", "plain_python", "async_python"]
)
def test_context(shared_host: RunningHost, name: str) -> None:
    response = shared_host.function(name, timeout=7).send_request()
    assert response.json() == {
        "name": name,
        "requestId": response.headers["x-request-id"],
        "timeout": 7,
        "aborted": False,
        "extra": {"from": name.partition("_")[2]},
    }


def test_no_call_no_context() -> None:
    with pytest.raises(RuntimeError, match="inside a function"):
        jshost.current_call()


@pytest.mark.parametrize(
    ("name", "language"),
    [("until_signal", "javascript"), ("until_aborted", "python"), ("until_cancelled", "python")],
)
def test_the_signal_tells_that_the_deadline_passed(
    shared_host: RunningHost, name: str, language: str
) -> None:
    with pytest.raises(FunctionTimeout):
        shared_host.function(name, timeout=0.05).call()
    aborted = shared_host.function(f"{language}_aborted")
    wait_until(lambda: name in aborted.call(), 2, f"word of it in {name}")


LEVELS = {"log": "INFO", "info": "INFO", "warn": "WARNING", "error": "ERROR", "debug": "DEBUG"}


@pytest.mark.parametrize("word", LEVELS)
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_what_functions_log_reaches_the_hosts_log(
    shared_host: RunningHost, language: str, word: str
) -> None:
    response = shared_host.function(f"log_{language}").send_request()
    mark = rf"\[[^]]*log_{language} {response.headers['x-request-id']}\]"
    line = re.compile(rf"^\S+ \S+ {LEVELS[word]} {mark} {language} says {word}$", re.MULTILINE)
    wait_until(lambda: line.search(shared_host.log_text()), 2, f"line {line.pattern}")


@pytest.mark.parametrize("name", ["meet_in_node", "meet_on_the_loop", "meet_in_threads"])
def test_calls_of_one_worker_overlap(shared_host: RunningHost, name: str) -> None:
    """Each waits for all the others: were they run one by one, none would ever answer."""
    meet = shared_host.function(name)
    with ThreadPoolExecutor(CALLERS) as threads:
        answers = list(threads.map(lambda _: meet.call(count=CALLERS), range(CALLERS)))
    assert answers == [CALLERS] * CALLERS


@pytest.mark.parametrize("name", ["python_count", "javascript_count"])
def test_one_worker_keeps_its_state(shared_host: RunningHost, name: str) -> None:
    count = shared_host.function(name)
    assert [count.call() for _ in range(3)] == [1, 2, 3]


MEET_BY_FILES = """
import os, pathlib, time
include = ["lonely.js"]
workers = 3
def meet(folder):
    (pathlib.Path(folder) / str(os.getpid())).touch()
    end = time.monotonic() + 5
    while len(os.listdir(folder)) < 3:
        assert time.monotonic() < end, "the others did not come"
        time.sleep(0.001)
    return os.getpid()
functions = {"meet": meet}
"""


def test_several_workers_share_the_calls(serve: StartHost, tmp_path: Path) -> None:
    """Of one config's three; an included config says itself how many it wants."""
    (tmp_path / "lonely.js").write_text("module.exports = {workers: 1, functions: {}};")
    (tmp_path / "meeting").mkdir()
    host = serve("host.config.py", MEET_BY_FILES)

    def workers() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = host.host.request_status()["workers"]
        return [worker for worker in found if worker["state"] == "ready"]

    wait_until(lambda: len(workers()) == 4, 5, "four ready workers")
    ours = {worker["pid"] for worker in workers() if worker["configFile"].endswith(".py")}
    meet = host.function("meet")
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: meet.call(folder=str(tmp_path / "meeting")), range(3)))
    assert set(answers) == ours
    assert len(ours) == 3


OPTIONS = {
    "requestDataLimit": ("request_data_limit", '"2kb"', 2048),
    "functionTimeout": ("function_timeout", "2.5", 2.5),
    "maxQueue": ("max_queue", "7", 7),
    "allowedHosts": ("allowed_hosts", '["a.example"]', ["a.example"]),
    "port": ("port", "0", 0),
}


@pytest.mark.parametrize("spelling", ["camelCase", "snake_case"])
@pytest.mark.parametrize("language", ["py", "js"])
def test_options_in_both_spellings(tmp_path: Path, language: str, spelling: str) -> None:
    """camelCase is JavaScript's and snake_case Python's; the other is not ignored in silence."""
    config = tmp_path / f"host.config.{language}"
    lines = [
        f"{camel if spelling == 'camelCase' else snake} = {value}"
        for camel, (snake, value, _) in OPTIONS.items()
    ]
    config.write_text("\n".join(lines if language == "py" else [f"exports.{x};" for x in lines]))
    done = cli("config", str(config))
    assert done.returncode == 0, done.stderr
    effective = json.loads(done.stdout)
    expected = {camel: value for camel, (_, _, value) in OPTIONS.items()}
    assert {camel: effective[camel] for camel in OPTIONS} == expected
