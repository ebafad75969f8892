// @ts-check
/**
 * The words that the scheduler speaks: its numbers, a worker's states, and its actions. The twin of
 * pool/scheduling/decisions.py, which explains them. Runs in: programs that own Python workers.
 */

/**
 * The numbers that decisions are made by; times in seconds, null: no limit.
 *
 * @typedef {typeof DEFAULTS} Policy
 */

const DEFAULTS = {
  workers: 1,
  concurrency: 1024,
  maxQueue: 1024,
  cancelGraceS: 0.5,
  unresponsiveS: 1,
  drainS: 10,
  endS: 2,
  startTimeoutS: 60,
  maxStartFailures: 5,
  backoffS: 0.1,
  maxBackoffS: 5,
  settledS: 1,
  respawn: true,
  maxRequests: /** @type {number | null} */ (null),
  maxMemory: /** @type {number | null} */ (null),
  maxAgeS: /** @type {number | null} */ (null),
  jitter: 0.1,
  maxRetiring: 10,
  lastCallsS: 3600,
  maxRecycleBackoffS: 60,
  reload: false,
};

/**
 * @param {Partial<Policy>} [numbers] those that differ from the usual ones
 * @returns {Policy}
 */
export function policyOf(numbers = {}) {
  return {...DEFAULTS, ...numbers};
}

/** @typedef {'starting' | 'ready' | 'retiring'} State */

/** @type {Record<string, State | null>} */
export const TRANSITIONS = {
  'starting ready': 'ready',
  'starting gone': null,
  'ready replace': 'retiring',
  'ready gone': null,
  'retiring keep': 'ready',
  'retiring gone': null,
};

/** Why a worker is followed by another one. A worker that did not start has died, too. */
export const RESTART_REASONS = ['died', 'unresponsive', 'reload', 'max_requests', 'max_memory', 'max_age'];

/** An event that a worker's state does not allow: a mistake of whoever sent the event. */
export class IllegalTransition extends Error {
  name = 'IllegalTransition';
}

/** The call is not taken; `code` is "queue_full", "draining" or "load_failed". */
export class Refused extends Error {
  /** @param {string} code */
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/**
 * What is to be done.
 *
 * @typedef {{do: 'spawn', worker: number}
 *   | {do: 'send', worker: number, call: number}
 *   | {do: 'cancel', worker: number, call: number}
 *   | {do: 'fail', call: number, code: string, worker?: number}
 *   | {do: 'ping', worker: number}
 *   | {do: 'drain', worker: number}
 *   | {do: 'kill', worker: number, reason: string}
 *   | {do: 'recycled', worker: number, reason: string}
 *   | {do: 'halt', reason: string, worker: number}} Action
 */
