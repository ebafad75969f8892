// @ts-check
/**
 * When a worker that died is followed by another. The twin of pool/scheduling/respawns.py.
 * Runs in: programs that own Python workers.
 */

import {pauseS} from './backoff.mjs';

/**
 * Respawns that are due, and the failures that delay them. A worker is followed at once after the
 * first death, and later and later while workers die early or fail to start.
 */
export class Respawns {
  /** @type {number[]} when each is due */
  due = [];
  #failedStarts = 0;
  #earlyDeaths = 0;

  /** A worker has become ready. */
  workerStarted() {
    this.#failedStarts = 0;
  }

  /**
   * When the worker, which is gone, is followed by another; at once is `now`. Null: never, too many
   * starts in a row have failed.
   *
   * @param {import('./roster.mjs').Worker} worker
   * @param {import('./policy.mjs').Policy} policy
   * @param {number} now
   */
  plan(worker, policy, now) {
    const isStart = worker.phase === 'starting';
    if (isStart) {
      this.#failedStarts += 1;
      if (this.#failedStarts >= policy.maxStartFailures) return null;
    } else {
      this.#earlyDeaths = now - worker.since < policy.settledS ? this.#earlyDeaths + 1 : 0;
    }
    const failures = this.#failedStarts + this.#earlyDeaths;
    if (!isStart && failures <= 1) return now;
    const due = now + pauseS(failures, policy.backoffS, policy.maxBackoffS);
    if (due > now) this.due.push(due);
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
