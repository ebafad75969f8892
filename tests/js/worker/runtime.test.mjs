// @ts-check
/** A runtime in this process, over a pair of sockets: what a host sees of it. */

import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect, createServer} from 'node:net';
import {after, before, describe, mock, test} from 'node:test';
import {Decoder, HEADER_BYTES, Kind, encode, joinCall} from '../../../jshost/js/protocol/frames.mjs';
import {currentCall} from '../../../jshost/js/worker/calls.mjs';
import {Channel} from '../../../jshost/js/worker/channel.mjs';
import {makeHostContext} from '../../../jshost/js/worker/context.mjs';
import {ExitReason, Runtime} from '../../../jshost/js/worker/runtime.mjs';
import {WINDOW_BYTES} from '../../../jshost/js/worker/streams.mjs';

/** @typedef {import('../../../jshost/js/protocol/frames.mjs').Frame} Frame */
/** @typedef {Record<string, (...args: any[]) => unknown>} Functions */

const server = createServer({allowHalfOpen: true});
before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
after(() => server.close());

/** Two sockets that are connected. */
async function socketPair() {
  const {port} = /** @type {import('node:net').AddressInfo} */ (server.address());
  const ours = connect({port, host: '127.0.0.1', noDelay: true});
  const [[theirs]] = await Promise.all([once(server, 'connection'), once(ours, 'connect')]);
  return [ours, theirs];
}

/** The host's end of the socket pair. */
class Host {
  /** @type {Frame[]} */
  #received = [];
  #decoder = new Decoder();
  #more = () => {};
  isEnded = false;

  /**
   * @param {import('node:net').Socket} socket
   * @param {Runtime} runtime
   */
  constructor(socket, runtime) {
    this.socket = socket;
    this.runtime = runtime;
    this.reason = runtime.run();
    socket.on('data', (data) => {
      this.#received.push(...this.#decoder.feed(data));
      this.#more();
    });
    socket.on('close', () => {
      this.isEnded = true;
      this.#more();
    });
  }

