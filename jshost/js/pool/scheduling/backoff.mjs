// @ts-check
/**
 * Pauses that grow with each failure. The twin of pool/scheduling/backoff.py.
 * Runs in: programs that own Python workers.
 */

/**
 * How long to wait after so many failures in a row: twice as long after each.
 *
 * @param {number} failures
 * @param {number} firstS
 * @param {number} longestS
 */
export function pauseS(failures, firstS, longestS) {
  return Math.min(firstS * 2 ** Math.min(Math.max(failures, 1) - 1, 30), longestS);
}

/** When to try again after failures. */
export class Backoff {
  failures = 0;
  /** No attempt is made before then. */
  until = 0;

  succeeded() {
    this.failures = 0;
    this.until = 0;
  }

  /**
   * @param {number} firstS
   * @param {number} longestS
   * @param {number} now
   */
  failed(firstS, longestS, now) {
    this.failures += 1;
    this.until = now + pauseS(this.failures, firstS, longestS);
  }
}
