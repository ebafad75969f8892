// @ts-check
/** A function makes requests of its host; the host is a fake. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Function, batch} from '../../../jshost/js/client/function.mjs';

/** @typedef {import('../../../jshost/js/client/host.mjs').Host} Host */

/** A host that keeps the requests, and gives each result as its number. */
function fakeHost() {
  /** @type {any[]} */
  const requests = [];
  const host = {
    call: async (/** @type {any} */ request) => requests.push(request),
    stream: (/** @type {any} */ request) => ({request}),
    batch: async (/** @type {any[]} */ calls, /** @type {any} */ limits) => {
      requests.push({calls, limits});
      return calls.map(({name, args}) => `${name} ${JSON.stringify(args)}`);
    },
  };
  return {host: /** @type {Host} */ (/** @type {unknown} */ (host)), requests};
}

test('a call is a request with the name, the arguments and the limits', async () => {
  const {host, requests} = fakeHost();
  const {signal} = new AbortController();
  assert.equal(await new Function('f', {host}).call({x: 1}), 1);
  await new Function('f', {host, timeout: null, integers: 'bigint'}).call({}, {signal, headers: {'X-Request-ID': 'a'}});
  await new Function('f', {host, timeout: 5}).call(undefined, {timeout: 7});
  assert.deepEqual(requests, [
    {name: 'f', args: {x: 1}, integers: 'error', timeout: 10_000, signal: undefined, headers: undefined},
    {name: 'f', args: {}, integers: 'bigint', timeout: null, signal, headers: {'X-Request-ID': 'a'}},
    {name: 'f', args: {}, integers: 'error', timeout: 7, signal: undefined, headers: undefined},
  ]);
});

test('the stack of an error of a call names the caller', async () => {
  const {host} = fakeHost();
  host.call = async () => {
    await null;
    throw new Error('no');
  };
  const theCaller = async () => await new Function('f', {host}).call();
  await assert.rejects(theCaller(), (/** @type {Error} */ error) => /theCaller/.test(error.stack ?? ''));
});

test('a stream is the one of the host', () => {
  const {host} = fakeHost();
  const stream = /** @type {any} */ (new Function('f', {host}).stream({x: 1}, {timeout: 3}));
  assert.deepEqual([stream.request.args, stream.request.timeout], [{x: 1}, 3]);
});

test('map and batch make one request', async () => {
  const {host, requests} = fakeHost();
  const [f, g] = [new Function('f', {host}), new Function('g', {host, integers: 'bigint'})];
  assert.deepEqual(await f.map([{x: 1}, {x: 2}], {timeout: 3}), ['f {"x":1}', 'f {"x":2}']);
  assert.deepEqual(await batch([[f], [g, {y: 1}]]), ['f {}', 'g {"y":1}']);
  assert.deepEqual(requests.map(({limits}) => limits.timeout), [3, 10_000]);
  assert.deepEqual(requests[1].calls[1], {name: 'g', args: {y: 1}, integers: 'bigint'});
});

test('a batch without calls asks no host; one with two hosts is refused', async () => {
  const {host, requests} = fakeHost();
  assert.deepEqual(await batch([]), []);
  const other = new Function('g', {host: fakeHost().host});
  await assert.rejects(batch([[new Function('f', {host})], [other]]), {name: 'TypeError', message: /make one batch for each host/});
  assert.equal(requests.length, 0);
});

test('a function needs a name, a timeout above 0, and no options of a host beside one', () => {
  const {host} = fakeHost();
  assert.throws(() => new Function(''), {name: 'TypeError', message: 'Function needs the name of a function, not ""'});
  assert.throws(() => new Function(/** @type {any} */ (1)), {name: 'TypeError'});
  assert.throws(() => new Function('f', {host, timeout: 0}), {name: 'RangeError'});
  assert.throws(() => new Function('f', {host, rootUrl: 'http://a'}), {name: 'ConfigError', message: '"rootUrl" is not an option of a Function that has a host: give it to the host.'});
  assert.throws(() => new Function('f', /** @type {any} */ ({rootUri: 'http://a'})), {name: 'ConfigError', message: /there is no option "rootUri"/});
});

test('functions without options share one host; others have their own', () => {
  assert.equal(new Function('f').host, new Function('g').host);
  assert.notEqual(new Function('f', {rootUrl: 'http://a'}).host, new Function('g', {rootUrl: 'http://a'}).host);
});
