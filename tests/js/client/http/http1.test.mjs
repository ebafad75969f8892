// @ts-check
/** What an HTTP answer's bytes say, however they are cut; and the head of a request. */

import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {ResponseParser, headerLines, requestHead} from '../../../../jshost/js/client/http/http1.mjs';

/**
 * @param {string[]} pieces
 * @param {boolean} [ends] the connection, behind them
 */
function read(pieces, ends = false) {
  let [status, type, body] = [0, '', ''];
  const reader = new ResponseParser({
    onHead: (...head) => { [status, type] = head; },
    onBody: (piece) => { body += piece.toString('latin1'); },
  });
  reader.begin();
  for (const piece of pieces) reader.feed(Buffer.from(piece, 'latin1'));
  if (ends) reader.end();
  return {status, type, body, isWhole: !reader.isDue, keepAlive: reader.keepAlive};
}

const OK = 'HTTP/1.1 200 OK\r\n';
const JSON_OK = {status: 200, type: 'application/json', isWhole: true, keepAlive: true};
const TYPE = 'content-type: application/json\r\n';

/** @type {[string, string, object][]} */
const WHOLE = [
  ['a length', `${OK}${TYPE}content-length: 3\r\n\r\nabc`, {...JSON_OK, body: 'abc'}],
  ['a length of 0', `${OK}${TYPE}Content-Length:0\r\n\r\n`, {...JSON_OK, body: ''}],
  ['chunks', `${OK}${TYPE}transfer-encoding: Chunked\r\n\r\n3\r\nabc\r\nA ;x=y\r\n0123456789\r\n0\r\n\r\n`, {...JSON_OK, body: 'abc0123456789'}],
  ['chunks and trailers', `${OK}${TYPE}transfer-encoding: chunked\r\n\r\n1\r\n\n\r\n000\r\nx: y\r\nz:\r\n\r\n`, {...JSON_OK, body: '\n'}],
  ['hints before it', `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${OK}${TYPE}content-length: 1\r\n\r\na`, {...JSON_OK, body: 'a'}],
  ['no body by its status', 'HTTP/1.1 204\r\n\r\n', {status: 204, type: '', body: '', isWhole: true, keepAlive: true}],
  ['a connection that closes', `${OK}${TYPE}connection: x, Close\r\ncontent-length: 1\r\n\r\na`, {...JSON_OK, body: 'a', keepAlive: false}],
  ['HTTP/1.0', `HTTP/1.0 200 OK\r\n${TYPE}content-length: 1\r\n\r\na`, {...JSON_OK, body: 'a', keepAlive: false}],
  ['HTTP/1.0 that stays', `HTTP/1.0 200 OK\r\n${TYPE}connection: keep-alive\r\ncontent-length: 1\r\n\r\na`, {...JSON_OK, body: 'a'}],
  ['both a length and chunks', `${OK}${TYPE}content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n`, {...JSON_OK, body: 'a', keepAlive: false}],
  ['more than was asked for', `${OK}${TYPE}content-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n`, {...JSON_OK, body: 'a', keepAlive: false}],
];

describe('an answer with', () => {
  for (const [name, text, expected] of WHOLE) {
    test(name, () => {
      assert.deepEqual(read([text]), expected);
      assert.deepEqual(read(text.split('')), expected);
      for (let at = 1; at < text.length; at += 1) assert.deepEqual(read([text.slice(0, at), text.slice(at)]), expected);
    });
  }
  test('no length ends with its connection', () => {
    const text = `${OK}${TYPE}\r\nabc`;
    assert.deepEqual(read([text]), {...JSON_OK, body: 'abc', isWhole: false});
    assert.deepEqual(read([text], true), {...JSON_OK, body: 'abc', keepAlive: false});
  });
  test('a length does not', () => {
    assert.equal(read([`${OK}content-length: 3\r\n\r\nab`], true).isWhole, false);
    assert.equal(read([`${OK}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`], true).isWhole, false);
  });
});

/** @type {[string, string, RegExp][]} */
const REFUSED = [
  ['another protocol', 'SSH-2.0-x\r\n\r\n', /begins with "SSH-2.0-x"/],
  ['a switch to another protocol', 'HTTP/1.1 101 Switching\r\n\r\n', /another protocol/],
  ['a space before the colon', `${OK}content-length : 3\r\n\r\n`, /header .* "content-length : 3"/],
  ['a folded header', `${OK}a: b\r\n c\r\n\r\n`, /header .* " c"/],
  ['two lengths', `${OK}content-length: 3\r\ncontent-length: 4\r\n\r\n`, /Content-Length is "4"/],
  ['a signed length', `${OK}content-length: +3\r\n\r\n`, /Content-Length is "\+3"/],
  ['an unknown encoding', `${OK}transfer-encoding: gzip, chunked\r\n\r\n`, /Transfer-Encoding is "gzip, chunked"/],
  ['no size of a chunk', `${OK}transfer-encoding: chunked\r\n\r\nxyz\r\n`, /"xyz" is not the size/],
  ['a chunk beyond its size', `${OK}transfer-encoding: chunked\r\n\r\n1\r\nab\r\n`, /longer than its size/],
  ['an endless head', `${OK}${'a: b\r\n'.repeat(20_000)}`, /head is longer than/],
  ['an endless line', `${OK}transfer-encoding: chunked\r\n\r\n${'1'.repeat(5000)}`, /line between chunks/],
];

describe('refused:', () => {
  for (const [name, text, message] of REFUSED) {
    test(name, () => {
      assert.throws(() => read([text]), {name: 'UnexpectedResponse', message});
    });
  }
});

test('a head of a request ends with the length', () => {
  assert.equal(requestHead('POST', '/a', headerLines({Host: 'h', Accept: 'x', accept: 'y'}), 3), 'POST /a HTTP/1.1\r\nHost: h\r\naccept: y\r\nContent-Length: 3\r\n\r\n');
});

test('headers that cannot be sent are refused', () => {
  assert.throws(() => headerLines({'X-A': 'b\r\nX-C: d'}), {name: 'TypeError', message: /X-A holds a line end/});
  assert.throws(() => headerLines({'X-A': '€'}), {name: 'TypeError', message: /Latin-1/});
  assert.throws(() => headerLines({'X A': 'b'}), {name: 'TypeError', message: /"X A" is not the name of a header/});
  assert.throws(() => headerLines({'transfer-encoding': 'chunked'}), {name: 'TypeError', message: /not the caller's to set/});
});
