// @ts-check
/** Chunks: sent as there is room, or collected; and how streams end. */

import assert from 'node:assert/strict';
import {Readable} from 'node:stream';
import {describe, test} from 'node:test';
import {RunningCall, currentCall, run} from '../../../jshost/js/worker/calls.mjs';
import {HEADER_BYTES} from '../../../jshost/js/protocol/frames.mjs';
import {WINDOW_BYTES} from '../../../jshost/js/worker/streams.mjs';
import {CallError} from '../../../jshost/js/protocol/values.mjs';

/** What a host sees of a call: an outbox that keeps the chunks. */
class Host {
  /** @type {string[]} */
  chunks = [];
  bytes = 0;
  /** @type {string[]} */
  warnings = [];
  outcome;

  /**
   * @param {(...args: any[]) => unknown} fn
   * @param {object} [header]
   */
  constructor(fn, header = {stream: true}) {
    const warn = (/** @type {unknown[]} */ ...args) => void this.warnings.push(args.join(' '));
    const logger = {log: warn, info: warn, warn, error: warn, debug: warn};
    const host = {config: {}, logger, addFunction() {}};
    const outbox = /** @type {any} */ ({post: this.#post.bind(this)});
    this.call = new RunningCall(7, {name: 'f', timeout: null, requestId: '7-1', ...header}, host, outbox);
    /** @type {Promise<{error?: any, value?: any}>} */
    this.outcome = new Promise((resolve) => {
      run(this.call, fn, {}, (_, error, value) => {
        if (this.call.settled) return;
        this.call.settled = true;
        this.call.stream?.end(); // as the worker
        if (this.call.stream === undefined) resolve({error, value});
        else this.call.stream.whenSent(() => resolve({error, value}));
      });
    });
  }

  /**
   * @param {number} kind
   * @param {number} callId
   * @param {string | Buffer} payload
   * @param {string} form
   */
  #post(kind, callId, payload, form) {
    assert.deepEqual([kind, callId], [4, 7]);
    this.chunks.push(form + payload);
    const size = HEADER_BYTES + 1 + Buffer.byteLength(payload);
    this.bytes += size;
    return size;
  }
}

const turn = () => new Promise((resolve) => void setImmediate(resolve));

/** @param {() => unknown} condition */
async function until(condition) {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 10_000, `not within ${turns} turns: ${condition}`);
    await turn();
  }
}

const KILOBYTE = 'x'.repeat(1024);

describe('what streams', () => {
  /** @type {[string, (...args: any[]) => unknown, string[], unknown][]} */
  const forms = [
    ['a generator', function* () { yield 1; yield 'a'; yield {b: [null]}; return 'end'; }, ['j1', 'j"a"', 'j{"b":[null]}'], 'end'],
    ['an async generator', async function* () { yield 1; await turn(); yield 'a\nb'; return 0; }, ['j1', 'j"a\\nb"'], 0],
    ['a promise of an async generator', async () => (async function* () { yield 1; })(), ['j1'], undefined],
    ['an iterator', () => [1, 2].values(), ['j1', 'j2'], undefined],
    ['a generator by callback', (_, cb) => { cb(null, (function* () { yield 1; })()); }, ['j1'], undefined],
    ['an async iterable', () => ({[Symbol.asyncIterator]: () => { let n = 0; return {next: async () => ({done: n === 2, value: n++})}; }}), ['j0', 'j1'], 2],
    ['a Node stream', () => Readable.from([Buffer.from('a'), Buffer.from('b')]), ['ba', 'bb'], undefined],
    ['a web stream', () => new Blob(['abc']).stream(), ['babc'], undefined],
    ['promises in a generator', function* () { yield Promise.resolve(1); yield turn(); }, ['j1', 'jnull'], undefined],
    ['an empty generator', function* () {}, [], undefined],
    ['send()', async (_, __, {send}) => { await send(1); await send(Buffer.from('a')); return 'end'; }, ['j1', 'ba'], 'end'],
    ['send() on this', /** @this {any} */ async function () { await this.send(1); }, ['j1'], undefined],
    ['send() in a function with a callback', (_, cb, {send}) => { send(1); setImmediate(() => { send(2); cb(null, 'end'); }); }, ['j1', 'j2'], 'end'],
    ['send() in a plain function', /** @this {any} */ function () { this.send(1); this.send(2); return 'end'; }, ['j1', 'j2'], 'end'],
    ['send() and a generator', /** @this {any} */ function* () { yield 1; this.send(2); yield 3; }, ['j1', 'j2', 'j3'], undefined],
  ];
  for (const [name, fn, chunks, value] of forms) {
    test(name, async () => {
      const host = new Host(fn);
      assert.deepEqual(await host.outcome, {error: undefined, value});
      assert.deepEqual(host.chunks, chunks);
      assert.deepEqual(host.warnings, []);
    });
  }

  test('arrays, sets and maps do not', async () => {
    for (const value of [[1], new Set([1]), new Map(), 'text', {next: 1}]) {
      const host = new Host(() => value);
      assert.equal((await host.outcome).value, value);
      assert.deepEqual(host.chunks, []);
    }
  });
});

