"""Edit and go: after a save the next call runs the new code; stale code is never served."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.hosts import RunningHost, StartHost, wait_until

from jshost.exceptions import FunctionError, FunctionNotFound, JSHostError

PY = "functions = {'f': lambda: %r}"
JS = "exports.functions = {f: () => %r}"
ESM = "export default {functions: {f: () => %r}}"


def save(path: Path, text: str) -> None:
    """As most editors do: a new file takes the old one's name."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(text)
    fresh.replace(path)


def overwrite(path: Path, text: str) -> None:
    path.write_text(text)


CONFIGS = {"host.config.py": PY, "host.config.js": JS, "host.config.mjs": ESM}


@pytest.mark.parametrize(
    ("name", "save_file"),
    [(name, save) for name in CONFIGS] + [("host.config.py", overwrite)],
)
def test_the_config_file(
    serve: StartHost, tmp_path: Path, name: str, save_file: Callable[[Path, str], None]
) -> None:
    host = serve(name, CONFIGS[name] % "1", "--reload")
    f = host.function("f")
    assert f.call() == "1"
    for number in ("2", "3", "4"):
        save_file(tmp_path / name, CONFIGS[name] % number)
        assert f.call() == number


MODULES = {
    "a Python module": ("host.config.py", "m.py", "import m\nfunctions = {'f': m.f}"),
    "a Python package": (
        "host.config.py",
        "pkg/inner/m.py",
        "from pkg.inner.m import f\nfunctions = {'f': f}",
    ),
    "a CommonJS module": ("host.config.js", "m.js", "exports.functions = require('./m')"),
    "an ES module": (
        "host.config.mjs",
        "lib/m.mjs",
        "import {f} from './lib/m.mjs'; export default {functions: {f}}",
    ),
    "CommonJS from an ES module": (
        "host.config.mjs",
        "m.cjs",
        "import m from './m.cjs'; export default {functions: {f: m.f}}",
    ),
    "an included CommonJS file": ("host.config.py", "js/host.config.js", "include = ['%s']"),
    "an included ES module": ("host.config.py", "js/host.config.mjs", "include = ['%s']"),
}
TEXTS = {
    "m.py": "def f(): return {!r}",
    "m.js": "exports.f = () => {!r}",
    "m.cjs": "exports.f = () => {!r}",
    "m.mjs": "export const f = () => {!r}",
    "host.config.js": "exports.functions = {{f: () => {!r}}}",
    "host.config.mjs": "export default {{functions: {{f: () => {!r}}}}}",
}


@pytest.mark.parametrize("case", MODULES)
def test_a_module_its_errors_and_their_repair(serve: StartHost, tmp_path: Path, case: str) -> None:
    name, module, text = MODULES[case]
    path = tmp_path / module
    path.parent.mkdir(parents=True, exist_ok=True)
    version = TEXTS[path.name].format
    path.write_text(version("1"))
    f = serve(name, text.replace("%s", module), "--reload").function("f")
    assert f.call() == "1"
    raising = "\n1 / 0" if path.suffix == ".py" else "\nthrow new Error('no')"
    for number, broken in enumerate(["", "(,", version("0") + raising], 2):
        if broken:
            save(path, broken)
            with pytest.raises(FunctionError) as caught:
                f.call()
            assert str(path) in str(caught.value)
        save(path, version(str(number)))
        assert f.call() == str(number)


LAZY = {
    "host.config.py": ("m.py", "def f():\n    import m\n    return m.f()\nfunctions = {'f': f}"),
    "host.config.js": ("m.js", "exports.functions = {f: () => require('./m').f()}"),
    "host.config.mjs": (
        "m.mjs",
        "export default {functions: {f: async () => (await import('./m.mjs')).f()}}",
    ),
}


@pytest.mark.parametrize("name", LAZY)
def test_a_module_that_the_function_imports(serve: StartHost, tmp_path: Path, name: str) -> None:
    module, text = LAZY[name]
    path, version = tmp_path / module, TEXTS[module].format
    path.write_text(version("1"))
    f = serve(name, text, "--reload").function("f")
    assert f.call() == "1"
    for number in ("2", "3"):
        save(path, version(number))
        assert f.call() == number


