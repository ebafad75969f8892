// @ts-check
/**
 * The numbers that the scheduler decides by. The twin of pool/scheduling/policy.py, which explains
 * them. Runs in: programs that own Python workers.
 */

/**
 * Limits of one pool; times in seconds, null: no limit.
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
};

/**
 * @param {Partial<Policy>} [numbers] those that differ from the usual ones
 * @returns {Policy}
 */
export function policyOf(numbers = {}) {
  return {...DEFAULTS, ...numbers};
}
