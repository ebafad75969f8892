// @ts-check
/**
 * A Node program that calls a real host; tests/e2e/node/test_node_http.py runs it, and says in OPTIONS how
 * the host is to be found.
 */

import assert from 'node:assert/strict';
import {after, describe, test} from 'node:test';
import {env} from 'node:process';
import {setTimeout as sleep} from 'node:timers/promises';
import {Function, batch} from '../../../jshost/js/client/function.mjs';
import {ServedHost as Host} from '../../../jshost/js/client/http/host.mjs';
import {
  ArgumentsError, FunctionError, FunctionNotFound, FunctionTimeout, HostConnectionError, ProcessError, PythonError,
} from '../../../jshost/js/exceptions.mjs';

const host = new Host(JSON.parse(env.OPTIONS ?? '{}'));
after(() => host.close());

/**
 * @param {string} name
 * @param {import('../../../jshost/js/client/function.mjs').FunctionOptions} [options]
 */
const fn = (name, options) => new Function(name, {host, ...options});

/**
 * @param {Promise<unknown>} promise
 * @returns {Promise<any>}
 */
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return assert.fail('it did not fail');
}

test('an option that there is not is refused', () => {
  assert.throws(() => new Function('add', /** @type {any} */ ({timeuot: 1})), {name: 'ConfigError', message: /no option "timeuot"/});
  assert.throws(() => new Function('add', {host, rootUrl: 'http://127.0.0.1:1'}), {name: 'ConfigError', message: /"rootUrl" is not an option of a Function that has a host/});
});

describe('a call', () => {
  test('reaches functions of both languages', async () => {
    assert.equal(await fn('add').call({a: 1, b: 2}), 3);
    assert.equal(await fn('double').call({number: 20}), 40);
  });

  test('may give any value', async () => {
    for (const value of [null, 0, false, '', 'größe 🙂', [1, {a: null}], 1.5]) {
      assert.deepEqual(await fn('echo').call({value}), value);
    }
  });

  test('carries bytes both ways, at any depth', async () => {
    const bytes = Buffer.from([0, 255, 10]);
    assert.deepEqual(await fn('echo').call({value: bytes}), bytes);
    assert.deepEqual(await fn('echo').call({value: {inside: [bytes]}}), {inside: [bytes]});
    assert.equal((await fn('echo').call({value: Buffer.alloc(3 << 20, 7)})).length, 3 << 20);
  });

  test('never rounds an integer', async () => {
    const error = await failure(fn('large').call());
    assert.equal(error.name, 'RangeError');
    assert.match(error.message, /9223372036854775809 is beyond 2\*\*53.*integers: 'bigint'/);
    const value = await fn('large', {integers: 'bigint'}).call();
    assert.deepEqual(value, {n: 9223372036854775809n, text: '9223372036854775809', small: 1});
    assert.equal(await fn('digits').call({number: 2n ** 70n}), '1180591620717411303424');
  });

  test('tells its context', async () => {
    const headers = {'X-Request-ID': 'order-7', traceparent: '00-1-2-01'};
    assert.deepEqual(await fn('context').call({}, {headers}), ['order-7', '00-1-2-01']);
  });

  test('many at once', async () => {
    const values = await Promise.all(Array.from({length: 100}, (_, a) => fn('add').call({a, b: 1})));
    assert.deepEqual(values, Array.from({length: 100}, (_, a) => a + 1));
  });
});

describe('an error', () => {
  test("is Python's, with its traceback, place and cause, and the caller's own stack", async () => {
    const error = await failure(fn('fail').call());
    assert.ok(error instanceof PythonError && error instanceof FunctionError);
    assert.deepEqual([error.name, error.message], ['ValueError', 'no such page']);
    assert.match(error.traceback, /^Traceback[^]*in fail[^]*ValueError: no such page$/m);
    assert.match(error.module, /host\.config\.py$/);
    assert.equal(typeof error.line, 'number');
    assert.match(error.stack, /http_caller\.test\.mjs/);
    assert.deepEqual([error.cause.name, error.cause.message], ['KeyError', "'page'"]);
  });

  test("is JavaScript's, with its stack and properties", async () => {
    const error = await failure(fn('double').call());
    assert.ok(error instanceof FunctionError && !(error instanceof PythonError));
    assert.equal(error.message, 'double: TypeError: No number was provided');
    assert.deepEqual([error.errorName, error.properties], ['TypeError', {code: 'E_NUMBER'}]);
    assert.match(error.remoteStack, /host\.config\.js:\d+/);
  });

  test('says what is wrong with the call', async () => {
    assert.ok(await failure(fn('nobody').call()) instanceof FunctionNotFound);
    const arguments_ = await failure(fn('add').call({a: 1}));
    assert.ok(arguments_ instanceof ArgumentsError);
    assert.match(arguments_.message, /missing a required argument: 'b'/);
  });

  test('is told where the worker dies', async () => {
    assert.ok(await failure(fn('die').call()) instanceof ProcessError);
    assert.equal(await fn('add').call({a: 1, b: 2}), 3);
  });
});

