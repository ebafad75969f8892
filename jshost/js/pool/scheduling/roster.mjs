// @ts-check
/**
 * The workers of one pool: their states, which of them serve, and which follows which.
 * The twin of pool/scheduling/roster.py. Runs in: programs that own Python workers.
 */

import {IllegalTransition, PHASES, SERVING, TRANSITIONS} from './states.mjs';

/** One worker. */
export class Worker {
  /** @type {import('./states.mjs').State} */
  state = 'starting';
  /** @type {Set<number>} */
  calls = new Set();
  /** @type {number | null} the worker that was started to take its place */
  successor = null;
  /** @type {number | null} how many more calls it answers before it is recycled */
  callsLeft = null;
  /** @type {number | null} when it is recycled */
  ageBy = null;
  /** @type {number | null} in state `ending`: when it is killed if it has not ended */
  endBy = null;
  /** @type {number | null} bytes of memory that it used before its first call */
  baseRss = null;
  /** @type {number | null} bytes of memory that it used at last, since it gets no more calls */
  heldRss = null;

  /**
   * @param {number} number
   * @param {number} since when it began to start, to serve, or to retire; and when it was replaced
   */
  constructor(number, since) {
    this.number = number;
    this.since = since;
  }

  /** What users see of its state. */
  get phase() {
    return PHASES[this.state];
  }
}

/** The workers that there are. */
export class Roster {
  /** @type {Map<number, Worker>} */
  workers = new Map();
  #spawned = 0;

  // States

  /**
   * A new worker, which starts.
   *
   * @param {number} now
   */
  add(now) {
    this.#spawned += 1;
    const worker = new Worker(this.#spawned, now);
    this.workers.set(worker.number, worker);
    return worker;
  }

  /**
   * The worker that an event is about.
   *
   * @param {number} number
   * @param {string} event
   * @throws {IllegalTransition} there is none
   */
  get(number, event) {
    const worker = this.workers.get(number);
    if (worker === undefined) throw new IllegalTransition(number, null, event);
    return worker;
  }

  /**
   * Change the worker's state as the table says.
   *
   * @param {Worker} worker
   * @param {string} event
   * @param {number} now
   * @throws {IllegalTransition} the table does not allow the event
   */
  move(worker, event, now) {
    const target = TRANSITIONS[worker.state][event];
    if (target === undefined) throw new IllegalTransition(worker.number, worker.state, event);
    if (PHASES[target] !== worker.phase || event === 'replace') worker.since = now;
    worker.state = target;
  }

  /**
   * `ping`, `pong` and `lost` may come in each state; in most, they change nothing.
   *
   * @param {Worker | undefined} worker
   * @param {'ping' | 'pong' | 'lost'} event
   */
  note(worker, event) {
    if (worker !== undefined) worker.state = TRANSITIONS[worker.state][event] ?? worker.state;
  }

  // Who serves

  /** How many workers take calls. */
  get serving() {
    let count = 0;
    for (const worker of this.workers.values()) {
      if (SERVING.has(worker.state)) count += 1;
    }
    return count;
  }

  /**
   * The worker that a call is given to; undefined: no worker has room.
   *
   * @param {number} concurrency
   */
  leastLoaded(concurrency) {
    let best;
    let fewest = concurrency;
    for (const worker of this.workers.values()) {
      if (worker.state === 'ready' && worker.calls.size < fewest) {
        best = worker;
        fewest = worker.calls.size;
      }
    }
    return best;
  }

  // Which worker follows which

  /**
   * The worker that was started to take its place.
   *
   * @param {Worker} worker
   */
  successorOf(worker) {
    return this.workers.get(worker.successor ?? 0);
  }
}
