// @ts-check
/** What functions print: whole lines, marked with their call. */

import assert from 'node:assert/strict';
import {Writable} from 'node:stream';
import {beforeEach, describe, test} from 'node:test';
import {format} from 'node:util';
import {RunningCall} from '../../../jshost/js/worker/calls.mjs';
import {Outbox} from '../../../jshost/js/protocol/outbox.mjs';
import {markLines} from '../../../jshost/js/worker/output.mjs';

/** @type {Buffer[]} */
let chunks;
/** @type {RunningCall | undefined} the call whose code runs */
let current;
/** @type {Writable} */
let stream;
/** @type {(call: RunningCall) => void} */
let endCall;

beforeEach(() => {
  chunks = [];
  current = undefined;
  stream = new Writable({
    decodeStrings: true,
    write(chunk, _, callback) {
      chunks.push(chunk);
      callback();
    },
  });
  endCall = markLines(/** @type {any} */ (stream), () => current);
});

/** @param {string} name */
function makeCall(name, requestId = '7-1') {
  const nothing = () => {};
  const logger = {log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing};
  return new RunningCall(1, {name, timeout: null, requestId}, {config: {}, logger, addFunction: nothing}, new Outbox(new Writable()));
}

/**
 * Print as that call's code.
 *
 * @param {RunningCall | undefined} call
 * @param {any[]} args
 */
function write(call, ...args) {
  current = call;
  const result = /** @type {any} */ (stream).write(...args);
  current = undefined;
  return result;
}

/** What was written since the last time, each line as [function, request id, text]. */
function lines() {
  const text = Buffer.concat(chunks.splice(0)).toString();
  assert.ok(text === '' || text.endsWith('\n'), `whole lines only: ${JSON.stringify(text)}`);
  return text.split('\n').slice(0, -1).map((line) => {
    const match = /^\x1e([^\x1e\x1f]*)\x1f([^\x1e\x1f]*)\x1e([^\x1e\x1f]*)$/.exec(line);
    return match ? match.slice(1) : line;
  });
}

test('outside of a call nothing is changed', () => {
  write(undefined, 'loading');
  assert.equal(Buffer.concat(chunks.splice(0)).toString(), 'loading');
  write(undefined, Buffer.from(' and more\n'));
  write(undefined, '616263', 'hex');
  assert.equal(Buffer.concat(chunks.splice(0)).toString(), ' and more\nabc');
});

describe('in a call', () => {
  test('each line is marked', () => {
    write(makeCall('f'), 'a\nb\n\nc\n');
    assert.deepEqual(lines(), ['a', 'b', '', 'c'].map((text) => ['f', '7-1', text]));
  });

  test('what console.log formats is marked', () => {
    write(makeCall('f'), `${format('%s is %d', 'tea', 3)}\n`);
    assert.deepEqual(lines(), [['f', '7-1', 'tea is 3']]);
  });

  test('a line is written once it is whole', () => {
    const call = makeCall('f');
    for (const part of ['one ', 'line', ' in parts']) {
      write(call, part);
      assert.deepEqual(lines(), []);
    }
    write(call, '\nand more');
    assert.deepEqual(lines(), [['f', '7-1', 'one line in parts']]);
  });

  test('a part of a line is written at the end of the call', () => {
    const call = makeCall('f');
    write(call, 'no end');
    endCall(call);
    assert.deepEqual(lines(), [['f', '7-1', 'no end']]);
    endCall(call);
    assert.deepEqual(lines(), []);
  });

  test('what is printed after the answer is not held back', () => {
    const call = makeCall('f');
    call.settled = true;
    write(call, 'late');
    assert.deepEqual(lines(), [['f', '7-1', 'late']]);
  });

  test('lines of calls at the same time do not mix', () => {
    const [one, two] = [makeCall('f', '1'), makeCall('g', '2')];
    write(one, 'one');
    write(two, 'two\n');
    write(undefined, 'nobody\n');
    write(one, ' more\n');
    assert.deepEqual(lines(), [['g', '2', 'two'], 'nobody', ['f', '1', 'one more']]);
  });

  test('calls of the same function are told apart', () => {
    const [one, two] = [makeCall('f', '1'), makeCall('f', '2')];
    write(one, 'a');
    write(two, 'b');
    endCall(two);
    endCall(one);
    assert.deepEqual(lines(), [['f', '2', 'b'], ['f', '1', 'a']]);
  });

  test('a character that comes in two chunks is one', () => {
    const call = makeCall('f');
    const bytes = Buffer.from('größe 🙂\n');
    for (const byte of bytes) write(call, Buffer.of(byte));
    assert.deepEqual(lines(), [['f', '7-1', 'größe 🙂']]);
  });

  test('a chunk that is reused by its writer was copied', () => {
    const call = makeCall('f');
    const buffer = Buffer.from('abc');
    write(call, buffer);
    buffer.fill('x');
    write(call, '\n');
    assert.deepEqual(lines(), [['f', '7-1', 'abc']]);
  });

  test('an encoding is heeded', () => {
    write(makeCall('f'), '6162630a', 'hex');
    write(makeCall('f'), 'ZGVmCg==', 'base64');
    assert.deepEqual(lines(), [['f', '7-1', 'abc'], ['f', '7-1', 'def']]);
  });

  test('a typed array is printed like a buffer', () => {
    write(makeCall('f'), new TextEncoder().encode('abc\n'));
    assert.deepEqual(lines(), [['f', '7-1', 'abc']]);
  });

  for (const args of [['a\n'], ['part'], ['a\n', 'utf8'], ['']]) {
    test(`the callback is called: ${JSON.stringify(args)}`, async () => {
      await new Promise((resolve) => { write(makeCall('f'), ...args, resolve); });
    });
  }

  test('the writer hears whether it should wait', () => {
    assert.equal(write(makeCall('f'), 'a\n'), true);
    stream.cork();
    assert.equal(write(makeCall('f'), `${'x'.repeat(stream.writableHighWaterMark)}\n`), false);
  });

  test('a line without end does not wait for ever', () => {
    const call = makeCall('f');
    write(call, 'x'.repeat(64 * 1024));
    assert.deepEqual(lines(), []);
    write(call, 'y');
    const [[name, , text]] = /** @type {string[][]} */ (lines());
    assert.deepEqual([name, text.length], ['f', 64 * 1024 + 1]);
  });
});
