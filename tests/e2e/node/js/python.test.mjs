// @ts-check
/** Calling functions of a private Python. */

import assert from 'node:assert/strict';
import {mkdtempSync, realpathSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {inspect} from 'node:util';
import {describe, test} from 'node:test';
import {ConfigError, FunctionNotFound, FunctionTimeout, PythonError, python} from '../../../../jshost/js/index.mjs';
import {endLater, pythonWith, wait, write} from './private_python.mjs';

const MODEL = `
import asyncio, threading, time

def predict(x, factor=2): return x * factor
def fail(x):
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError(f"no such x: {x}") from error
async def nap(ms): await asyncio.sleep(ms / 1000)
def echo(**values): return values
def one(value): return value
def spin():
    while True: pass
def numbers(n):
    for number in range(n): yield number
def then(): return "called"
def call(): return "its own"
`;

describe('a plain file', () => {
  test('its functions are methods, with one object of arguments', async () => {
    const py = await pythonWith(MODEL);
    assert.equal(await py.predict({x: 21}), 42);
    assert.equal(await py.call('predict', {x: 2, factor: 5}), 10);
    assert.deepEqual(py.functions, ['predict', 'fail', 'nap', 'echo', 'one', 'spin', 'numbers', 'then', 'call']);
    assert.equal(await py.call('call'), 'its own');
    await assert.rejects(py.predict({y: 1}), {name: 'ArgumentsError', message: /predict\(\) missing a required argument: 'x'/});
  });

  test('what any object is asked for does not call Python', async () => {
    const py = await pythonWith(MODEL);
    assert.equal(await Promise.resolve(py), py, 'then');
    assert.equal(await py.call('then'), 'called');
    assert.equal(py.toJSON, undefined);
    assert.match(inspect(py), /predict/);
    assert.equal(JSON.stringify(py), '{}');
    assert.equal(py.nonsense, undefined);
  });

  test('a relative path counts from the folder in which the program was', async () => {
    const file = write('relative.py', 'import os\ndef where(): return os.getcwd()');
    const before = process.cwd();
    process.chdir(path.dirname(file));
    const starting = python('./relative.py');
    process.chdir(before);
    assert.equal(await endLater(await starting).where(), realpathSync(path.dirname(file)));
  });

  test('an unknown function is an error that lists those there are', async () => {
    const py = await pythonWith('def a(): ...\ndef b(): ...');
    await assert.rejects(py.call('c'), (/** @type {any} */ error) => {
      assert.ok(error instanceof FunctionNotFound);
      assert.equal(error.message, 'there is no function "c"; there are: a, b');
      return true;
    });
  });

  test('a config file serves what it says, with its options, and the Python files it includes', async () => {
    write('more.config.py', 'functions = {"more": lambda: "more"}');
    const file = write('host.config.py', `
include = ["more.config.py", "host.config.js"]
workers = 2
function_timeout = 0.2
def hello_world(name="World"): return f"Hello, {name}!"
functions = {"hello_world": hello_world, "sleep": lambda s: __import__("time").sleep(s)}
`);
    const py = endLater(await python(file));
    assert.deepEqual(py.functions, ['hello_world', 'sleep', 'more']);
    assert.deepEqual([await py.hello_world({name: 'Foo'}), await py.more()], ['Hello, Foo!', 'more']);
    assert.equal(py.workers.length, 3);
    await assert.rejects(py.sleep({s: 1}), {name: 'FunctionTimeout', message: /limit of 200 ms/});
  });
});

describe('errors', () => {
  test('an exception: class, message, place, cause, traceback, and the stack of the caller', async () => {
    const py = await pythonWith(MODEL);
    await assert.rejects(async function theCaller() {
      await py.fail({x: 3});
    }, (/** @type {any} */ error) => {
      assert.ok(error instanceof PythonError);
      assert.deepEqual([error.name, error.message, error.line, error.code], ['ValueError', 'no such x: 3', 9, 'function_failed']);
      assert.match(error.module ?? '', /file_.*\.py$/);
      assert.match(error.traceback, /^Traceback [^]*line 9, in fail\n[^]*ValueError: no such x: 3$/);
      const {cause} = error;
      assert.ok(cause instanceof PythonError);
      assert.deepEqual([cause.name, cause.message, cause.line], ['KeyError', "'key'", 7]);
      assert.match(cause.stack ?? '', /^KeyError: 'key'\n\nTraceback [^]*line 7, in fail/);
      assert.match(error.stack ?? '', /^ValueError: no such x: 3\n {4}at theCaller \(.*python\.test\.mjs:[^]*\n\nTraceback [^]*line 9, in fail/);
      return true;
    });
  });

  for (const [what, text, expected] of /** @type {[string, string, object][]} */ ([
    ['a syntax error', 'def f(:\n  pass', {name: 'SyntaxError', message: /, line 1: invalid syntax/}],
    ['a failed import', 'import no_such_package', {name: 'ModuleNotFoundError', message: /"no_such_package" is not installed in the environment of \/.*python/}],
    ['an exception', 'x = 1\nx / 0', {name: 'ZeroDivisionError', message: /division by zero/, stack: /\n {4}at .*python\.test\.mjs[^]*line 2, in <module>/}],
    ['sys.exit()', 'import sys; sys.exit("no license")', {name: 'SystemExit', message: /called sys\.exit\('no license'\)/}],
    ['a dead process', 'import os; print("bye", file=__import__("sys").stderr); os._exit(3)', {message: /exit code 3; its last lines on stderr:\nbye/}],
    ['a wrong option', 'workers = 0', {name: 'ConfigError', message: /the option "workers" must be a whole number from 1 to 512, not 0\./}],
  ])) {
    test(`at start, ${what} rejects at once`, async () => {
      await assert.rejects(pythonWith(text), expected);
    });
  }

  test('a file that is not there, and a wrong option of the program', async () => {
    await assert.rejects(python('./none.py'), {name: 'ConfigError', message: /none\.py: no such Python file/});
    await assert.rejects(python(write('model.mjs', 'export {};')), {name: 'ConfigError', message: /model\.mjs: is no Python file; its name must end in \.py/});
    await assert.rejects(python(/** @type {any} */ (undefined)), {name: 'ConfigError', message: /needs the path of a Python file, not undefined/});
    await assert.rejects(pythonWith(MODEL, /** @type {any} */ ({worker: 2})), {name: 'ConfigError', message: /there is no option "worker"/});
    await assert.rejects(pythonWith(MODEL, {maxMemory: 'much'}), (error) => error instanceof ConfigError);
  });

  test('arguments that cannot be carried are a TypeError before anything is sent', async () => {
    const py = await pythonWith(MODEL);
    await assert.rejects(py.one({value: {a: [new Set()]}}), {name: 'TypeError', message: /argument value\.a\[0\]: a Set/});
    await assert.rejects(py.one(/** @type {any} */ ([1])), {name: 'TypeError', message: /one object of arguments, not an array/});
    await assert.rejects(py.one({value: 1}, {timeout: -1}), {name: 'RangeError', message: /milliseconds above 0/});
    const signal = /** @type {any} */ (new AbortController());
    await assert.rejects(py.one({value: 1}, {signal}), {name: 'TypeError', message: 'signal must be an AbortSignal, as an AbortController has one'});
  });
});

describe('limits', () => {
  test('a deadline stops the work: a loop that never ends, too', async () => {
    const py = await pythonWith(MODEL);
    const [{pid}] = py.workers;
    await assert.rejects(py.spin({}, {timeout: 100}), (error) => error instanceof FunctionTimeout);
    await wait(() => py.workers.every((worker) => worker.pid !== pid), 'other worker');
    assert.equal(await py.predict({x: 1}), 2);
  });

  test('a signal aborts, and async functions hear of it', async () => {
    const py = await pythonWith(`
import asyncio
seen = []
async def wait():
    seen.append("began")
    try: await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
def what(): return seen`);
    const controller = new AbortController();
    const call = py.wait({}, {signal: controller.signal});
    await wait(async () => (await py.what()).length === 1, 'call');
    controller.abort(new Error('changed my mind'));
    await assert.rejects(call, /changed my mind/);
    await wait(async () => (await py.what()).length === 2, 'CancelledError');
    await assert.rejects(py.wait({}, {signal: controller.signal}), /changed my mind/);
  });

  test('many calls run at the same time, on one worker or on several', async () => {
    const py = await pythonWith(`${MODEL}
import os
def pid(): time.sleep(0.05); return os.getpid()
async def meet(folder, number, count):
    open(f"{folder}/{number}", "w").close()
    while len(os.listdir(folder)) < count:
        await asyncio.sleep(0.01)`, {workers: 2});
    const folder = mkdtempSync(path.join(tmpdir(), 'meeting-'));
    await Promise.all(Array.from({length: 20}, (_, number) => py.meet({folder, number, count: 20})));
    rmSync(folder, {recursive: true});
    await wait(() => py.workers.every(({state}) => state === 'ready'), 'second worker');
    const pids = await Promise.all(Array.from({length: 8}, () => py.pid()));
    assert.equal(new Set(pids).size, 2);
  });

  test('a full queue refuses; a worker that dies fails its own calls and is replaced', async () => {
    const py = await pythonWith(`
import os, time
def nap(s): time.sleep(s)
def die(): os._exit(7)`, {concurrency: 1, maxQueue: 1});
    py.on('worker', () => undefined);
    const calls = [py.nap({s: 0.2}), py.die(), py.nap({s: 0})];
    const [first, second, third] = await Promise.allSettled(calls);
    assert.equal(first.status, 'fulfilled');
    assert.equal(/** @type {any} */ (second).reason.name, 'ProcessError');
    assert.match(/** @type {any} */ (second).reason.message, /^die: worker 1 \(pid \d+\) died: exit code 7/);
    assert.equal(/** @type {any} */ (third).reason.code, 'queue_full');
    await py.nap({s: 0});
  });

  test('that is larger than a frame is refused, and holds no place', async () => {
    const py = await pythonWith('def size(b): return len(b)');
    await assert.rejects(py.size({b: Buffer.alloc(2 ** 30)}), {code: 'body_too_large', message: /^size: the call is larger than what a worker can be sent at once: /});
    assert.equal(await py.size({b: Buffer.alloc(3)}), 3);
    assert.deepEqual(py.workers.map(({calls}) => calls), [0]);
  });

  test('workers are recycled, and no call is lost', async () => {
    const py = await pythonWith('import os\ndef pid(): return os.getpid()', {maxRequests: 10});
    const pids = new Set();
    for (let count = 0; pids.size < 3 && count < 5000; count++) pids.add(await py.pid());
    assert.equal(pids.size, 3);
  });

  test('memory is watched', async () => {
    const py = await pythonWith(`
import os
kept = []
def leak(): kept.append(b"x" * (8 << 20)); return os.getpid()`, {maxMemory: '120mb'});
    const first = await py.leak();
    const isReplaced = () => !py.workers.some(({pid}) => pid === first);
    for (let count = 0; count < 500 && !isReplaced(); count++) {
      await py.leak();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.ok(isReplaced());
  });
});

describe('streams and batches', () => {
  test('values as they come, and what the function returns', async () => {
    const py = await pythonWith(`
import jshost
def numbers(n):
    for number in range(n): yield {"number": number}
    return "done"
async def sent():
    await jshost.current_call().asend(b"bytes")
    return 7`);
    const stream = py.stream('numbers', {n: 3});
    const seen = [];
    for await (const value of stream) seen.push(value);
    assert.deepEqual(seen, [{number: 0}, {number: 1}, {number: 2}]);
    assert.equal(stream.result, 'done');
    const other = py.stream('sent');
    for await (const value of other) assert.deepEqual(value, Buffer.from('bytes'));
    assert.equal(other.result, 7);
    assert.equal(await py.numbers({n: 2}), 'done');
  });

  test('an error in the middle comes behind the values', async () => {
    const py = await pythonWith('def two():\n    yield 1\n    yield 2\n    raise OSError("no more")');
    const seen = [];
    await assert.rejects(async () => {
      for await (const value of py.stream('two')) seen.push(value);
    }, {name: 'OSError', message: 'no more'});
    assert.deepEqual(seen, [1, 2]);
    await assert.rejects(async () => {
      for await (const _ of py.stream('none')) assert.fail();
    }, FunctionNotFound);
  });

  test('a slow reader slows the function down; one that leaves stops it', async () => {
    const py = await pythonWith(`
sent, ended = 0, False
def much():
    global sent, ended
    try:
        while True:
            sent += 1
            yield "x" * 1000
    finally: ended = True
def state(): return [sent, ended]`);
    let last = -1;
    for await (const _ of py.stream('much')) {
      await wait(async () => {
        const [sent] = await py.state();
        const isStill = sent === last;
        last = sent;
        return isStill;
      }, 'pause');
      break;
    }
    assert.ok(last > 200 && last < 400, `${last} values of 1 KB were sent ahead`);
    await wait(async () => (await py.state())[1], 'end of the generator');
  });

  test('a batch: results in order, errors in their place', async () => {
    const py = await pythonWith(MODEL);
    const [two, error, four] = await py.batch([['predict', {x: 1}], ['fail', {x: 0}], ['predict', {x: 2}]]);
    assert.deepEqual([two, error.name, four], [2, 'ValueError', 4]);
  });
});
