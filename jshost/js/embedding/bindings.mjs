// @ts-check
/** `Bindings`: a Python object that a Node program owns. Runs in: programs that own Python workers. */

import {EventEmitter} from 'node:events';
import {unlessAborted, within} from '../client/waiting.mjs';
import {ConfigError, FunctionNotFound, FunctionTimeout, HostUnavailable} from '../exceptions.mjs';
import {atSite, callSite} from '../pool/call_site.mjs';
import {DEFAULTS} from '../pool/options.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {CallOrder} from './call_order.mjs';
import {Controllers, NEW} from './controllers.mjs';
import {MessageStream} from './message_stream.mjs';
import {NEVER, asyncDispose} from './names.mjs';

/**
 * @typedef {import('../client/host.mjs').CallOptions} CallOptions
 * @typedef {import('../pool/call_site.mjs').CallSite} CallSite
 * @typedef {import('./python.mjs').Python} Python
 * @typedef {import('./python.mjs').PythonOptions & {controller: string | URL, concurrent?: boolean}} BindingsOptions
 */

/**
 * One object of the class `Controller` of a Python file, in its own worker. Its methods are called by
 * their names. Calls run in the order in which they were made, or, with `concurrent: true`, at the same
 * time.
 *
 * @example
 * const chat = new Bindings({model: 'small'}, {controller: './python/controller.py'});
 * chat.onMessage((token) => process.stdout.write(token));
 * await chat.complete({prompt: 'Hello'});
 * await chat.end();
 */
export class Bindings {
  #controllers;
  #events = new EventEmitter();
  #order;
  #isOnce;
  #timeout;
  #shutdownTimeoutMs;
  /** @type {Promise<void> | undefined} */
  #ending;
  #hasEnded = false;

  /**
   * @param {Record<string, unknown>} [properties] attributes of the object, set before its `__init__` runs
   * @param {BindingsOptions} [options]
   * @param {boolean} [isOnce] see `once`
   */
  constructor(properties = {}, {controller, concurrent = false, ...options} = /** @type {any} */ ({}), isOnce = false) {
    if (!controller) throw new ConfigError('new Bindings(properties, {controller}) needs the path of a Python file with a class Controller.');
    const refused = ['workers', 'respawn'].find((name) => name in options);
    if (refused !== undefined) throw new ConfigError(`new Bindings(): there is no option "${refused}", as the object lives in one process.`);
    const {timeout = null, shutdownTimeout = DEFAULTS.shutdownTimeout} = options;
    this.#timeout = timeout;
    this.#shutdownTimeoutMs = (shutdownTimeout ?? Infinity) * 1000;
    this.#isOnce = isOnce;
    this.#order = new CallOrder(!concurrent && !isOnce);
    const pythonOptions = {...options, workers: 1, respawn: false};
    this.#controllers = new Controllers(controller, pythonOptions, properties, this.#events, isOnce, callSite(Bindings));
    return new Proxy(this, {get: methodOf});
  }

  /**
   * A variant without state: each call has its own process and its own object.
   *
   * @param {Record<string, unknown>} properties
   * @param {BindingsOptions} options
   * @returns {Bindings & Record<string, any>}
   */
  static once(properties, options) {
    return new Bindings(properties, options, true);
  }

  /**
   * Call a method.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>} its result
   */
  async call(name, args, options) {
    const stream = this.stream(name, args, options, callSite(this.call));
    for await (const _ of stream);
    return stream.result;
  }

