// @ts-check
/**
 * Which worker gets which call, and when a worker is replaced. The twin of
 * pool/scheduling/scheduler.py; tests/vectors/scheduler.json holds both to the same cases.
 * Runs in: programs that own Python workers.
 *
 * It does no I/O and has no clock: events and the time (seconds of one monotonic clock) go in as
 * method calls, and what must be done comes out as a list of actions, which `Pool` carries out.
 * `nextWake` says when `tick` wants to be called. `states` has the life of a worker.
 */

import {Assignments} from './assignments.mjs';
import {Recycling} from './recycling.mjs';
import {Refused} from './actions.mjs';
import {Respawns} from './respawns.mjs';
import {Retirement} from './retirement.mjs';
import {Roster} from './roster.mjs';
import {RECYCLING, REPLACEABLE, SERVING} from './states.mjs';
import {policyOf} from './policy.mjs';

/**
 * @typedef {import('./actions.mjs').Action} Action
 * @typedef {import('./assignments.mjs').Assignment} Assignment
 * @typedef {import('./policy.mjs').Policy} Policy
 * @typedef {import('./roster.mjs').Worker} Worker
 */

/** Decides for one pool. Every method that takes `now` may be called in any order of events. */
export class Scheduler {
  roster = new Roster();
  assignments = new Assignments();
  respawns = new Respawns();
  retirement = new Retirement(this.roster, this.assignments);
  /** The workers that there are, by number. */
  workers = this.roster.workers;
  /** The calls that wait or run, by number; `queue` has those that wait. */
  calls = this.assignments.calls;
  queue = this.assignments.queue;
  /** It takes no more calls. */
  draining = false;
  /** It starts no more workers. */
  halted = false;
  /** When `tick` is due. */
  nextWake = Infinity;
  /** @type {Record<string, number>} how many workers were followed by another, by reason */
  restarts = {};

  /**
   * @param {Policy} [policy]
   * @param {() => number} [random] from 0, below 1
   */
  constructor(policy = policyOf(), random = () => 0) {
    this.policy = policy;
    this.recycling = new Recycling(this.roster, random);
  }

  // Calls

  /**
   * Take a call. Returns the worker to send it to, or null: it waits in the queue.
   *
   * @param {number} call
   * @param {number} deadline
   * @returns {number | null}
   * @throws {Refused} the queue is full, or the pool is draining or halted
   */
  submit(call, deadline) {
    if (this.draining || this.halted) throw new Refused('draining');
    const worker = this.roster.leastLoaded(this.policy.concurrency);
    /** @type {Assignment} */
    const assignment = {deadline, worker: null, dropBy: null};
    if (worker === undefined) {
      if (this.queue.size >= this.policy.maxQueue) throw new Refused('queue_full');
      this.queue.set(call, assignment);
    } else {
      assignment.worker = worker.number;
      worker.calls.add(call);
    }
    this.calls.set(call, assignment);
    this.#wakeBy(deadline);
    return assignment.worker;
  }