  /** @returns {Promise<Frame>} */
  async receive() {
    while (this.#received.length === 0) {
      assert.ok(!this.isEnded, 'the runtime has closed the channel');
      await new Promise((resolve) => {
        this.#more = () => resolve(undefined);
      });
    }
    return /** @type {Frame} */ (this.#received.shift());
  }

  /** The next frame as [kind, call id, text]. */
  async received() {
    const {kind, callId, payload} = await this.receive();
    return [kind, callId, payload.toString()];
  }

  /** @param {number} kind */
  send(kind, callId = 0, payload = Buffer.alloc(0)) {
    this.socket.write(encode(kind, callId, payload));
  }

  /**
   * @param {number} callId
   * @param {string} name
   */
  call(callId, name, body = '', header = {}) {
    const whole = {name, requestId: `id-${callId}`, timeout: 2.5, ...header};
    this.send(Kind.CALL, callId, joinCall(whole, Buffer.from(body)));
  }

  /**
   * The payload of a call's RESULT.
   *
   * @param {number} callId
   * @param {string} name
   */
  async answer(callId, name, body = '') {
    this.call(callId, name, body);
    const [kind, answered, payload] = await this.received();
    assert.deepEqual([kind, answered], [Kind.RESULT, callId], String(payload));
    return payload;
  }

  /** The JSON of a call's ERROR. @param {number} callId */
  async error(callId) {
    const [kind, answered, payload] = await this.received();
    assert.deepEqual([kind, answered], [Kind.ERROR, callId], String(payload));
    return JSON.parse(String(payload));
  }
}

/** @type {Host[]} */
const hosts = [];
after(() => {
  for (const {socket} of hosts) socket.destroy();
});

/**
 * Start a runtime of these functions.
 *
 * @param {Functions} functions
 * @param {import('../../../jshost/js/worker/runtime.mjs').RuntimeOptions} [options]
 */
async function startUnready(functions, options) {
  const [ours, theirs] = await socketPair();
  const byName = new Map(Object.entries(functions));
  const nothing = () => {};
  const logger = {log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing};
  const host = makeHostContext({}, byName, logger);
  const config = {functions: byName, host, options: {port: 0}, caching: {}, files: ['/project/host.config.js']};
  const started = new Host(ours, new Runtime(new Channel(theirs), config, options));
  hosts.push(started);
  return started;
}

/**
 * Start a runtime of these functions, and take its READY.
 *
 * @param {Functions} functions
 */
async function start(functions) {
  const host = await startUnready(functions);
  assert.equal((await host.receive()).kind, Kind.READY);
  return host;
}

/** @param {{number: number}} data */
const double = ({number}) => 2 * number;
const turn = () => new Promise((resolve) => void setImmediate(resolve));

test('it says READY with what the config says', async () => {
  const host = await startUnready({double, fail() {}});
  const [kind, , payload] = await host.received();
  assert.equal(kind, Kind.READY);
  const {language, functions, options, files} = JSON.parse(String(payload));
  assert.deepEqual([language, functions, options], ['javascript', ['double', 'fail'], {port: 0}]);
  assert.deepEqual(files, ['/project/host.config.js']);
});

describe('a call', () => {
  /** @type {[string, (...args: any[]) => unknown][]} */
  const forms = [
    ['a plain function', double],
    ['an async function', async (data) => { await turn(); return double(data); }],
    ['a callback', (data, cb) => setImmediate(cb, null, double(data))],
  ];
  for (const [name, fn] of forms) {
    test(`of ${name} is answered`, async () => {
      const host = await start({double: fn});
      assert.equal(await host.answer(1, 'double', '{"number": 20}'), 'j40');
      assert.equal(await host.answer(2, 'double', '{"number": 21}'), 'j42');
    });
  }

  test('runs beside others', async () => {
    /** @type {(() => void)[]} */
    const waiting = [];
    const meet = () => new Promise((resolve) => {
      waiting.push(() => resolve(true));
      if (waiting.length === 3) for (const wake of waiting) wake();
    });
    const host = await start({meet});
    for (const callId of [1, 2, 3]) host.call(callId, 'meet');
    const answers = [await host.received(), await host.received(), await host.received()];
    assert.deepEqual(answers, [1, 2, 3].map((callId) => [Kind.RESULT, callId, 'jtrue']));
  });

  test('is seen by its function', async () => {
    const host = await start({
      /** @this {any} */
      see() { return [this.name, this.requestId, this.timeout, this.signal.aborted, currentCall()?.id]; },
    });
    assert.equal(await host.answer(7, 'see'), 'j["see","id-7",2.5,false,7]');
  });

  test('has the lines that it printed ended before it is answered', async () => {
    /** @type {string[]} */
    const ended = [];
    const host = await startUnready({double}, {endLines: (call) => void ended.push(call.requestId)});
    await host.receive();
    await host.answer(1, 'double', '{"number": 1}');
    assert.deepEqual(ended, ['id-1']);
  });
});

describe('an error', () => {
  test('that is thrown is described', async () => {
    const host = await start({fail() { throw Object.assign(new RangeError('no tea'), {code: 7}); }});
    host.call(1, 'fail');
    const {code, name, message, properties, stack} = await host.error(1);
    assert.deepEqual([code, name, message, properties], ['function_failed', 'RangeError', 'no tea', {code: 7}]);
    assert.ok(!stack.includes('worker/runtime.mjs'), stack);
  });

  test('of an unknown function', async () => {
    const host = await start({});
    host.call(1, 'render');
    const {code, message} = await host.error(1);
    assert.deepEqual([code, message], ['unknown_function', 'Not found. Unknown function "render"']);
  });

  for (const [body, wanted] of [['{', 'malformed_json'], ['[1]', 'not_an_object']]) {
    test(`of the body ${body}`, async () => {
      const host = await start({double});
      host.call(1, 'double', body);
      assert.equal((await host.error(1)).code, wanted);
    });
  }

  test('of a result that cannot be sent', async () => {
    const host = await start({f: () => ({items: [1n]})});
    host.call(1, 'f');
    assert.equal((await host.error(1)).code, 'unserializable_result');
  });

  test('that no code caught belongs to its call', async () => {
    const host = await start({later: () => new Promise(() => {
      setImmediate(() => host.runtime.takeUncaught(new Error('late')));
    })});
    host.call(1, 'later');
    assert.equal((await host.error(1)).message, 'late');
  });

  test('that comes after the answer is logged', async () => {
    const log = mock.method(console, 'error', () => {});
    const {promise, resolve} = withResolvers();
    const host = await start({later(/** @type {any} */ _, /** @type {any} */ cb) {
      cb(null, 1);
      setImmediate(() => resolve(host.runtime.takeUncaught(new Error('late'))));
    }});
    assert.equal(await host.answer(1, 'later'), 'j1');
    await promise;
    log.mock.restore();
    assert.equal(log.mock.calls[0].arguments[0], 'Uncaught in later, after its answer:');
  });

  function withResolvers() {
    /** @type {(value?: unknown) => void} */
    let resolve = () => {};
    const promise = new Promise((done) => { resolve = done; });
    return {promise, resolve};
  }
});

const CHUNK = 'x'.repeat(1000);

/** @type {[string, (...args: any[]) => unknown][]} */
const ENDLESS = [
  ['a generator', function* () { for (;;) yield CHUNK; }],
  ['an async generator', async function* () { for (;;) yield CHUNK; }],
  ['send()', async (_, __, {send}) => { for (;;) await send(CHUNK); }],
];

/**
 * Bytes of frames that come until they reach the limit.
 *
 * @param {Host} host
 */
async function receiveChunks(host, limit = WINDOW_BYTES) {
  let received = 0;
  while (received < limit) {
    const {kind, payload} = await host.receive();
    assert.equal(kind, Kind.CHUNK);
    received += HEADER_BYTES + payload.length;
  }
  return received;
}

describe('a stream', () => {
  for (const [name, count] of /** @type {[string, (...args: any[]) => unknown][]} */ ([
    ['a generator', function* ({upto}) { for (let n = 0; n < upto; n++) yield n; }],
    ['an async generator', async function* ({upto}) { for (let n = 0; n < upto; n++) yield n; }],
  ])) {
    test(`of ${name} is sent in chunks`, async () => {
      const host = await start({count});
      host.call(1, 'count', '{"upto": 2}', {stream: true});
      assert.deepEqual(await host.received(), [Kind.CHUNK, 1, 'j0']);
      assert.deepEqual(await host.received(), [Kind.CHUNK, 1, 'j1']);
      assert.deepEqual(await host.received(), [Kind.RESULT, 1, 'jnull']);
    });

    test(`of ${name} is a list for a caller that does not stream`, async () => {
      const host = await start({count});
      assert.equal(await host.answer(1, 'count', '{"upto": 2}'), 'j[0,1]');
    });
  }

  for (const [name, endless] of ENDLESS) {
    test(`of ${name} waits for credit, and ends when it is cancelled`, async () => {
      const host = await start({endless});
      host.call(1, 'endless', '', {stream: true});
      const received = await receiveChunks(host);
      host.send(Kind.PING, 5);
      assert.equal((await host.receive()).kind, Kind.PONG, 'no chunk is sent without credit');
      const credit = Buffer.alloc(4);
      credit.writeUInt32BE(received);
      host.send(Kind.CHUNK, 1, credit);
      assert.equal(await receiveChunks(host), received);
      host.send(Kind.CANCEL, 1);
      assert.equal((await host.error(1)).code, 'cancelled');
    });
  }
});

test('a cancelled function hears of it by its signal', async () => {
  const host = await start({
    /** @this {any} */
    wait() { return new Promise((_, reject) => { this.signal.addEventListener('abort', () => reject(this.signal.reason)); }); },
  });
  host.call(1, 'wait');
  host.send(Kind.CANCEL, 1);
  const {code, name} = await host.error(1);
  assert.deepEqual([code, name], ['cancelled', 'AbortError']);
});

test('a PING is answered', async () => {
  const host = await start({});
  host.send(Kind.PING, 3, Buffer.from('12345678'));
  assert.deepEqual(await host.received(), [Kind.PONG, 3, '12345678']);
});

describe('the exit reason', () => {
  test('of DRAIN', async () => {
    const host = await start({double});
    await host.answer(1, 'double', '{"number": 1}');
    host.send(Kind.DRAIN);
    assert.equal(await host.reason, ExitReason.DRAINED);
  });

  test('of DRAIN comes when the last call is answered', async () => {
    let open = () => {};
    const host = await start({wait: () => new Promise((resolve) => { open = () => resolve(1); })});
    host.call(1, 'wait');
    host.send(Kind.DRAIN);
    host.send(Kind.PING, 3);
    assert.equal((await host.receive()).kind, Kind.PONG);
    open();
    assert.deepEqual(await host.received(), [Kind.RESULT, 1, 'j1']);
    assert.equal(await host.reason, ExitReason.DRAINED);
  });

  test('of EOF', async () => {
    const host = await start({double});
    await host.answer(1, 'double', '{"number": 1}');
    host.socket.end();
    assert.equal(await host.reason, ExitReason.HOST_GONE);
  });

  test('of a connection that breaks', async () => {
    const host = await start({});
    host.socket.resetAndDestroy();
    assert.equal(await host.reason, ExitReason.HOST_GONE);
  });

  for (const [name, garbage] of /** @type {[string, Buffer][]} */ ([
    ['bytes that are no frame', Buffer.from('GET / HTTP/1.1\r\n')],
    ['a CALL without a header', encode(Kind.CALL, 1, Buffer.alloc(1))],
  ])) {
    test(`of ${name}`, async () => {
      const log = mock.method(console, 'error', () => {});
      const host = await start({double});
      host.socket.write(garbage);
      assert.equal(await host.reason, ExitReason.PROTOCOL_ERROR);
      log.mock.restore();
      assert.equal(log.mock.calls[0].arguments[0].name, 'FrameError');
      await assert.rejects(host.receive(), /closed the channel/);
    });
  }
});
