// @ts-check
/**
 * The Python workers of one file: carries out what the scheduler decides; as pool/pool.py.
 * Runs in: programs that own Python workers.
 */

import {LONGEST_TIMER_MS} from '../protocol/timeout.mjs';
import {Kind} from '../protocol/frames.mjs';
import {CallTable} from './call_table.mjs';
import {now, until} from './clock.mjs';
import {Fleet} from './fleet.mjs';
import {MemoryWatch} from './memory.mjs';
import {WorkerProcess} from './process.mjs';
import {Scheduler} from './scheduling/scheduler.mjs';

/**
 * @typedef {import('./channel.mjs').ChannelOwner} ChannelOwner
 * @typedef {import('./channel.mjs').Ready} Ready
 * @typedef {import('./channel.mjs').WorkerChannel} WorkerChannel
 * @typedef {import('./pending_call.mjs').PendingCall} PendingCall
 * @typedef {import('./process.mjs').Launch} Launch
 * @typedef {import('./scheduling/actions.mjs').Action} Action
 * @typedef {import('./scheduling/policy.mjs').Policy} Policy
 */

/** @param {Launch} launch */
const startPython = (launch) => new WorkerProcess(launch);

/** @implements {ChannelOwner} */
export class Pool {
  /** @type {ChannelOwner['onLine']} */
  onLine;
  /** @type {ChannelOwner['onLog']} */
  onLog;
  #anchor;
  #calls;
  #fleet;
  #memory;
  /** When the scheduler is asked next what is due. */
  #wake = Infinity;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {((outcome: Ready | Error) => void) | undefined} called when the first worker is ready, or has failed */
  #onStarted;

  /**
   * @param {Launch} launch
   * @param {Policy} policy
   * @param {import('./owner.mjs').Anchor} anchor
   * @param {import('./owner.mjs').Listener} listener
   * @param {(launch: Launch) => import('./channel.mjs').WorkerProcess} [startProcess]
   */
  constructor(launch, policy, anchor, listener, startProcess = startPython) {
    this.#anchor = anchor;
    this.onLine = listener.onLine;
    this.onLog = listener.onLog;
    this.scheduler = new Scheduler(policy, Math.random);
    this.#fleet = new Fleet(launch, anchor, listener, startProcess);
    this.#calls = new CallTable(this.scheduler, this.#fleet, anchor);
    this.#memory = new MemoryWatch(this);
  }

  /** The channels of the workers, by number. */
  get workers() {
    return this.#fleet.workers;
  }

  /** The workers as users see them. */
  get status() {
    return [...this.scheduler.workers.values()].map(({number, phase, calls}) => ({pid: this.workers.get(number)?.process.pid, state: phase, calls: calls.size}));
  }

  // Starting and ending

  /**
   * Start the first worker and wait until it has loaded the file.
   *
   * @returns {Promise<Ready>} the functions and options of the file
   * @throws {import('../exceptions.mjs').PythonError} the file does not load
   */
  start() {
    this.#anchor.hold();
    return new Promise((resolve, reject) => {
      this.#onStarted = (outcome) => {
        this.#onStarted = undefined;
        this.#anchor.release();
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      this.#act(this.scheduler.start(now()));
    });
  }

  /** @param {Policy} policy */
  setPolicy(policy) {
    this.#act(this.scheduler.setPolicy(policy, now()));
    this.#memory.start();
  }

