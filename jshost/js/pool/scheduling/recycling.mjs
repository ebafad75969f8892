// @ts-check
/**
 * Which workers are recycled, and when. The twin of pool/scheduling/recycling.py, which says what
 * recycling is. Runs in: programs that own Python workers.
 */

import {Backoff} from './backoff.mjs';
import {HELD_BACK, RECYCLING, SERVING, STOPPING} from './states.mjs';

/** From this share of maxMemory on, a worker that waits for its successor gets no more calls. */
const HOLD_AT = 1.5;
/** Past this share, a worker that grows though it gets no more calls is killed. */
const KILL_AT = 2;

/**
 * @typedef {import('./roster.mjs').Worker} Worker
 * @typedef {import('./policy.mjs').Policy} Policy
 */

/** The workers that are to be recycled. */
export class Recycling {
  /** @type {Map<number, string>} why each of them is, by number, until another has taken its place */
  reasons = new Map();
  /** Delays the next attempt when a new worker fails to start. */
  backoff = new Backoff();
  #roster;
  #random;

  /**
   * @param {import('./roster.mjs').Roster} roster
   * @param {() => number} random
   */
  constructor(roster, random) {
    this.#roster = roster;
    this.#random = random;
  }

  /**
   * How many calls the worker answers from now on, and until when it serves.
   *
   * @param {Worker} worker
   * @param {Policy} policy
   * @param {number} now
   */
  setLimits(worker, {jitter, maxRequests, maxAgeS}, now) {
    const share = 1 - jitter * this.#random();
    worker.callsLeft = maxRequests === null ? null : Math.max(Math.trunc(maxRequests * share), 1);
    worker.ageBy = maxAgeS === null ? null : now + maxAgeS * share;
  }

  /**
   * What to do about a worker that uses `rss` bytes and may use `limit`; null: no limit. On `hold`,
   * it is recycled and gets no more calls meanwhile.
   *
   * @param {Worker} worker
   * @param {number} rss
   * @param {number | null} limit
   * @returns {'fine' | 'recycle' | 'hold' | 'kill'}
   */
  judgeMemory(worker, rss, limit) {
    if (limit === null || STOPPING.has(worker.state)) return 'fine';
    worker.baseRss ??= rss;
    if (worker.state === 'starting' || worker.baseRss >= limit) return 'fine';
    if (worker.phase === 'retiring') {
      const grows = worker.heldRss !== null && rss > worker.heldRss;
      worker.heldRss = rss;
      return grows && rss >= KILL_AT * limit ? 'kill' : 'fine';
    }
    if (rss >= HOLD_AT * limit) return 'hold';
    return rss >= limit ? 'recycle' : 'fine';
  }

  /**
   * Have the worker recycled when its turn comes; false: it cannot be, or is to be anyway.
   *
   * @param {Worker} worker
   * @param {string} reason
   */
  request(worker, reason) {
    if (!SERVING.has(worker.state) || this.reasons.has(worker.number)) return false;
    this.reasons.set(worker.number, reason);
    return true;
  }

  /**
   * Another worker takes the place of `old`. Returns why, or undefined: it is not to be.
   *
   * @param {Worker} old
   * @param {number} now
   */
  takeOver(old, now) {
    const reason = this.reasons.get(old.number);
    if (reason === undefined || STOPPING.has(old.state)) return undefined;
    this.backoff.succeeded();
    this.#roster.move(old, 'take_over', now);
    this.reasons.delete(old.number);
    return reason;
  }

  /**
   * The worker that was to take the place of `old` is gone: try again later.
   *
   * @param {Worker} old
   * @param {Policy} policy
   * @param {number} now
   */
  keep(old, policy, now) {
    this.backoff.failed(policy.backoffS, policy.maxRecycleBackoffS, now);
    old.successor = null;
    if (HELD_BACK.has(old.state)) {
      this.#roster.move(old, 'keep', now);
      old.heldRss = null;
    }
  }

  /**
   * The worker that another may be started for now.
   *
   * @param {Policy} policy
   * @param {number} now
   */
  nextWorker(policy, now) {
    if (this.reasons.size === 0 || now < this.backoff.until) return undefined;
    const workers = [...this.#roster.workers.values()];
    const busy = workers.filter(({phase, calls}) => phase === 'retiring' && calls.size > 0);
    const waiting = workers.filter(({number}) => this.reasons.has(number));
    if (busy.length >= policy.maxRetiring || waiting.some((worker) => this.#roster.successorOf(worker))) return undefined;
    return waiting.find(({state}) => SERVING.has(state));
  }

  /**
   * The worker whose place the worker `number` is to take.
   *
   * @param {number} number
   */
  predecessorOf(number) {
    for (const each of this.reasons.keys()) {
      const worker = this.#roster.workers.get(each);
      if (worker?.successor === number) return worker;
    }
    return undefined;
  }

  /** How many workers there are that no other has replaced, or is to replace. */
  get staying() {
    return [...this.#roster.workers.values()].filter((worker) => this.#stays(worker)).length;
  }

  /** @param {Worker} worker */
  #stays(worker) {
    if (this.reasons.has(worker.number)) return this.#roster.successorOf(worker) === undefined;
    return worker.phase !== 'retiring';
  }

  /**
   * Whether another worker is to take the worker's place.
   *
   * @param {Worker} worker
   */
  hasSuccessor(worker) {
    return this.reasons.has(worker.number) && this.#roster.successorOf(worker) !== undefined;
  }

  /**
   * Whether the worker can be given no more calls: while attempts fail, it may be all that there is.
   *
   * @param {Worker} worker
   */
  mayHold(worker) {
    return this.hasSuccessor(worker) && this.backoff.failures === 0;
  }

  /**
   * When something may be due for each worker.
   *
   * @param {Policy} policy
   */
  wakes(policy) {
    /** @type {number[]} */
    const wakes = [];
    for (const {number, state, phase, since, endBy, ageBy} of this.#roster.workers.values()) {
      if (phase === 'starting') {
        wakes.push(since + policy.startTimeoutS);
      } else if (phase === 'retiring') {
        const limitS = RECYCLING.has(state) ? policy.lastCallsS : policy.drainS;
        wakes.push(since + policy.unresponsiveS, since + limitS, endBy ?? Infinity);
      } else {
        wakes.push(this.reasons.has(number) ? this.backoff.until : (ageBy ?? Infinity));
      }
    }
    return wakes;
  }
}
