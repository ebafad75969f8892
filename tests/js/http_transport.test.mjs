// @ts-check
/** Connections to a host, of several calls at once. */

import assert from 'node:assert/strict';
import {once} from 'node:events';
import http from 'node:http';
import {after, before, test} from 'node:test';
import {Function} from '../../jshost/js/function.mjs';
import {Host} from '../../jshost/js/host.mjs';

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
