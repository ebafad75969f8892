// @ts-check
/**
 * The workers of one pool, and which one follows which: only decisions, no I/O. The twin of
 * pool/scheduling/succession.py. Runs in: programs that own Python workers.
 */

import {IllegalTransition, TRANSITIONS, policyOf} from './decisions.mjs';
import {Tries, ownLimits} from './recycling.mjs';
import {Respawns} from './respawns.mjs';

/** @typedef {import('./decisions.mjs').Action} Action */

/**
 * @typedef {object} Call
 * @property {number} deadline
 * @property {number | null} worker
 * @property {number | null} dropBy set once the call was cancelled: when its worker must have dropped it
 */

/** A worker as the scheduler sees it. */
export class Worker {
  /** @type {import('./decisions.mjs').State} */
  state = 'starting';
  /** @type {Set<number>} */
  calls = new Set();
  /** False from a PING, sent with every CANCEL, until its PONG: it may be in an endless loop. */
  responsive = true;
  /** @type {number | null} */
  replacement = null;
  /** Its end was begun, or its channel is closed: it gets no calls. */
  doomed = false;
  /** It was still starting when its code changed: its end says nothing of the code. */
  superseded = false;
  /** @type {number | null} set once it was asked to end: when it is killed instead */
  endBy = null;
  /** @type {number | null} how many more calls it answers before it is recycled */
  callsLeft = null;
  /** @type {number | null} when it is recycled */
  ageBy = null;
  /** Why it is to be recycled; until another one has taken its place. */
  reason = '';
  /** Whether it retires because it was recycled: its last calls are waited for. */
  patient = false;
  /** @type {number | null} what memory it used before its first call */
  baseRss = null;
  /** @type {number | null} what memory it used at last, since it gets no more calls */
  heldRss = null;

  /**
   * @param {number} number
   * @param {number} since when it entered its state
   */
  constructor(number, since) {
    this.number = number;
    this.since = since;
  }
}

/** Calls and workers, and the decisions that follow from events; `Scheduler` has the events. */
export class Succession {
  /** @type {Map<number, Worker>} */
  workers = new Map();
  /** @type {Map<number, Call>} */
  calls = new Map();
  /** @type {Map<number, Call>} */
  queue = new Map();
  draining = false;
  halted = false;
  /** With `Policy.reload`: the code does not load; `reload` ends it. */
  broken = false;
  nextWake = Infinity;
  /** @type {Record<string, number>} how many workers were followed by another, by reason */
  restarts = {};
  tries = new Tries();
  respawns = new Respawns();
  #spawned = 0;
  #random;

  /**
   * @param {import('./decisions.mjs').Policy} [policy]
   * @param {() => number} [random] from 0, below 1
   */
  constructor(policy = policyOf(), random = () => 0) {
    this.policy = policy;
    this.#random = random;
  }

  /** @param {number} at */
  wakeBy(at) {
    if (at < this.nextWake) this.nextWake = at;
  }

  /** @param {string} reason */
  count(reason) {
    this.restarts[reason] = (this.restarts[reason] ?? 0) + 1;
  }

  // Spawning

  /** Whether a worker that is gone is to be followed by another. */
  get wantsWorkers() {
    return !this.halted && (!this.draining || this.queue.size > 0);
  }

