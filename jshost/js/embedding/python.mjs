// @ts-check
/** A private Python: workers of the program's own, no server. Runs in: programs that own Python workers. */

import {EventEmitter} from 'node:events';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {Anchor} from './anchor.mjs';
import {Chunks} from './chunks.mjs';
import {encodeCall} from '../protocol/call_body.mjs';
import {findPython} from '../discovery/interpreter.mjs';
import {Stream} from '../client/function.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {valueIn} from '../protocol/payloads.mjs';
import {atSite, callSite} from '../pool/pending_call.mjs';
import {Pools} from '../pool/registry.mjs';
import {ConfigError, FunctionNotFound, JSHostError} from '../exceptions.mjs';

/**
 * @typedef {import('../pool/pending_call.mjs').CallOptions} CallOptions
 * @typedef {import('../pool/pending_call.mjs').CallSite} CallSite
 */

/**
 * @typedef {object} OwnOptions
 * @property {string} [python] the interpreter: a path, a command, or a virtual environment's folder;
 *   else JSHOST_PYTHON, the active virtual environment, one beside the file or in the working
 *   directory (.venv, venv), python3, python
 * @property {number | null} [timeout] milliseconds that a call may take; by default there is no limit
 * @property {'error' | 'bigint'} [integers] what becomes of integers beyond 2**53 in results: an error
 *   (the default), or a BigInt
 * @property {boolean} [keepAlive] whether the workers keep the program running, also without calls
 * @property {Record<string, string | undefined>} [env] environment variables of the workers, besides the program's
 * @property {string} [cwd] the workers' working directory
 */

/** @typedef {OwnOptions & Partial<import('../pool/options.mjs').PoolOptions> & {maxMemory?: number | string | null}} PythonOptions */

const OWN_OPTIONS = new Set(['python', 'timeout', 'integers', 'keepAlive', 'env', 'cwd', 'serve']);
/** Names that programs, promises, test runners and debuggers ask any object for: they must not call Python. */
export const NEVER = new Set(['then', 'catch', 'finally', 'toJSON', 'inspect', 'constructor', 'valueOf', 'toString', 'asymmetricMatch', 'nodeType', '$$typeof']);
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/**
 * Start a Python of the program's own, that has loaded `file`: a config file, or any Python file, whose
 * functions can then be called.
 *
 * @example
 * const py = await python('./model.py');
 * await py.predict({x: 1});
 * await py.end();
 *
 * @param {string | URL} file
 * @param {PythonOptions} [options]
 * @returns {Promise<Python & Record<string, any>>}
 * @throws {PythonError} the file does not load; the traceback says why
 * @throws {ConfigError} no Python was found, or an option is wrong
 */
export async function python(file, options = {}) {
  const site = callSite(python);
  try {
    return await Python.start(file, {serve: 'module', ...options});
  } catch (error) {
    throw error instanceof JSHostError ? atSite(error, site) : error;
  }
}

/** A running Python; its functions are methods of it, too. `python()` makes it. */
export class Python {
  #pools;
  #anchor;
  #events;
  #timeout;
  #integers;
  #keepAlive;
  /** @type {Promise<void> | undefined} */
  #ending;
  #requests = 0;
  #requestPrefix = Math.random().toString(36).slice(2, 10);

  /**
   * @param {Pools} pools
   * @param {Anchor} anchor
   * @param {EventEmitter} events
   * @param {OwnOptions} options
   */
  constructor(pools, anchor, events, {timeout = null, integers = 'error', keepAlive = false}) {
    this.#pools = pools;
    this.#anchor = anchor;
    this.#events = events;
    this.#timeout = checkedTimeout(timeout);
    this.#integers = integers;
    this.#keepAlive = keepAlive;
    if (keepAlive) anchor.hold();
    for (const name of pools.functions) {
      if (name in this || NEVER.has(name)) continue; // py.call(name) reaches them
      /** @type {(args?: Record<string, unknown>, options?: CallOptions) => Promise<any>} */
      const method = (args, options) => this.#call(name, callSite(method), args, options);
      Object.defineProperty(method, 'name', {value: name});
      Object.defineProperty(this, name, {value: method, enumerable: true});
    }
  }

