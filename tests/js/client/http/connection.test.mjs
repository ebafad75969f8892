// @ts-check
/** A connection sends a request and reads its response; its socket is a fake. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Connection, Exchange} from '../../../../jshost/js/client/http/connection.mjs';
import {OK, socketFactory} from './fake_socket.mjs';

/** @typedef {import('../../../../jshost/js/client/http/messages.mjs').Response} Response */

/** A connection, and what its owner hears of it. */
function connected() {
  /** @type {string[]} */
  const events = [];
  const {open, sockets, places} = socketFactory();
  const owner = {onFree: () => void events.push('free'), onGone: () => void events.push('gone')};
  const connection = new Connection({host: 'a', port: 1}, owner, open);
  return {connection, events, socket: sockets[0], places};
}

/**
 * Send a request.
 *
 * @param {Connection} connection
 * @param {{body?: Buffer, signal?: AbortSignal}} [options]
 */
function send(connection, {body = Buffer.from('{}'), signal} = {}) {
  /** @type {any} */
  let exchange;
  /** @type {Promise<Response>} */
  const response = new Promise((resolve, reject) => {
    exchange = new Exchange(signal, resolve, reject);
    connection.send(exchange, 'POST / HTTP/1.1\r\n\r\n', body);
  });
  response.catch(() => undefined);
  return {exchange: /** @type {Exchange} */ (exchange), response};
}

test('a request is one write, and its response is whole at once', async () => {
  const {connection, events, socket, places} = connected();
  const {exchange, response} = send(connection);
  assert.deepEqual([socket.sent, socket.writes], ['POST / HTTP/1.1\r\n\r\n{}', 1]);
  assert.deepEqual(places, [{host: 'a', port: 1, noDelay: true, keepAlive: true}]);
  socket.answer('12');
  const {status, type, message} = await response;
  assert.deepEqual([status, type, String(message.whole())], [200, 'application/json', '12']);
  assert.deepEqual([exchange.isOver, events, socket.isHeld], [true, ['free'], false]);
});

test('a large body is not copied', () => {
  const {connection, socket} = connected();
  send(connection, {body: Buffer.alloc(100_000, 'x')});
  assert.deepEqual([socket.writes, socket.sent.length], [2, 100_000 + 'POST / HTTP/1.1\r\n\r\n'.length]);
});

test('a body is read piece by piece', async () => {
  const {connection, socket} = connected();
  const {response} = send(connection);
  socket.receive(`${OK}Content-Length: 4\r\n\r\n1`);
  const {message} = await response;
  assert.equal(message.whole(), undefined);
  const pieces = message[Symbol.asyncIterator]();
  assert.equal(String((await pieces.next()).value), '1');
  const next = pieces.next();
  socket.receive('23');
  assert.equal(String((await next).value), '23');
  socket.receive('4');
  assert.equal(String((await pieces.next()).value), '4');
  assert.equal((await pieces.next()).done, true);
});

test('the socket is paused while a slow reader has much to read', async () => {
  const {connection, socket} = connected();
  const {response} = send(connection);
  socket.receive(`${OK}Content-Length: 1000000\r\n\r\n`);
  const pieces = (await response).message[Symbol.asyncIterator]();
  socket.receive('x'.repeat(200_000));
  assert.equal(socket.isPaused, false);
  socket.receive('x'.repeat(100_000));
  assert.equal(socket.isPaused, true);
  await pieces.next();
  assert.equal(socket.isPaused, false);
});

test('a reader that leaves closes the connection', async () => {
  const {connection, events, socket} = connected();
  const {exchange, response} = send(connection);
  socket.receive(`${OK}Content-Length: 4\r\n\r\n1`);
  for await (const _ of (await response).message) break;
  assert.deepEqual([socket.isDestroyed, exchange.isOver, events], [true, true, ['gone']]);
});

test('a signal ends the exchange; after the response it does nothing', async () => {
  const {connection, events, socket} = connected();
  const first = new AbortController();
  const {response} = send(connection, {signal: first.signal});
  socket.answer('1');
  await response;
  first.abort();
  assert.deepEqual(events, ['free']);
  const second = new AbortController();
  const aborted = send(connection, {signal: second.signal});
  second.abort(new Error('enough'));
  await assert.rejects(aborted.response, {message: 'enough'});
  assert.deepEqual([socket.isDestroyed, events], [true, ['free', 'gone']]);
});

test('a response that breaks off fails its request, or its reader', async () => {
  const early = connected();
  const {response} = send(early.connection);
  early.socket.emit('error', new Error('reset'));
  await assert.rejects(response, {message: 'reset'});
  assert.deepEqual(early.events, ['gone']);
  const late = connected();
  const sent = send(late.connection);
  late.socket.receive(`${OK}Content-Length: 4\r\n\r\n1`);
  const {message} = await sent.response;
  late.socket.emit('end');
  const pieces = message[Symbol.asyncIterator]();
  assert.equal(String((await pieces.next()).value), '1');
  await assert.rejects(pieces.next(), {message: 'it was closed'});
});

test('the end of a connection is the end of a response without a length', async () => {
  const {connection, events, socket} = connected();
  const {response} = send(connection);
  socket.receive(`${OK}\r\n12`);
  const {message} = await response;
  socket.emit('end');
  assert.equal(String(message.whole()), '12');
  assert.deepEqual(events, ['gone']);
});

test('bytes that are not HTTP fail the request', async () => {
  const {connection, events, socket} = connected();
  const {response} = send(connection);
  socket.receive('220 mail ready\r\n\r\n');
  await assert.rejects(response, {name: 'UnexpectedResponse', message: /220 mail ready/});
  assert.deepEqual([socket.isDestroyed, events], [true, ['gone']]);
});

test('a connection is used once if the host closes it, sends more, or answers before it has the whole request', async () => {
  for (const answer of [`${OK}Connection: close\r\nContent-Length: 1\r\n\r\n1`, `${OK}Content-Length: 1\r\n\r\n1more`]) {
    const {connection, events, socket} = connected();
    const {response} = send(connection);
    socket.receive(answer);
    assert.equal(String((await response).message.whole()), '1');
    assert.deepEqual(events, ['gone']);
  }
  const {connection, events, socket} = connected();
  const {response} = send(connection);
  socket.writableLength = 5;
  socket.answer('1');
  assert.equal(String((await response).message.whole()), '1');
  assert.deepEqual(events, ['gone']);
});

test('an exchange can end before it has a connection', async () => {
  const ending = new AbortController();
  const response = new Promise((resolve, reject) => void new Exchange(ending.signal, resolve, reject));
  ending.abort(new Error('not sent'));
  await assert.rejects(response, {message: 'not sent'});
});
