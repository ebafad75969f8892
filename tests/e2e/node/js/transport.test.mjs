// @ts-check
/** Connections to a host, of several calls at once. */

import assert from 'node:assert/strict';
import {once} from 'node:events';
import http from 'node:http';
import net from 'node:net';
import {after, before, test} from 'node:test';
import {Function} from '../../../../jshost/js/client/function.mjs';
import {ServedHost as Host} from '../../../../jshost/js/client/http/host.mjs';

/** @type {http.ServerResponse[]} */
const held = [];
/** @type {Set<import('node:net').Socket>} */
const open = new Set();
const server = http.createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  if (request.url?.startsWith('/function/held')) {
    held.push(response);
    server.emit('held');
  } else response.end('1');
});
server.on('connection', (socket) => {
  open.add(socket);
  socket.on('close', () => {
    open.delete(socket);
    server.emit('gone');
  });
});

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => server.close());

test('closing a host lets calls in flight have their answers, and then leaves no connection', {timeout: 10_000}, async () => {
  const {port} = /** @type {import('node:net').AddressInfo} */ (server.address());
  const host = new Host({rootUrl: `http://127.0.0.1:${port}`});
  const call = new Function('held', {host}).call();
  await once(server, 'held');
  assert.equal(await new Function('other', {host}).call(), 1);
  host.close();
  while (open.size > 1) await once(server, 'gone'); // the idle one
  held[0].end('2');
  assert.equal(await call, 2);
  while (open.size > 0) await once(server, 'gone');
});

/**
 * A server that answers the first bytes of a connection with `answer`, and ends it where `ends`.
 *
 * @param {string} answer
 * @param {boolean} ends
 */
async function bareServer(answer, ends) {
  const bare = net.createServer((socket) => {
    socket.on('error', () => {}); // the caller may hang up
    socket.once('data', () => (ends ? socket.end(answer) : socket.write(answer)));
  });
  bare.listen(0, '127.0.0.1');
  await once(bare, 'listening');
  const {port} = /** @type {net.AddressInfo} */ (bare.address());
  after(() => bare.close());
  return new Function('any', {rootUrl: `http://127.0.0.1:${port}`});
}

test('an answer that is cut off is an error, and one that is no HTTP', {timeout: 10_000}, async () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
  await assert.rejects((await bareServer(`${head}Content-Length: 3\r\n\r\n1`, true)).call(), {name: 'HostConnectionError', message: /broke .*before the answer was whole/});
  await assert.rejects((await bareServer('', true)).call(), {name: 'HostConnectionError'});
  await assert.rejects((await bareServer('220 mail ready\r\n\r\n', false)).call(), {name: 'UnexpectedResponse', message: /127\.0\.0\.1:\d+: .*220 mail ready/});
  assert.equal(await (await bareServer(`${head}\r\n12`, true)).call(), 12); // its end is its length
});

test('an answer with bytes behind it is the last of its connection', {timeout: 10_000}, async () => {
  const answer = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n';
  const fn = await bareServer(`${answer}1${answer}2`, false);
  assert.deepEqual([await fn.call(), await fn.call()], [1, 1]);
});

test('more calls than connections wait for one; those that are ended meanwhile are not sent', {timeout: 20_000}, async () => {
  const {port} = /** @type {net.AddressInfo} */ (server.address());
  const host = new Host({rootUrl: `http://127.0.0.1:${port}`});
  const fn = new Function('held', {host});
  const first = held.length;
  const calls = Array.from({length: 256}, () => fn.call());
  while (held.length < first + 256) await once(server, 'held');
  const ending = new AbortController();
  const ended = fn.call({}, {signal: ending.signal});
  const last = fn.call();
  const refused = assert.rejects(ended, {message: 'not any more'});
  await new Promise((resolve) => { setImmediate(resolve); });
  ending.abort(new Error('not any more'));
  await refused;
  assert.equal(held.length, first + 256);
  held[first].end('1');
  await once(server, 'held');
  for (const response of held.slice(first + 1)) response.end('1');
  assert.deepEqual(await Promise.all([...calls, last]), Array.from({length: 257}, () => 1));
  assert.equal(held.length, first + 257);
  host.close();
});
