// @ts-check
/**
 * Which worker gets which call, and when a worker is replaced: only decisions, no I/O. The twin of
 * pool/scheduling/scheduler.py; tests/vectors/scheduler.json holds both to the same cases. Runs in: programs
 * that own Python workers.
 *
 * Events and the time (seconds of one monotonic clock) go in as method calls; what must be done comes
 * out as a list of actions, which `Pool` carries out. `nextWake` says when `tick` wants to be called.
 */

import {Refused} from './decisions.mjs';
import {judgeMemory} from './recycling.mjs';
import {Succession} from './succession.mjs';

/**
 * @typedef {import('./decisions.mjs').Action} Action
 * @typedef {import('./decisions.mjs').Policy} Policy
 * @typedef {import('./succession.mjs').Worker} Worker
 * @typedef {import('./succession.mjs').Call} Call
 */

/** Decides for one pool. Every method that takes `now` may be called in any order of events. */
export class Scheduler extends Succession {
  // Calls

  /**
   * Take a call. Returns the worker to send it to, or null: it waits in the queue.
   *
   * @param {number} call
   * @param {number} deadline
   * @returns {number | null}
   * @throws {Refused} the queue is full, the pool is draining or halted, or its code does not load
   */
  submit(call, deadline) {
    if (this.draining || this.halted) throw new Refused('draining');
    if (this.broken) throw new Refused('load_failed');
    const worker = this.leastLoaded();
    /** @type {Call} */
    const record = {deadline, worker: null, dropBy: null};
    if (worker === undefined) {
      if (this.queue.size >= this.policy.maxQueue) throw new Refused('queue_full');
      this.queue.set(call, record);
    } else {
      record.worker = worker.number;
      worker.calls.add(call);
    }
    this.calls.set(call, record);
    this.wakeBy(deadline);
    return record.worker;
  }

  /**
   * The worker answered the call, or dropped it after a cancel.
   *
   * @param {number} call
   * @param {number} now
   * @returns {Action[]}
   */
  finished(call, now) {
    const record = this.calls.get(call);
    this.calls.delete(call);
    const worker = this.workers.get(record?.worker ?? 0);
    if (record === undefined || worker === undefined) return [];
    worker.calls.delete(call);
    if (record.dropBy !== null) worker.responsive = true; // what can drop a call can take one
    if (worker.state === 'retiring') return this.retireIfDone(worker, now);
    if (worker.callsLeft !== null) {
      worker.callsLeft -= 1;
      if (worker.callsLeft <= 0) return [...this.recycle(worker, 'max_requests', now), ...this.sendQueued()];
    }
    return this.queue.size > 0 ? this.sendQueued() : NOTHING;
  }

  /**
   * The caller left: nobody waits for the answer any more.
   *
   * @param {number} call
   * @param {number} now
   * @returns {Action[]}
   */
  cancel(call, now) {
    const record = this.calls.get(call);
    if (record === undefined || record.dropBy !== null) return [];
    if (record.worker !== null) return this.#cancel(call, record, now);
    this.calls.delete(call);
    this.queue.delete(call);
    return [];
  }

  /**
   * The worker that runs the call, or null: it waits, or has ended.
   *
   * @param {number} call
   */
  workerOf(call) {
    return this.calls.get(call)?.worker ?? null;
  }

  // Workers

  /**
   * Spawn the first worker; the others follow once it has shown that the file loads.
   *
   * @param {number} now
   * @returns {Action[]}
   */
  start(now) {
    return [this.spawn(now)];
  }

  /**
   * Go by other numbers from now on, with as many workers as they say.
   *
   * @param {Policy} policy
   * @param {number} now
   */
  setPolicy(policy, now) {
    this.policy = policy;
    for (const worker of this.workers.values()) {
      if (worker.state === 'ready') this.setLimits(worker, now);
    }
    return [...this.spawnMissing(now), ...this.sendQueued()];
  }

  /**
   * @param {number} number
   * @param {number} now
   */
  workerReady(number, now) {
    const worker = this.move(number, 'ready', now);
    this.respawns.started();
    this.setLimits(worker, now);
    /** @type {Action[]} */
    const actions = [];
    for (const other of [...this.workers.values()]) {
      if (other.replacement === number && other.reason && !worker.doomed) actions.push(...this.takePlace(other, now));
      if (other.state === 'retiring') actions.push(...this.retireIfDone(other, now));
    }
    actions.push(...this.spawnMissing(now), ...this.recycleNext(now));
    return [...actions, ...this.sendQueued()];
  }

