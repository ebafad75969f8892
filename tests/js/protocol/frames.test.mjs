// @ts-check
/** The frame codec's JavaScript half, held to the vectors that it shares with Python. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {describe, test} from 'node:test';
import {Decoder, FrameError, HEADER_BYTES, Kind, MAX_PAYLOAD_BYTES, encode, splitCall} from '../../../jshost/js/protocol/frames.mjs';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/frames.json', import.meta.url), 'utf8'));

/** @param {Buffer[]} chunks */
function decode(chunks) {
  const decoder = new Decoder();
  return chunks.flatMap((chunk) => decoder.feed(chunk)).map(plain);
}

/** @param {import('../../../jshost/js/protocol/frames.mjs').Frame} frame */
function plain({kind, callId, payload}) {
  return {kind, callId, payload: payload.toString('hex')};
}

/** @param {any} vector */
function meaning(vector) {
  return vector.frames.map((/** @type {any} */ frame) => ({...frame, kind: vectors.kinds[frame.kind]}));
}

/** @param {Buffer} bytes */
function singly(bytes) {
  return Array.from(bytes, (_, index) => bytes.subarray(index, index + 1));
}

/**
 * Numbers from 0 to 1 that are the same in every run.
 *
 * @param {number} seed
 */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('kinds have the numbers of the protocol', () => {
  assert.deepEqual({...Kind}, vectors.kinds);
});

describe('streams', () => {
  for (const vector of vectors.streams) {
    const bytes = Buffer.from(vector.hex, 'hex');
    test(`${vector.name}: decodes`, () => {
      assert.deepEqual(decode([bytes]), meaning(vector));
      assert.deepEqual(decode(singly(bytes)), meaning(vector));
    });
    test(`${vector.name}: encodes`, () => {
      const encoded = meaning(vector).map((/** @type {any} */ {kind, callId, payload}) => encode(kind, callId, Buffer.from(payload, 'hex')));
      assert.equal(Buffer.concat(encoded).toString('hex'), vector.hex);
    });
  }
});

describe('unfinished frames', () => {
  for (const vector of vectors.unfinished) {
    test(vector.name, () => {
      assert.deepEqual(decode([Buffer.from(vector.hex, 'hex')]), meaning(vector));
    });
  }
});

describe('malformed bytes', () => {
  for (const {name, hex} of vectors.malformed) {
    const bytes = Buffer.from(hex, 'hex');
    test(name, () => {
      assert.throws(() => decode([bytes]), FrameError);
      assert.throws(() => decode(singly(bytes)), FrameError);
    });
  }
});

describe('calls', () => {
  for (const vector of vectors.calls) {
    test(vector.name, () => {
      const {header, body} = splitCall(Buffer.from(vector.payload, 'hex'));
      assert.deepEqual(header, vector.header);
      assert.equal(body.toString('hex'), vector.body);
    });
  }
});

describe('malformed calls', () => {
  for (const {name, hex} of vectors.malformedCalls) {
    test(name, () => {
      assert.throws(() => splitCall(Buffer.from(hex, 'hex')), FrameError);
    });
  }
});

test('a text payload is encoded as UTF-8, behind its form', () => {
  const [frame] = decode([encode(Kind.RESULT, 1, 'Größe 🙂', 't')]);
  assert.equal(Buffer.from(frame.payload, 'hex').toString(), 'tGröße 🙂');
});

test('bytes stand behind their form, untouched', () => {
  const [frame] = decode([encode(Kind.RESULT, 1, Uint8Array.of(0xff, 0, 0x80), 'b')]);
  assert.equal(frame.payload, '62ff0080');
});

test('a view into a larger buffer is sent, and no more', () => {
  const view = new Uint8Array(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2);
  assert.equal(decode([encode(Kind.RESULT, 1, view)])[0].payload, '0203');
});

test('a payload over the limit is not sent', () => {
  const huge = /** @type {Uint8Array} */ (/** @type {unknown} */ ({length: MAX_PAYLOAD_BYTES}));
  assert.throws(() => encode(Kind.RESULT, 1, huge, 'j'), /1073741825 bytes is over the 1073741824/);
});

test('however a stream is split', () => {
  const random = randomNumbers(20);
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({length: 1 + Math.floor(random() * 6)}, () => ({
      kind: 1 + Math.floor(random() * 10),
      callId: Math.floor(random() * 2 ** 32),
      payload: Buffer.alloc(Math.floor(random() ** 4 * 2000), round).toString('hex'),
    }));
    const stream = Buffer.concat(sent.map(({kind, callId, payload}) => encode(kind, callId, Buffer.from(payload, 'hex'))));
    /** @type {Buffer[]} */
    const chunks = [];
    for (let at = 0; at < stream.length;) {
      const end = at + 1 + Math.floor(random() ** 3 * 200);
      chunks.push(stream.subarray(at, end));
      at = end;
    }
    assert.deepEqual(decode(chunks), sent, `round ${round}`);
  }
});

test('a large frame in small chunks takes linear time', {timeout: 60_000}, () => {
  const stream = encode(Kind.RESULT, 1, Buffer.alloc(32 * 1024 * 1024));
  const decoder = new Decoder();
  // Joining at every chunk would copy half a terabyte, which the time limit does not allow.
  const found = [];
  for (let at = 0; at < stream.length; at += 1024) found.push(...decoder.feed(stream.subarray(at, at + 1024)));
  assert.deepEqual(found.map(({payload}) => payload.length), [32 * 1024 * 1024]);
});

describe('a header that looks like an earlier one', () => {
  /** @param {string} header */
  const read = (header) => splitCall(Buffer.concat([Buffer.from([0, header.length]), Buffer.from(header, 'latin1')])).header;
  const header = '{"name":"f","requestId":"id-1","timeout":2.5}';

  test('has its own request id', () => {
    const ids = ['id-1', 'id-2', '', 'id 3'].map((id) => read(header.replace('id-1', id)));
    assert.deepEqual(ids.map(({requestId}) => requestId), ['id-1', 'id-2', '', 'id 3']);
    assert.deepEqual({...ids[1]}, {name: 'f', requestId: 'id-2', timeout: 2.5});
  });

  for (const [what, changed] of [
    ['another name', header.replace('"f"', '"g"')],
    ['another timeout', header.replace('2.5', '2')],
    ['an id with a quote in it', header.replace('id-1', 'id\\"1')],
    ['an id with an escape', header.replace('id-1', 'id\\u0031')],
    ['an id beyond ASCII', header.replace('id-1', 'gr\\u00f6\\u00dfe')],
    ['a name that looks like an id', header.replace('"f"', '"\\"requestId\\":\\"id-9\\""')],
    ['no id', '{"name":"f","timeout":2.5}'],
    ['a second id', header.replace('}', ',"requestId":"id-2"}')],
    ['a white space', header.replace('requestId":', 'requestId": ')],
  ]) {
    test(`is read as it is, with ${what}`, () => {
      read(header);
      assert.deepEqual({...read(changed)}, JSON.parse(changed));
      assert.deepEqual({...read(header)}, JSON.parse(header));
      assert.deepEqual({...read(changed)}, JSON.parse(changed));
    });
  }

  test('that is not JSON is refused, though it is cut like one', () => {
    read(header);
    assert.throws(() => read(header.slice(0, -1)), FrameError);
    assert.throws(() => read(header.replace('id-1"', 'id-1')), FrameError);
    assert.throws(() => read(header.replace('id-1', '\n')), FrameError);
  });
});
