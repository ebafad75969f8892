// @ts-check
/** The calls of a pool, over a scheduler and workers that are fakes. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {CallTable} from '../../../jshost/js/pool/call_table.mjs';
import {Refused} from '../../../jshost/js/pool/scheduling/actions.mjs';
import {Kind, splitCall} from '../../../jshost/js/protocol/frames.mjs';

const HEADER = {name: 'f', requestId: 'r', timeout: null};

/** @param {number | null} [worker] gets each call; null: calls are queued */
function tableWith(worker = 1) {
  /** @type {{kind: number, id: number, payload: Buffer}[]} */
  const posted = [];
  const channel = {post: (/** @type {number} */ kind, /** @type {number} */ id, /** @type {Buffer} */ payload) => void posted.push({kind, id, payload})};
  const scheduler = {
    halted: false,
    draining: false,
    /** @type {string | undefined} */
    refusal: undefined,
    /** @type {unknown[]} */
    log: [],
    submit(/** @type {number} */ id, /** @type {number} */ deadline) {
      if (this.refusal !== undefined) throw new Refused(this.refusal);
      this.log.push(['submit', id, deadline === Infinity ? deadline : 'a time']);
      return worker;
    },
    finished(/** @type {number} */ id) {
      this.log.push(['finished', id]);
      return [{do: 'send', worker: 1, call: 2}];
    },
    cancel(/** @type {number} */ id) {
      this.log.push(['cancel', id]);
      return [{do: 'cancel', worker: 1, call: id}];
    },
    workerOf: () => worker,
  };
  const fleet = {workers: new Map([[1, channel]]), loadError: '', describeEnd: (/** @type {number} */ number) => `worker ${number} died`};
  let holds = 0;
  const anchor = {hold: () => void (holds += 1), release: () => void (holds -= 1)};
  const table = new CallTable(/** @type {any} */ (scheduler), /** @type {any} */ (fleet), anchor);
  return {table, scheduler, fleet, channel: /** @type {any} */ (channel), posted, holds: () => holds};
}

/**
 * @param {CallTable} table
 * @param {number | null} [timeoutMs]
 * @param {Buffer} [body]
 */
function begin(table, timeoutMs = null, body = Buffer.from('{}')) {
  /** @type {any[]} */
  const heard = [];
  const caller = {
    onResult: (/** @type {Buffer} */ payload) => void heard.push(String(payload)),
    onError: (/** @type {Error} */ error) => void heard.push(error),
    onChunk: (/** @type {Buffer} */ payload) => void heard.push(`chunk ${payload}`),
  };
  return {pending: table.begin(HEADER, body, timeoutMs, caller, undefined), heard};
}

test('a call is posted, and its chunks and its result are handed on', () => {
  const {table, scheduler, posted, holds} = tableWith();
  const {heard} = begin(table);
  assert.deepEqual([posted[0].kind, posted[0].id, splitCall(posted[0].payload).header.name, holds()], [Kind.CALL, 1, 'f', 1]);
  table.onChunk(1, Buffer.from('j1'));
  assert.deepEqual(table.onAnswer(Kind.RESULT, 1, Buffer.from('j2')), [{do: 'send', worker: 1, call: 2}]);
  assert.deepEqual([heard, holds()], [['chunk j1', 'j2'], 0]);
  assert.deepEqual(scheduler.log, [['submit', 1, Infinity], ['finished', 1]]);
});

test('a queued call is posted once, at its turn', () => {
  const {table, channel, posted} = tableWith(null);
  const {pending} = begin(table, 5);
  assert.equal(posted.length, 0);
  table.send(pending.id, channel);
  table.send(pending.id, channel);
  table.send(99, channel);
  assert.deepEqual(posted.map(({id}) => id), [1]);
});

test('an error of the function carries the name and the request id', () => {
  const {table} = tableWith();
  const {heard} = begin(table);
  table.onAnswer(Kind.ERROR, 1, Buffer.from('{"code": "function_failed", "name": "ValueError", "message": "no"}'));
  const [{name, message, function: of, requestId}] = heard;
  assert.deepEqual([name, message, of, requestId], ['ValueError', 'no', 'f', 'r']);
});

test('a cancelled call hears no more, and is cancelled once', () => {
  const {table, scheduler, holds} = tableWith();
  const {pending, heard} = begin(table);
  let stopped = 0;
  pending.stopListening = () => void (stopped += 1);
  assert.deepEqual(table.cancel(pending), [{do: 'cancel', worker: 1, call: 1}]);
  assert.deepEqual(table.cancel(pending), []);
  table.onChunk(1, Buffer.from('j1'));
  table.onAnswer(Kind.RESULT, 1, Buffer.from('j2'));
  assert.deepEqual([heard, stopped, holds()], [[], 1, 0]);
  assert.deepEqual(scheduler.log.slice(1), [['cancel', 1], ['finished', 1]]);
});

test('credit goes to the worker of the call', () => {
  const {table, posted} = tableWith();
  table.credit(begin(table).pending, 70_000);
  assert.deepEqual([posted[1].kind, posted[1].id, posted[1].payload.readUInt32BE(0)], [Kind.CHUNK, 1, 70_000]);
});

test('a call without an answer says why', () => {
  const {table, scheduler, holds} = tableWith();
  const calls = [begin(table), begin(table, 20), begin(table), begin(table)];
  table.fail({do: 'fail', call: 1, code: 'worker_died', worker: 1});
  table.fail({do: 'fail', call: 2, code: 'timeout'});
  table.fail({do: 'fail', call: 3, code: 'draining'});
  scheduler.halted = scheduler.draining = true;
  table.fail({do: 'fail', call: 4, code: 'worker_died', worker: 1});
  table.fail({do: 'fail', call: 4, code: 'worker_died', worker: 1});
  const errors = calls.map(({heard: [error]}) => `${error.name}: ${error.message}`);
  assert.equal(errors[0], 'ProcessError: f: worker 1 died');
  assert.match(errors[1], /^FunctionTimeout: f: no answer within the limit of 20 ms \(\d+ ms spent\); the call was cancelled$/);
  assert.equal(errors[2], 'HostUnavailable: f: this Python was ended and takes no more calls');
  assert.equal(errors[3], 'ProcessError: f: this Python was ended before the function had finished');
  assert.equal(holds(), 0);
});

test('a call that is not taken is an error at once, and holds nothing', () => {
  const {table, scheduler, fleet, holds} = tableWith();
  scheduler.refusal = 'queue_full';
  assert.throws(() => begin(table), {name: 'HostUnavailable', message: 'f: the queue is full; try again later'});
  scheduler.refusal = 'draining';
  assert.throws(() => begin(table), {message: 'f: this Python was ended and takes no more calls'});
  fleet.loadError = 'too many workers did not start';
  assert.throws(() => begin(table), {message: 'f: too many workers did not start'});
  assert.equal(holds(), 0);
});

test('a call that is larger than a frame is refused', () => {
  const {table, posted} = tableWith();
  const name = 'x'.repeat(70_000);
  assert.throws(
    () => table.begin({...HEADER, name}, Buffer.from('{}'), null, {onResult: () => {}, onError: () => {}}, undefined),
    {name: 'RequestError', code: 'body_too_large', message: /the call is larger than what a worker can be sent at once/},
  );
  assert.equal(posted.length, 0);
});
