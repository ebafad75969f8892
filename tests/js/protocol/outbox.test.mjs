// @ts-check
/** Frames into writes: few of them, none late, none changed. */

import assert from 'node:assert/strict';
import {Writable} from 'node:stream';
import {beforeEach, test} from 'node:test';
import {Decoder, Kind} from '../../../jshost/js/protocol/frames.mjs';
import {Outbox} from '../../../jshost/js/protocol/outbox.mjs';

/** @type {Buffer[]} */
let writes;
/** @type {(() => void)[]} what ends the writes that have begun, where the host is slow */
let pending;
let isSlow = false;
/** @type {Outbox} */
let outbox;

beforeEach(() => {
  [writes, pending, isSlow] = [[], [], false];
  outbox = new Outbox(new Writable({
    highWaterMark: 1 << 30,
    write(chunk, _, callback) {
      writes.push(chunk); // not a copy: as the kernel would read it later
      if (isSlow) pending.push(callback);
      else callback();
    },
  }));
});

const turn = () => new Promise((resolve) => void setImmediate(resolve));

/** The payloads of all frames that were written. */
function payloads() {
  const decoder = new Decoder();
  return writes.flatMap((data) => decoder.feed(data)).map(({payload}) => payload.toString());
}

test('one frame is written at once', () => {
  assert.equal(outbox.post(Kind.RESULT, 1, 'ä', 't'), 12);
  assert.deepEqual(payloads(), ['tä']);
});

test('what follows in the same turn is one write', async () => {
  for (let number = 0; number < 100; number++) {
    outbox.post(Kind.RESULT, number, `${number}`, 'j');
    if (number === 0) writes = writes.map((data) => Buffer.from(data)); // written, so the slab is used again
  }
  assert.equal(writes.length, 1);
  await null;
  await turn();
  assert.equal(writes.length, 2);
  assert.deepEqual(payloads(), Array.from({length: 100}, (_, number) => `j${number}`));
});

test('calls are written a dozen at a time, so that their worker begins', async () => {
  outbox = new Outbox(new Writable({write(chunk, _, callback) { writes.push(Buffer.from(chunk)); callback(); }}));
  for (let number = 0; number < 30; number++) outbox.post(Kind.CALL, number, `${number}`);
  assert.equal(writes.length, 3);
  await null;
  await turn();
  assert.deepEqual(writes.map((data) => new Decoder().feed(data).length), [1, 12, 12, 5]);
  assert.deepEqual(payloads(), Array.from({length: 30}, (_, number) => `${number}`));
});

test('what is gathered is one write, the first frame too', async () => {
  outbox.gather();
  for (let number = 0; number < 3; number++) outbox.post(Kind.RESULT, number, `${number}`, 'j');
  assert.equal(writes.length, 0);
  await null;
  await turn();
  assert.equal(writes.length, 1);
  assert.deepEqual(payloads(), ['j0', 'j1', 'j2']);
  outbox.post(Kind.RESULT, 4, '4', 'j');
  assert.equal(writes.length, 2); // another turn: at once
});

test('results that settle in promises are one write, too', async () => {
  await Promise.all([1, 2, 3, 4].map(async (number) => {
    await null;
    outbox.post(Kind.RESULT, number, `${number}`, 'j');
    if (number === 1) writes = writes.map((data) => Buffer.from(data));
  }));
  await turn();
  assert.equal(writes.length, 2);
});

test('a log entry is never kept, and what stands before it neither', () => {
  for (const text of ['1', '2', '3']) {
    outbox.post(Kind.RESULT, 1, text, 'j');
    writes = writes.map((data) => Buffer.from(data));
  }
  assert.equal(writes.length, 1);
  outbox.post(Kind.LOG, 0, 'last words');
  assert.deepEqual(payloads(), ['j1', 'j2', 'j3', 'last words']);
});

test('large frames keep their place', async () => {
  isSlow = true;
  const large = Buffer.alloc(100_000, 'x');
  const sent = ['a', 'b', large, 'c', 'd'.repeat(16_000), large.toString(), 'e'];
  for (const payload of sent) outbox.post(Kind.CHUNK, 1, payload);
  await turn();
  while (pending.length > 0) pending.shift()?.();
  await turn();
  assert.deepEqual(payloads(), sent.map(String));
});

test('what a slow host has not taken yet is not overwritten', async () => {
  isSlow = true;
  const sent = [];
  for (let round = 0; round < 50; round++) {
    for (let number = 0; number < 500; number++) {
      const text = `${round}:${number} ${'x'.repeat(number % 50)}`;
      sent.push(text);
      outbox.post(Kind.CHUNK, 1, text);
    }
    await turn();
    for (const done of pending.splice(0, round % 3)) done();
  }
  while (pending.length > 0) {
    pending.shift()?.();
    await turn();
  }
  assert.deepEqual(payloads(), sent);
});

test('a payload may be changed as soon as it is posted', async () => {
  isSlow = true;
  for (const size of [10, 100_000]) {
    const payload = Buffer.alloc(size, 'a');
    outbox.post(Kind.CHUNK, 1, payload);
    payload.fill('b');
  }
  await turn();
  while (pending.length > 0) pending.shift()?.();
  assert.ok(payloads().every((text) => !text.includes('b')));
});