  /**
   * Call a method, and read the values that this call sends and yields.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @param {CallSite} [site]
   * @returns {MessageStream}
   */
  stream(name, args, options, site = callSite(this.stream)) {
    return new MessageStream(() => this.#begin(name, args, options, site), (value) => this.#events.emit('message', value, name));
  }

  /**
   * Listen to everything that methods send and yield.
   *
   * @param {(data: any, method: string) => void} listener
   */
  onMessage(listener) {
    this.#events.on('message', listener);
    return this;
  }

  /**
   * As `Python.on`.
   *
   * @param {'print' | 'log' | 'worker'} event
   * @param {(data: any) => void} listener
   */
  on(event, listener) {
    this.#events.on(event, listener);
    return this;
  }

  /**
   * Remove a listener of `on`, or, as 'message', one of `onMessage`.
   *
   * @param {'print' | 'log' | 'worker' | 'message'} event
   * @param {(...data: any[]) => void} listener
   */
  off(event, listener) {
    this.#events.off(event, listener);
    return this;
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  setProperty(name, value) {
    return this.call('setProperty', {name, value});
  }

  /** @param {string} name */
  getProperty(name) {
    return this.call('getProperty', {name});
  }

  /**
   * As `Python.end`. Calls that wait for their turn may finish, too.
   *
   * @param {{timeout?: number}} [options]
   */
  end({timeout} = {}) {
    this.#ending ??= this.#end(timeout ?? this.#shutdownTimeoutMs);
    return this.#ending;
  }

  /** @param {number} timeout */
  async #end(timeout) {
    const deadline = performance.now() + timeout;
    await within(this.#order.done(), timeout);
    this.#hasEnded = true;
    await this.#controllers.endAll(Math.max(0, deadline - performance.now()));
  }

  [asyncDispose]() {
    return this.end();
  }

  /**
   * Take a place in the order of calls.
   *
   * @param {string} name
   * @param {Record<string, unknown> | undefined} args
   * @param {CallOptions | undefined} options
   * @param {CallSite} site
   * @returns {import('./message_stream.mjs').BegunCall}
   */
  #begin(name, args, options, site) {
    if (this.#ending) throw hasEnded(name, site);
    const python = this.#controllers.forCall();
    const {before, leave} = this.#order.enter();
    const done = async () => {
      leave();
      if (!this.#isOnce) return;
      await unlessAborted(this.#controllers.end(python), options?.signal).catch(() => undefined); // the call throws its own error
    };
    return {stream: this.#open(python, before, name, args, options, site), done};
  }

  /**
   * @param {Promise<Python>} starting
   * @param {Promise<unknown>} before
   * @param {string} name
   * @param {Record<string, unknown> | undefined} args
   * @param {CallOptions | undefined} options
   * @param {CallSite} site
   */
  async #open(starting, before, name, args, {timeout = this.#timeout, signal} = {}, site) {
    const limit = checkedTimeout(timeout);
    const python = await unlessAborted(starting, signal);
    const method = spelledAsInPython(name, python, site);
    const from = performance.now();
    const isInTime = await within(unlessAborted(before, signal), limit);
    if (this.#hasEnded) throw hasEnded(name, site);
    const left = limit === null ? null : limit - Math.floor(performance.now() - from);
    if (!isInTime || left !== null && left <= 0) {
      const message = `${name}: no answer within the limit of ${limit} ms; it waited for the calls before it, and was not begun`;
      throw atSite(new FunctionTimeout(message, {code: 'timeout', function: name}), site);
    }
    return python.stream(method, args, {timeout: left, signal}, site);
  }
}

export default Bindings;

/**
 * The method that a name stands for, in either spelling: getTokenizer, get_tokenizer.
 *
 * @param {string} name
 * @param {Python} python
 * @param {CallSite} site
 */
function spelledAsInPython(name, python, site) {
  const known = python.functions.filter((each) => each !== NEW);
  const found = [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)].find((each) => known.includes(each));
  if (found !== undefined) return found;
  const message = `the Controller has no method "${name}"; there are: ${known.join(', ')}`;
  throw atSite(new FunctionNotFound(message, {code: 'unknown_function', function: name}), site);
}

/**
 * @param {string | symbol} name
 * @returns {name is string}
 */
function isMethod(name) {
  return typeof name === 'string' && !name.startsWith('_') && !NEVER.has(name);
}

/**
 * The proxy's member of a name: the object's own, or a method in Python.
 *
 * @param {Bindings} target
 * @param {string | symbol} name
 */
function methodOf(target, name) {
  const own = Reflect.get(target, name, target);
  if (own !== undefined || !isMethod(name)) return typeof own === 'function' && name !== 'constructor' ? own.bind(target) : own;
  /** @type {(args?: Record<string, unknown>, options?: CallOptions) => Promise<any>} */
  return (args, options) => target.call(name, args, options);
}

/**
 * @param {string} name
 * @param {CallSite} site
 */
function hasEnded(name, site) {
  return atSite(new HostUnavailable(`${name}: these bindings were ended`, {code: 'draining', function: name}), site);
}
