// @ts-check
/** What must not happen: workers that outlive anything, prints that get lost or break a message. */

import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {describe, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {PythonError, python} from '../../../../jshost/js/index.mjs';
import {heard, isRunning, pythonWith, wait, write} from './private_python.mjs';

const INDEX = new URL('../../../../jshost/js/index.mjs', import.meta.url).href;
const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
/** How soon a worker must be gone when its program is. */
const GONE_MS = 1000;

const model = write('life.py', `
import os, time
def pid(): return os.getpid()
def spin():
    while True: pass
def nap(s): time.sleep(s); return "slept"
def say(text): print(text)
`);

/**
 * Run a program that has a Python `py`; `said` is its first line, `ended` its exit code and outputs.
 *
 * @param {string} text
 * @param {object} [options]
 */
function program(text, options = {}) {
  const code = `
    import {python} from ${JSON.stringify(INDEX)};
    const py = await python(${JSON.stringify(model)}, ${JSON.stringify(options)});
    ${text}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe']});
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (data) => void (stderr += data));
  const said = new Promise((resolve) => child.stdout.on('data', (data) => {
    stdout += data;
    if (stdout.includes('\n')) resolve(stdout.split('\n')[0]);
  }));
  const ended = new Promise((resolve) => child.on('close', (status, signal) => resolve({status, signal, stdout, stderr})));
  return {child, said: /** @type {Promise<string>} */ (said), ended: /** @type {Promise<any>} */ (ended)};
}

describe('when the program ends, its workers are gone within a second', () => {
  const SAY_PIDS = 'console.log(py.workers.map(({pid}) => pid).join());';
  for (const [how, text, end] of /** @type {[string, string, (child: import('node:child_process').ChildProcess) => void][]} */ ([
    ['killed with -9', 'setInterval(() => undefined, 1000)', (child) => child.kill('SIGKILL')],
    ['killed with -9 while Python is in an endless loop', 'py.spin().catch(() => undefined)', (child) => child.kill('SIGKILL')],
    ['by process.exit() during a call', 'py.spin().catch(() => undefined); setTimeout(() => process.exit(3), 500)', () => undefined],
    ['by an uncaught error', 'setTimeout(() => { throw new Error("oh"); }, 500)', () => undefined],
    ['by SIGTERM', 'py.nap({s: 60}).catch(() => undefined)', (child) => child.kill('SIGTERM')],
    ['by Ctrl-C', 'py.nap({s: 60}).catch(() => undefined)', (child) => child.kill('SIGINT')],
  ])) {
    test(how, async () => {
      const {child, said, ended} = program(`${SAY_PIDS} ${text}`, {workers: 1});
      const pids = (await said).split(',').map(Number);
      assert.ok(pids.every(isRunning));
      end(child);
      await ended;
      await wait(() => !pids.some(isRunning), `end of ${pids}`, GONE_MS);
    });
  }

  test('a thread that is terminated, and one that ends', async () => {
    for (const last of ['setInterval(() => undefined, 1000)', '']) {
      const code = `
        const {parentPort} = require('node:worker_threads');
        import(${JSON.stringify(INDEX)}).then(async ({python}) => {
          const py = await python(${JSON.stringify(model)});
          parentPort.postMessage(await py.pid());
          ${last}
        });`;
      const thread = new Worker(code, {eval: true});
      const exit = new Promise((resolve) => thread.once('exit', resolve));
      const pid = await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject));
      if (last) await thread.terminate();
      await exit;
      await wait(() => !isRunning(pid), `end of ${pid}`, GONE_MS);
    }
  });
});

describe('a program', () => {
  test('exits by itself when no call is pending, and not before', async () => {
    const {ended} = program('setTimeout(() => undefined, 10); py.nap({s: 0.3}).then(console.log)');
    assert.deepEqual(await ended, {status: 0, signal: null, stdout: 'slept\n', stderr: ''});
  });

  test('stays, where that is asked for', async () => {
    const {child, said, ended} = program('console.log("here"); process.on("SIGTERM", () => py.end())', {keepAlive: true});
    await said;
    const first = await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 300, 'still there'))]);
    assert.equal(first, 'still there');
    child.kill('SIGTERM');
    assert.equal((await ended).status, 0);
  });

  test('sees on its stderr what Python prints, unless it listens', async () => {
    const {ended} = program(`
      const shown = new Promise((resolve) => {
        const write = process.stderr.write;
        process.stderr.write = function (...data) {
          resolve();
          return write.apply(this, data);
        };
      });
      await py.say({text: "Größe 🙂"});
      await shown; // a line may come later than the answer of its call
      py.on("print", ({text}) => console.log("heard", text));
      await py.say({text: "two"});
      await py.end();`);
    assert.deepEqual(await ended, {status: 0, signal: null, stdout: 'heard two\n', stderr: 'Größe 🙂\n'});
  });
});

describe('end()', () => {
  test('twice is fine; calls after it reject', async () => {
    const py = await python(model);
    const pid = await py.pid();
    await Promise.all([py.end(), py.end()]);
    await py.end();
    assert.ok(!isRunning(pid));
    await assert.rejects(py.pid(), {name: 'HostUnavailable', message: /was ended and takes no more calls/});
  });

  test('calls finish within the grace, or reject', async () => {
    const py = await python(model);
    const [quick, slow] = [py.nap({s: 0.2}), py.nap({s: 60})];
    const ended = py.end({timeout: 600});
    assert.equal(await quick, 'slept');
    await assert.rejects(slow, {code: 'worker_died', message: /was ended before the function had finished/});
    await ended;
  });

  test('await using, as the language will have it', async () => {
    const py = await python(model);
    const pid = await py.pid();
    await py[Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]();
    assert.ok(!isRunning(pid));
  });
});

describe('what is printed', () => {
  test('any way of it is an event, with the call that did it, and breaks no message', async () => {
    const py = await pythonWith(`
import ctypes, logging, os, subprocess, sys, warnings
def every():
    print("print")
    sys.stdout.write("write\\n")
    sys.stderr.write("\\r 50%")
    os.write(1, b"descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    ctypes.CDLL(None).fflush(None)
    subprocess.run(["echo", "child"])
    warnings.warn("careful")
    logging.getLogger("x").error("logged")
    print("\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x01\\x03fake frame")
    print("no end of line", end="")
    return "answer"
`);
    /** @type {any[]} */
    const lines = [];
    /** @type {any[]} */
    const logs = [];
    py.on('print', (line) => lines.push(line));
    py.on('log', (entry) => logs.push(entry));
    assert.equal(await py.every(), 'answer');
    const all = () => lines.map(({text}) => text);
    await wait(() => all().includes('no end of line'), 'last line');
    for (const text of ['print', 'write', 'descriptor', 'from C', 'child', '\0\0\0\x05\0\0\0\x01\x03fake frame']) assert.ok(all().includes(text), text);
    await wait(() => all().some((text) => text.includes('50%')) && all().some((text) => text.includes('careful')), 'stderr');
    const [line] = lines.filter(({text}) => text === 'print');
    assert.deepEqual([line.stream, line.function, line.pid], ['stdout', 'every', py.workers[0].pid]);
    assert.match(line.requestId, /-1$/);
    assert.deepEqual(logs.map(({level, message, function: name}) => [level, message, name]), [['error', 'logged', 'every']]);
  });

  test('a flood of it holds nothing up', async () => {
    const py = await pythonWith('def flood():\n    for n in range(50_000): print("line", n)\n    return "done"');
    let count = 0;
    py.on('print', () => void (count += 1));
    assert.equal(await py.flood(), 'done');
    await wait(() => count === 50_000, 'last of 50 000 lines');
  });
});

describe('messages', () => {
  test('200 MB arrive whole', {timeout: 60_000}, async () => {
    const py = await pythonWith('def big(n): return "ü" * n\ndef raw(n): return b"\\xff" * n');
    const text = await py.big({n: 100_000_000});
    assert.equal(text.length, 100_000_000);
    assert.equal(text.charCodeAt(99_999_999), 'ü'.charCodeAt(0));
    assert.equal((await py.raw({n: 200_000_000})).length, 200_000_000);
  });

  test('a locale of C is no matter', async () => {
    const py = await pythonWith('def echo(text): print(text); return text + "é"', {env: {LC_ALL: 'C', LANG: 'C', PYTHONIOENCODING: 'ascii'}});
    const line = heard(py, 'print');
    assert.equal(await py.echo({text: 'Größe 🙂'}), 'Größe 🙂é');
    assert.equal((await line).text, 'Größe 🙂');
  });

  test('a worker whose frames make no sense is not believed', async () => {
    const py = await pythonWith('import os\ndef lie(): os.write(3, b"x" * 100)\ndef fine(): return 1');
    py.on('worker', () => undefined);
    await assert.rejects(py.lie(), (/** @type {any} */ error) => error.code === 'worker_died' && /sent bytes that are not a frame/.test(error.message));
    assert.equal(await py.fine(), 1);
  });

  test('a forked child does not hold anything open', async () => {
    const py = await pythonWith(`
import os, time
def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    return pid`);
    const pid = await py.fork();
    await py.end();
    await wait(() => !isRunning(pid), 'end of the child', GONE_MS);
  });
});

test('a first worker that never loads is not waited for for ever', async () => {
  await assert.rejects(pythonWith('import time; time.sleep(60)', {startTimeout: 0.5}), (error) => {
    assert.ok(error instanceof PythonError);
    assert.match(error.message, /did not finish loading within 0\.5 s/);
    return true;
  });
});

