// @ts-check
/** Checks the timeout of a call. Runs in: callers, programs that own Python workers. */

/** The longest time that `setTimeout` can wait; with a longer one it does not wait at all. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * @param {number | null} timeout milliseconds; null or Infinity: no limit
 * @returns {number | null}
 * @throws {RangeError} it is not a number above 0
 */
export function checkedTimeout(timeout) {
  if (timeout === null || timeout === Infinity) return null;
  if (typeof timeout === 'number' && timeout > 0) return timeout;
  throw new RangeError(`timeout must be a number of milliseconds above 0, or null for no limit, not ${timeout}`);
}