BROKEN = {
    "host.config.py": "functions = {\n  'f': (,\n}",
    "host.config.js": "exports.functions = {\n  f: => 1,\n}",
    "host.config.mjs": "export default {\n  functions: => 1,\n}",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_functions_that_come_and_go_and_a_syntax_error(
    serve: StartHost, tmp_path: Path, name: str
) -> None:
    text, path = CONFIGS[name] % "1", tmp_path / name
    host = serve(name, text, "--reload")
    f = host.function("f")
    save(path, text.replace("f:", "g:").replace("'f'", "'g'"))
    assert host.function("g").call() == "1"
    assert host.host.get_config()["functions"] == ["g"]
    with pytest.raises(FunctionNotFound, match='"f"'):
        f.call()
    save(path, BROKEN[name])
    for _ in range(3):
        with pytest.raises(FunctionError, match=r"SyntaxError|invalid syntax") as caught:
            host.function("g").call()
        assert caught.value.code == "load_failed"
        assert str(path) in str(caught.value)
        assert "line 2" in str(caught.value) or f"{path}:2" in str(caught.value)
    assert str(path) in host.log_text()
    save(path, CONFIGS[name] % "2")
    assert f.call() == "2"


@pytest.mark.parametrize(
    ("name", "module", "text"),
    [
        ("host.config.py", "m.py", "import m\nfunctions = {'f': m.f}"),
        ("host.config.js", "m.js", "exports.functions = {f: require('./m').f}"),
        (
            "host.config.mjs",
            "m.mjs",
            "import {f} from './m.mjs'; export default {functions: {f}}",
        ),
    ],
    ids=["python", "commonjs", "esm"],
)
def test_a_module_that_is_written_after_its_import(
    serve: StartHost, tmp_path: Path, name: str, module: str, text: str
) -> None:
    f = serve(name, CONFIGS[name] % "1", "--reload").function("f")
    save(tmp_path / name, text)
    with pytest.raises(FunctionError, match=r"\bm\b"):
        f.call()
    save(tmp_path / module, TEXTS[module].format("2"))
    assert f.call() == "2"


def test_a_module_that_is_removed_and_comes_back(serve: StartHost, tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("def f(): return 1")
    f = serve("host.config.py", "import m\nfunctions = {'f': m.f}", "--reload").function("f")
    path.unlink()
    with pytest.raises(FunctionError, match="m"):
        f.call()
    path.write_text("def f(): return 2")
    assert f.call() == 2


def test_options_that_are_edited_wait_for_a_restart_and_the_log_says_so(
    serve: StartHost, tmp_path: Path
) -> None:
    host = serve("host.config.py", PY % "1", "--reload")
    (tmp_path / "m.js").write_text(JS.replace("f:", "g:") % "from JavaScript")
    save(tmp_path / "host.config.py", f"include = ['m.js']\nworkers = 2\n{PY % '2'}")
    assert host.function("f").call() == "2"
    host.wait_for_log("changed options take effect when the host is restarted")
    with pytest.raises(FunctionNotFound):
        host.function("g").call()
    again = serve("host.config.py", None, "--reload")
    assert again.function("g").call() == "from JavaScript"
    wait_until(lambda: len(again.worker_pids()) == 4, 5, "two workers for each file")


def test_a_name_that_two_files_define_after_an_edit(serve: StartHost, tmp_path: Path) -> None:
    """Which of the two would answer is nobody's guess: the caller is told."""
    (tmp_path / "m.js").write_text(JS.replace("f:", "g:") % "from JavaScript")
    host = serve("host.config.py", f"include = ['m.js']\n{PY % '1'}", "--reload")
    save(tmp_path / "m.js", JS % "from JavaScript")
    with pytest.raises(JSHostError, match="already been defined"):
        host.function("f").call()
    save(tmp_path / "m.js", JS.replace("f:", "g:") % "again")
    assert host.function("f").call() == "1"
    assert host.function("g").call() == "again"


def test_twenty_saves_in_a_second(serve: StartHost, tmp_path: Path) -> None:
    """Of an imported module, of the same length: no call ever runs what was there before it."""
    path = tmp_path / "m.py"
    path.write_text("def f(): return 100")
    host = serve("host.config.py", "import m\nfunctions = {'f': m.f}", "--reload")
    f = host.function("f")
    assert f.call() == 100
    with ThreadPoolExecutor(1) as threads:
        calling = None
        for number in range(101, 121):
            save(path, f"def f(): return {number}")
            if number % 5 == 0:
                calling = threads.submit(f.call)
                assert calling.result(20) == number
            time.sleep(0.02)  # an editor's pace, not a wait
    assert f.call() == 120
    wait_until(lambda: len(host.worker_pids()) == 1, 10, "end of the old workers")


def test_saves_while_others_call(serve: StartHost, tmp_path: Path) -> None:
    """A call that begins after a save runs at least what was saved."""
    host = serve("host.config.py", PY % "000", "--reload")
    saved, over = [0], [False]

    def call() -> int:
        f, calls = host.function("f"), 0
        while not over[0]:
            least = saved[0]
            assert int(f.call()) >= least
            calls += 1
        return calls

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(call) for _ in range(4)]
        try:
            for number in range(1, 11):
                save(tmp_path / "host.config.py", PY % f"{number:03}")
                saved[0] = number
                host.function("f").call()
        finally:
            over[0] = True
        assert all(caller.result(20) > 0 for caller in callers)
    assert host.function("f").call() == "010"


@pytest.mark.parametrize("name", ["host.config.py", "host.config.js"])
def test_the_old_worker_finishes_its_calls(serve: StartHost, tmp_path: Path, name: str) -> None:
    texts = {
        "host.config.py": """
import os, time
def hold(file):
    while not os.path.exists(file): time.sleep(0.002)
    return "old"
functions = {"hold": hold, "f": lambda: "old"}
""",
        "host.config.js": """
const fs = require('node:fs');
exports.functions = {f: () => "old", hold: async ({file}) => {
  while (!fs.existsSync(file)) await new Promise((done) => setTimeout(done, 2));
  return "old";
}};
""",
    }
    host, gate = serve(name, texts[name], "--reload"), tmp_path / "gate"
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(host.function("hold").call, file=str(gate))
        wait_until(lambda: _calls(host) == 1, 5, "call in flight")
        save(tmp_path / name, texts[name].replace('"old"', '"new"'))
        assert host.function("f").call() == "new"
        assert not calling.done()
        gate.touch()
        assert calling.result(10) == "old"
    wait_until(lambda: len(host.worker_pids()) == 1, 10, "end of the old worker")


def _calls(host: RunningHost) -> int:
    return sum(worker["calls"] for worker in host.host.request_status()["workers"])


def test_a_touch_without_a_call_loads_anew(serve: StartHost, tmp_path: Path) -> None:
    """watchfiles has the new worker ready before anybody calls."""
    host = serve("host.config.py", PY % "1", "--reload")
    (before,) = host.worker_pids()
    save(tmp_path / "host.config.py", PY % "2")
    wait_until(lambda: host.worker_pids() not in ([before], []), 10, "fresh worker")


def test_node_modules_and_foreign_files_reload_nothing(serve: StartHost, tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "p"
    package.mkdir(parents=True)
    (package / "index.js").write_text("module.exports = 'p'")
    host = serve("host.config.js", "exports.functions = {f: () => require('p')}", "--reload")
    assert host.function("f").call() == "p"
    before = host.worker_pids()
    (package / "index.js").write_text("module.exports = 'q'")
    (tmp_path / "notes.txt").write_text("x")
    assert host.function("f").call() == "p"
    assert host.worker_pids() == before


def test_without_the_flag_nothing_is_loaded_anew(serve: StartHost, tmp_path: Path) -> None:
    host = serve("host.config.py", PY % "1")
    save(tmp_path / "host.config.py", PY % "2")
    assert host.function("f").call() == "1"
