// @ts-check
/**
 * Calls that a worker runs, and their functions in all their forms. Runs in: Node workers.
 */

import {AsyncLocalStorage} from 'node:async_hooks';
import {Thrown} from './errors.mjs';
import {OutgoingStream, drive, isSource, isThenable} from './streams.mjs';

/** @typedef {import('./context.mjs').CallContext} CallContext */

/** @typedef {(call: Call, error: unknown, value?: unknown) => void} Settle called once: with an error or a value */

/**
 * What the runtime keeps of a call until it is answered. It is the function's `CallContext` as well,
 * and can be found from all that the function starts (timers, promises): see `currentCall`.
 *
 * @implements {CallContext}
 */
class Call {
  /** @type {AbortController | undefined} */
  #controller;
  /** @type {OutgoingStream | undefined} */
  #stream;
  /** @type {CallContext['send'] | undefined} */
  #send;
  #cancelled = false;
  #header;
  #outbox;

  /**
   * @param {number} id
   * @param {import('../protocol/frames.mjs').CallHeader} header
   * @param {import('./context.mjs').HostContext} host
   * @param {import('../protocol/outbox.mjs').Outbox} outbox
   */
  constructor(id, header, host, outbox) {
    this.id = id;
    this.name = header.name;
    this.requestId = header.requestId;
    this.timeout = header.timeout;
    this.host = host;
    /** Whether it is answered; what it does later can only be logged. */
    this.settled = false;
    /** Whether the function's result is being streamed. */
    this.isStreaming = false;
    this.#header = header;
    this.#outbox = outbox;
  }

  get traceparent() {
    return this.#header.traceparent;
  }

  /** Whether the caller streams: it takes values as they come, all of them as JSON. */
  get streams() {
    return this.#header.stream === true;
  }

  /** Made when it is first read: few functions do. */
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

  /** Its chunks, if it has sent any. */
  get stream() {
    return this.#stream;
  }

  openStream() {
    this.#stream ??= new OutgoingStream(this, this.#outbox, this.#header.stream !== true);
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

// Users see the class's own name where they print `this`, and in stacks: "at Call.render".
export {Call as RunningCall};

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
 * Call the function; `settle` gets the outcome, exactly once.
 *
 * @param {Call} call
 * @param {import('./context.mjs').UserFunction} fn
 * @param {Record<string, unknown>} data
 * @param {Settle} settle
 */
export function run(call, fn, data, settle) {
  running.run(call, start, call, fn, data, settle);
}

/**
 * @param {Call} call
 * @param {import('./context.mjs').UserFunction} fn
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
 * the value of its expression: `(data, cb) => setTimeout(…)` a timer, others a handle or an
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
 * What was thrown; an object even if undefined was thrown.
 *
 * @param {unknown} error
 */
function thrown(error) {
  return error === undefined || error === null ? new Thrown(error) : error;
}