  /**
   * @param {string | URL} file
   * @param {PythonOptions & {serve: string}} options
   * @param {EventEmitter} [events]
   * @returns {Promise<Python & Record<string, any>>}
   */
  static async start(file, {serve, ...options}, events = new EventEmitter()) {
    const {cwd = process.cwd(), env = {}} = options;
    if (!(file instanceof URL) && typeof file !== 'string') throw new ConfigError(`python() needs the path of a Python file, not ${file}.`);
    const whole = path.resolve(file instanceof URL || file.startsWith('file:') ? fileURLToPath(file) : file);
    const found = await findPython({python: options.python, folder: path.dirname(whole)});
    const anchor = new Anchor();
    const launch = {python: found.path, cwd, env: {...process.env, ...env}, serve};
    const wanted = Object.fromEntries(Object.entries(options).filter(([name]) => !OWN_OPTIONS.has(name)));
    const pools = new Pools(launch, wanted, anchor, listenerFor(events));
    await pools.load(whole);
    return new Python(pools, anchor, events, options);
  }

  /** The functions' names. */
  get functions() {
    return this.#pools.functions;
  }

  /** The worker processes: `{pid, state, calls}`. */
  get workers() {
    return this.#pools.workers;
  }

  /**
   * Call a function with one object of arguments, which are its keyword arguments; its result.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   * @throws {PythonError} the function raised an exception
   * @throws {RemoteError} it could not be called, was too slow, or its worker died
   * @throws {TypeError} an argument that cannot be carried; nothing was sent
   */
  call(name, args, options) {
    return this.#call(name, callSite(this.call), args, options);
  }

