// @ts-check
/** A served host turns responses into values; its transport is a fake. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {inspect} from 'node:util';
import {Function, batch} from '../../../../jshost/js/client/function.mjs';
import {ServedHost} from '../../../../jshost/js/client/http/host.mjs';
import {encodeParts} from '../../../../jshost/js/protocol/multipart.mjs';

/**
 * A host whose transport gives one response to every request, in pieces of 5 bytes.
 *
 * @param {string} type
 * @param {string | Buffer} body
 * @param {number} [status]
 */
function hostThatAnswers(type, body, status = 200) {
  /** @type {{path: string, headers: Record<string, string>, body: string}[]} */
  const requests = [];
  const bytes = Buffer.from(body);
  const transport = {
    /** @type {import('../../../../jshost/js/client/http/messages.mjs').Transport['request']} */
    async request(_, path, headers, sent) {
      requests.push({path, headers, body: String(sent)});
      return {status, type, message: undefined};
    },
    async *pieces() {
      for (let at = 0; at < bytes.length; at += 5) yield bytes.subarray(at, at + 5);
    },
    body: async () => bytes,
    close() {},
  };
  const host = new ServedHost({rootUrl: 'http://a'}, async () => transport);
  return {host, requests};
}

test('a call is a request, and its response a value', async () => {
  const {host, requests} = hostThatAnswers('application/json', '[1]');
  assert.deepEqual(await new Function('f x', {host, timeout: 2000}).call({foo: 'bar'}), [1]);
  assert.equal(requests[0].path, '/function/f%20x?hash=bc4919c6adf7168088eaea06e27a5b23f0f9f9da');
  assert.deepEqual([requests[0].body, requests[0].headers['JSHost-Timeout']], ['{"foo": "bar"}', '2']);
  assert.equal(await new Function('f', {host: hostThatAnswers('text/plain', 'ü').host}).call(), 'ü');
});

test('it is printed by the name that users import', () => {
  assert.equal(inspect(new ServedHost({rootUrl: 'http://a'})), 'Host {}');
});

test('a stream gives its values, and then the result', async () => {
  const events = 'event: chunk\ndata: 1\n\nevent: chunk-bytes\ndata: /wA=\n\nevent: result\ndata: {"done": true}\n\n';
  const stream = new Function('f', {host: hostThatAnswers('text/event-stream', events).host}).stream();
  const values = [];
  for await (const value of stream) values.push(value);
  assert.deepEqual([values, stream.result], [[1, Buffer.from([255, 0])], {done: true}]);
});

test('a stream that breaks off, one that fails, and one that is none', async () => {
  const read = async (/** @type {string} */ events, type = 'text/event-stream') => {
    const stream = new Function('f', {host: hostThatAnswers(type, events).host}).stream();
    for await (const _ of stream);
    return stream.result;
  };
  await assert.rejects(read('event: chunk\ndata: 1\n\n'), {name: 'HostConnectionError', message: /f: the stream ended before the function did/});
  await assert.rejects(read('event: error\ndata: {"code": "queue_full", "message": "full"}\n\n'), {name: 'HostUnavailable', message: 'f: full'});
  assert.equal(await read('3', 'application/json'), 3);
});

test('a batch gives values and errors in order', async () => {
  const {type, body} = encodeParts([
    {name: 'result', contentType: 'application/json', data: Buffer.from('2')},
    {name: 'error', contentType: 'application/json', data: Buffer.from('{"code": "timeout", "message": "late"}')},
  ]);
  const {host} = hostThatAnswers(type, body);
  const [two, late] = await batch([[new Function('a', {host})], [new Function('b', {host})]]);
  assert.deepEqual([two, late.name, late.message], [2, 'FunctionTimeout', 'b: late']);
  await assert.rejects(batch([[new Function('a', {host})]]), {name: 'UnexpectedResponse', message: 'batch: 2 answers came for 1 calls'});
});

test('an error of a host has its class; one of a stranger says so', async () => {
  const {host} = hostThatAnswers('application/json', '{"code": "unknown_function", "message": "no"}', 404);
  await assert.rejects(new Function('f', {host}).call(), {name: 'FunctionNotFound', message: 'f: no', function: 'f'});
  await assert.rejects(new Function('f', {host: hostThatAnswers('text/html', '<p>', 502).host}).call(), {name: 'HostConnectionError', message: /a proxy answers 502/});
});
