// @ts-check
/** A pool over processes that are fakes. */

import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {Kind, splitCall} from '../../../jshost/js/protocol/frames.mjs';
import {policyFor, readPoolOptions} from '../../../jshost/js/pool/options.mjs';
import {Pool} from '../../../jshost/js/pool/pool.mjs';
import {FakeProcess} from './fake_process.mjs';

const keepRunning = setInterval(() => undefined, 1000); // a pool's own timers do not
after(() => clearInterval(keepRunning));

/** @param {Record<string, unknown>} [options] */
function poolWith(options = {}) {
  /** @type {FakeProcess[]} */
  const processes = [];
  /** @type {string[]} */
  const notices = [];
  let holds = 0;
  const anchor = {hold: () => void (holds += 1), release: () => void (holds -= 1)};
  const listener = {
    onLine: () => undefined,
    onLog: () => undefined,
    onNotice: (/** @type {{kind: string}} */ {kind}) => void notices.push(kind),
  };
  const launch = {python: 'python', file: 'f.py', settings: {}, env: {}, cwd: '/'};
  const start = () => {
    const process = new FakeProcess();
    processes.push(process);
    return process;
  };
  const pool = new Pool(launch, policyFor(readPoolOptions(options, 'test')), anchor, listener, start);
  return {pool, processes, notices, holds: () => holds};
}

/**
 * @param {Pool} pool
 * @param {number | null} [timeoutMs]
 */
function call(pool, timeoutMs = null) {
  /** @type {Buffer[]} */
  const chunks = [];
  /** @type {any} */
  let pending;
  const answer = new Promise((resolve, reject) => {
    const caller = {onResult: resolve, onError: reject, onChunk: (/** @type {Buffer} */ chunk) => void chunks.push(chunk)};
    pending = pool.call({name: 'f', requestId: 'r', timeout: null}, Buffer.from('{}'), timeoutMs, caller);
  });
  answer.catch(() => undefined);
  return {answer, pending, chunks};
}

async function started(options = {}) {
  const all = poolWith(options);
  const starting = all.pool.start();
  all.processes[0].ready();
  assert.deepEqual((await starting).functions, ['f']);
  return all;
}

/** @param {FakeProcess} process */
const calls = ({received}) => received.filter(({kind}) => kind === Kind.CALL);

test('a call is sent to the worker, and its result comes back', async () => {
  const {pool, processes: [worker], holds} = await started();
  const {answer} = call(pool);
  await new Promise(setImmediate);
  const [{callId, payload}] = calls(worker);
  assert.deepEqual([splitCall(payload).header.name, String(splitCall(payload).body), holds()], ['f', '{}', 1]);
  worker.send(Kind.RESULT, callId, 'j1');
  assert.equal(String(await answer), 'j1');
  assert.equal(holds(), 0, 'nothing keeps the program running');
});

test('an error of the function has its name and its message', async () => {
  const {pool, processes: [worker]} = await started();
  const {answer} = call(pool);
  worker.send(Kind.ERROR, 1, JSON.stringify({code: 'function_failed', name: 'ValueError', message: 'no'}));
  await assert.rejects(answer, {name: 'ValueError', message: 'no', function: 'f', requestId: 'r'});
});

test('the chunks of a stream come before its result, and credit goes back', async () => {
  const {pool, processes: [worker]} = await started();
  const {answer, pending, chunks} = call(pool);
  worker.send(Kind.CHUNK, 1, 'j1');
  pool.credit(pending, 7);
  worker.send(Kind.RESULT, 1, 'jnull');
  await answer;
  await new Promise(setImmediate);
  assert.deepEqual(chunks.map(String), ['j1']);
  assert.equal(worker.received.find(({kind}) => kind === Kind.CHUNK)?.payload.readUInt32BE(0), 7);
});

test('calls over the concurrency wait for their turn; then the queue is full', async () => {
  const {pool, processes: [worker]} = await started({concurrency: 1, maxQueue: 1});
  const [first, second] = [call(pool), call(pool)];
  await assert.rejects(call(pool).answer, {name: 'HostUnavailable', message: 'f: the queue is full; try again later'});
  worker.send(Kind.RESULT, 1, 'j1');
  await first.answer;
  await new Promise(setImmediate);
  assert.equal(calls(worker).length, 2);
  worker.send(Kind.RESULT, 2, 'j2');
  assert.equal(String(await second.answer), 'j2');
});

test('a call that is cancelled is cancelled in the worker', async () => {
  const {pool, processes: [worker], holds} = await started();
  pool.cancel(call(pool).pending);
  await new Promise(setImmediate);
  assert.ok(worker.received.some(({kind, callId}) => kind === Kind.CANCEL && callId === 1));
  assert.equal(holds(), 0);
});

test('a worker that dies fails its calls, and another one is started', async () => {
  const {pool, processes, notices} = await started();
  const {answer} = call(pool);
  processes[0].exit('exit code 3');
  await assert.rejects(answer, {name: 'ProcessError', message: /f: worker 1 \(pid 1\) died: exit code 3/});
  assert.deepEqual(notices, ['died']);
  while (processes.length < 2) await new Promise((resolve) => { setTimeout(resolve, 1); });
  assert.equal(processes.length, 2);
});

test('a file that does not load fails the start', async () => {
  const {pool, processes} = poolWith();
  const starting = pool.start();
  processes[0].send(Kind.ERROR, 0, JSON.stringify({name: 'SyntaxError', message: 'invalid syntax'}));
  await assert.rejects(starting, {name: 'SyntaxError', message: 'invalid syntax'});
});

test('an ended pool takes no calls', async () => {
  const {pool, processes: [worker], holds} = await started();
  const ending = pool.end(0);
  setImmediate(() => worker.exit('exit code 0'));
  await ending;
  await assert.rejects(call(pool).answer, {name: 'HostUnavailable', message: /was ended and takes no more calls/});
  assert.deepEqual([pool.workers.size, holds()], [0, 0]);
});
