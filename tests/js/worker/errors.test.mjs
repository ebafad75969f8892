// @ts-check
/** What was thrown, as the caller hears of it. */

import assert from 'node:assert/strict';
import {PassThrough} from 'node:stream';
import {describe, test} from 'node:test';
import {inspect} from 'node:util';
import {RunningCall, run} from '../../../jshost/js/worker/calls.mjs';
import {describeError} from '../../../jshost/js/worker/errors.mjs';
import {Outbox} from '../../../jshost/js/protocol/outbox.mjs';
import {CallError} from '../../../jshost/js/protocol/values.mjs';

function makeCall() {
  const nothing = () => {};
  const logger = {log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing};
  const host = {config: {}, logger, addFunction: nothing};
  return new RunningCall(7, {name: 'f', timeout: null, requestId: '7-1'}, host, new Outbox(new PassThrough()));
}

/**
 * @param {(...args: any[]) => unknown} fn
 * @returns {Promise<{error: any, call: RunningCall}>}
 */
function outcome(fn) {
  const call = makeCall();
  return new Promise((resolve) => {
    run(call, fn, {}, (_, error) => resolve({error, call}));
  });
}

const boom = new TypeError('boom');

describe('a described error', () => {
  /** @param {any} error */
  const describeIt = (error, call = makeCall()) => describeError(error, call);

  test('has its class, its message and its stack', () => {
    const {code, name, message, stack} = describeIt(boom);
    assert.deepEqual([code, name, message], ['function_failed', 'TypeError', 'boom']);
    assert.ok(stack.startsWith('TypeError: boom\n    at '));
    assert.ok(stack.includes('errors.test.mjs'));
  });

  test('has the name of a class of its own', () => {
    class OutOfStock extends Error {
      name = 'OutOfStock';
    }
    assert.equal(describeIt(new OutOfStock('tea')).name, 'OutOfStock');
  });

  test('ends where the user\'s code ends', async () => {
    const {error, call} = await outcome(function myFunction() { throw new Error('here'); });
    const {stack} = describeError(error, call);
    assert.ok(stack.includes('myFunction'));
    assert.ok(!stack.includes('jshost/js/worker/calls.mjs'), stack);
    assert.ok(!stack.includes('node:internal'), stack);
  });

  test('names the call that a method-like function belongs to as users know it', async () => {
    const {error, call} = await outcome(function myFunction() { throw new Error('here'); });
    assert.match(describeError(error, call).stack, /at Call\.myFunction /);
    assert.match(inspect(call), /^Call \{/);
  });

  test('of a cancelled call has a code of its own', () => {
    const call = makeCall();
    call.cancel();
    assert.equal(describeIt(boom, call).code, 'cancelled');
  });

  test('of our own has its code and no stack', () => {
    const error = new CallError('unsafe_integer', 'argument id: too large', 'TypeError');
    assert.deepEqual(describeIt(error), {
      code: 'unsafe_integer',
      name: 'TypeError',
      message: 'argument id: too large',
      stack: '',
    });
  });

  /** @type {[string, any, string][]} */
  const oddities = [
    ['a string', 'out of tea', 'out of tea'],
    ['a number', 404, '404'],
    ['an object', {status: 404}, '{"status":404}'],
    ['a symbol', Symbol('tea'), 'Symbol(tea)'],
    ['a BigInt', 7n, '7'],
    ['a function', function tea() {}, 'function tea() {}'],
  ];
  for (const [name, thrown, message] of oddities) {
    test(`of ${name} says that there is no stack`, () => {
      const described = describeIt(thrown);
      assert.deepEqual([described.name, described.message], ['', message]);
      assert.match(described.stack, /was thrown, which has no stack; throw an Error to get one/);
    });
  }

  test('of what looks like an error is read like one', () => {
    const described = describeIt({name: 'HTTPError', message: 'gone', stack: 'HTTPError: gone\n    at f'});
    assert.deepEqual([described.name, described.message], ['HTTPError', 'gone']);
    assert.equal(described.stack, 'HTTPError: gone\n    at f');
  });

  const circular = /** @type {any} */ ({});
  circular.self = circular;
  const hostile = [
    circular,
    Object.create(null),
    {toJSON() { throw new Error('no'); }},
    {toJSON: () => undefined},
    {get message() { throw new Error('no'); }},
    {message: 'm', get stack() { throw new Error('no'); }},
    {toString() { throw new Error('no'); }, toJSON() { throw new Error('no'); }},
  ];
  for (const [index, thrown] of hostile.entries()) {
    test(`of a hostile object (${index}) is made of texts`, () => {
      for (const text of Object.values(describeIt(thrown))) assert.equal(typeof text, 'string');
    });
  }
});

describe('an error\'s properties', () => {
  /** @param {object} properties */
  const propertiesOf = (properties) => describeError(Object.assign(new Error('a'), properties), makeCall()).properties;

  test('go with it', () => {
    assert.deepEqual(propertiesOf({code: 'ENOENT', statusCode: 404, details: {list: [1, null]}, name: 'Mine'}), {
      code: 'ENOENT',
      statusCode: 404,
      details: {list: [1, null]},
    });
  });

  test('are absent where there are none', () => {
    assert.ok(!('properties' in describeError(boom, makeCall())));
  });

  test('that have no JSON are left out', () => {
    const circular = /** @type {any} */ ({});
    circular.self = circular;
    const left = {circular, big: 1n, f() {}, u: undefined, bytes: Buffer.from('a'), nested: {bytes: Buffer.from('a')}, nan: NaN, map: new Map([[1, 2]])};
    assert.deepEqual(propertiesOf({...left, code: 1}), {code: 1});
    assert.deepEqual(propertiesOf(Object.defineProperty({code: 1}, 'hostile', {enumerable: true, get: () => 1})), {code: 1, hostile: 1});
  });

  test('that throw when they are read are left out', () => {
    const error = Object.defineProperty(new Error('a'), 'hostile', {enumerable: true, get() { throw new Error('no'); }});
    assert.deepEqual(describeError(Object.assign(error, {code: 1}), makeCall()).properties, {code: 1});
  });

  test('for which there is no room are left out', () => {
    assert.deepEqual(propertiesOf({body: 'x'.repeat(65 * 1024), code: 1}), {code: 1});
    const kept = propertiesOf({a: 'x'.repeat(40 * 1024), b: 'x'.repeat(40 * 1024), c: 'x'.repeat(20 * 1024)});
    assert.deepEqual(Object.keys(kept ?? {}), ['a', 'c']);
  });

  test('called __proto__ is one like others', () => {
    const error = Object.defineProperty(new Error('a'), '__proto__', {enumerable: true, value: {evil: true}});
    assert.match(JSON.stringify(describeError(error, makeCall())), /"properties":\{"__proto__":\{"evil":true\}\}/);
  });

  test('of an AggregateError have its errors', () => {
    const error = new AggregateError([new TypeError('a'), 'b', Object.assign(new Error('c'), {code: 1})], 'all failed');
    const {message, properties} = describeError(error, makeCall());
    assert.equal(message, 'all failed');
    const errors = /** @type {any[]} */ (properties?.errors);
    assert.deepEqual(errors.map(({name, message: text}) => [name, text]), [['TypeError', 'a'], ['', 'b'], ['Error', 'c']]);
    assert.match(errors[0].stack, /^TypeError: a\n {4}at /);
    assert.deepEqual(Object.keys(errors[2]), ['name', 'message', 'stack']);
  });

  test('of an AggregateError of many have as many as there is room for', () => {
    const {properties} = describeError(new AggregateError(Array.from({length: 1000}, (_, index) => new Error(`${index}`))), makeCall());
    const {length} = /** @type {any[]} */ (properties?.errors);
    assert.ok(length > 10 && length < 1000, `${length}`);
  });
});

describe('an error\'s cause', () => {
  test('goes with it', () => {
    const root = Object.assign(new RangeError('root'), {code: 7});
    const {cause, stack} = describeError(new Error('top', {cause: new TypeError('middle', {cause: root})}), makeCall());
    assert.equal(cause?.name, 'TypeError');
    assert.equal(cause?.message, 'middle');
    assert.deepEqual([cause?.cause?.name, cause?.cause?.message, cause?.cause?.properties], ['RangeError', 'root', {code: 7}]);
    assert.match(cause?.cause?.stack ?? '', /^RangeError: root\n {4}at /);
    assert.ok(!stack.includes('middle'), stack);
    assert.ok(!('cause' in /** @type {object} */ (cause?.cause)));
  });

  test('may be anything', () => {
    assert.deepEqual(describeError(new Error('a', {cause: 'tea'}), makeCall()).cause, {name: '', message: 'tea', stack: ''});
    assert.deepEqual(describeError(new Error('a', {cause: {status: 404}}), makeCall()).cause, {name: '', message: '{"status":404}', stack: ''});
    assert.ok(!('cause' in describeError(new Error('a', {cause: undefined}), makeCall())));
    assert.ok(!('cause' in describeError(new Error('a', {cause: null}), makeCall())));
  });

  test('is followed five deep, and not where it is its own', () => {
    const [error, other] = /** @type {any[]} */ ([new Error('again'), new Error('and again')]);
    error.cause = other;
    other.cause = error;
    let depth = 0;
    for (let one = /** @type {any} */ (describeError(error, makeCall())); one.cause; one = one.cause) depth += 1;
    assert.equal(depth, 5);
    other.cause = other;
    assert.ok(!('cause' in describeError(other, makeCall())));
  });

  test('that throws when it is looked at says so', () => {
    const hostile = {get message() { throw new Error('no'); }};
    const {message, cause} = describeError(new Error('a', {cause: hostile}), makeCall());
    assert.equal(message, 'a');
    assert.match(cause?.message ?? '', /cannot be shown/);
  });
});

describe('a stack', () => {
  /** @param {(...args: any[]) => unknown} fn */
  async function stackOf(fn) {
    const {error, call} = await outcome(fn);
    const {stack} = describeError(error, call);
    assert.ok(!stack.includes('jshost/js/'), stack);
    return stack.split('\n');
  }

  const later = () => new Promise((resolve) => { setImmediate(resolve); });

  /** @type {[string, (...args: any[]) => unknown][]} */
  const forms = [
    ['of a function', function mine() { throw new Error('here'); }],
    ['of an async function', async function mine() { throw new Error('here'); }],
    ['of an async function that waited', async function mine() { await later(); throw new Error('here'); }],
    ['of a generator', function* mine() { yield 1; throw new Error('here'); }],
    ['of an async generator', async function* mine() { yield 1; throw new Error('here'); }],
    ['of an async generator that waited', async function* mine() { yield 1; await later(); throw new Error('here'); }],
  ];

  for (const [name, fn] of forms) {
    test(`${name} ends with the user's code`, async () => {
      const lines = await stackOf(fn);
      assert.equal(lines[0], 'Error: here');
      assert.match(/** @type {string} */ (lines.at(-1)), /mine|errors\.test\.mjs/, lines.join('\n'));
      assert.ok(lines.length > 1);
    });
  }

  test('keeps what the user\'s code called', async () => {
    const lines = await stackOf(async function mine() {
      await inner();
    });
    assert.match(lines[1], /inner/);
    assert.match(lines[2], /mine/);
  });

  async function inner() {
    await later();
    throw new Error('here');
  }
});