describe('a caller that wants no chunks', () => {
  /** @type {[string, (...args: any[]) => unknown, unknown][]} */
  const forms = [
    ['gets them as a list', function* () { yield 1; yield Buffer.from('a'); }, [1, Buffer.from('a')]],
    ['gets what is returned instead', async function* () { yield 1; return 'end'; }, 'end'],
    ['gets a returned null', function* () { yield 1; return null; }, null],
    ['gets an empty list of an empty generator', function* () {}, []],
    ['gets what was sent', async (_, __, {send}) => { await send(1); await send([2]); }, [1, [2]]],
    ['gets what a function that sent returned', async (_, __, {send}) => { await send(1); return 0; }, 0],
    ['gets undefined where nothing was sent', async () => {}, undefined],
  ];
  for (const [name, fn, value] of forms) {
    test(name, async () => {
      const host = new Host(fn, {});
      assert.deepEqual(await host.outcome, {error: undefined, value});
      assert.deepEqual(host.chunks, []);
    });
  }

  test('gets bytes as they were, though the buffer is used again', async () => {
    const {value} = await new Host(function* () {
      const buffer = Buffer.alloc(1);
      for (const letter of 'ab') {
        buffer.write(letter);
        yield buffer;
      }
    }, {}).outcome;
    assert.deepEqual(value, [Buffer.from('a'), Buffer.from('b')]);
  });
});

describe('the pace', () => {
  /** @type {[string, (...args: any[]) => unknown][]} */
  const producers = [
    ['a generator', function* () { for (;;) yield KILOBYTE; }],
    ['an async generator', async function* () { for (;;) yield KILOBYTE; }],
    ['send()', async (_, __, {send}) => { for (;;) await send(KILOBYTE); }],
  ];
  for (const [name, fn] of producers) {
    test(`of ${name} is the reader's`, async () => {
      const host = new Host(fn);
      await until(() => host.bytes >= WINDOW_BYTES);
      for (let round = 0; round < 20; round++) {
        for (let turns = 0; turns < 5; turns++) await turn();
        assert.ok(host.bytes - round * 100_000 < WINDOW_BYTES + 1100, `${host.bytes}`);
        host.call.stream?.credit(100_000);
        await until(() => host.bytes - (round + 1) * 100_000 >= WINDOW_BYTES);
      }
      host.call.cancel();
      assert.equal((await host.outcome).error.name, 'AbortError');
    });
  }

  test('a huge chunk goes when there is any room', async () => {
    const host = new Host(function* () { yield 1; yield 'x'.repeat(2 * WINDOW_BYTES); yield 2; });
    await until(() => host.chunks.length === 2);
    for (let turns = 0; turns < 5; turns++) await turn();
    assert.equal(host.chunks.length, 2);
    host.call.stream?.credit(host.bytes);
    assert.equal((await host.outcome).error, undefined);
    assert.equal(host.chunks.length, 3);
  });

  test('chunks that nobody waited for are queued, and come before the result', async () => {
    const host = new Host((_, cb, {send}) => {
      for (let number = 0; number < 1000; number++) send(KILOBYTE + number);
      cb(null, 'end');
    });
    let ended = false;
    const outcome = host.outcome.finally(() => { ended = true; });
    await turn();
    assert.ok(host.bytes < WINDOW_BYTES + 1100);
    while (!ended) {
      host.call.stream?.credit(64 * 1024);
      await turn();
    }
    assert.equal((await outcome).value, 'end');
    assert.deepEqual(host.chunks, Array.from({length: 1000}, (_, number) => `j"${KILOBYTE}${number}"`));
  });

  test('too many of them are an error', async () => {
    const {error} = await (() => {
      const host = new Host((_, __, {send}) => { for (;;) send(KILOBYTE.repeat(1024)); });
      void turn().then(() => host.call.cancel()); // drops what is queued
      return host.outcome;
    })();
    assert.match(error.message, /^send: \d+ bytes wait to be sent, .*; await what send\(\) returns before you send more$/);
  });

  test('a queued buffer may be used again', async () => {
    const host = new Host((_, cb, {send}) => {
      const buffer = Buffer.alloc(200 * 1024, 'a');
      send(buffer);
      send(buffer);
      send(buffer);
      buffer.fill('b');
      cb();
    });
    host.call.stream?.credit(1 << 20);
    await host.outcome;
    assert.equal(host.chunks[2][1], 'a');
  });

  for (const [name, fn] of producers) {
    for (const header of [{stream: true}, {}]) {
      test(`${name} lets the event loop turn, ${JSON.stringify(header)}`, async () => {
        const host = new Host(fn, header);
        const credit = setInterval(() => host.call.stream?.credit(host.bytes), 1); // never full for long
        for (let turns = 0; turns < 10; turns++) await turn();
        clearInterval(credit);
        host.call.cancel();
        assert.equal((await host.outcome).error.name, 'AbortError');
      });
    }
  }
});

