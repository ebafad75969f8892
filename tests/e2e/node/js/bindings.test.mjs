// @ts-check
/** Bindings: a Python object with state. */

import assert from 'node:assert/strict';
import {existsSync} from 'node:fs';
import {inspect} from 'node:util';
import {describe, test} from 'node:test';
import Bindings from '../../../../jshost/js/embedding/bindings.mjs';
import {endLater, isRunning, wait, write} from './private_python.mjs';

const controller = write('controller.py', `
import asyncio, os
from jshost import BaseController

class Controller(BaseController):
    model = "none"
    count = 0

    def __init__(self):
        self.loaded = f"{self.model} is loaded"

    def get_tokenizer(self):
        return {"tokenizer": self.tokenizer}

    def increment(self, by=1):
        self.count += by
        return self.count

    async def slow_increment(self, params):
        count = self.count
        await asyncio.sleep(params["ms"] / 1000)
        self.count = count + 1
        return self.count

    def testStream(self):
        for word in ("a", "b"):
            self.send({"word": word})
        return "done"

    def tokens(self, prompt):
        yield from prompt.split()

    def fail(self): raise LookupError("no model")
    def pid(self): return os.getpid()
    def die(self): os._exit(1)
    def _hidden(self): return "hidden"
`);

/**
 * @param {Record<string, unknown>} [properties]
 * @param {object} [options]
 * @returns {any}
 */
function bindings(properties = {}, options = {}) {
  return endLater(/** @type {any} */ (new Bindings(properties, {controller, ...options})));
}

test('properties, methods in either spelling, state', async () => {
  const chat = bindings({model: 'something'});
  await chat.setProperty('tokenizer', 123);
  assert.equal(await chat.getProperty('model'), 'something');
  assert.equal(await chat.getProperty('loaded'), 'something is loaded');
  assert.equal(await chat.getProperty('nothing'), null);
  assert.deepEqual(await chat.getTokenizer(), {tokenizer: 123});
  assert.deepEqual([await chat.increment({by: 5}), await chat.increment()], [5, 6]);
  await assert.rejects(chat.setProperty('increment', 1), {name: 'AttributeError', message: /'increment' is a method/});
});

test('messages of all calls, and of one', async () => {
  const chat = bindings();
  /** @type {unknown[]} */
  const heard = [];
  const listener = (/** @type {unknown} */ data, /** @type {string} */ method) => heard.push([method, data]);
  chat.onMessage(listener);
  assert.equal(await chat.testStream(), 'done');
  const own = [];
  for await (const token of chat.stream('tokens', {prompt: 'one two'})) own.push(token);
  assert.deepEqual(own, ['one', 'two']);
  assert.deepEqual(heard, [['testStream', {word: 'a'}], ['testStream', {word: 'b'}], ['tokens', 'one'], ['tokens', 'two']]);
  chat.off('message', listener);
  await chat.testStream();
  assert.equal(heard.length, 4);
});

describe('the order of calls', () => {
  test('is that in which they were made', async () => {
    const chat = bindings();
    assert.deepEqual(await Promise.all([chat.slowIncrement({ms: 30}), chat.slowIncrement({ms: 0}), chat.increment()]), [1, 2, 3]);
    const [failed, next] = await Promise.allSettled([chat.fail(), chat.increment()]);
    assert.deepEqual([failed.status, /** @type {any} */ (next).value], ['rejected', 4]);
    chat.stream('tokens', {prompt: 'never read'});
    assert.equal(await chat.increment(), 5);
  });

  test('is open where that is asked for', async () => {
    const chat = bindings({}, {concurrent: true});
    await chat.increment();
    assert.deepEqual(await Promise.all([chat.slowIncrement({ms: 200}), chat.slowIncrement({ms: 100})]), [2, 2]);
  });

  test('a call that may wait no longer gives up, and lets none overtake', async () => {
    const chat = bindings();
    await chat.increment();
    let isAnswered = false;
    const slow = chat.slowIncrement({ms: 600}).finally(() => { isAnswered = true; });
    const late = chat.call('increment', {}, {timeout: 50});
    const left = chat.call('increment', {}, {signal: AbortSignal.timeout(50)});
    const next = chat.increment();
    await Promise.all([
      assert.rejects(late, {name: 'FunctionTimeout', message: /^increment: no answer within the limit of 50 ms; it waited for the calls before it/}),
      assert.rejects(left, {name: 'TimeoutError'}),
    ]);
    assert.ok(!isAnswered);
    assert.deepEqual(await Promise.all([slow, next]), [2, 3]);
  });
});

