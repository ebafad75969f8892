// @ts-check
/**
 * Running a function for a call, in all the forms that functions have. Runs in: Node workers.
 */

import {AsyncLocalStorage} from 'node:async_hooks';
import {userStack} from './stacks.mjs';
import {CallError} from './values.mjs';

/**
 * What a function gets as `this` and as its third argument.
 *
 * @typedef {object} Context
 * @property {string} name the function's name
 * @property {string} requestId the id that both sides' logs carry
 * @property {HostContext} host
 * @property {AbortSignal} signal aborted when the deadline passes or the caller leaves
 * @property {number | null} timeout seconds that the call had when it arrived
 */

/**
 * @typedef {object} HostContext
 * @property {import('./config.mjs').Config} config the config file's object, extra properties too
 * @property {Logger} logger
 * @property {(name: string, fn: import('./config.mjs').UserFunction) => void} addFunction
 */

/** @typedef {Record<'log' | 'info' | 'warn' | 'error' | 'debug', (...args: unknown[]) => void>} Logger */

/** @typedef {(error: unknown, value?: unknown) => void} Settle called once: with an error or a value */

/** One call that runs; what its code starts (timers, promises) can be traced back to it. */
export class Call {
  /** @type {AbortController | undefined} */
  #controller;
  #cancelled = false;

  /**
   * @param {number} id
   * @param {{name: string, timeout: number | null, requestId: string}} header
   * @param {HostContext} host
   */
  constructor(id, header, host) {
    this.id = id;
    this.name = header.name;
    this.requestId = header.requestId;
    this.timeout = header.timeout;
    this.host = host;
    /** Whether it was answered; what it does later can only be logged. */
    this.settled = false;
  }

  /** Made when it is first asked for: few functions do. */
  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  get cancelled() {
    return this.#cancelled;
  }

  cancel() {
    this.#cancelled = true;
    this.#controller?.abort(new DOMException('The call was cancelled', 'AbortError'));
  }
}

/** @type {AsyncLocalStorage<Call>} */
const running = new AsyncLocalStorage();

/** The call whose code runs now, or undefined. */
export function currentCall() {
  return running.getStore();
}

/**
 * Call the function; `settle` hears of the outcome exactly once.
 *
 * @param {Call} call
 * @param {import('./config.mjs').UserFunction} fn
 * @param {Record<string, unknown>} data
 * @param {Settle} settle
 */
export function run(call, fn, data, settle) {
  running.run(call, start, call, fn, data, settle);
}

/**
 * @param {Call} call
 * @param {import('./config.mjs').UserFunction} fn
 * @param {Record<string, unknown>} data
 * @param {Settle} settle
 */
function start(call, fn, data, settle) {
  let result;
  try {
    result = fn.call(call, data, callback, call);
  } catch (error) {
    return settle(thrown(error));
  }
  if (isThenable(result)) {
    result.then((/** @type {unknown} */ value) => finish(value), (/** @type {unknown} */ error) => settle(thrown(error)));
  } else if (fn.length < 2 || !meansNothing(result)) {
    finish(result);
  }

  /** @param {unknown} value */
  function finish(value) {
    if (isStream(value)) {
      settle(new CallError('unserializable_result', 'result: a generator has no JSON form; return an array', 'TypeError'));
    } else {
      settle(undefined, value);
    }
  }

  /**
   * @param {unknown} error
   * @param {unknown} [value]
   */
  function callback(error, value) {
    if (call.settled) {
      call.host.logger.warn(`${call.name}: the callback was called again; this call of it is ignored`);
    } else if (error) {
      settle(thrown(error));
    } else {
      finish(value);
    }
  }
}

/**
 * @param {any} value
 * @returns {value is PromiseLike<unknown>}
 */
function isThenable(value) {
  const canHave = typeof value === 'function' || (typeof value === 'object' && value !== null);
  return canHave && typeof value.then === 'function';
}

/**
 * Whether a result means "the answer comes by callback". An arrow function without braces returns
 * whatever its expression gives: `(data, cb) => setTimeout(…)` a timer, others a handle or an
 * emitter. None of them can be meant as an answer.
 *
 * @param {any} result
 */
function meansNothing(result) {
  if (result === undefined) return true;
  if (result === null || typeof result !== 'object') return false;
  return typeof result.hasRef === 'function' || typeof result.emit === 'function';
}

/** @param {any} value */
function isStream(value) {
  if (value === null || typeof value !== 'object') return false;
  return Symbol.asyncIterator in value || typeof value.next === 'function' && Symbol.iterator in value;
}

/**
 * What was thrown, with something to settle by even where it was undefined.
 *
 * @param {unknown} error
 */
function thrown(error) {
  return error === undefined || error === null ? new Thrown(error) : error;
}

/** Stands for a thrown undefined or null. */
class Thrown {
  /** @type {undefined | null} */
  value;

  /** @param {undefined | null} value */
  constructor(value) {
    this.value = value;
  }

  toString() {
    return String(this.value);
  }
}

/**
 * The ERROR frame's JSON for whatever was thrown: an Error, or anything else.
 *
 * @param {any} error
 * @param {Call} call
 * @returns {{code: string, name: string, message: string, stack: string}}
 */
export function describeError(error, call) {
  if (error instanceof CallError) {
    return {code: error.code, name: error.errorName, message: error.message, stack: ''};
  }
  const code = call.cancelled ? 'cancelled' : 'function_failed';
  try {
    return {code, ...describeThrown(error)};
  } catch {
    const message = 'what was thrown cannot be shown: looking at it throws again';
    return {code, name: '', message, stack: ''};
  }
}

/** @param {any} error */
function describeThrown(error) {
  if (typeof error === 'object' && typeof error.message === 'string') {
    return {
      name: String(error.name ?? error.constructor?.name ?? 'Error'),
      message: error.message,
      stack: userStack(error.stack),
    };
  }
  const message = (typeof error === 'object' ? asJson(error) : undefined) ?? String(error);
  const kind = error instanceof Thrown ? String(error) : typeof error;
  const stack = `(a ${kind} was thrown, which has no stack; throw an Error to get one)`;
  return {name: '', message, stack};
}

/** @param {any} value */
function asJson(value) {
  if (value instanceof Thrown) return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
