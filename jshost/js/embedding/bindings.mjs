// @ts-check
/** A Python object that a Node program owns. Runs in: programs that own Python workers. */

import {EventEmitter} from 'node:events';
import {unlessAborted} from '../client/waiting.mjs';
import {LONGEST_TIMER_MS, checkedTimeout} from '../protocol/timeout.mjs';
import {NEVER, Python} from './python.mjs';
import {DEFAULTS} from '../pool/options.mjs';
import {atSite, callSite} from '../pool/pending_call.mjs';
import {ConfigError, FunctionNotFound, FunctionTimeout, HostUnavailable, JSHostError} from '../exceptions.mjs';

/**
 * @typedef {import('../pool/pending_call.mjs').CallOptions} CallOptions
 * @typedef {import('./python.mjs').PythonOptions & {controller: string | URL, concurrent?: boolean}} BindingsOptions
 */

const NEW = 'new Controller';
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/**
 * One object of the class `Controller` of a Python file, in a worker of its own. Its methods are called
 * by their names; calls run in the order that they were made in, or, with `concurrent: true`, at the
 * same time.
 *
 * @example
 * const chat = new Bindings({model: 'small'}, {controller: './python/controller.py'});
 * chat.onMessage((token) => process.stdout.write(token));
 * await chat.complete({prompt: 'Hello'});
 * await chat.end();
 */
export class Bindings {
  #options;
  #properties;
  #events = new EventEmitter();
  /** @type {Set<Promise<Python>>} one, or one for each call */
  #pythons = new Set();
  /** @type {Set<Promise<unknown>>} the calls that were made and are not done */
  #calls = new Set();
  /** @type {Promise<unknown>} the calls before */
  #before = Promise.resolve();
  #isConcurrent;
  #isOnce;
  /** @type {Promise<void> | undefined} */
  #ending;
  #hasEnded = false;
  #site;

  /**
   * @param {Record<string, unknown>} [properties] attributes of the object, set before its `__init__` runs
   * @param {BindingsOptions} [options]
   * @param {boolean} [isOnce] see `once`
   */
  constructor(properties = {}, {controller, concurrent = false, ...options} = /** @type {any} */ ({}), isOnce = false) {
    if (!controller) throw new ConfigError('new Bindings(properties, {controller}) needs the path of a Python file with a class Controller.');
    const refused = ['workers', 'respawn'].find((name) => name in options);
    if (refused !== undefined) throw new ConfigError(`new Bindings(): there is no option "${refused}", as the object lives in one process.`);
    this.#site = callSite(Bindings);
    this.#properties = properties;
    this.#isConcurrent = concurrent;
    this.#isOnce = isOnce;
    this.#options = {file: controller, options: {...options, workers: 1, respawn: false, serve: 'controller'}};
    return new Proxy(this, {get: methodOf});
  }

  /**
   * A variant without state: each call has a new process, and a new object, of its own.
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
   * @returns {Promise<any>}
   */
  async call(name, args, options) {
    const stream = this.stream(name, args, options, callSite(this.call));
    for await (const _ of stream);
    return stream.result;
  }

