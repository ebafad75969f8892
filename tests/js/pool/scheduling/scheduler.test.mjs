// @ts-check
/** The scheduler's JavaScript half, held to the cases that it shares with Python. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {describe, test} from 'node:test';
import {IllegalTransition, RESTART_REASONS, Refused, policyOf} from '../../../../jshost/js/pool/scheduling/decisions.mjs';
import {Scheduler} from '../../../../jshost/js/pool/scheduling/scheduler.mjs';

const vectors = JSON.parse(readFileSync(new URL('../../../vectors/scheduler.json', import.meta.url), 'utf8'));
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
  reload: (scheduler, now) => scheduler.reload(now),
  tick: (scheduler, now) => scheduler.tick(time(now)),
  drain: (scheduler) => scheduler.drain(),
  halt: (scheduler) => scheduler.halt(),
};

/** @param {Scheduler} scheduler */
function stateOf(scheduler) {
  return {
    workers: Object.fromEntries([...scheduler.workers].map(([number, {state}]) => [number, state])),
    queue: [...scheduler.queue.keys()],
    ready: scheduler.ready,
    idle: scheduler.idle,
    broken: scheduler.broken,
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
  for (const {name, policy, random, steps} of vectors.cases) {
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

test('the events, the defaults and the reasons are those of the vectors', () => {
  assert.deepEqual(Object.keys(EVENTS).sort(), Object.keys(vectors.events).sort());
  assert.deepEqual(policyOf(), vectors.defaults);
  const reasons = vectors.cases.flatMap((/** @type {any} */ {steps}) => steps.flatMap((/** @type {any} */ step) => Object.keys(step[3]?.restarts ?? {})));
  assert.deepEqual([...new Set(reasons)].sort(), [...RESTART_REASONS].sort());
});

test('an illegal event names the worker, its state and the event', () => {
  const scheduler = new Scheduler();
  assert.throws(() => scheduler.workerReady(1, 0), /worker 1 in no state cannot take "ready"/);
});
