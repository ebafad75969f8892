// @ts-check
/**
 * When a worker is to be recycled: only decisions, no I/O. The twin of pool/scheduling/recycling.py, which
 * says what recycling is. Runs in: programs that own Python workers.
 */

import {pauseS} from './respawns.mjs';

/** From this share of maxMemory on, a worker that waits for its successor gets no more calls. */
const HOLD_AT = 1.5;
/** Past this share, a worker that grows though it gets no more calls is killed. */
const KILL_AT = 2;

/**
 * How many calls a worker answers, and until when it serves; null: no limit.
 *
 * @param {import('./decisions.mjs').Policy} policy
 * @param {() => number} random
 * @param {number} readyAt
 */
export function ownLimits(policy, random, readyAt) {
  const share = 1 - policy.jitter * random();
  return {
    callsLeft: policy.maxRequests === null ? null : Math.max(Math.trunc(policy.maxRequests * share), 1),
    ageBy: policy.maxAgeS === null ? null : readyAt + policy.maxAgeS * share,
  };
}

/**
 * What to do about a worker that uses `rss` bytes of the `limit`. `heldRss` is what it used before,
 * at a time when it got no more calls; null: it gets calls.
 *
 * @param {number} rss
 * @param {number} limit
 * @param {number | null} heldRss
 * @returns {'fine' | 'recycle' | 'hold' | 'kill'}
 */
export function judgeMemory(rss, limit, heldRss) {
  if (heldRss !== null && rss > heldRss && rss >= KILL_AT * limit) return 'kill';
  if (rss >= HOLD_AT * limit) return 'hold';
  return rss >= limit ? 'recycle' : 'fine';
}

/** Whether another worker may be started to take one's place, after such ones have failed. */
export class Tries {
  failures = 0;
  /** Not before then. */
  at = 0;

  succeeded() {
    this.failures = 0;
    this.at = 0;
  }

  /**
   * @param {import('./decisions.mjs').Policy} policy
   * @param {number} now
   */
  failed(policy, now) {
    this.failures += 1;
    this.at = now + pauseS(this.failures, policy.backoffS, policy.maxRecycleBackoffS);
  }
}