  /**
   * @param {number} now
   * @returns {Extract<Action, {do: 'spawn'}>}
   */
  spawn(now) {
    this.#spawned += 1;
    this.workers.set(this.#spawned, new Worker(this.#spawned, now));
    this.wakeBy(now + this.policy.startTimeoutS);
    return {do: 'spawn', worker: this.#spawned};
  }

  /**
   * @param {number} now
   * @returns {Action[]}
   */
  spawnMissing(now) {
    if (this.draining || this.halted) return [];
    let there = this.respawns.due.length;
    for (const worker of this.workers.values()) {
      if (!worker.superseded && this.#isMissed(worker)) there += 1;
    }
    const actions = [];
    for (let missing = this.policy.workers - there; missing > 0; missing--) actions.push(this.spawn(now));
    return actions;
  }

  /**
   * Whether there will be one less without it: no other has taken its place, or is to.
   *
   * @param {Worker} worker
   */
  #isMissed(worker) {
    if (worker.reason) return this.successor(worker) === undefined;
    return worker.state !== 'retiring';
  }

  /**
   * At once after the first death, later and later while they come early.
   *
   * @param {Worker} worker
   * @param {number} now
   * @returns {Action[]}
   */
  respawn(worker, now) {
    const isStart = worker.state === 'starting';
    if (!isStart) {
      this.respawns.died(now - worker.since, this.policy);
    } else if (this.respawns.startFailed() >= this.policy.maxStartFailures) {
      return this.haltFor('start_failures', worker.number);
    }
    this.count('died');
    const due = this.respawns.plan(isStart, this.policy, now);
    if (due === null) return [this.spawn(now)];
    this.wakeBy(due);
    return [];
  }

  /**
   * @param {string} reason
   * @param {number} number
   * @returns {Action[]}
   */
  haltFor(reason, number) {
    this.halted = true;
    return [...this.failQueued('worker_died', number), {do: 'halt', reason, worker: number}];
  }

  /**
   * @param {number} number
   * @param {string} event
   * @param {number} now
   */
  move(number, event, now) {
    const worker = this.workers.get(number);
    const target = worker && TRANSITIONS[`${worker.state} ${event}`];
    if (worker === undefined || target === undefined) {
      throw new IllegalTransition(`worker ${number} in ${worker?.state ?? 'no'} state cannot take "${event}"`);
    }
    if (target !== null) {
      worker.state = target;
      worker.since = now;
    }
    return worker;
  }

  // Replacing: the old one gets no more calls

  /**
   * A new worker first; the old one gets no more calls.
   *
   * @param {Worker} worker
   * @param {string} reason
   * @param {number} now
   * @returns {Action[]}
   */
  replace(worker, reason, now) {
    if (worker.state !== 'ready' || this.draining || this.halted) return [];
    this.move(worker.number, 'replace', now);
    this.count(reason);
    worker.reason = '';
    this.wakeBy(now + this.policy.unresponsiveS);
    if (this.successor(worker)) return [];
    const spawn = this.spawn(now);
    worker.replacement = spawn.worker;
    return [spawn];
  }

  /**
   * It has not dropped a cancelled call in time.
   *
   * @param {Worker} worker
   * @param {number} now
   * @returns {Action[]}
   */
  giveUp(worker, now) {
    if (!worker.patient) return this.replace(worker, 'unresponsive', now);
    worker.patient = false;
    worker.since = now;
    return [];
  }

  /**
   * End a retiring worker when nothing holds it, or when its time is over.
   *
   * @param {Worker} worker
   * @param {number} now
   * @returns {Action[]}
   */
  retireIfDone(worker, now) {
    const {number} = worker;
    if (worker.doomed) {
      if (worker.endBy === null || worker.endBy > now) return [];
      worker.endBy = null;
      return [{do: 'kill', worker: number, reason: 'did not end when it was asked to'}];
    }
    if (this.workers.get(worker.replacement ?? 0)?.state === 'starting') return [];
    const limit = this.#patienceS(worker);
    const isStuck = [...worker.calls].every((call) => this.#isStuck(call, worker, now));
    if (now - worker.since < limit && !isStuck) {
      this.wakeBy(worker.since + limit);
      return [];
    }
    worker.doomed = true;
    if (worker.calls.size > 0) {
      const late = 'was busy with its last calls for too long';
      return [{do: 'kill', worker: number, reason: worker.patient ? late : 'did not drop a cancelled call'}];
    }
    worker.endBy = now + this.policy.endS;
    this.wakeBy(worker.endBy);
    return [{do: 'drain', worker: number}];
  }

  /** @param {Worker} worker */
  #patienceS(worker) {
    if (worker.patient) return this.policy.lastCallsS;
    return worker.responsive ? this.policy.drainS : this.policy.unresponsiveS;
  }

  /**
   * Whether nobody waits for the call, and nothing is to be hoped for.
   *
   * @param {number} call
   * @param {Worker} worker
   * @param {number} now
   */
  #isStuck(call, worker, now) {
    const dropBy = this.calls.get(call)?.dropBy ?? null;
    return dropBy !== null && (dropBy <= now || !worker.patient);
  }

  /**
   * The worker that was started to take its place.
   *
   * @param {Worker} worker
   */
  successor(worker) {
    const successor = this.workers.get(worker.replacement ?? 0);
    return successor?.superseded ? undefined : successor;
  }

  // Recycling: the old one goes on until the new one is ready

  /**
   * @param {Worker} worker
   * @param {number} now
   */
  setLimits(worker, now) {
    const {callsLeft, ageBy} = ownLimits(this.policy, this.#random, now);
    worker.callsLeft = callsLeft;
    worker.ageBy = ageBy;
    this.wakeBy(ageBy ?? Infinity);
  }

  /**
   * Have another worker take its place; until that one is ready, it goes on.
   *
   * @param {Worker} worker
   * @param {string} reason
   * @param {number} now
   * @returns {Action[]}
   */
  recycle(worker, reason, now) {
    if (worker.state !== 'ready' || worker.doomed || worker.reason) return [];
    worker.reason = reason;
    return this.recycleNext(now);
  }

  /**
   * Start one worker that takes another's place, if one is to be recycled and may be.
   *
   * @param {number} now
   * @returns {Action[]}
   */
  recycleNext(now) {
    if (this.draining || this.halted || now < this.tries.at) return [];
    const workers = [...this.workers.values()];
    const waiting = workers.filter((worker) => worker.reason);
    const retiring = workers.filter((worker) => worker.state === 'retiring' && worker.calls.size > 0);
    if (retiring.length >= this.policy.maxRetiring || waiting.some((worker) => this.successor(worker))) return [];
    const next = waiting.find((worker) => worker.state === 'ready' && !worker.doomed);
    if (next === undefined) return [];
    const spawn = this.spawn(now);
    next.replacement = spawn.worker;
    return [spawn];
  }

  /**
   * The worker that was started for it is ready.
   *
   * @param {Worker} old
   * @param {number} now
   * @returns {Action[]}
   */
  takePlace(old, now) {
    if (old.doomed || this.draining || this.halted) return [];
    this.tries.succeeded();
    if (old.state === 'ready') {
      this.move(old.number, 'replace', now);
      old.patient = true;
      this.wakeBy(now + this.policy.lastCallsS);
    }
    const {reason} = old;
    old.reason = '';
    this.count(reason);
    return [{do: 'recycled', worker: old.number, reason}];
  }

  /**
   * The worker that was to take its place is gone.
   *
   * @param {Worker} old
   * @param {number} now
   * @returns {Action[]}
   */
  keep(old, now) {
    old.replacement = null;
    this.tries.failed(this.policy, now);
    this.wakeBy(this.tries.at);
    if (old.state === 'retiring' && !old.doomed) {
      this.move(old.number, 'keep', now);
      old.patient = false;
      old.heldRss = null;
    }
    return this.sendQueued();
  }

  // Calls

  /** Whether a worker can take a call now. */
  get ready() {
    if (this.draining || this.halted) return false;
    return [...this.workers.values()].some((worker) => worker.state === 'ready' && !worker.doomed);
  }

  leastLoaded() {
    let best;
    let fewest = this.policy.concurrency;
    for (const worker of this.workers.values()) {
      if (worker.state !== 'ready' || worker.doomed || !worker.responsive) continue;
      if (worker.calls.size < fewest) {
        best = worker;
        fewest = worker.calls.size;
      }
    }
    return best;
  }

  /** @returns {Action[]} */
  sendQueued() {
    const actions = [];
    for (const [call, record] of this.queue) {
      const worker = this.leastLoaded();
      if (worker === undefined) break;
      this.queue.delete(call);
      record.worker = worker.number;
      worker.calls.add(call);
      actions.push(/** @type {const} */ ({do: 'send', worker: worker.number, call}));
    }
    return actions;
  }

  /**
   * @param {string} code
   * @param {number} worker
   * @returns {Action[]}
   */
  failQueued(code, worker) {
    const calls = [...this.queue.keys()];
    for (const call of calls) this.calls.delete(call);
    this.queue.clear();
    return calls.map((call) => ({do: 'fail', call, code, worker}));
  }
}
