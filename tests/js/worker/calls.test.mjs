// @ts-check
/** Functions in all their forms: each call has one outcome. */

import assert from 'node:assert/strict';
import {EventEmitter} from 'node:events';
import {PassThrough} from 'node:stream';
import {describe, test} from 'node:test';
import {RunningCall, currentCall, run} from '../../../jshost/js/worker/calls.mjs';
import {describeError} from '../../../jshost/js/worker/errors.mjs';
import {Outbox} from '../../../jshost/js/protocol/outbox.mjs';

/** @typedef {{error?: any, value?: any, call: RunningCall, warnings: string[]}} Outcome */

const outbox = new Outbox(new PassThrough());

/** @param {string[]} [warnings] */
function makeCall(warnings = [], header = {}) {
  const warn = (/** @type {unknown[]} */ ...args) => void warnings.push(args.join(' '));
  const logger = {log: warn, info: warn, warn, error: warn, debug: warn};
  const host = {config: {apiKey: 'secret'}, logger, addFunction() {}};
  return new RunningCall(7, {name: 'f', timeout: 2.5, requestId: '7-1', ...header}, host, outbox);
}

/**
 * Call a function as a worker does, and wait for its outcome.
 *
 * @param {(...args: any[]) => unknown} fn
 * @param {Record<string, unknown>} [data]
 * @returns {Promise<Outcome>}
 */
function outcome(fn, data = {}) {
  /** @type {string[]} */
  const warnings = [];
  const call = makeCall(warnings);
  return new Promise((resolve) => {
    run(call, fn, data, (_, error, value) => {
      if (call.settled) return; // as the worker: the first outcome counts
      call.settled = true;
      resolve({error, value, call, warnings});
    });
  });
}

/** @param {(...args: any[]) => unknown} fn */
async function value(fn, data = {}) {
  const {error, value} = await outcome(fn, data);
  assert.equal(error, undefined);
  return value;
}

const boom = new TypeError('boom');

describe('an answer', () => {
  /** @type {[string, (...args: any[]) => unknown, unknown][]} */
  const forms = [
    ['a plain return', ({number}) => number * 2, 40],
    ['a promise', async ({number}) => number * 2, 40],
    ['a callback at once', function (data, cb) { cb(null, data.number * 2); }, 40],
    ['a callback later', function (data, cb) { setImmediate(cb, null, data.number * 2); }, 40],
    ['a callback and undefined as the error', (_, cb) => { cb(undefined, 40); }, 40],
    ['an arrow that gives the timer', (_, cb) => setTimeout(() => cb(null, 40)), 40],
    ['an arrow that gives an immediate', (_, cb) => setImmediate(() => cb(null, 40)), 40],
    ['an arrow that gives an emitter', (_, cb) => emitterThatCalls(cb), 40],
    ['an arrow that gives what the callback gives', (_, cb) => cb(null, 40), 40],
    ['a return though there is a second parameter', (_, cb) => (cb ? 40 : 0), 40],
    ['null though there is a second parameter', (_, cb) => (cb ? null : 0), null],
    ['a promise though there is a second parameter', async (_, cb) => (cb ? 40 : 0), 40],
    ['a callback in an async function', async (_, cb) => { await null; cb(null, 40); }, 40],
    ['nothing from a function of one parameter', (data) => { void data; }, undefined],
    ['nothing from a function without parameters', () => {}, undefined],
    ['nothing from an async function', async () => {}, undefined],
    ['nothing by callback', (_, cb) => { cb(); }, undefined],
    ['0', () => 0, 0],
    ['an empty string', async () => '', ''],
    ['false by callback', (_, cb) => { cb(null, false); }, false],
    ['a thenable object', () => ({then: (/** @type {any} */ resolve) => resolve(40)}), 40],
    ['a thenable function', () => Object.assign(() => {}, {then: (/** @type {any} */ resolve) => resolve(40)}), 40],
    ['an array', () => [1, 2], [1, 2]],
  ];
  for (const [name, fn, wanted] of forms) {
    test(name, async () => {
      const found = await outcome(fn, {number: 20});
      assert.equal(found.error, undefined);
      assert.deepEqual(found.value, wanted);
    });
  }

  /** @param {(error: null, value: unknown) => void} cb */
  function emitterThatCalls(cb) {
    const emitter = new EventEmitter().once('end', () => cb(null, 40));
    setImmediate(() => emitter.emit('end'));
    return emitter;
  }

  test('a method of an object', async () => {
    const client = {factor: 3, multiply: (/** @type {any} */ {number}) => client.factor * number};
    assert.equal(await value(client.multiply, {number: 2}), 6);
  });
});