  /**
   * Call a method; what it sends and yields, as it comes, of this call alone.
   *
   * @param {string} name
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @param {import('../pool/pending_call.mjs').CallSite} [site]
   * @returns {MessageStream}
   */
  stream(name, args, options, site = callSite(this.stream)) {
    return new MessageStream(() => this.#begin(name, args, options, site), (value) => this.#events.emit('message', value, name));
  }

  /**
   * Hear of all that methods send and yield.
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
   * Hear no more, of `on`, or, as 'message', of `onMessage`.
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
   * As `Python.end`: calls that wait for their turn may finish, too.
   *
   * @param {{timeout?: number}} [options]
   */
  end({timeout} = {}) {
    this.#ending ??= this.#end(timeout);
    return this.#ending;
  }

  /** @param {number | undefined} timeout */
  async #end(timeout) {
    const {shutdownTimeout = DEFAULTS.shutdownTimeout} = this.#options.options;
    const until = performance.now() + (timeout ?? (shutdownTimeout ?? Infinity) * 1000);
    await within(Promise.all(this.#calls), Math.max(0, until - performance.now()));
    this.#hasEnded = true;
    await Promise.all(Array.from(this.#pythons, (python) => endOf(python, {timeout: Math.max(0, until - performance.now())})));
  }

  [asyncDispose]() {
    return this.end();
  }

  /** @returns {Promise<Python>} */
  #start() {
    const [running] = this.#pythons;
    if (running !== undefined && !this.#isOnce) return running;
    const starting = this.#load().catch((error) => {
      throw error instanceof JSHostError ? atSite(error, this.#site) : error;
    });
    starting.catch(() => undefined); // calls reject with it
    this.#pythons.add(starting);
    return starting;
  }

  async #load() {
    const {file, options} = this.#options;
    const python = await Python.start(file, options, this.#events);
    try {
      await python.call(NEW, {properties: this.#properties});
    } catch (error) {
      await python.end();
      throw error;
    }
    return python;
  }

  /**
   * Take a place in the order of calls.
   *
   * @param {string} name
   * @param {Record<string, unknown> | undefined} args
   * @param {CallOptions | undefined} options
   * @param {import('../pool/pending_call.mjs').CallSite} site
   * @returns {Begun}
   */
  #begin(name, args, options, site) {
    if (this.#ending) throw hasEnded(name, site);
    const python = this.#start();
    const isOrdered = !this.#isConcurrent && !this.#isOnce;
    const before = isOrdered ? this.#before : Promise.resolve();
    /** @type {(value?: unknown) => void} */
    let resolve = () => undefined;
    const call = new Promise((whenDone) => void (resolve = whenDone));
    this.#calls.add(call);
    if (isOrdered) this.#before = Promise.all([before, call]); // one that gives up lets none overtake
    const done = async () => {
      resolve();
      this.#calls.delete(call);
      if (!this.#isOnce) return;
      const gone = endOf(python).then(() => this.#pythons.delete(python));
      await unlessAborted(gone, options?.signal).catch(() => undefined); // the call's own error is thrown
    };
    return {stream: this.#open(python, before, name, args, options, site), done};
  }

  /**
   * @param {Promise<Python>} starting
   * @param {Promise<unknown>} before
   * @param {string} name
   * @param {Record<string, unknown> | undefined} args
   * @param {CallOptions | undefined} options
   * @param {import('../pool/pending_call.mjs').CallSite} site
   */
  async #open(starting, before, name, args, {timeout = this.#options.options.timeout ?? null, signal} = {}, site) {
    const limit = checkedTimeout(timeout);
    const python = await unlessAborted(starting, signal);
    const known = python.functions.filter((each) => each !== NEW);
    const spelled = [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)].find((each) => known.includes(each));
    if (spelled === undefined) {
      const message = `the Controller has no method "${name}"; there are: ${known.join(', ')}`;
      throw atSite(new FunctionNotFound(message, {code: 'unknown_function', function: name}), site);
    }
    const from = performance.now();
    const isInTime = await within(unlessAborted(before, signal), limit);
    if (this.#hasEnded) throw hasEnded(name, site);
    const left = limit === null ? null : limit - Math.floor(performance.now() - from);
    if (!isInTime || left !== null && left <= 0) {
      const message = `${name}: no answer within the limit of ${limit} ms; it waited for the calls before it, and was not begun`;
      throw atSite(new FunctionTimeout(message, {code: 'timeout', function: name}), site);
    }
    return python.stream(spelled, args, {timeout: left, signal}, site);
  }
}

export default Bindings;

/** @typedef {{stream: Promise<import('../client/function.mjs').Stream>, done: () => Promise<void>}} Begun */

/** The values of one call, and then, as `result`, what its method returned. */
export class MessageStream {
  /** @type {unknown} */
  result;
  #values;

  /**
   * @param {() => Begun} begin
   * @param {(value: unknown) => void} tell
   */
  constructor(begin, tell) {
    this.#values = this.#read(begin, tell);
  }

  [Symbol.asyncIterator]() {
    return this.#values;
  }

  /**
   * @param {() => Begun} begin
   * @param {(value: unknown) => void} tell
   * @returns {AsyncGenerator<any, void>}
   */
  async *#read(begin, tell) {
    const begun = begin();
    try {
      const stream = await begun.stream;
      for await (const value of stream) {
        tell(value);
        yield value;
      }
      this.result = stream.result;
    } finally {
      await begun.done();
    }
  }
}

/**
 * @param {string | symbol} name
 * @returns {name is string}
 */
function isMethod(name) {
  return typeof name === 'string' && !name.startsWith('_') && !NEVER.has(name);
}

/**
 * What the proxy gives for a name: our own, or a method of Python's.
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
 * @param {import('../pool/pending_call.mjs').CallSite} site
 */
function hasEnded(name, site) {
  return atSite(new HostUnavailable(`${name}: these bindings were ended`, {code: 'draining', function: name}), site);
}

/**
 * @param {Promise<Python>} starting
 * @param {{timeout?: number}} [options]
 */
async function endOf(starting, options) {
  const python = await starting.catch(() => undefined); // what it failed with is what calls reject with
  await python?.end(options);
}

/**
 * Wait for a promise, so long at most; whether it was in time.
 *
 * @param {Promise<unknown>} promise
 * @param {number | null} limitMs
 * @returns {Promise<boolean>}
 */
async function within(promise, limitMs) {
  if (limitMs === null) return promise.then(() => true);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const limit = new Promise((resolve) => void (timer = setTimeout(resolve, Math.min(limitMs, LONGEST_TIMER_MS), false)));
  return Promise.race([promise.then(() => true), limit]).finally(() => clearTimeout(timer));
}
