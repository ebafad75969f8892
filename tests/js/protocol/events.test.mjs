// @ts-check
/** Events out of bytes, however those were split. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {EventParser} from '../../../jshost/js/protocol/events.mjs';

const TEXT = ': a comment\nevent: chunk\ndata: "größe 🙂"\n\nevent:result\r\ndata:1\r\ndata: 2\r\n\r\n\ndata\n\nid: 7\n\n';
const EVENTS = [
  {event: 'chunk', data: '"größe 🙂"'},
  {event: 'result', data: '1\n2'},
  {event: 'message', data: ''},
];

/** @param {number} size */
function parsed(size) {
  const bytes = Buffer.from(TEXT);
  const parser = new EventParser();
  const events = [];
  for (let at = 0; at < bytes.length; at += size) events.push(...parser.feed(bytes.subarray(at, at + size)));
  return events;
}

for (const size of [1, 2, 3, 7, 1000]) {
  test(`in pieces of ${size} bytes`, () => assert.deepEqual(parsed(size), EVENTS));
}

test('a long line in many pieces takes linear time', {timeout: 60_000}, () => {
  const parser = new EventParser();
  parser.feed(Buffer.from('data: '));
  const piece = Buffer.alloc(1024, 120);
  // Joined for each piece it would be 200 GB, which the time limit does not allow.
  for (let count = 0; count < 20_000; count++) parser.feed(piece);
  const [event] = parser.feed(Buffer.from('\n\n'));
  assert.equal(event.data.length, 20_000 * 1024);
});
