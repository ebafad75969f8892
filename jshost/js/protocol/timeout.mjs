// @ts-check
/** How long a call may take, as programs say it. Runs in: callers, programs that own Python workers. */

/** What `setTimeout` can wait at most; beyond, it would not wait at all. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * @param {number | null} timeout milliseconds; null or Infinity: no limit
 * @returns {number | null}
 * @throws {RangeError} it is neither
 */
export function checkedTimeout(timeout) {
  if (timeout === null || timeout === Infinity) return null;
  if (typeof timeout === 'number' && timeout > 0) return timeout;
  throw new RangeError(`timeout must be a number of milliseconds above 0, or null for no limit, not ${timeout}`);
}