  /**
   * The worker uses so many bytes of memory; the first time, before it gets calls. It counts while
   * there is a `maxMemory`, unless a worker needs more from the beginning.
   *
   * @param {number} number
   * @param {number} rss
   * @param {number} now
   * @returns {Action[]}
   */
  memory(number, rss, now) {
    const worker = this.workers.get(number);
    const limit = this.policy.maxMemory;
    if (worker === undefined || limit === null || worker.doomed) return [];
    worker.baseRss ??= rss;
    if (worker.state === 'starting' || worker.baseRss >= limit) return [];
    const verdict = judgeMemory(rss, limit, worker.heldRss);
    if (worker.state === 'retiring') {
      worker.heldRss = rss;
      if (verdict !== 'kill') return [];
      worker.doomed = true;
      return [{do: 'kill', worker: number, reason: 'grew past twice maxMemory while it got no more calls'}];
    }
    if (verdict === 'fine') return [];
    const actions = this.recycle(worker, 'max_memory', now);
    const isHopeful = worker.reason && this.successor(worker) && this.tries.failures === 0;
    if (verdict === 'hold' && isHopeful && !this.draining) {
      this.move(number, 'replace', now);
      worker.patient = true;
    }
    return actions;
  }

  /**
   * The code has changed: new workers for new calls, and the old ones finish theirs.
   *
   * @param {number} now
   * @returns {Action[]}
   */
  reload(now) {
    if (this.draining || this.halted) return [];
    this.broken = false;
    this.respawns.due = [];
    /** @type {Action[]} */
    const actions = [];
    for (const worker of [...this.workers.values()]) {
      if (worker.state === 'ready' && !worker.doomed) {
        worker.replacement = null; // one that was started before loads the old code
        actions.push(...this.replace(worker, 'reload', now));
      } else if (worker.state === 'starting' && !worker.superseded) {
        const reason = 'had begun to load what has changed since';
        if (!worker.doomed) actions.push({do: 'kill', worker: worker.number, reason});
        worker.doomed = worker.superseded = true;
      } else if (worker.state === 'retiring') {
        worker.reason = '';
      }
    }
    return [...actions, ...this.spawnMissing(now)];
  }

  /**
   * The worker answered a PING: its event loop is alive, and it can take calls.
   *
   * @param {number} number
   */
  pong(number) {
    const worker = this.workers.get(number);
    if (worker !== undefined) worker.responsive = true;
    return this.sendQueued();
  }

  /**
   * The worker's channel is closed: no more calls, though its process may not have ended.
   *
   * @param {number} number
   */
  workerLost(number) {
    const worker = this.workers.get(number);
    if (worker !== undefined) worker.doomed = true;
  }

  /**
   * The worker's process has ended, or broke the protocol and was killed.
   *
   * @param {number} number
   * @param {number} now
   * @returns {Action[]}
   */
  workerGone(number, now) {
    const worker = this.move(number, 'gone', now);
    this.workers.delete(number);
    const actions = this.#failCallsOf(worker);
    if (worker.superseded) return actions;
    const old = [...this.workers.values()].find((other) => other.replacement === number && other.reason);
    if (old !== undefined) return [...actions, ...this.keep(old, now)];
    const hasSuccessor = Boolean(worker.reason && this.successor(worker));
    if ((worker.state === 'retiring' && !worker.reason) || !this.wantsWorkers) {
      return [...actions, ...this.recycleNext(now)];
    }
    if (worker.state === 'starting' && this.policy.reload && !this.ready) {
      this.broken = true;
      return [...actions, ...this.failQueued('load_failed', number)];
    }
    if (worker.state === 'ready' && !this.policy.respawn) return [...actions, ...this.haltFor('no_respawn', number)];
    if (hasSuccessor) {
      this.count(worker.state === 'retiring' ? worker.reason : 'died');
      return actions;
    }
    return [...actions, ...this.respawn(worker, now)];
  }

  // Time

