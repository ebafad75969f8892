// @ts-check
/**
 * When a worker that died is followed by another: only decisions, no I/O. The twin of
 * pool/scheduling/respawns.py. Runs in: programs that own Python workers.
 */

/**
 * Respawns that are due, and the failures that put them off: a worker is followed at once after the
 * first death; later and later while deaths come early, or starts fail.
 */
export class Respawns {
  /** @type {number[]} when each is due */
  due = [];
  #failedStarts = 0;
  #earlyDeaths = 0;

  /** A worker has become ready. */
  started() {
    this.#failedStarts = 0;
  }

  /** @returns {number} how many starts in a row have failed */
  startFailed() {
    this.#failedStarts += 1;
    return this.#failedStarts;
  }

  /**
   * A worker that was ready has died.
   *
   * @param {number} servedS
   * @param {import('./decisions.mjs').Policy} policy
   */
  died(servedS, policy) {
    this.#earlyDeaths = servedS < policy.settledS ? this.#earlyDeaths + 1 : 0;
  }

  /**
   * When the worker is followed by another; null: at once.
   *
   * @param {boolean} isStart
   * @param {import('./decisions.mjs').Policy} policy
   * @param {number} now
   */
  plan(isStart, policy, now) {
    const failures = this.#failedStarts + this.#earlyDeaths;
    if (!isStart && failures <= 1) return null;
    const due = now + pauseS(failures, policy.backoffS, policy.maxBackoffS);
    this.due.push(due);
    return due;
  }

  /**
   * How many are due.
   *
   * @param {number} now
   */
  takeDue(now) {
    const count = this.due.length;
    this.due = this.due.filter((at) => at > now);
    return count - this.due.length;
  }
}

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
