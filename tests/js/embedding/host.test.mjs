// @ts-check
/** A host in the program turns frames into values; its pool is a fake. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FunctionTimeout} from '../../../jshost/js/exceptions.mjs';
import {EmbeddedHost} from '../../../jshost/js/embedding/host.mjs';

/** @typedef {{header: any, body: string, limitMs: number | null, caller: any, stopListening?: () => void}} Taken */

/** @param {{limitMs?: number | null, keepAlive?: boolean}} [options] */
function hostOverFakes({limitMs = null, keepAlive = false} = {}) {
  /** @type {Taken[]} */
  const calls = [];
  /** @type {unknown[]} */
  const log = [];
  const pool = {
    call(/** @type {any} */ header, /** @type {Buffer} */ body, /** @type {number | null} */ limit, /** @type {any} */ caller) {
      const pending = {header, body: String(body), limitMs: limit, caller};
      calls.push(pending);
      return pending;
    },
    cancel: (/** @type {Taken} */ pending) => void log.push(['cancel', calls.indexOf(pending)]),
    credit: (/** @type {Taken} */ pending, /** @type {number} */ size) => void log.push(['credit', calls.indexOf(pending), size]),
  };
  const registry = {
    functions: ['f', 'g'],
    workers: [{pid: 1, state: 'ready', calls: 0}],
    route: (/** @type {string} */ name) => (name === 'f' || name === 'g' ? {pool, limitMs} : undefined),
    end: async (/** @type {number} */ graceMs) => void log.push(['end', graceMs]),
  };
  const anchor = {hold: () => void log.push('hold'), release: () => void log.push('release'), close: () => void log.push('close')};
  const host = new EmbeddedHost(/** @type {any} */ (registry), /** @type {any} */ (anchor), keepAlive);
  return {host, calls, log};
}

/** @param {Partial<import('../../../jshost/js/client/host.mjs').CallRequest>} [parts] */
const request = (parts) => ({name: 'f', args: {x: 1}, integers: /** @type {const} */ ('error'), timeout: null, ...parts});

test('a call is a frame for the pool, and its result a value', async () => {
  const {host, calls} = hostOverFakes();
  const answer = host.call(request());
  const [{header, body, limitMs, caller}] = calls;
  assert.match(header.requestId, /^\w+-1$/);
  assert.deepEqual({...header, requestId: ''}, {name: 'f', requestId: '', timeout: null});
  assert.deepEqual([body, limitMs], ['{"x": 1}', null]);
  caller.onResult(Buffer.from('j[1]'));
  assert.deepEqual(await answer, [1]);
  void host.call(request({args: {data: Buffer.from('a')}}));
  assert.match(calls[1].header.type, /^multipart\/form-data/);
  assert.match(calls[1].header.requestId, /-2$/);
});

test('a call fails with its error, or because its result does not fit', async () => {
  const {host, calls} = hostOverFakes();
  const [late, large, big] = [host.call(request()), host.call(request()), host.call(request({integers: 'bigint'}))];
  calls[0].caller.onError(new FunctionTimeout('late'));
  calls[1].caller.onResult(Buffer.from('j9007199254740993'));
  calls[2].caller.onResult(Buffer.from('j9007199254740993'));
  await assert.rejects(late, {name: 'FunctionTimeout'});
  await assert.rejects(large, {name: 'RangeError', message: /beyond 2\*\*53/});
  assert.equal(await big, 9007199254740993n);
});

test('the shorter limit counts: of the call, or of the file', async () => {
  const {host, calls} = hostOverFakes({limitMs: 200});
  for (const timeout of [null, 100, 300]) void host.call(request({timeout}));
  assert.deepEqual(calls.map(({limitMs}) => limitMs), [200, 100, 200]);
  assert.deepEqual(calls.map(({header}) => header.timeout), [0.2, 0.1, 0.2]);
  await assert.rejects(host.call(request({timeout: 0})), {name: 'RangeError'});
});

test('an unknown function is an error that lists those there are', async () => {
  const {host, calls} = hostOverFakes();
  await assert.rejects(host.call(request({name: 'h'})), {name: 'FunctionNotFound', code: 'unknown_function', message: 'there is no function "h"; there are: f, g'});
  assert.equal(calls.length, 0);
});

