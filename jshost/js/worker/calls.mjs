// @ts-check
/**
 * Running a function for a call, in all the forms that functions have. Runs in: Node workers.
 */

import {AsyncLocalStorage} from 'node:async_hooks';
import {Thrown} from './errors.mjs';
import {Stream, drive, isSource, isThenable} from './streams.mjs';

/**
 * What a function gets as `this` and as its third argument.
 *
 * @typedef {object} Context
 * @property {string} name the function's name
 * @property {string} requestId the id that both sides' logs carry
 * @property {HostContext} host
 * @property {AbortSignal} signal aborted when the deadline passes or the caller leaves
 * @property {number | null} timeout seconds that the call had when it arrived
 * @property {string | undefined} traceparent the caller's W3C trace context
 * @property {(chunk: unknown) => Promise<void>} send sends a value to the caller before the result;
 *   what it returns is fulfilled when there is room for more
 */

/**
 * @typedef {object} HostContext
 * @property {import('./config.mjs').Config} config the config file's object, extra properties too
 * @property {Logger} logger
 * @property {(name: string, fn: import('./config.mjs').UserFunction) => void} addFunction
 */

/** @typedef {Record<'log' | 'info' | 'warn' | 'error' | 'debug', (...args: unknown[]) => void>} Logger */

/** @typedef {(call: Call, error: unknown, value?: unknown) => void} Settle called once: with an error or a value */

/** One call that runs; what its code starts (timers, promises) can be traced back to it. */
export class Call {
  /** @type {AbortController | undefined} */
  #controller;
  /** @type {Stream | undefined} */
  #stream;
  /** @type {Context['send'] | undefined} */
  #send;
  #cancelled = false;
  #header;
  #outbox;

  /**
   * @param {number} id
   * @param {import('../protocol/frames.mjs').CallHeader} header
   * @param {HostContext} host
   * @param {import('../protocol/outbox.mjs').Outbox} outbox
   */
  constructor(id, header, host, outbox) {
    this.id = id;
    this.name = header.name;
    this.requestId = header.requestId;
    this.timeout = header.timeout;
    this.host = host;
    /** Whether it was answered; what it does later can only be logged. */
    this.settled = false;
    /** Whether what the function returned is being streamed. */
    this.isStreaming = false;
    this.#header = header;
    this.#outbox = outbox;
  }

  get traceparent() {
    return this.#header.traceparent;
  }

  /** Whether the caller takes values as they come, and all of them as JSON. */
  get streams() {
    return this.#header.stream === true;
  }

  /** Made when it is first asked for: few functions do. */
  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled) this.#controller.abort(cancellation());
    }
    return this.#controller.signal;
  }

  /** Bound to the call, so that a function may take it out of its context. */
  get send() {
    this.#send ??= (chunk) => this.openStream().send(chunk);
    return this.#send;
  }

  /** What it has streamed, if it has. */
  get stream() {
    return this.#stream;
  }

  openStream() {
    this.#stream ??= new Stream(this, this.#outbox, this.#header.stream !== true);
    return this.#stream;
  }

  get cancelled() {
    return this.#cancelled;
  }

  cancel() {
    if (this.#cancelled) return;
    this.#cancelled = true;
    running.run(this, () => {
      this.#controller?.abort(cancellation());
      this.#stream?.cancel(this.signal.reason);
    });
  }
}

function cancellation() {
  return new DOMException('The call was cancelled', 'AbortError');
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
  /**
   * @param {unknown} error
   * @param {unknown} [value]
   */
  function callback(error, value) {
    if (call.settled || call.isStreaming) {
      call.host.logger.warn(`${call.name}: the callback was called again; this call of it is ignored`);
    } else if (error) {
      settle(call, thrown(error));
    } else {
      finish(call, value, settle);
    }
  }
  let result;
  try {
    result = fn.call(call, data, callback, call);
  } catch (error) {
    return settle(call, thrown(error));
  }
  if (isThenable(result)) {
    result.then(
      (/** @type {unknown} */ value) => finish(call, value, settle),
      (/** @type {unknown} */ error) => settle(call, thrown(error)),
    );
  } else if (fn.length < 2 || !meansNothing(result)) {
    finish(call, result, settle);
  }
}

/**
 * @param {Call} call
 * @param {unknown} value
 * @param {Settle} settle
 */
function finish(call, value, settle) {
  if (isSource(value)) {
    call.isStreaming = true;
    drive(call, call.openStream(), value).then(
      (result) => settle(call, undefined, result),
      (error) => void (call.settled || settle(call, thrown(error))),
    );
  } else {
    settle(call, undefined, call.stream === undefined ? value : call.stream.result(value));
  }
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

/**
 * What was thrown, with something to settle by even where it was undefined.
 *
 * @param {unknown} error
 */
function thrown(error) {
  return error === undefined || error === null ? new Thrown(error) : error;
}