  /**
   * Let calls finish, for at most `graceMs`; then end the workers.
   *
   * @param {number} graceMs
   */
  async end(graceMs) {
    this.#anchor.hold();
    this.scheduler.drain();
    await until(() => this.scheduler.idle, graceMs);
    this.#act(this.scheduler.halt());
    await this.#fleet.end(!this.scheduler.idle);
    clearTimeout(this.#timer);
    this.#memory.stop();
    this.#anchor.release();
  }

  // Calls

  /**
   * Hand a call to a worker, or queue it.
   *
   * @param {import('../protocol/frames.mjs').CallHeader} header
   * @param {Buffer} body
   * @param {number | null} timeoutMs
   * @param {import('./pending_call.mjs').Caller} caller
   * @param {import('./call_site.mjs').CallSite} [site]
   * @returns {PendingCall}
   * @throws {import('../exceptions.mjs').RemoteError} the queue is full, the pool was ended, or the call is too large
   */
  call(header, body, timeoutMs, caller, site) {
    const pending = this.#calls.begin(header, body, timeoutMs, caller, site);
    if (this.scheduler.nextWake < this.#wake) this.#planTick();
    return pending;
  }

  /**
   * The caller left: tell the worker, and drop the answer.
   *
   * @param {PendingCall} pending
   */
  cancel(pending) {
    this.#act(this.#calls.cancel(pending));
  }

  /**
   * The caller has taken `size` bytes of the call's CHUNK frames: more may come.
   *
   * @param {PendingCall} pending
   * @param {number} size
   */
  credit(pending, size) {
    this.#calls.credit(pending, size);
  }

  get callsBegun() {
    return this.#calls.begun;
  }

  // What workers send

  /**
   * @param {number} kind
   * @param {number} callId
   * @param {Buffer} payload
   */
  onAnswer(kind, callId, payload) {
    const actions = this.#calls.onAnswer(kind, callId, payload);
    if (actions.length > 0) this.#act(actions);
  }

  /**
   * @param {number} callId
   * @param {Buffer} payload
   */
  onChunk(callId, payload) {
    this.#calls.onChunk(callId, payload);
  }

  /**
   * @param {WorkerChannel} worker
   * @param {Ready} ready
   */
  onReady(worker, ready) {
    this.#fleet.loadError = '';
    this.#memory.measure(worker);
    this.#act(this.scheduler.workerReady(worker.number, now()));
    this.#onStarted?.(ready);
  }

  /** @param {WorkerChannel} worker */
  onPong(worker) {
    this.#act(this.scheduler.pong(worker.number));
  }

  /**
   * @param {WorkerChannel} worker
   * @param {number} rss
   */
  onMemory(worker, rss) {
    this.#act(this.scheduler.memory(worker.number, rss, now()));
  }

  /**
   * @param {WorkerChannel} worker
   * @param {import('../exceptions.mjs').Envelope} failure
   */
  onLoadFailed(worker, failure) {
    const error = this.#fleet.loadFailed(worker, failure);
    this.#onStarted?.(error);
  }

  /** @param {WorkerChannel} worker its channel is closed, or its process has ended */
  onGone(worker) {
    if (worker.isGone) return;
    worker.isGone = true;
    this.scheduler.workerLost(worker.number);
    void this.#fleet.waitForEnd(worker).then(() => this.#ended(worker));
  }

  /** @param {WorkerChannel} worker */
  #ended(worker) {
    if (this.#onStarted === undefined) {
      this.#fleet.reportExit(worker);
    } else {
      this.scheduler.halted = true;
      this.#onStarted(this.#fleet.startError(worker));
    }
    this.#act(this.scheduler.workerGone(worker.number, now()));
    this.#fleet.remove(worker);
  }

  // What the scheduler decides

  /** @param {Action[]} actions */
  #act(actions) {
    for (const action of actions) this.#carryOut(action);
    this.#planTick();
  }

  /** @param {Action} action */
  #carryOut(action) {
    if (action.do === 'spawn') return this.#spawn(action.worker);
    if (action.do === 'fail') return this.#calls.fail(action);
    if (action.do === 'halt') return this.#fleet.halt(action);
    if (action.do === 'recycled') return this.#fleet.reportRecycled(action);
    const worker = this.workers.get(action.worker);
    if (worker === undefined) return;
    if (action.do === 'send') this.#calls.send(action.call, worker);
    else if (action.do === 'cancel') worker.post(Kind.CANCEL, action.call);
    else if (action.do === 'ping') worker.post(Kind.PING, 0);
    else if (action.do === 'drain') worker.drain();
    else this.#fleet.kill(worker, action.reason, this.scheduler.policy.startTimeoutS);
  }

  /** @param {number} number */
  #spawn(number) {
    try {
      this.#fleet.spawn(number, this);
    } catch (error) {
      this.#onStarted?.(/** @type {Error} */ (error));
      this.#act(this.scheduler.workerGone(number, now()));
    }
  }

  #planTick() {
    const wake = this.scheduler.nextWake;
    if (wake >= this.#wake) return;
    clearTimeout(this.#timer);
    this.#wake = wake;
    this.#timer = setTimeout(() => {
      this.#wake = Infinity;
      this.#act(this.scheduler.tick(now()));
    }, Math.min(Math.max(Math.ceil((wake - now()) * 1000), 0), LONGEST_TIMER_MS));
    this.#timer.unref();
  }
}
