"""The packed npm package, installed into empty projects, works there by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODEL = """
def predict(x): return x * 2
def fail(): raise ValueError("no")
def tokens(n):
    for number in range(n): yield number
"""
CONTROLLER = """
from jshost import BaseController
class Controller(BaseController):
    def increment(self, by=1):
        self.count += by
        return self.count
"""
USE = """
  const py = await python('./model.py');
  const tokens = [];
  for await (const token of py.stream('tokens', {n: 3})) tokens.push(token);
  const name = await py.fail().catch((error) => `${error.name} ${error instanceof PythonError}`);
  console.log(await py.predict({x: 21}), tokens.join(), name);
  const counter = new Bindings({count: 40}, {controller: './controller.py'});
  console.log(await counter.increment({by: 2}));
  console.log(typeof Function.prototype.call, new Function('f', {rootUrl: 'http://a'}).name);
"""
SAYS = "42 0,1,2 ValueError true\n42\nfunction f\n"
ESM = f"""
import {{python, PythonError, Function}} from 'jshost';
import Bindings from 'jshost/bindings';
{USE}
"""
COMMON_JS = f"""
const {{python, PythonError, Function}} = require('jshost');
const Bindings = require('jshost/bindings');
(async () => {{{USE}}})();
"""
TYPED = """
import {python, Function, PythonError, type Python} from 'jshost';
import Bindings from 'jshost/bindings';

interface Model {
  predict(args: {x: number}): number;
}
async function use(): Promise<number> {
  await using py = await python<Model>('./model.py', {workers: 2, maxMemory: '200mb'});
  const y: number = await py.predict({x: 1}, {timeout: 1000});
  // @ts-expect-error: an argument of another type
  await py.predict({x: 'one'});
  const plain: Python = await python('./model.py');
  plain.on('print', ({text, stream}) => console.log(text.length, stream === 'stdout'));
  const any = await python('./model.py');
  await any.whatever({a: 1});
  for await (const chunk of py.stream<string>('tokens', {n: 1})) console.log(chunk.length);
  const chat = new Bindings({model: 'm'}, {controller: './controller.py'});
  chat.onMessage((data) => console.log(data));
  await chat.increment({by: 1});
  interface Counter { increment(args: {by: number}): Promise<number> }
  const typed = new Bindings<Counter>({}, {controller: ''});
  const count: number = await typed.increment({by: 1});
  const fn = new Function<{x: number}, number>('predict', {rootUrl: 'http://a', timeout: 10});
  const z: number = await fn.call({x: 1});
  try {
    await py.call('fail');
  } catch (error) {
    if (error instanceof PythonError) console.log(error.traceback, error.line);
  }
  return y + count + z;
}
void use;
"""
TYPED_COMMON_JS = """
import jshost = require('jshost');
import Bindings = require('jshost/bindings');
async function use(): Promise<void> {
  const py: jshost.Python = await jshost.python('./model.py');
  const result: number = await py.call<number>('predict', {x: 1});
  const chat = new Bindings({}, {controller: ''});
  await chat.increment({by: result});
}
void use;
"""


def run(*command: str | Path, cwd: Path, code: int = 0) -> str:
    """The command's stdout; Python is one that has no jshost."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["JSHOST_PYTHON"] = bare_python()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def bare_python() -> str:
    """The interpreter that our virtual environment was made with."""
    return str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    run("npm", "pack", "--silent", "--pack-destination", folder, cwd=ROOT / "jshost" / "js")
    (packed,) = folder.glob("*.tgz")
    leftovers = [ROOT / "jshost" / "js" / name for name in ("python", "bundled.cjs")]
    assert not any(path.exists() for path in leftovers)
    return packed


@pytest.fixture(scope="module")
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    run("npm", "install", "--silent", "--no-audit", "--no-fund", tarball, cwd=folder)
    return folder


def make_project(folder: Path) -> None:
    (folder / "package.json").write_text('{"name": "project", "private": true}')
    (folder / "model.py").write_text(MODEL)
    (folder / "controller.py").write_text(CONTROLLER)
    (folder / "use.mjs").write_text(ESM)
    (folder / "use.cjs").write_text(COMMON_JS)


def test_the_other_python_has_no_jshost(tmp_path: Path) -> None:
    run(bare_python(), "-c", "import jshost", cwd=tmp_path, code=1)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("script", ["use.mjs", "use.cjs"])
def test_npm_install_alone_is_enough(project: Path, script: str) -> None:
    assert run("node", script, cwd=project) == SAYS


@pytest.mark.timeout(300)
def test_the_folder_itself_can_be_installed(tmp_path: Path) -> None:
    make_project(tmp_path)
    folder = ROOT / "jshost" / "js"
    run("npm", "install", "--silent", "--no-audit", "--no-fund", folder, cwd=tmp_path)
    assert run("node", "use.mjs", cwd=tmp_path) == SAYS


@pytest.mark.timeout(120)
def test_the_types_compile_under_strict(project: Path) -> None:
    (project / "typed.mts").write_text(TYPED)
    (project / "typed_commonjs.cts").write_text(TYPED_COMMON_JS)
    flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"]
    node = ["--types", "node", "--typeRoots", str(ROOT / "node_modules" / "@types")]
    tsc = ROOT / "node_modules" / ".bin" / "tsc"
    run(tsc, *flags, *node, "typed.mts", "typed_commonjs.cts", cwd=project)
    (project / "bare.mts").write_text("import {python} from 'jshost'; import 'jshost/bindings';")
    run(tsc, *flags, "--types", "", "bare.mts", cwd=project)


JEST = f"""
const {{python, PythonError}} = require('jshost');
const Bindings = require('jshost/bindings');
test('a call', async () => {{
  const py = await python({str(Path("model.py"))!r});
  expect(await py.predict({{x: 21}})).toBe(42);
  await expect(py.fail()).rejects.toThrow(PythonError);
  const counter = new Bindings({{count: 1}}, {{controller: 'controller.py'}});
  expect(counter).toEqual(counter);
  expect(await counter.increment()).toStrictEqual(2);
}});
"""
VITEST = f"import {{expect, test}} from 'vitest';\n{JEST}".replace(
    "const {python, PythonError} = require('jshost');",
    "import {python, PythonError} from 'jshost';",
).replace("const Bindings = require('jshost/bindings');", "import Bindings from 'jshost/bindings';")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("runner", "file", "text", "command"),
    [
        ("jest@30", "call.test.js", JEST, ["jest", "--ci"]),
        ("vitest@3", "call.spec.mjs", VITEST, ["vitest", "run"]),
    ],
)
def test_works_under_test_runners(
    tarball: Path, tmp_path: Path, runner: str, file: str, text: str, command: list[str]
) -> None:
    make_project(tmp_path)
    run("npm", "install", "--silent", "--no-audit", "--no-fund", tarball, runner, cwd=tmp_path)
    (tmp_path / file).write_text(text)
    run("npx", "--no-install", *command, file, cwd=tmp_path)