describe('a limit', () => {
  test('ends the call, and the work', async () => {
    const error = await failure(fn('wait', {timeout: 200}).call({mark: 'limit'}));
    assert.ok(error instanceof FunctionTimeout);
    assert.ok(await isMarked('limit'));
  });

  test('may be set for a call, or be none', async () => {
    assert.ok(await failure(fn('wait', {timeout: null}).call({mark: 'call'}, {timeout: 200})) instanceof FunctionTimeout);
    assert.equal(await fn('add', {timeout: null}).call({a: 1, b: 1}), 2);
    assert.throws(() => fn('add', {timeout: 0}), {name: 'RangeError', message: /milliseconds above 0/});
  });

  test('a signal ends the call, and the work', async () => {
    const error = await failure(fn('wait').call({mark: 'signal'}, {signal: AbortSignal.timeout(200)}));
    assert.equal(error.name, 'TimeoutError');
    assert.ok(await isMarked('signal'));
    const early = AbortSignal.abort(new Error('not at all'));
    assert.equal((await failure(fn('wait').call({mark: 'never'}, {signal: early}))).message, 'not at all');
  });
});

/** @param {string} mark */
async function isMarked(mark) {
  for (const end = Date.now() + 5000; Date.now() < end; await sleep(10)) {
    if (await fn('is_marked').call({mark})) return true;
  }
  return false;
}

describe('a stream', () => {
  test('gives values as they come, and the result', async () => {
    const stream = fn('count').stream({n: 3});
    const values = [];
    for await (const value of stream) values.push(value);
    assert.deepEqual([values, stream.result], [[0, 1, 2], {done: true}]);
  });

  test('carries bytes', async () => {
    const values = [];
    for await (const value of fn('pieces').stream()) values.push(value);
    assert.deepEqual(values, [Buffer.from('one'), 'two']);
  });

  test('fails where the reader stands', async () => {
    const values = [];
    const error = await failure((async () => {
      for await (const value of fn('break_off').stream()) values.push(value);
    })());
    assert.deepEqual([values, error.name], [[0], 'RuntimeError']);
  });

  test('ends when its reader leaves', async () => {
    for await (const value of fn('forever', {timeout: null}).stream({mark: 'left'})) {
      if (value === 3) break;
    }
    assert.ok(await isMarked('left'));
  });

  test('of a function that does not stream is its result', async () => {
    const stream = fn('add').stream({a: 1, b: 2});
    for await (const _ of stream) assert.fail('a value');
    assert.equal(stream.result, 3);
  });

  test('is slowed down by a slow reader', async () => {
    const stream = fn('forever', {timeout: null}).stream({mark: 'slow', size: 100_000});
    const values = stream[Symbol.asyncIterator]();
    await values.next();
    await sleep(300);
    const sent = await fn('sent').call({mark: 'slow'});
    await sleep(300);
    const later = await fn('sent').call({mark: 'slow'});
    await stream.close();
    assert.ok(later - sent < 3, `${sent}, then ${later} values were sent to nobody`);
  });
});

describe('a batch', () => {
  test('gives results and errors in order', async () => {
    const [one, error, three] = await fn('double').map([{number: 1}, {}, {number: 3}]);
    assert.deepEqual([one, three], [2, 6]);
    assert.equal(error.message, 'double: TypeError: No number was provided');
    assert.deepEqual(await batch([[fn('add'), {a: 1, b: 1}], [fn('echo'), {value: Buffer.from('x')}]]), [2, Buffer.from('x')]);
    assert.equal((await batch([[fn('fail')]]))[0].name, 'ValueError');
    assert.deepEqual(await batch([]), []);
  });
});

test('what cannot be carried is not sent', async () => {
  const error = await failure(fn('echo').call({value: {items: [NaN]}}));
  assert.deepEqual([error.name, error.message], ['TypeError', 'argument value.items[0]: NaN has no JSON form; pass null or a string instead']);
});

test('nobody listens', async () => {
  const error = await failure(new Function('add', {rootUrl: 'http://127.0.0.1:1'}).call());
  assert.ok(error instanceof HostConnectionError);
  assert.match(error.message, /No host answers at http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/);
});

test('the host says what it is', async () => {
  assert.equal((await host.status()).type, 'Host');
});
