// @ts-check
/** A transport shares its connections between requests; its sockets are fakes. See also tests/e2e/node/js. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {HttpTransport} from '../../../../jshost/js/client/http/transport.mjs';
import {MAX_CONNECTIONS, MAX_IDLE_MS} from '../../../../jshost/js/client/http/messages.mjs';
import {OK, socketFactory} from './fake_socket.mjs';

/**
 * @param {string} [rootUrl]
 * @param {string} [token]
 */
function transportOver(rootUrl = 'http://a:9009', token) {
  const {open, sockets, places} = socketFactory();
  const transport = new HttpTransport(rootUrl, token, open);
  const request = (/** @type {string} */ path, /** @type {AbortSignal} */ signal) => transport.request('POST', path, {}, Buffer.from('{}'), signal);
  return {transport, request: /** @type {(path: string, signal?: AbortSignal) => ReturnType<typeof transport.request>} */ (request), sockets, places};
}

test('the place, the prefix and the token come from the root URL', async () => {
  const {request, sockets, places} = transportOver('http://[::1]:9009/prefix/', 'secret');
  void request('/status');
  assert.deepEqual([places[0].host, places[0].port], ['::1', 9009]);
  assert.equal(sockets[0].sent, 'POST /prefix/status HTTP/1.1\r\nHost: [::1]:9009\r\nAuthorization: Bearer secret\r\nContent-Length: 2\r\n\r\n{}');
  const unix = transportOver('unix:///run/my%20host.sock');
  void unix.request('/status');
  assert.equal(unix.places[0].path, '/run/my host.sock');
  const user = transportOver('http://me:p%40ss@a');
  void user.request('/');
  assert.match(user.sockets[0].sent, new RegExp(`Authorization: Basic ${Buffer.from('me:p@ss').toString('base64')}\r\n`));
  assert.equal(user.places[0].port, 80);
});

test('an idle connection is used again; requests at the same time have one each', async () => {
  const {transport, request, sockets} = transportOver();
  const first = request('/1');
  sockets[0].answer('1');
  assert.equal(String(await transport.body(await first)), '1');
  const [second, third] = [request('/2'), request('/3')];
  assert.equal(sockets.length, 2);
  sockets[1].answer('3');
  sockets[0].answer('2');
  assert.deepEqual([String(await transport.body(await second)), String(await transport.body(await third))], ['2', '3']);
});

test('a connection that was idle for long is closed instead', async (context) => {
  const {request, sockets} = transportOver();
  let time = 0;
  context.mock.method(performance, 'now', () => time);
  void request('/1');
  sockets[0].answer('1');
  time = MAX_IDLE_MS + 1;
  void request('/2');
  assert.deepEqual([sockets.length, sockets[0].isDestroyed, sockets[0].sent.includes('/2')], [2, true, false]);
});

test('headers that may change are written for each request', () => {
  const {transport, sockets} = transportOver();
  const headers = {Counted: '1'};
  void transport.request('GET', '/', headers, Buffer.alloc(0));
  sockets[0].answer('1');
  headers.Counted = '2';
  void transport.request('GET', '/', headers, Buffer.alloc(0));
  assert.match(sockets[0].sent, /Counted: 1[^]*Counted: 2/);
});

test('headers that calls share are written once', () => {
  const {transport, sockets} = transportOver();
  let reads = 0;
  const headers = Object.freeze({Accept: '*/*', get Counted() { reads += 1; return '1'; }});
  for (let index = 0; index < 3; index += 1) {
    void transport.request('GET', '/', headers, Buffer.alloc(0));
    sockets[0].answer('1');
  }
  assert.deepEqual([reads, sockets[0].sent.match(/Counted: 1/g)?.length], [1, 3]);
});

test('a closed transport closes its idle connections, and the others after their responses', async () => {
  const {transport, request, sockets} = transportOver();
  const [first] = [request('/1'), request('/2')];
  sockets[1].answer('2');
  transport.close();
  assert.deepEqual(sockets.map(({isDestroyed}) => isDestroyed), [false, true]);
  sockets[0].answer('1');
  assert.equal(String(await transport.body(await first)), '1');
  assert.equal(sockets[0].isDestroyed, true);
});

test('requests above the limit wait for a connection, in order', async () => {
  const {request, sockets} = transportOver();
  for (let index = 0; index < MAX_CONNECTIONS; index += 1) void request('/');
  const ending = new AbortController();
  const ended = request('/ended', ending.signal);
  void request('/next');
  void request('/last').catch(() => undefined);
  assert.equal(sockets.length, MAX_CONNECTIONS);
  ending.abort(new Error('not any more'));
  await assert.rejects(ended, {message: 'not any more'});
  sockets[7].answer('1');
  assert.match(sockets[7].sent, /POST \/next /);
  sockets[8].receive(`${OK}Connection: close\r\nContent-Length: 1\r\n\r\n1`);
  assert.match(sockets[MAX_CONNECTIONS].sent, /POST \/last /);
});

test('a request that is aborted is not sent', async () => {
  const {request, sockets} = transportOver();
  await assert.rejects(request('/', AbortSignal.abort(new Error('too late'))), {message: 'too late'});
  assert.equal(sockets.length, 0);
});

test('an error says where, and whether the call may have run', async () => {
  const {transport, request, sockets} = transportOver();
  const refused = request('/');
  sockets[0].emit('error', Object.assign(new Error('no'), {code: 'ECONNREFUSED'}));
  await assert.rejects(refused, {name: 'HostConnectionError', message: /No host answers at http:\/\/a:9009 \(ECONNREFUSED\)/});
  const broken = request('/');
  sockets[1].receive(`${OK}Content-Length: 9\r\n\r\n1`);
  const body = transport.body(await broken);
  sockets[1].emit('error', Object.assign(new Error('no'), {code: 'ECONNRESET'}));
  await assert.rejects(body, {name: 'HostConnectionError', message: /broke \(ECONNRESET\) before the answer was whole; the call may have run/});
  const strange = request('/');
  sockets[2].receive('SSH-2.0\r\n\r\n');
  await assert.rejects(strange, {name: 'UnexpectedResponse', message: /^http:\/\/a:9009: an answer begins with "SSH-2.0"/});
});