describe('names', () => {
  test('an unknown method rejects, and the error lists those there are', async () => {
    await assert.rejects(bindings().nonsense(), {
      name: 'FunctionNotFound',
      message: 'the Controller has no method "nonsense"; there are: die, fail, getProperty, get_tokenizer, increment, pid, setProperty, slow_increment, testStream, tokens',
    });
  });

  test('private ones, promises, tools and debuggers do not call Python', async () => {
    const chat = bindings();
    for (const name of ['_hidden', '__class__', 'then', 'catch', 'toJSON', 'asymmetricMatch', Symbol.iterator, Symbol.toPrimitive]) {
      assert.equal(chat[name], undefined, String(name));
    }
    assert.equal(await Promise.resolve(chat), chat);
    assert.equal(JSON.stringify(chat), '{}');
    assert.match(inspect(chat), /^Bindings/);
    await assert.rejects(chat.call('_hidden'), {name: 'FunctionNotFound'});
    await assert.rejects(chat.call('send', {data: 1}), {name: 'FunctionNotFound'});
  });
});

describe('the end', () => {
  test('twice is fine, and calls after it reject', async () => {
    const chat = bindings();
    const pid = await chat.pid();
    await chat.end();
    await chat.end();
    assert.ok(!isRunning(pid));
    await assert.rejects(chat.increment(), {name: 'HostUnavailable', message: 'increment: these bindings were ended'});
    await bindings().end();
  });

  test('calls that were made may finish, within a grace', async () => {
    const chat = bindings();
    const two = [chat.slowIncrement({ms: 100}), chat.increment()];
    await chat.end();
    assert.deepEqual(await Promise.all(two), [1, 2]);

    const other = bindings();
    await other.increment();
    const late = [other.slowIncrement({ms: 60_000}), other.increment()];
    const [, running, waiting] = await Promise.allSettled([other.end({timeout: 200}), ...late]);
    assert.deepEqual([running, waiting].map((each) => /** @type {any} */ (each).reason.message), [
      'slow_increment: this Python was ended before the function had finished', 'increment: these bindings were ended']);
  });

  test('a worker that dies takes the state with it, which later calls say', async () => {
    const chat = bindings();
    chat.on('worker', () => undefined);
    await assert.rejects(chat.die(), {name: 'ProcessError', message: /exit code 1/});
    await assert.rejects(chat.increment(), {message: /^increment: the process of the Controller died, and its state is lost: worker 1 .*exit code 1$/});
  });
});

test('once: a process for each call', async () => {
  const once = Bindings.once({model: 'x'}, {controller});
  assert.equal(await once.getProperty('loaded'), 'x is loaded');
  const pids = await Promise.all([once.pid(), once.pid()]);
  assert.equal(new Set(pids).size, 2);
  await wait(() => !pids.some(isRunning), 'end of the processes');
  assert.equal(once.then, undefined);
  /** @type {unknown[]} */
  const heard = [];
  once.onMessage((/** @type {unknown} */ data) => heard.push(data));
  const own = [];
  for await (const token of once.stream('tokens', {prompt: 'one two'})) own.push(token);
  assert.deepEqual([own, heard], [['one', 'two'], ['one', 'two']]);
  await once.end();
  await assert.rejects(once.pid(), {name: 'HostUnavailable'});
});

test('once: a signal is obeyed while the process starts', async () => {
  const slow = write('slow.py', `import time
from jshost import BaseController
time.sleep(1.5)
open(__file__ + '.loaded', 'w').close()
class Controller(BaseController): pass`);
  const once = endLater(Bindings.once({}, {controller: slow}));
  await assert.rejects(once.call('getProperty', {name: 'x'}, {signal: AbortSignal.timeout(50)}), {name: 'TimeoutError'});
  assert.ok(!existsSync(`${slow}.loaded`));
});

test('what is wrong at the start is what calls reject with', async () => {
  const broken = bindings({}, {controller: write('broken.py', 'class Controller: pass')});
  await assert.rejects(broken.anything(), {name: 'ConfigError', message: /broken\.py: has no class Controller that derives from jshost\.BaseController/});
  const failing = bindings({}, {controller: write('failing.py', 'import jshost\nclass Controller(jshost.BaseController):\n    def __init__(self): raise OSError("no disk")')});
  await assert.rejects(failing.anything(), {name: 'OSError', message: 'no disk'});
  await assert.rejects(bindings({}, {thread: 1}).anything(), {name: 'ConfigError', message: 'new Bindings(): there is no option "thread".'});
  assert.throws(() => bindings({}, {workers: 2}), {name: 'ConfigError', message: /there is no option "workers", as the object lives in one process/});
  assert.throws(() => new Bindings({}), {name: 'ConfigError', message: /needs the path of a Python file/});
});
