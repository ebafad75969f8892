// @ts-check
/** The scheduler's JavaScript half, held to the cases that it shares with Python. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {describe, test} from 'node:test';
import {RESTART_REASONS, Refused} from '../../../../jshost/js/pool/scheduling/actions.mjs';
import {policyOf} from '../../../../jshost/js/pool/scheduling/policy.mjs';
import {Scheduler} from '../../../../jshost/js/pool/scheduling/scheduler.mjs';
import {IllegalTransition, PHASES, TRANSITIONS} from '../../../../jshost/js/pool/scheduling/states.mjs';

const vectors = JSON.parse(readFileSync(new URL('../../../vectors/scheduler.json', import.meta.url), 'utf8'));
const cases = vectors.cases.filter((/** @type {any} */ {only}) => only !== 'python');
const CLOSE = 1e-9;

/** @param {number | null} value */
const time = (value) => value ?? Infinity;

/** @type {Record<string, (scheduler: Scheduler, ...args: any[]) => any>} */
const EVENTS = {
  start: (scheduler, now) => scheduler.start(now),
  policy: (scheduler, numbers, now) => scheduler.setPolicy(policyOf(numbers), now),
  submit(scheduler, call, deadline) {
    try {
      const worker = scheduler.submit(call, time(deadline));
      return worker === null ? [] : [{do: 'send', worker, call}];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return [{do: 'refuse', code: error.code}];
    }
  },
  finished: (scheduler, call, now) => scheduler.finished(call, now),
  cancel: (scheduler, call, now) => scheduler.cancel(call, now),
  ready: (scheduler, number, now) => scheduler.workerReady(number, now),
  pong: (scheduler, number) => scheduler.pong(number),
  memory: (scheduler, number, rss, now) => scheduler.memory(number, rss, now),
  lost: (scheduler, number) => scheduler.workerLost(number),
  gone: (scheduler, number, now) => scheduler.workerGone(number, now),
  tick: (scheduler, now) => scheduler.tick(time(now)),
  drain: (scheduler) => scheduler.drain(),
  halt: (scheduler) => scheduler.halt(),
};

/** @param {Scheduler} scheduler */
function stateOf(scheduler) {
  return {
    workers: Object.fromEntries([...scheduler.workers].map(([number, {phase}]) => [number, phase])),
    queue: [...scheduler.queue.keys()],
    ready: scheduler.ready,
    idle: scheduler.idle,
    restarts: scheduler.restarts,
  };
}

/**
 * @param {Scheduler} scheduler
 * @param {Record<string, any>} expected
 * @param {string} where
 */
function holdTo(scheduler, {nextWake, ...expected}, where) {
  const state = /** @type {Record<string, any>} */ (stateOf(scheduler));
  for (const name of Object.keys(expected)) assert.deepEqual(state[name], expected[name], `${where}: ${name}`);
  if (nextWake === undefined) return;
  const isClose = nextWake === null ? scheduler.nextWake === Infinity : Math.abs(scheduler.nextWake - nextWake) < CLOSE;
  assert.ok(isClose, `${where}: nextWake is ${scheduler.nextWake}, not ${nextWake}`);
}

describe('the shared cases', () => {
  for (const {name, policy, random, steps} of cases) {
    test(name, () => {
      const scheduler = new Scheduler(policyOf(policy), () => random ?? 0);
      for (const [event, args, expected, state] of steps) {
        const where = `${event} ${JSON.stringify(args)}`;
        let actions;
        try {
          actions = (EVENTS[event](scheduler, ...args) ?? []).map((/** @type {object} */ action) => Object.values(action));
        } catch (error) {
          if (!(error instanceof IllegalTransition)) throw error;
          actions = [['illegal']];
        }
        assert.deepEqual(actions, expected, where);
        if (state) holdTo(scheduler, state, where);
      }
    });
  }
});

test('the events, the defaults and the reasons are those of the vectors, without reload', () => {
  const {reload, ...events} = vectors.events;
  assert.ok(reload);
  assert.deepEqual(Object.keys(EVENTS).sort(), Object.keys(events).sort());
  assert.deepEqual({...policyOf(), reload: false}, vectors.defaults);
  const reasons = cases.flatMap((/** @type {any} */ {steps}) => steps.flatMap((/** @type {any} */ step) => Object.keys(step[3]?.restarts ?? {})));
  assert.deepEqual([...new Set(reasons)].sort(), [...RESTART_REASONS].sort());
});

test('the table of states is that of the vectors, without the state for outdated code', () => {
  const {outdated, ...states} = vectors.states;
  assert.ok(outdated);
  for (const {moves} of Object.values(states)) delete moves.outdate;
  const ours = Object.entries(TRANSITIONS).map(([state, moves]) => [state, {phase: PHASES[/** @type {keyof typeof PHASES} */ (state)], moves}]);
  assert.deepEqual(Object.fromEntries(ours), states);
});

test('an illegal event names the worker, its state and the event', () => {
  const scheduler = new Scheduler();
  assert.throws(() => scheduler.workerReady(1, 0), /worker 1 in no state cannot take "ready"/);
  scheduler.start(0);
  scheduler.workerReady(1, 0);
  assert.throws(() => scheduler.workerReady(1, 1), /worker 1 in ready state cannot take "ready"/);
});