  /**
   * The worker answered the call, or dropped it after a cancel.
   *
   * @param {number} call
   * @param {number} now
   * @returns {Action[]}
   */
  finished(call, now) {
    const assignment = this.calls.get(call);
    this.calls.delete(call);
    const worker = this.workers.get(assignment?.worker ?? 0);
    if (assignment === undefined || worker === undefined) return NOTHING;
    worker.calls.delete(call);
    if (assignment.dropBy !== null) this.roster.note(worker, 'pong'); // what can drop a call can take one
    if (worker.phase === 'retiring') return this.#endIfDone(worker, now);
    if (worker.callsLeft !== null) {
      worker.callsLeft -= 1;
      if (worker.callsLeft <= 0) return [...this.#recycle(worker, 'max_requests', now), ...this.#sendQueued()];
    }
    return this.queue.size > 0 ? this.#sendQueued() : NOTHING;
  }

  /**
   * The caller left.
   *
   * @param {number} call
   * @param {number} now
   * @returns {Action[]}
   */
  cancel(call, now) {
    const assignment = this.calls.get(call);
    if (assignment === undefined || assignment.dropBy !== null) return [];
    if (assignment.worker !== null) return this.#cancel(call, assignment, now);
    this.assignments.forgetQueued(call);
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

  /** Whether no call waits or runs for a caller who still listens. */
  get idle() {
    return this.assignments.idle;
  }

  // The life of the pool

  /**
   * Spawn the first worker; the others follow once it has shown that the code loads.
   *
   * @param {number} now
   */
  start(now) {
    return [this.#spawn(now)];
  }

  /**
   * Use other numbers from now on, with as many workers as they say.
   *
   * @param {Policy} policy
   * @param {number} now
   */
  setPolicy(policy, now) {
    this.policy = policy;
    for (const worker of this.workers.values()) {
      if (SERVING.has(worker.state)) this.#setLimits(worker, now);
    }
    return [...this.#spawnMissing(now), ...this.#sendQueued()];
  }

  /** Take no more calls; those there are go on. */
  drain() {
    this.draining = true;
  }

  /** Start no more workers; calls that still wait for one are refused. */
  halt() {
    this.halted = true;
    return this.assignments.failQueued('draining', 0);
  }

  /** Whether a worker takes calls now, or when one has room. */
  get ready() {
    return !this.#isClosing && this.roster.serving > 0;
  }

  // Workers

  /**
   * The worker has loaded its config.
   *
   * @param {number} number
   * @param {number} now
   */
  workerReady(number, now) {
    const worker = this.roster.get(number, 'ready');
    this.roster.move(worker, 'ready', now);
    this.respawns.workerStarted();
    this.#setLimits(worker, now);
    /** @type {Action[]} */
    const actions = [];
    for (const other of [...this.workers.values()]) {
      if (other.successor === number && worker.state === 'ready') actions.push(...this.#takeOver(other, now));
      actions.push(...this.#endIfDone(other, now));
    }
    return [...actions, ...this.#spawnMissing(now), ...this.#recycleNext(now), ...this.#sendQueued()];
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
    if (worker === undefined) return [];
    const verdict = this.recycling.judgeMemory(worker, rss, this.policy.maxMemory);
    if (verdict === 'fine') return [];
    if (verdict === 'kill') return [this.#kill(worker, 'grew past twice maxMemory while it got no more calls', now)];
    const actions = this.#recycle(worker, 'max_memory', now);
    const mayHold = this.recycling.mayHold(worker) && !this.draining;
    if (verdict === 'hold' && mayHold) this.roster.move(worker, 'hold', now);
    return actions;
  }

  /**
   * The worker answered a PING: its event loop is alive, and it can take calls.
   *
   * @param {number} number
   */
  pong(number) {
    this.roster.note(this.workers.get(number), 'pong');
    return this.#sendQueued();
  }

  /**
   * The worker's channel is closed: no more calls, though its process may not have ended.
   *
   * @param {number} number
   */
  workerLost(number) {
    this.roster.note(this.workers.get(number), 'lost');
  }

  /**
   * The worker's process has ended, or broke the protocol and was killed.
   *
   * @param {number} number
   * @param {number} now
   * @returns {Action[]}
   */
  workerGone(number, now) {
    const worker = this.roster.get(number, 'gone');
    const hasSuccessor = this.recycling.hasSuccessor(worker);
    const reason = this.recycling.reasons.get(number);
    this.recycling.reasons.delete(number);
    this.workers.delete(number);
    const actions = this.assignments.failAssigned(worker);
    const old = this.recycling.predecessorOf(number);
    if (old !== undefined) return [...actions, ...this.#keep(old, now)];
    const isReplaced = worker.phase === 'retiring' && reason === undefined;
    if (isReplaced) return [...actions, ...this.#recycleNext(now)];
    if (!this.#wantsWorkers) return actions;
    if (worker.phase === 'ready' && !this.policy.respawn) return [...actions, ...this.#haltFor('no_respawn', number)];
    if (!hasSuccessor) return [...actions, ...this.#respawn(worker, now)];
    this.#count(worker.phase === 'retiring' && reason ? reason : 'died');
    return actions;
  }

  // Time

  /**
   * Do what is due: deadlines, graces, respawns, start timeouts.
   *
   * @param {number} now
   */
  tick(now) {
    const actions = [...this.#checkCalls(now), ...this.#checkWorkers(now)];
    const due = this.respawns.takeDue(now);
    if (this.#wantsWorkers) {
      for (let count = 0; count < due; count++) actions.push(this.#spawn(now));
    }
    actions.push(...this.#recycleNext(now));
    const wakes = [...this.assignments.wakes(), ...this.respawns.due, ...this.recycling.wakes(this.policy)];
    this.nextWake = wakes.reduce((first, at) => (at > now && at < first ? at : first), Infinity);
    return actions;
  }

  /** @param {number} now */
  #checkCalls(now) {
    /** @type {Action[]} */
    const actions = [];
    for (const [call, assignment] of [...this.calls]) {
      const worker = this.workers.get(assignment.worker ?? 0);
      if (assignment.dropBy !== null) {
        if (assignment.dropBy <= now && worker !== undefined) actions.push(...this.#giveUp(worker, now));
      } else if (assignment.deadline <= now) {
        actions.push({do: 'fail', call, code: 'timeout'});
        if (worker === undefined) this.assignments.forgetQueued(call);
        else actions.push(...this.#cancel(call, assignment, now));
      }
    }
    return actions;
  }

  /** @param {number} now */
  #checkWorkers(now) {
    /** @type {Action[]} */
    const actions = [];
    for (const worker of [...this.workers.values()]) {
      if (worker.phase === 'retiring') {
        actions.push(...this.#endIfDone(worker, now));
      } else if (worker.state === 'starting') {
        if (now - worker.since >= this.policy.startTimeoutS) actions.push(this.#kill(worker, 'did not start in time', now));
      } else if (worker.ageBy !== null && worker.ageBy <= now) {
        actions.push(...this.#recycle(worker, 'max_age', now));
      }
    }
    return actions;
  }

  /** @param {number} at */
  #wakeBy(at) {
    if (at < this.nextWake) this.nextWake = at;
  }

  // Calls go to workers

  #sendQueued() {
    return this.assignments.sendQueued(this.roster, this.policy.concurrency);
  }

  /**
   * Have the call dropped; until the worker answers the PING it gets no other calls.
   *
   * @param {number} call
   * @param {Assignment} assignment
   * @param {number} now
   * @returns {Action[]}
   */
  #cancel(call, assignment, now) {
    const worker = /** @type {number} */ (assignment.worker);
    assignment.dropBy = now + this.policy.cancelGraceS;
    this.#wakeBy(assignment.dropBy);
    this.roster.note(this.workers.get(worker), 'ping');
    return [{do: 'cancel', worker, call}, {do: 'ping', worker}];
  }

  // Workers start

  get #isClosing() {
    return this.draining || this.halted;
  }

  /** Whether a worker that is gone is to be followed by another. */
  get #wantsWorkers() {
    return !this.halted && (!this.draining || this.queue.size > 0);
  }

  /**
   * @param {number} now
   * @returns {Extract<Action, {do: 'spawn'}>}
   */
  #spawn(now) {
    this.#wakeBy(now + this.policy.startTimeoutS);
    return {do: 'spawn', worker: this.roster.add(now).number};
  }

  /** @param {number} now */
  #spawnMissing(now) {
    const actions = [];
    if (this.#isClosing) return [];
    const there = this.recycling.staying + this.respawns.due.length;
    for (let missing = this.policy.workers - there; missing > 0; missing--) actions.push(this.#spawn(now));
    return actions;
  }

  /**
   * @param {Worker} worker
   * @param {number} now
   */
  #spawnSuccessor(worker, now) {
    const spawn = this.#spawn(now);
    worker.successor = spawn.worker;
    return [spawn];
  }

  /**
   * @param {Worker} worker
   * @param {number} now
   */
  #setLimits(worker, now) {
    this.recycling.setLimits(worker, this.policy, now);
    this.#wakeBy(worker.ageBy ?? Infinity);
  }

  /**
   * At once after the first death, later and later while workers die early.
   *
   * @param {Worker} worker
   * @param {number} now
   * @returns {Action[]}
   */
  #respawn(worker, now) {
    const due = this.respawns.plan(worker, this.policy, now);
    if (due === null) return this.#haltFor('start_failures', worker.number);
    this.#count('died');
    if (due <= now) return [this.#spawn(now)];
    this.#wakeBy(due);
    return [];
  }

  /**
   * @param {string} reason
   * @param {number} worker
   * @returns {Action[]}
   */
  #haltFor(reason, worker) {
    this.halted = true;
    return [...this.assignments.failQueued('worker_died', worker), {do: 'halt', reason, worker}];
  }

  /** @param {string} reason */
  #count(reason) {
    this.restarts[reason] = (this.restarts[reason] ?? 0) + 1;
  }

  // Workers are recycled: each goes on until the new one is ready

  /**
   * Have another worker take its place.
   *
   * @param {Worker} worker
   * @param {string} reason
   * @param {number} now
   */
  #recycle(worker, reason, now) {
    return this.recycling.request(worker, reason) ? this.#recycleNext(now) : [];
  }

  /** @param {number} now */
  #recycleNext(now) {
    const worker = this.#isClosing ? undefined : this.recycling.nextWorker(this.policy, now);
    return worker === undefined ? [] : this.#spawnSuccessor(worker, now);
  }

  /**
   * The worker that was started for it is ready.
   *
   * @param {Worker} old
   * @param {number} now
   * @returns {Action[]}
   */
  #takeOver(old, now) {
    const reason = this.#isClosing ? undefined : this.recycling.takeOver(old, now);
    if (reason === undefined) return [];
    this.#wakeBy(now + this.policy.lastCallsS);
    this.#count(reason);
    return [{do: 'recycled', worker: old.number, reason}];
  }

  /**
   * The worker that was to take its place is gone.
   *
   * @param {Worker} old
   * @param {number} now
   */
  #keep(old, now) {
    this.recycling.keep(old, this.policy, now);
    this.#wakeBy(this.recycling.backoff.until);
    return this.#sendQueued();
  }

  // Workers are replaced, and end

  /**
   * It has not dropped a cancelled call in time: a new worker first, and the old one gets no more calls.
   *
   * @param {Worker} worker
   * @param {number} now
   */
  #giveUp(worker, now) {
    const isRecycled = RECYCLING.has(worker.state);
    if (!isRecycled && (!REPLACEABLE.has(worker.state) || this.#isClosing)) return [];
    this.roster.move(worker, 'replace', now);
    if (isRecycled) return [];
    this.#count('unresponsive');
    this.recycling.reasons.delete(worker.number);
    this.#wakeBy(now + this.policy.unresponsiveS);
    return this.roster.successorOf(worker) ? [] : this.#spawnSuccessor(worker, now);
  }

  /**
   * @param {Worker} worker
   * @param {string} reason
   * @param {number} now
   * @returns {Action}
   */
  #kill(worker, reason, now) {
    this.roster.move(worker, 'kill', now);
    return {do: 'kill', worker: worker.number, reason};
  }

  /**
   * @param {Worker} worker
   * @param {number} now
   */
  #endIfDone(worker, now) {
    const {actions, wake} = this.retirement.endIfDone(worker, this.policy, now);
    this.#wakeBy(wake);
    return actions;
  }
}

/** @type {Action[]} */
const NOTHING = Object.freeze(/** @type {any} */ ([]));
