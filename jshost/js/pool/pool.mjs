// @ts-check
/**
 * The Python workers of one file: carries out what the scheduler decides. The twin of pool/pool.py.
 * Runs in: programs that own Python workers.
 */

import {now, until} from './clock.mjs';
import {Refused} from './scheduling/actions.mjs';
import {FrameError, Kind, joinCall} from '../protocol/frames.mjs';
import {LONGEST_TIMER_MS} from '../protocol/timeout.mjs';
import {MemoryWatch} from './memory.mjs';
import {PendingCall} from './pending_call.mjs';
import {PythonProcess} from './process.mjs';
import {failure, refusal, slowStart, tooLarge} from './end_reasons.mjs';
import {ConfigError, PythonError} from '../exceptions.mjs';
import {Scheduler} from './scheduling/scheduler.mjs';
import {WorkerChannel, objectIn} from './channel.mjs';

/** How long a dead worker's error waits for the rest of its stderr. */
const LAST_OUTPUT_MS = 50;
/** How long a worker may take to end after DRAIN. */
const END_MS = 2000;

/**
 * What a pool tells its owner, besides answers.
 *
 * @typedef {object} Listener
 * @property {(worker: WorkerChannel, stream: 'stdout' | 'stderr', line: import('../protocol/lines.mjs').Line) => void} onLine
 * @property {(worker: WorkerChannel, entry: import('./channel.mjs').LogEntry) => void} onLog
 * @property {(notice: {kind: 'died' | 'killed' | 'recycled' | 'halted', worker: number, message: string}) => void} onNotice
 */

/**
 * @typedef {import('./channel.mjs').Ready} Ready
 * @typedef {import('./channel.mjs').ChannelOwner} ChannelOwner
 */

/** @implements {ChannelOwner} */
export class Pool {
  /** @type {ChannelOwner['onLine']} */
  onLine;
  /** @type {ChannelOwner['onLog']} */
  onLog;
  /** @type {Map<number, WorkerChannel>} */
  workers = new Map();
  #launch;
  #listener;
  #anchor;
  #memory;
  /** @type {Map<number, PendingCall>} */
  #calls = new Map();
  #lastCallId = 0;
  #loadError = '';
  #wake = Infinity;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {((outcome: Ready | Error) => void) | undefined} hears of the first worker */
  #onStarted;

  /**
   * @param {import('./process.mjs').Launch} launch
   * @param {import('./scheduling/policy.mjs').Policy} policy
   * @param {import('../embedding/anchor.mjs').Anchor} anchor keeps the program running while somebody waits
   * @param {Listener} listener
   */
  constructor(launch, policy, anchor, listener) {
    this.#launch = launch;
    this.#anchor = anchor;
    this.#listener = listener;
    this.onLine = listener.onLine;
    this.onLog = listener.onLog;
    this.scheduler = new Scheduler(policy, Math.random);
    this.#memory = new MemoryWatch(this);
  }

  // The life of the pool

  /**
   * Start the first worker: what it says of itself.
   *
   * @returns {Promise<Ready>}
   * @throws {PythonError} the file does not load
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

  /** @param {import('./scheduling/policy.mjs').Policy} policy */
  setPolicy(policy) {
    this.#act(this.scheduler.setPolicy(policy, now()));
    this.#memory.start();
  }

