// @ts-check
/** A Python object that a Node program owns. Runs in: programs that own Python workers. */

import {EventEmitter} from 'node:events';
import {Python} from './python.mjs';
import {atSite, callSite} from './pending_call.mjs';
import {ConfigError, FunctionNotFound, HostUnavailable, JSHostError} from './remote_errors.mjs';

/**
 * @typedef {import('./pending_call.mjs').CallOptions} CallOptions
 * @typedef {import('./python.mjs').PythonOptions & {controller: string | URL, concurrent?: boolean}} BindingsOptions
 */

const NEW = 'new Controller';
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');
/** Names that programs, promises, test runners and debuggers ask any object for: no methods of Python's. */
const NEVER = new Set(['then', 'catch', 'finally', 'toJSON', 'inspect', 'constructor', 'valueOf', 'toString', 'asymmetricMatch', 'nodeType', '$$typeof']);

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
  /** @type {Promise<Python> | undefined} */
  #python;
  /** @type {Promise<unknown>} the calls before */
  #before = Promise.resolve();
  #isConcurrent;
  #hasEnded = false;
  #site;

  /**
   * @param {Record<string, unknown>} [properties] attributes of the object, set before its `__init__` runs
   * @param {BindingsOptions} [options]
   */
  constructor(properties = {}, {controller, concurrent = false, ...options} = /** @type {any} */ ({})) {
    if (!controller) throw new ConfigError('new Bindings(properties, {controller}) needs the path of a Python file with a class Controller.');
    this.#site = callSite(Bindings);
    this.#properties = properties;
    this.#isConcurrent = concurrent;
    this.#options = {file: controller, options: {...options, workers: 1, respawn: false, serve: 'controller'}};
    return new Proxy(this, {get: methodOf});
  }

  /**
   * A variant without state: each call has a new process, and a new object, of its own.
   *
   * @param {Record<string, unknown>} properties
   * @param {BindingsOptions} options
   * @returns {Record<string, (args?: Record<string, unknown>, options?: CallOptions) => Promise<any>>}
   */
  static once(properties, options) {
    return new Proxy(Object.create(null), {
      get: (_, name) => isMethod(name) ? (/** @type {any[]} */ ...args) => runOnce(properties, options, name, args) : undefined,
    });
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
   * @param {import('./pending_call.mjs').CallSite} [site]
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
   * As `Python.end`.
   *
   * @param {{timeout?: number}} [options]
   */
  async end(options) {
    this.#hasEnded = true;
    const python = await this.#python?.catch(() => undefined);
    await python?.end(options);
  }

  [asyncDispose]() {
    return this.end();
  }

  /** @returns {Promise<Python>} */
  #start() {
    this.#python ??= this.#load().catch((error) => {
      throw error instanceof JSHostError ? atSite(error, this.#site) : error;
    });
    return this.#python;
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
   * @param {import('./pending_call.mjs').CallSite} site
   * @returns {Begun}
   */
  #begin(name, args, options, site) {
    if (this.#isConcurrent) return {stream: this.#open(name, args, options, site), done: () => undefined};
    const before = this.#before;
    /** @type {(value?: unknown) => void} */
    let done = () => undefined;
    this.#before = new Promise((resolve) => void (done = resolve));
    return {stream: before.then(() => this.#open(name, args, options, site)), done};
  }

  /**
   * @param {string} name
   * @param {Record<string, unknown> | undefined} args
   * @param {CallOptions | undefined} options
   * @param {import('./pending_call.mjs').CallSite} site
   */
  async #open(name, args, options, site) {
    if (this.#hasEnded) throw atSite(new HostUnavailable(`${name}: these bindings were ended`, {code: 'draining', function: name}), site);
    const python = await this.#start();
    const known = python.functions.filter((each) => each !== NEW);
    const spelled = [name, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)].find((each) => known.includes(each));
    if (spelled === undefined) {
      const message = `the Controller has no method "${name}"; there are: ${known.join(', ')}`;
      throw atSite(new FunctionNotFound(message, {code: 'unknown_function', function: name}), site);
    }
    return python.stream(spelled, args, options, site);
  }
}

export default Bindings;

/** @typedef {{stream: Promise<import('./function.mjs').Stream>, done: () => void}} Begun */

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
      begun.done();
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
 * @param {Record<string, unknown>} properties
 * @param {BindingsOptions} options
 * @param {string} name
 * @param {any[]} args
 */
async function runOnce(properties, options, name, args) {
  const bindings = new Bindings(properties, options);
  try {
    return await /** @type {any} */ (bindings)[name](...args);
  } finally {
    await bindings.end();
  }
}