describe('a cancelled stream', () => {
  /** @type {string[]} */
  let notes = [];

  /** @type {[string, (...args: any[]) => unknown][]} */
  const producers = [
    ['a generator', function* () { try { for (;;) yield KILOBYTE; } finally { notes.push(`closed ${currentCall()?.requestId}`); } }],
    ['an async generator', async function* () { try { for (;;) yield KILOBYTE; } finally { await turn(); notes.push(`closed ${currentCall()?.requestId}`); } }],
    ['an async generator that waits for the signal', /** @this {any} */ async function* () {
      try {
        yield 1;
        await new Promise((resolve) => { this.signal.addEventListener('abort', resolve); });
        yield 2;
      } finally {
        notes.push(`closed ${currentCall()?.requestId}`);
      }
    }],
    ['a function that sends', async (_, __, {send}) => { try { for (;;) await send(KILOBYTE); } finally { notes.push(`closed ${currentCall()?.requestId}`); } }],
  ];
  for (const [name, fn] of producers) {
    test(`closes ${name}`, async () => {
      notes = [];
      const host = new Host(fn);
      await until(() => host.chunks.length > 0);
      for (let turns = 0; turns < 5; turns++) await turn();
      host.call.cancel();
      const {error} = await host.outcome;
      assert.equal(error.name, 'AbortError');
      assert.deepEqual(notes, ['closed 7-1']);
    });
  }

  test('destroys a Node stream that gives nothing', async () => {
    const stream = new Readable({read() {}});
    const host = new Host(() => stream);
    await turn();
    host.call.cancel();
    assert.ok((await host.outcome).error);
    assert.ok(stream.destroyed);
  });

  test('has what is queued dropped', async () => {
    const host = new Host((_, cb, {send}) => {
      for (let number = 0; number < 1000; number++) send(KILOBYTE);
      cb(null, 'end');
    });
    host.call.cancel();
    assert.equal((await host.outcome).value, 'end');
    assert.ok(host.chunks.length < 300);
  });

  test('takes no more', async () => {
    const host = new Host((_, cb, {send, signal}) => {
      signal.addEventListener('abort', () => {
        send(1).catch((/** @type {Error} */ error) => cb(error));
        void send(2); // an unhandled rejection would fail this test
      });
    });
    host.call.cancel();
    assert.equal((await host.outcome).error.name, 'AbortError');
    assert.deepEqual(host.chunks, []);
  });
});

describe('a stream that fails', () => {
  test('has what it sent before', async () => {
    const boom = new Error('boom');
    const host = new Host(async function* () { yield 1; throw boom; });
    assert.equal((await host.outcome).error, boom);
    assert.deepEqual(host.chunks, ['j1']);
  });

  test('by a chunk without a form closes its generator', async () => {
    let closed = false;
    const host = new Host(function* () { try { yield 1; yield {image: Buffer.from('a')}; } finally { closed = true; } });
    const {error} = await host.outcome;
    assert.ok(error instanceof CallError);
    assert.match(error.message, /^chunk: bytes inside a value cannot be streamed/);
    assert.ok(closed);
  });

  test('by throwing undefined is a failure', async () => {
    assert.ok((await new Host(async function* () { yield 1; throw undefined; }).outcome).error);
  });

  test('with an error while it is closed ends all the same', async () => {
    const host = new Host(function* () { try { for (;;) yield KILOBYTE; } finally { throw new Error('closing'); } });
    await until(() => host.bytes >= WINDOW_BYTES);
    host.call.cancel();
    assert.equal((await host.outcome).error.name, 'AbortError');
  });
});

describe('after the answer', () => {
  test('send() is ignored, with one warning', async () => {
    const host = new Host((_, cb, {send}) => {
      send(1);
      cb(null, 'end');
      send(2);
      send(3);
    });
    assert.equal((await host.outcome).value, 'end');
    assert.deepEqual(host.chunks, ['j1']);
    assert.deepEqual(host.warnings, ['f: send() was called after the call was answered; what it sends is ignored']);
  });

  test('a generator that still runs is closed', async () => {
    let closed = false;
    const host = new Host(async function* () { try { for (;;) yield KILOBYTE; } finally { closed = true; } });
    await until(() => host.bytes >= WINDOW_BYTES);
    host.call.settled = true; // by an error that nobody caught
    host.call.stream?.end();
    await until(() => closed);
  });

  test('a callback beside a stream is ignored', async () => {
    const host = new Host((_, cb) => { setImmediate(() => cb(null, 'late')); return (async function* () { yield 1; await turn(); await turn(); return 'end'; })(); });
    assert.equal((await host.outcome).value, 'end');
    assert.match(host.warnings[0], /the callback was called again/);
  });
});