  /**
   * Call a function that streams; its values as they come. Leaving the loop stops the function.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @param {CallSite} [site]
   * @returns {Stream}
   */
  stream(name, args = {}, {timeout = this.#timeout, signal} = {}, site = callSite(this.stream)) {
    const encoded = encodeCall(args);
    return new Stream((stream) => new Chunks((chunks) => {
      refuseAborted(signal);
      const caller = {
        onChunk: (/** @type {Buffer} */ payload) => chunks.add(payload),
        onError: (/** @type {Error} */ error) => chunks.end(error),
        onResult: (/** @type {Buffer} */ payload) => {
          try {
            stream.result = valueIn(payload, this.#integers);
            chunks.end(undefined);
          } catch (error) {
            chunks.end(error);
          }
        },
      };
      const {pool, pending} = this.#begin(name, encoded, checkedTimeout(timeout), caller, site, true);
      listen(pool, pending, signal);
      return {credit: (size) => pool.credit(pending, size), cancel: () => pool.cancel(pending)};
    }, (payload) => valueIn(payload, this.#integers)));
  }

  /**
   * Make many calls at the same time.
   *
   * @param {Iterable<[string, Record<string, unknown>?]>} calls
   * @param {CallOptions} [options] for each of them
   * @returns {Promise<any[]>} the results in order; in the place of a call that failed, its error
   */
  batch(calls, options) {
    const site = callSite(this.batch);
    return Promise.all(Array.from(calls, ([name, args]) => this.#call(name, site, args, options).catch((error) => error)));
  }

  /**
   * Hear of `print` (a line that Python printed: `{text, stream, function, requestId, pid}`), `log` (a
   * record of Python's logging: `{level, message, function, requestId, pid}`) and `worker` (one died, or
   * was replaced: `{kind, message}`). What nobody listens to goes to the program's stderr.
   *
   * @param {'print' | 'log' | 'worker'} event
   * @param {(data: any) => void} listener
   */
  on(event, listener) {
    this.#events.on(event, listener);
    return this;
  }

  /**
   * @param {'print' | 'log' | 'worker'} event
   * @param {(data: any) => void} listener
   */
  off(event, listener) {
    this.#events.off(event, listener);
    return this;
  }

  /**
   * End the workers. Calls that are on their way may finish, for `timeout` milliseconds at most (by
   * default the option shutdownTimeout, 2 s); the rest rejects, and so does every later call.
   *
   * @param {{timeout?: number}} [options]
   * @returns {Promise<void>}
   */
  end({timeout} = {}) {
    this.#ending ??= this.#pools.end(timeout).then(() => {
      if (this.#keepAlive) this.#anchor.release();
      this.#anchor.close();
    });
    return this.#ending;
  }

  [asyncDispose]() {
    return this.end();
  }

  /**
   * @param {string} name
   * @param {CallSite} site
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   */
  #call(name, site, args = {}, {timeout = this.#timeout, signal} = {}) {
    return new Promise((resolve, reject) => {
      refuseAborted(signal);
      const caller = {
        onError: reject,
        onResult: (/** @type {Buffer} */ payload) => {
          try {
            resolve(valueIn(payload, this.#integers));
          } catch (error) {
            reject(error);
          }
        },
      };
      const {pool, pending} = this.#begin(name, encodeCall(args), checkedTimeout(timeout), caller, site, false);
      listen(pool, pending, signal);
    });
  }

  /**
   * @param {string} name
   * @param {{body: Buffer, type: string}} encoded
   * @param {number | null} timeout
   * @param {import('../pool/pending_call.mjs').Caller} caller
   * @param {CallSite} site
   * @param {boolean} isStream
   */
  #begin(name, {body, type}, timeout, caller, site, isStream) {
    const route = this.#pools.route(name);
    if (route === undefined) {
      const message = `there is no function "${name}"; there are: ${this.functions.join(', ') || 'none'}`;
      throw atSite(new FunctionNotFound(message, {code: 'unknown_function', function: name}), site);
    }
    const limit = route.limit === null || timeout !== null && timeout < route.limit ? timeout : route.limit;
    this.#requests += 1;
    /** @type {import('../protocol/frames.mjs').CallHeader} */
    const header = {name, requestId: `${this.#requestPrefix}-${this.#requests}`, timeout: limit === null ? null : limit / 1000};
    if (type !== 'application/json') header.type = type;
    if (isStream) header.stream = true;
    return {pool: route.pool, pending: route.pool.call(header, body, limit, caller, site)};
  }
}

/** @param {AbortSignal | undefined} signal */
function refuseAborted(signal) {
  if (signal && typeof signal.throwIfAborted !== 'function') throw new TypeError('signal must be an AbortSignal, as an AbortController has one');
  signal?.throwIfAborted();
}

/**
 * @param {import('../pool/pool.mjs').Pool} pool
 * @param {import('../pool/pending_call.mjs').PendingCall} pending
 * @param {AbortSignal | undefined} signal
 */
function listen(pool, pending, signal) {
  if (!signal) return;
  const abort = () => {
    pool.cancel(pending);
    pending.caller.onError(signal.reason);
  };
  signal.addEventListener('abort', abort, {once: true});
  pending.stopListening = () => signal.removeEventListener('abort', abort);
}

/**
 * @param {EventEmitter} events
 * @returns {import('../pool/pool.mjs').Listener}
 */
function listenerFor(events) {
  return {
    onLine(worker, stream, {text, function: name, requestId}) {
      const isHeard = events.emit('print', {text, stream, function: name, requestId, pid: worker.process.pid});
      if (!isHeard) process.stderr.write(`${text}\n`);
    },
    onLog(worker, {level, message, function: name, requestId}) {
      const isHeard = events.emit('log', {level, message, function: name, requestId, pid: worker.process.pid});
      if (!isHeard && level !== 'debug') process.stderr.write(`${level.toUpperCase()}: ${message}\n`);
    },
    onNotice({kind, message}) {
      const isHeard = events.emit('worker', {kind, message});
      if (!isHeard && kind !== 'recycled') process.stderr.write(`jshost: ${message}\n`);
    },
  };
}
