// @ts-check
/** The workers of a pool; their processes are fakes. */

import assert from 'node:assert/strict';
import {after, test} from 'node:test';
import {Fleet} from '../../../jshost/js/pool/fleet.mjs';
import {Kind} from '../../../jshost/js/protocol/frames.mjs';
import {FakeProcess} from './fake_process.mjs';

const keepRunning = setInterval(() => undefined, 1000); // a fleet's own timers do not
after(() => clearInterval(keepRunning));

/** @param {string} [serve] */
function fleetOf(serve = 'module') {
  /** @type {FakeProcess[]} */
  const processes = [];
  /** @type {string[]} */
  const notices = [];
  const listener = {
    onLine: () => undefined,
    onLog: () => undefined,
    onNotice: (/** @type {{kind: string, message: string}} */ {kind, message}) => void notices.push(`${kind}: ${message}`),
  };
  let holds = 0;
  const anchor = {hold: () => void (holds += 1), release: () => void (holds -= 1)};
  const launch = {python: 'python', file: 'f.py', settings: {serve}, env: {}, cwd: '/'};
  const fleet = new Fleet(launch, anchor, listener, () => {
    processes.push(new FakeProcess());
    return processes[processes.length - 1];
  });
  const owner = /** @type {any} */ ({onGone: () => undefined, onLine: () => undefined});
  const spawn = (/** @type {number} */ number) => {
    fleet.spawn(number, owner);
    return /** @type {import('../../../jshost/js/pool/channel.mjs').WorkerChannel} */ (fleet.workers.get(number));
  };
  return {fleet, spawn, processes, notices, holds: () => holds};
}

test('a worker that is spawned is kept until it is removed', () => {
  const {fleet, spawn} = fleetOf();
  const worker = spawn(1);
  assert.equal(worker.number, 1);
  fleet.remove(worker);
  assert.deepEqual([fleet.workers.size, worker.isConnected], [0, false]);
});

test('a process that cannot be started is a load error', () => {
  const listener = {onLine: () => undefined, onLog: () => undefined, onNotice: () => undefined};
  const launch = {python: 'python', file: 'f.py', settings: {}, env: {}, cwd: '/'};
  const fleet = new Fleet(launch, {hold: () => undefined, release: () => undefined}, listener, () => { throw new Error('too many files'); });
  assert.throws(() => fleet.spawn(1, /** @type {any} */ ({})), {message: 'too many files'});
  assert.deepEqual([fleet.loadError, fleet.workers.size], ['too many files', 0]);
});

test('a kill is announced, and one before READY says that the file is slow', () => {
  const {fleet, spawn, processes, notices} = fleetOf();
  const worker = spawn(1);
  fleet.kill(worker, 'did not start in time', 60);
  assert.deepEqual([processes[0].hasEnded, notices], [true, ['killed: worker 1 is killed: it did not start in time']]);
  assert.match(fleet.startError(worker).message, /^f\.py: did not finish loading within 60 s; .*startTimeout/);
  fleet.reportExit(worker);
  assert.equal(notices.length, 1, 'this end was expected');
});

test('a worker that ends by itself is announced', () => {
  const {fleet, spawn, processes, notices} = fleetOf();
  const worker = spawn(1);
  processes[0].exit('exit code 3');
  fleet.reportExit(worker);
  assert.deepEqual(notices, ['died: worker 1 (pid 1) died: exit code 3']);
  assert.equal(fleet.startError(worker).message, 'f.py: did not load: worker 1 (pid 1) died: exit code 3');
  assert.deepEqual([fleet.describeEnd(1), fleet.describeEnd(9)], ['worker 1 (pid 1) died: exit code 3', 'the workers of this function are gone']);
});

test('a file that does not load is an error with its traceback', () => {
  const {fleet, spawn} = fleetOf();
  const worker = spawn(1);
  const error = fleet.loadFailed(worker, {name: 'SyntaxError', message: 'invalid', stack: 'Traceback'});
  assert.deepEqual([error.name, error.message, worker.loadError], ['SyntaxError', 'invalid', 'invalid\nTraceback']);
  assert.equal(fleet.describeEnd(9), 'invalid\nTraceback');
  assert.equal(fleet.loadFailed(worker, {name: 'ConfigError', message: 'wrong'}).name, 'ConfigError');
});

/** @type {[string, string, RegExp][]} */
const HALTS = [
  ['module', 'no_respawn', /^halted: a worker died, and respawn is off: worker 1 /],
  ['controller', 'no_respawn', /^halted: the process of the Controller died, and its state is lost: worker 1 /],
  ['module', 'crash_loop', /^halted: too many workers in a row did not start: worker 1 /],
];
for (const [serve, reason, message] of HALTS) {
  test(`a halt is announced: ${serve}, ${reason}`, () => {
    const {fleet, spawn, processes, notices} = fleetOf(serve);
    spawn(1);
    processes[0].exit('exit code 3');
    fleet.halt({do: 'halt', reason, worker: 1});
    assert.match(notices[0], message);
    assert.equal(`halted: ${fleet.loadError}`, notices[0]);
  });
}

test('a worker that was replaced is announced', () => {
  const {fleet, notices} = fleetOf();
  fleet.reportRecycled({do: 'recycled', worker: 2, reason: 'max_age'});
  assert.deepEqual(notices, ['recycled: worker 2 was recycled: max_age']);
});

test('the end of a worker is waited for; it keeps the program running until then', async () => {
  const {fleet, spawn, processes, holds} = fleetOf();
  const worker = spawn(1);
  const waiting = fleet.waitForEnd(worker);
  assert.equal(holds(), 1);
  processes[0].exit('exit code 0');
  await waiting;
  assert.equal(holds(), 0);
});

test('at the end workers drain; those that still run calls are killed', async () => {
  const {fleet, spawn, processes} = fleetOf();
  const workers = [spawn(1), spawn(2)];
  workers.forEach((worker, index) => processes[index].onEnd(() => fleet.remove(worker)));
  await fleet.end(true);
  assert.deepEqual(processes.map(({received, end}) => [received[0]?.kind, end]), [[Kind.DRAIN, 'signal SIGKILL'], [Kind.DRAIN, 'signal SIGKILL']]);
  const idle = fleetOf();
  const worker = idle.spawn(1);
  idle.processes[0].onEnd(() => idle.fleet.remove(worker));
  const ending = idle.fleet.end(false);
  setImmediate(() => idle.processes[0].exit('exit code 0'));
  await ending;
  assert.equal(idle.processes[0].end, 'exit code 0');
});