test('an argument that cannot be sent is an error, and nothing is sent', async () => {
  const {host, calls} = hostOverFakes();
  await assert.rejects(host.call(request({args: {x: () => 1}})), {name: 'TypeError', message: /argument x/});
  assert.throws(() => host.stream(request({args: {x: NaN}})), {name: 'TypeError', message: /argument x/});
  assert.equal(calls.length, 0);
});

test('a signal cancels the call', async () => {
  const {host, calls, log} = hostOverFakes();
  const ending = new AbortController();
  const answer = host.call(request({signal: ending.signal}));
  ending.abort(new Error('enough'));
  await assert.rejects(answer, {message: 'enough'});
  assert.deepEqual(log, [['cancel', 0]]);
  await assert.rejects(host.call(request({signal: AbortSignal.abort(new Error('before'))})), {message: 'before'});
  await assert.rejects(host.call(request({signal: /** @type {any} */ ({})})), {name: 'TypeError', message: /AbortSignal/});
  assert.equal(calls.length, 1);
});

test('a call that has its answer does not listen to its signal', async () => {
  const {host, calls, log} = hostOverFakes();
  const ending = new AbortController();
  const answer = host.call(request({signal: ending.signal}));
  calls[0].stopListening?.(); // as the pool does
  calls[0].caller.onResult(Buffer.from('j1'));
  ending.abort();
  assert.deepEqual([await answer, log], [1, []]);
});

test('a stream begins when it is read, gives values, and then its result', async () => {
  const {host, calls} = hostOverFakes();
  const stream = host.stream(request());
  assert.equal(calls.length, 0);
  const values = stream[Symbol.asyncIterator]();
  const first = values.next();
  assert.equal(calls[0].header.stream, true);
  calls[0].caller.onChunk(Buffer.from('j1'));
  calls[0].caller.onChunk(Buffer.from('t2'));
  calls[0].caller.onResult(Buffer.from('j{"done": true}'));
  assert.deepEqual([(await first).value, (await values.next()).value, (await values.next()).done], [1, '2', true]);
  assert.deepEqual([stream.result, stream.hasEnded], [{done: true}, true]);
});

test('a stream fails with the error of its call; leaving it cancels the call', async () => {
  const {host, calls, log} = hostOverFakes();
  const failing = host.stream(request())[Symbol.asyncIterator]().next();
  calls[0].caller.onError(new FunctionTimeout('late'));
  await assert.rejects(failing, {name: 'FunctionTimeout'});
  const stream = host.stream(request());
  const first = stream[Symbol.asyncIterator]().next();
  calls[1].caller.onChunk(Buffer.from('j1'));
  await first;
  await stream.close();
  assert.deepEqual([log, stream.hasEnded], [[['cancel', 1]], false]);
});

test('a reader gives credit for the bytes that it has taken', async () => {
  const {host, calls, log} = hostOverFakes();
  const values = host.stream(request())[Symbol.asyncIterator]();
  const first = values.next();
  calls[0].caller.onChunk(Buffer.concat([Buffer.from('b'), Buffer.alloc(70_000)]));
  assert.equal((await first).value?.length, 70_000);
  assert.deepEqual(log, [['credit', 0, 70_000 + 10]]);
});

test('a batch gives values and errors in order', async () => {
  const {host, calls} = hostOverFakes();
  const answers = host.batch([request(), request({name: 'h'}), request({name: 'g'})], {timeout: 50});
  calls[1].caller.onResult(Buffer.from('j2'));
  calls[0].caller.onResult(Buffer.from('j1'));
  const [one, unknown, two] = await answers;
  assert.deepEqual([one, unknown.name, two, calls[0].limitMs], [1, 'FunctionNotFound', 2, 50]);
});

test('the end waits for the pools once; then nothing keeps the program running', async () => {
  const {host, log} = hostOverFakes({keepAlive: true});
  assert.equal(host.end(5), host.end(7));
  await host.end();
  assert.deepEqual(log, ['hold', ['end', 5], 'release', 'close']);
});
