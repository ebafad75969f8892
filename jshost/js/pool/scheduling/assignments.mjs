// @ts-check
/**
 * Which worker has which call, and which calls wait. The twin of pool/scheduling/assignments.py.
 * Runs in: programs that own Python workers.
 */

/**
 * One call.
 *
 * @typedef {object} Assignment
 * @property {number} deadline
 * @property {number | null} worker the worker that runs it; null: it waits
 * @property {number | null} dropBy set once the call was cancelled: when its worker must have dropped it
 */

/** @typedef {import('./actions.mjs').Action} Action */

/** All calls of a pool that are not answered, or not dropped yet. */
export class Assignments {
  /** @type {Map<number, Assignment>} */
  calls = new Map();
  /** @type {Map<number, Assignment>} those that wait for a worker, the longest waiting first */
  queue = new Map();

  /** Whether no call waits or runs for a caller who still listens. */
  get idle() {
    for (const {dropBy} of this.calls.values()) {
      if (dropBy === null) return false;
    }
    return true;
  }

  /**
   * Give calls that wait to workers that have room.
   *
   * @param {import('./roster.mjs').Roster} roster
   * @param {number} concurrency
   * @returns {Action[]}
   */
  sendQueued(roster, concurrency) {
    /** @type {Action[]} */
    const actions = [];
    for (const [call, assignment] of this.queue) {
      const worker = roster.leastLoaded(concurrency);
      if (worker === undefined) break;
      this.queue.delete(call);
      assignment.worker = worker.number;
      worker.calls.add(call);
      actions.push({do: 'send', worker: worker.number, call});
    }
    return actions;
  }

  /** @param {number} call */
  forgetQueued(call) {
    this.calls.delete(call);
    this.queue.delete(call);
  }

  /**
   * Fail all calls that wait.
   *
   * @param {string} code
   * @param {number} worker
   * @returns {Action[]}
   */
  failQueued(code, worker) {
    const calls = [...this.queue.keys()];
    for (const call of calls) this.forgetQueued(call);
    return calls.map((call) => ({do: 'fail', call, code, worker}));
  }

  /**
   * Fail the calls of a worker that is gone.
   *
   * @param {import('./roster.mjs').Worker} worker
   * @returns {Action[]}
   */
  failAssigned(worker) {
    /** @type {Action[]} */
    const actions = [];
    for (const call of worker.calls) {
      const isAwaited = this.calls.get(call)?.dropBy === null; // a cancelled call's caller has been answered
      this.calls.delete(call);
      if (isAwaited) actions.push({do: 'fail', call, code: 'worker_died', worker: worker.number});
    }
    return actions;
  }

  /**
   * Whether the call was cancelled, and its worker has not dropped it in time.
   *
   * @param {number} call
   * @param {number} now
   */
  isStuck(call, now) {
    return (this.calls.get(call)?.dropBy ?? Infinity) <= now;
  }

  /** @param {number} call */
  isCancelled(call) {
    return (this.calls.get(call)?.dropBy ?? null) !== null;
  }

  /** When something is due for each call. */
  wakes() {
    return [...this.calls.values()].map(({deadline, dropBy}) => dropBy ?? deadline);
  }
}