  /**
   * Let calls finish, for so long at most; then end the workers.
   *
   * @param {number} graceMs
   */
  async end(graceMs) {
    this.#anchor.hold();
    this.scheduler.drain();
    await until(() => this.scheduler.idle, graceMs);
    this.#act(this.scheduler.halt());
    for (const worker of this.workers.values()) worker.drain();
    const isBusy = !this.scheduler.idle;
    await until(() => this.workers.size === 0, isBusy ? 0 : END_MS);
    for (const worker of this.workers.values()) worker.process.kill();
    await until(() => this.workers.size === 0, END_MS);
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
   * @param {import('./pending_call.mjs').CallSite} site
   * @returns {PendingCall}
   * @throws {import('../exceptions.mjs').RemoteError} the queue is full, the pool was ended, or the call is too large
   */
  call(header, body, timeoutMs, caller, site) {
    this.#lastCallId = this.#lastCallId % 0xffffffff + 1;
    const id = this.#lastCallId;
    const pending = new PendingCall(id, header.name, header.requestId, timeoutMs, caller, site);
    let payload;
    let worker;
    try {
      payload = joinCall(header, body);
      worker = this.scheduler.submit(id, timeoutMs === null ? Infinity : (pending.startedAt + timeoutMs) / 1000);
    } catch (error) {
      if (error instanceof FrameError) throw pending.error({code: 'body_too_large', message: tooLarge(error)});
      if (!(error instanceof Refused)) throw error;
      const {code} = error;
      throw pending.error({code, message: refusal(code, this.#loadError)});
    }
    if (worker === null) pending.unsent = payload;
    else this.workers.get(worker)?.post(Kind.CALL, id, payload);
    this.#calls.set(id, pending);
    this.#anchor.hold();
    if (this.scheduler.nextWake < this.#wake) this.#planTick();
    return pending;
  }

  get callsBegun() {
    return this.#lastCallId;
  }

  /**
   * The caller left: the worker is told, the answer is dropped.
   *
   * @param {PendingCall} pending
   */
  cancel(pending) {
    if (this.#forget(pending.id) !== undefined) this.#act(this.scheduler.cancel(pending.id, now()));
  }

  /**
   * The caller has taken `size` bytes of the call's CHUNK frames: more may come.
   *
   * @param {PendingCall} pending
   * @param {number} size
   */
  credit(pending, size) {
    const worker = this.scheduler.workerOf(pending.id);
    const taken = Buffer.allocUnsafe(4);
    taken.writeUInt32BE(size);
    if (worker !== null) this.workers.get(worker)?.post(Kind.CHUNK, pending.id, taken);
  }

  /** @param {number} id */
  #forget(id) {
    const pending = this.#calls.get(id);
    if (pending === undefined) return undefined;
    this.#calls.delete(id);
    this.#anchor.release();
    pending.stopListening?.();
    return pending;
  }

  /** @param {Extract<import('./scheduling/actions.mjs').Action, {do: 'fail'}>} action */
  #fail({call, code, worker}) {
    const pending = this.#forget(call);
    if (pending === undefined) return;
    const {halted, draining} = this.scheduler;
    let end = this.workers.get(worker ?? 0)?.obituary ?? (this.#loadError || 'the workers of this function are gone');
    if (halted && draining) end = 'this Python was ended before the function had finished';
    pending.caller.onError(pending.error({code, message: failure(pending, code, end)}));
  }

  // What workers say

  /**
   * @param {number} kind
   * @param {number} callId
   * @param {Buffer} payload
   */
  onAnswer(kind, callId, payload) {
    const pending = this.#forget(callId);
    const actions = this.scheduler.finished(callId, now());
    if (pending !== undefined) {
      if (kind === Kind.RESULT) pending.caller.onResult(payload);
      else pending.caller.onError(pending.error(objectIn(payload)));
    }
    if (actions.length > 0) this.#act(actions);
  }

  /**
   * @param {number} callId
   * @param {Buffer} payload
   */
  onChunk(callId, payload) {
    this.#calls.get(callId)?.caller.onChunk?.(payload);
  }

  /**
   * @param {WorkerChannel} worker
   * @param {Ready} ready
   */
  onReady(worker, ready) {
    this.#loadError = '';
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
    const {name = '', message = 'the Python file could not be loaded', stack = ''} = failure;
    worker.loadError = this.#loadError = stack ? `${message}\n${stack}` : message;
    this.#onStarted?.(name === 'ConfigError' ? new ConfigError(message) : new PythonError(message, {code: 'config', ...failure}));
  }

  /**
   * The worker's channel is closed, or its process has ended: wait for both, and for its last words.
   *
   * @param {WorkerChannel} worker
   */
  onGone(worker) {
    if (worker.isGone) return;
    worker.isGone = true;
    this.scheduler.workerLost(worker.number);
    void this.#bury(worker);
  }

  /** @param {WorkerChannel} worker */
  async #bury(worker) {
    const {process} = worker;
    this.#anchor.hold();
    await until(() => process.hasEnded, worker.expectedEnd ? END_MS : LAST_OUTPUT_MS);
    process.kill();
    await until(() => process.hasEnded, END_MS);
    await until(() => worker.openOutputs === 0 && !worker.isConnected, LAST_OUTPUT_MS);
    this.#anchor.release();
    if (!worker.expectedEnd && this.#onStarted === undefined) this.#listener.onNotice({kind: 'died', worker: worker.number, message: worker.obituary});
    if (this.#onStarted !== undefined) {
      this.scheduler.halted = true;
      this.#onStarted(new PythonError(worker.loadError || `${this.#launch.file}: did not load: ${worker.obituary}`, {code: 'config', name: 'ProcessError'}));
    }
    this.#act(this.scheduler.workerGone(worker.number, now()));
    this.workers.delete(worker.number);
    worker.close();
  }

  // What the scheduler decides

  /** @param {import('./scheduling/actions.mjs').Action[]} actions */
  #act(actions) {
    for (const action of actions) this.#carryOut(action);
    this.#planTick();
  }

  /** @param {import('./scheduling/actions.mjs').Action} action */
  #carryOut(action) {
    if (action.do === 'spawn') return this.#spawn(action.worker);
    if (action.do === 'fail') return this.#fail(action);
    const worker = this.workers.get(action.worker);
    if (action.do === 'halt') {
      const last = worker === undefined ? this.#loadError : worker.loadError || worker.obituary;
      const without = this.#launch.settings.serve === 'controller' ? 'the process of the Controller died, and its state is lost' : 'a worker died, and respawn is off';
      this.#loadError = action.reason === 'no_respawn' ? `${without}: ${last}` : `too many workers in a row did not start: ${last}`;
      return this.#listener.onNotice({kind: 'halted', worker: action.worker, message: this.#loadError});
    }
    if (action.do === 'recycled') return this.#listener.onNotice({kind: 'recycled', worker: action.worker, message: `worker ${action.worker} was recycled: ${action.reason}`});
    if (worker === undefined) return;
    if (action.do === 'send') {
      const pending = this.#calls.get(action.call);
      if (pending?.unsent !== undefined) worker.post(Kind.CALL, action.call, pending.unsent);
      if (pending !== undefined) pending.unsent = undefined;
    } else if (action.do === 'cancel') worker.post(Kind.CANCEL, action.call);
    else if (action.do === 'ping') worker.post(Kind.PING, 0);
    else if (action.do === 'drain') worker.drain();
    else this.#kill(worker, action.reason);
  }

  /** @param {number} number */
  #spawn(number) {
    try {
      this.workers.set(number, new WorkerChannel(number, new PythonProcess(this.#launch), this));
    } catch (error) {
      this.#loadError = /** @type {Error} */ (error).message;
      this.#onStarted?.(/** @type {Error} */ (error));
      this.#act(this.scheduler.workerGone(number, now()));
    }
  }

  /**
   * @param {WorkerChannel} worker
   * @param {string} reason
   */
  #kill(worker, reason) {
    if (!worker.isReady) worker.loadError = slowStart(this.#launch.file, this.scheduler.policy.startTimeoutS);
    worker.expectedEnd = true;
    worker.killReason = reason;
    this.#listener.onNotice({kind: 'killed', worker: worker.number, message: `worker ${worker.number} is killed: it ${reason}`});
    worker.process.kill();
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
