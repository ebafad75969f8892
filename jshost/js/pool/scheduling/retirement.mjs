// @ts-check
/**
 * When a worker that another has replaced is ended. The twin of pool/scheduling/retirement.py.
 * Runs in: programs that own Python workers.
 */

import {LAST_CALLS, RECYCLING} from './states.mjs';

/**
 * @typedef {import('./roster.mjs').Worker} Worker
 * @typedef {import('./policy.mjs').Policy} Policy
 */

/** Ends workers: each is asked to end, and killed if it does not, or if its calls do not. */
export class Retirement {
  #roster;
  #assignments;

  /**
   * @param {import('./roster.mjs').Roster} roster
   * @param {import('./assignments.mjs').Assignments} assignments
   */
  constructor(roster, assignments) {
    this.#roster = roster;
    this.#assignments = assignments;
  }

  /**
   * End a worker that has finished its last calls, or whose time is over. Returns what to do, and
   * when to look again.
   *
   * @param {Worker} worker
   * @param {Policy} policy
   * @param {number} now
   * @returns {{actions: import('./actions.mjs').Action[], wake: number}}
   */
  endIfDone(worker, policy, now) {
    if (worker.state === 'ending' && worker.endBy !== null && worker.endBy <= now) {
      worker.endBy = null;
      return this.#kill(worker, 'did not end when it was asked to', now);
    }
    const isStarting = this.#roster.workers.get(worker.successor ?? 0)?.phase === 'starting';
    if (!LAST_CALLS.has(worker.state) || isStarting) return {actions: [], wake: Infinity};
    const by = worker.since + patienceS(worker, policy);
    if (now < by && !this.#hasOnlyStuckCalls(worker, now)) return {actions: [], wake: by};
    if (worker.calls.size > 0) {
      const isRecycled = RECYCLING.has(worker.state);
      return this.#kill(worker, isRecycled ? 'was busy with its last calls for too long' : 'did not drop a cancelled call', now);
    }
    this.#roster.move(worker, 'end', now);
    worker.endBy = now + policy.endS;
    return {actions: [{do: 'drain', worker: worker.number}], wake: worker.endBy};
  }

  /**
   * @param {Worker} worker
   * @param {string} reason
   * @param {number} now
   */
  #kill(worker, reason, now) {
    this.#roster.move(worker, 'kill', now);
    return {actions: [/** @type {const} */ ({do: 'kill', worker: worker.number, reason})], wake: Infinity};
  }

  /**
   * Whether all its calls were cancelled; a recycled worker has some time to drop them.
   *
   * @param {Worker} worker
   * @param {number} now
   */
  #hasOnlyStuckCalls(worker, now) {
    const calls = [...worker.calls];
    if (RECYCLING.has(worker.state)) return calls.every((call) => this.#assignments.isStuck(call, now));
    return calls.every((call) => this.#assignments.isCancelled(call));
  }
}

/**
 * How long a worker may take to finish its last calls.
 *
 * @param {Worker} worker
 * @param {Policy} policy
 */
function patienceS(worker, policy) {
  if (RECYCLING.has(worker.state)) return policy.lastCallsS;
  return worker.state === 'replaced' ? policy.drainS : policy.unresponsiveS;
}