describe('a failure', () => {
  /** @type {[string, (...args: any[]) => unknown][]} */
  const forms = [
    ['a throw', () => { throw boom; }],
    ['a rejection', async () => { throw boom; }],
    ['a callback', (_, cb) => { cb(boom); }],
    ['a callback later', (_, cb) => setImmediate(cb, boom)],
    ['a throw though there is a second parameter', (_, cb) => { void cb; throw boom; }],
    ['a thenable that rejects', () => ({then: (/** @type {any} */ _, /** @type {any} */ reject) => reject(boom)})],
  ];
  for (const [name, fn] of forms) {
    test(name, async () => {
      assert.equal((await outcome(fn)).error, boom);
    });
  }

  for (const nothing of [undefined, null]) {
    test(`a throw of ${nothing} is no success`, async () => {
      for (const fn of [() => { throw nothing; }, () => Promise.reject(nothing)]) {
        const {error, call} = await outcome(fn);
        assert.notEqual(error, undefined);
        assert.deepEqual(describeError(error, call).message, String(nothing));
      }
    });
  }

  for (const thrown of ['text', 0, false, '', {status: 404}]) {
    test(`a throw of ${JSON.stringify(thrown)}`, async () => {
      assert.equal((await outcome(() => { throw thrown; })).error, thrown);
    });
  }
});

describe('what comes after the answer', () => {
  test('a second call of the callback is logged and ignored', async () => {
    const {value, warnings} = await outcome((_, cb) => {
      setImmediate(() => {
        cb(null, 'first');
        cb(null, 'second');
        cb(new Error('third'));
      });
    });
    assert.equal(value, 'first');
    assert.equal(warnings.length, 2);
    assert.match(warnings[0], /^f: the callback was called again/);
  });

  test('a callback after a return is logged and ignored', async () => {
    const {promise, resolve} = withResolvers();
    const {value, warnings} = await outcome((_, cb) => {
      setImmediate(() => resolve(cb(null, 'late')));
      return 'first';
    });
    await promise;
    assert.equal(value, 'first');
    assert.equal(warnings.length, 1);
  });

  function withResolvers() {
    /** @type {(value?: unknown) => void} */
    let resolve = () => {};
    const promise = new Promise((done) => { resolve = done; });
    return {promise, resolve};
  }
});

describe('the context', () => {
  test('is this and the third argument', async () => {
    const seen = await value(/** @this {any} */ function (/** @type {any} */ _, /** @type {any} */ cb, /** @type {any} */ context) {
      cb(null, [this === context, this.name, this.requestId, this.timeout, this.host.config.apiKey]);
    });
    assert.deepEqual(seen, [true, 'f', '7-1', 2.5, 'secret']);
  });

  test('is the current call also after an await and in a timer', async () => {
    const seen = await value(async () => {
      await new Promise((resolve) => { setImmediate(resolve); });
      return currentCall()?.requestId;
    });
    assert.equal(seen, '7-1');
    assert.equal(currentCall(), undefined);
  });

  test('calls at the same time have their own', async () => {
    const ids = await Promise.all([1, 2, 3].map((id) => new Promise((resolve) => {
      const call = new RunningCall(id, {name: 'f', timeout: null, requestId: `id-${id}`}, makeCall().host, outbox);
      run(call, async () => {
        await null;
        return currentCall()?.requestId;
      }, {}, (_call, _error, value) => resolve(value));
    })));
    assert.deepEqual(ids, ['id-1', 'id-2', 'id-3']);
  });

  test('the signal tells of a cancellation', () => {
    const call = makeCall();
    const {signal} = call;
    assert.equal(signal.aborted, false);
    call.cancel();
    assert.equal(signal.aborted, true);
    assert.equal(signal.reason.name, 'AbortError');
    assert.equal(call.signal, signal);
  });

  test('the signal tells of a cancellation before it was asked for', () => {
    const call = makeCall();
    call.cancel();
    assert.equal(call.signal.aborted, true);
    assert.equal(call.signal.reason.name, 'AbortError');
  });

  test('has the caller\'s trace context', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    assert.equal(makeCall([], {traceparent}).traceparent, traceparent);
    assert.equal(makeCall().traceparent, undefined);
  });
});
