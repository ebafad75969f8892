// @ts-check
/** `python()`: the functions of a Python file, in a process of the program's own. Runs in: programs that own Python workers. */

import {EventEmitter} from 'node:events';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {ConfigError, JSHostError} from '../exceptions.mjs';
import {atSite, callSite} from '../pool/call_site.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {NEVER, asyncDispose} from './names.mjs';

/**
 * @typedef {import('../client/host.mjs').CallOptions} CallOptions
 * @typedef {import('../client/streams.mjs').Stream} Stream
 * @typedef {import('../pool/call_site.mjs').CallSite} CallSite
 * @typedef {import('./host.mjs').EmbeddedHost} EmbeddedHost
 * @typedef {import('./host.mjs').HostOptions} HostOptions
 * @typedef {Partial<import('../pool/options.mjs').PoolOptions> & {maxMemory?: number | string | null}} PoolOptions
 */

/**
 * @typedef {object} ResultOptions
 * @property {number | null} [timeout] milliseconds that a call may take; by default there is no limit
 * @property {'error' | 'bigint'} [integers] what integers beyond 2**53 in results become: an error
 *   (the default), or a BigInt
 */

/** @typedef {HostOptions & ResultOptions & PoolOptions} PythonOptions */

/**
 * Start a Python that has loaded `file`: a config file, or any Python file. Its functions can then be
 * called.
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
    return await Python.start(file, 'module', options);
  } catch (error) {
    throw error instanceof JSHostError ? atSite(error, site) : error;
  }
}

/** A running Python, made by `python()`. Its functions are its methods. */
export class Python {
  #host;
  #events;
  #timeout;
  #integers;

  /**
   * @param {EmbeddedHost} host
   * @param {EventEmitter} events
   * @param {ResultOptions} options
   */
  constructor(host, events, {timeout = null, integers = 'error'}) {
    this.#host = host;
    this.#events = events;
    this.#timeout = checkedTimeout(timeout);
    this.#integers = integers;
    for (const name of host.functions) {
      if (name in this || NEVER.has(name)) continue; // py.call(name) calls these
      /** @type {(args?: Record<string, unknown>, options?: CallOptions) => Promise<any>} */
      const method = (args, options) => this.#host.call(this.#request(name, callSite(method), args, options));
      Object.defineProperty(method, 'name', {value: name});
      Object.defineProperty(this, name, {value: method, enumerable: true});
    }
  }

  /**
   * @param {string | URL} file
   * @param {'module' | 'controller'} serve
   * @param {PythonOptions} options
   * @param {EventEmitter} [events]
   * @returns {Promise<Python & Record<string, any>>}
   */
  static async start(file, serve, {timeout, integers, python: interpreter, keepAlive, env, cwd = process.cwd(), ...poolOptions}, events = new EventEmitter()) {
    const [whole, calledIn] = [wholePath(file), process.cwd()]; // before the import: the program may change its folder
    const {EmbeddedHost} = await import('./host.mjs'); // programs that only call a served host do not need it
    const host = await EmbeddedHost.start(whole, serve, {python: interpreter, keepAlive, env, cwd, calledIn}, poolOptions, events);
    return new Python(host, events, {timeout, integers});
  }

  /** The functions' names. */
  get functions() {
    return this.#host.functions;
  }

  /** The worker processes: `{pid, state, calls}`. */
  get workers() {
    return this.#host.workers;
  }

  /**
   * Call a function with one object of arguments, which are its keyword arguments.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>} its result
   * @throws {PythonError} the function raised an exception
   * @throws {RemoteError} the function could not be called, was too slow, or its worker died
   * @throws {TypeError} an argument cannot be sent; nothing was sent
   */
  call(name, args, options) {
    return this.#host.call(this.#request(name, callSite(this.call), args, options));
  }

  /**
   * Call a function that streams. Leaving the loop stops the function.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @param {CallSite} [site]
   * @returns {Stream} its values
   */
  stream(name, args, options, site = callSite(this.stream)) {
    return this.#host.stream(this.#request(name, site, args, options));
  }

  /**
   * Make many calls at the same time.
   *
   * @param {Iterable<[string, Record<string, unknown>?]>} calls
   * @param {CallOptions} [options] of each call
   * @returns {Promise<any[]>} the results in order; an error in the place of a call that failed
   */
  batch(calls, {timeout = this.#timeout, signal} = {}) {
    const site = callSite(this.batch);
    const integers = this.#integers;
    return this.#host.batch(Array.from(calls, ([name, args = {}]) => ({name, args, integers, site})), {timeout, signal});
  }

  /**
   * Listen to `print` (a line that Python printed: `{text, stream, function, requestId, pid}`), `log` (a
   * record of Python's logging: `{level, message, function, requestId, pid}`) or `worker` (a worker died
   * or was replaced: `{kind, message}`). An event without listeners is written to the program's stderr.
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
   * End the workers. Calls in progress may finish, for at most `timeout` milliseconds (by default the
   * option shutdownTimeout, 2 s); the others reject, and so does every later call.
   *
   * @param {{timeout?: number}} [options]
   * @returns {Promise<void>}
   */
  end({timeout} = {}) {
    return this.#host.end(timeout);
  }

  [asyncDispose]() {
    return this.end();
  }

  /**
   * @param {string} name
   * @param {CallSite} site
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {import('../client/host.mjs').CallRequest}
   */
  #request(name, site, args = {}, {timeout = this.#timeout, signal} = {}) {
    return {name, args, integers: this.#integers, timeout, signal, site};
  }
}

/**
 * @param {string | URL} file
 * @throws {ConfigError} it is not a path
 */
function wholePath(file) {
  if (!(file instanceof URL) && typeof file !== 'string') throw new ConfigError(`python() needs the path of a Python file, not ${file}.`);
  return path.resolve(file instanceof URL || file.startsWith('file:') ? fileURLToPath(file) : file);
}
