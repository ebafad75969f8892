// @ts-check
/** The workers of a pool: started, killed, and waited for when they end. Runs in: programs that own Python workers. */

import {ConfigError, PythonError} from '../exceptions.mjs';
import {WorkerChannel} from './channel.mjs';
import {until} from './clock.mjs';

/** How long a dead worker's error waits for the rest of its stderr. */
const LAST_OUTPUT_MS = 50;
/** How long a worker may take to end after DRAIN. */
const END_MS = 2000;

/**
 * @typedef {import('./scheduling/actions.mjs').Action} Action
 * @typedef {import('./process.mjs').Launch} Launch
 */

export class Fleet {
  #launch;
  #anchor;
  #listener;
  #startProcess;
  /** @type {Map<number, WorkerChannel>} */
  workers = new Map();
  /** Why the last worker did not load the file, or why there are no more workers; "" if all is well. */
  loadError = '';

  /**
   * @param {Launch} launch
   * @param {import('./owner.mjs').Anchor} anchor
   * @param {import('./owner.mjs').Listener} listener
   * @param {(launch: Launch) => import('./channel.mjs').WorkerProcess} startProcess
   */
  constructor(launch, anchor, listener, startProcess) {
    this.#launch = launch;
    this.#anchor = anchor;
    this.#listener = listener;
    this.#startProcess = startProcess;
  }

  /**
   * Start a worker.
   *
   * @param {number} number
   * @param {import('./channel.mjs').ChannelOwner} owner
   * @throws {Error} no process can be started
   */
  spawn(number, owner) {
    try {
      this.workers.set(number, new WorkerChannel(number, this.#startProcess(this.#launch), owner));
    } catch (error) {
      this.loadError = /** @type {Error} */ (error).message;
      throw error;
    }
  }

  /**
   * @param {WorkerChannel} worker
   * @param {string} reason
   * @param {number} startTimeoutS
   */
  kill(worker, reason, startTimeoutS) {
    if (!worker.isReady) worker.loadError = slowStart(this.#launch.file, startTimeoutS);
    worker.expectedEnd = true;
    worker.killReason = reason;
    this.#notify('killed', worker.number, `worker ${worker.number} is killed: it ${reason}`);
    worker.process.kill();
  }

  /**
   * A worker could not load the file.
   *
   * @param {WorkerChannel} worker
   * @param {import('../exceptions.mjs').Envelope} failure
   * @returns {Error}
   */
  loadFailed(worker, failure) {
    const {name = '', message = 'the Python file could not be loaded', stack = ''} = failure;
    worker.loadError = this.loadError = stack ? `${message}\n${stack}` : message;
    return name === 'ConfigError' ? new ConfigError(message) : new PythonError(message, {code: 'config', ...failure});
  }

  /**
   * A worker's channel is closed, or its process has ended: wait for both, and for its last output.
   *
   * @param {WorkerChannel} worker
   */
  async waitForEnd(worker) {
    const {process} = worker;
    this.#anchor.hold();
    await until(() => process.hasEnded, worker.expectedEnd ? END_MS : LAST_OUTPUT_MS);
    process.kill();
    await until(() => process.hasEnded, END_MS);
    await until(() => worker.openOutputs === 0 && !worker.isConnected, LAST_OUTPUT_MS);
    this.#anchor.release();
  }

  /**
   * The error of a worker that ended before it was ready.
   *
   * @param {WorkerChannel} worker
   */
  startError(worker) {
    const message = worker.loadError || `${this.#launch.file}: did not load: ${worker.describeExit()}`;
    return new PythonError(message, {code: 'config', name: 'ProcessError'});
  }

  /** @param {WorkerChannel} worker */
  reportExit(worker) {
    if (!worker.expectedEnd) this.#notify('died', worker.number, worker.describeExit());
  }

  /** @param {WorkerChannel} worker */
  remove(worker) {
    this.workers.delete(worker.number);
    worker.close();
  }

  /** @param {Extract<Action, {do: 'halt'}>} action no more workers are started */
  halt({worker: number, reason}) {
    const worker = this.workers.get(number);
    const last = worker === undefined ? this.loadError : worker.loadError || worker.describeExit();
    const isController = this.#launch.settings.serve === 'controller';
    const died = isController ? 'the process of the Controller died, and its state is lost' : 'a worker died, and respawn is off';
    this.loadError = `${reason === 'no_respawn' ? died : 'too many workers in a row did not start'}: ${last}`;
    this.#notify('halted', number, this.loadError);
  }

  /** @param {Extract<Action, {do: 'recycled'}>} action */
  reportRecycled({worker, reason}) {
    this.#notify('recycled', worker, `worker ${worker} was recycled: ${reason}`);
  }

  /**
   * How the worker of a call ended.
   *
   * @param {number} [number] the worker, if the call had one
   */
  describeEnd(number = 0) {
    return this.workers.get(number)?.describeExit() ?? (this.loadError || 'the workers of this function are gone');
  }

  /**
   * End all workers: they drain, and are then killed.
   *
   * @param {boolean} isBusy whether they still run calls, which nothing waits for any more
   */
  async end(isBusy) {
    for (const worker of this.workers.values()) worker.drain();
    await until(() => this.workers.size === 0, isBusy ? 0 : END_MS);
    for (const worker of this.workers.values()) worker.process.kill();
    await until(() => this.workers.size === 0, END_MS);
  }

  /**
   * @param {import('./owner.mjs').Notice['kind']} kind
   * @param {number} worker
   * @param {string} message
   */
  #notify(kind, worker, message) {
    this.#listener.onNotice({kind, worker, message});
  }
}

/**
 * @param {string} file
 * @param {number} limitS
 */
function slowStart(file, limitS) {
  return `${file}: did not finish loading within ${limitS} s; does it wait for something at its top level? The option startTimeout gives it more time.`;
}