  /**
   * Whatever has fallen due: deadlines, graces, respawns, start timeouts.
   *
   * @param {number} now
   */
  tick(now) {
    const actions = [...this.#callsDue(now), ...this.#workersDue(now)];
    const due = this.respawns.takeDue(now);
    if (this.wantsWorkers) {
      for (let count = 0; count < due; count++) actions.push(this.spawn(now));
    }
    actions.push(...this.recycleNext(now));
    this.#planWake(now);
    return actions;
  }

  // The end

  /** Take no more calls; those there are go on. */
  drain() {
    this.draining = true;
  }

  /** Start no more workers; calls that still wait for one are refused. */
  halt() {
    this.halted = true;
    return this.failQueued('draining', 0);
  }

  /** Whether no call waits or runs for a caller who still listens. */
  get idle() {
    for (const record of this.calls.values()) {
      if (record.dropBy === null) return false;
    }
    return true;
  }

  // Decisions

  /**
   * @param {number} now
   * @returns {Action[]}
   */
  #callsDue(now) {
    /** @type {Action[]} */
    const actions = [];
    for (const [call, record] of [...this.calls]) {
      if (record.dropBy !== null) {
        const worker = this.workers.get(record.worker ?? 0);
        if (record.dropBy <= now && worker !== undefined) actions.push(...this.giveUp(worker, now));
      } else if (record.deadline <= now) {
        actions.push({do: 'fail', call, code: 'timeout'});
        if (record.worker !== null) {
          actions.push(...this.#cancel(call, record, now));
        } else {
          this.calls.delete(call);
          this.queue.delete(call);
        }
      }
    }
    return actions;
  }

  /**
   * @param {number} now
   * @returns {Action[]}
   */
  #workersDue(now) {
    /** @type {Action[]} */
    const actions = [];
    for (const worker of [...this.workers.values()]) {
      const isLate = worker.state === 'starting' && now - worker.since >= this.policy.startTimeoutS;
      if (worker.state === 'retiring') {
        actions.push(...this.retireIfDone(worker, now));
      } else if (isLate && !worker.doomed) {
        worker.doomed = true;
        actions.push({do: 'kill', worker: worker.number, reason: 'did not start in time'});
      } else if (worker.ageBy !== null && worker.ageBy <= now) {
        actions.push(...this.recycle(worker, 'max_age', now));
      }
    }
    return actions;
  }

  /**
   * @param {Worker} worker
   * @returns {Action[]}
   */
  #failCallsOf(worker) {
    /** @type {Action[]} */
    const actions = [];
    for (const call of worker.calls) {
      const isAwaited = this.calls.get(call)?.dropBy === null; // else its caller was answered long ago
      this.calls.delete(call);
      if (isAwaited) actions.push({do: 'fail', call, code: 'worker_died', worker: worker.number});
    }
    return actions;
  }

  /**
   * Have the call dropped; until the worker answers the PING it gets no other calls.
   *
   * @param {number} call
   * @param {Call} record
   * @param {number} now
   * @returns {Action[]}
   */
  #cancel(call, record, now) {
    const number = /** @type {number} */ (record.worker);
    record.dropBy = now + this.policy.cancelGraceS;
    this.wakeBy(record.dropBy);
    /** @type {Worker} */ (this.workers.get(number)).responsive = false;
    return [{do: 'cancel', worker: number, call}, {do: 'ping', worker: number}];
  }

  /** @param {number} now */
  #planWake(now) {
    const {policy} = this;
    const wakes = [...this.calls.values()].map(({deadline, dropBy}) => dropBy ?? deadline);
    for (const worker of this.workers.values()) {
      if (worker.state === 'starting') {
        wakes.push(worker.since + policy.startTimeoutS);
      } else if (worker.state === 'retiring') {
        const limit = worker.patient ? policy.lastCallsS : policy.drainS;
        wakes.push(worker.since + policy.unresponsiveS, worker.since + limit, worker.endBy ?? Infinity);
      } else {
        wakes.push(worker.reason ? this.tries.at : (worker.ageBy ?? Infinity));
      }
    }
    wakes.push(...this.respawns.due);
    this.nextWake = wakes.reduce((first, at) => (at > now && at < first ? at : first), Infinity);
  }
}

/** @type {Action[]} */
const NOTHING = Object.freeze(/** @type {any} */ ([]));
