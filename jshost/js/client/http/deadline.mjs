// @ts-check
/** The deadline of a call over HTTP, and the headers that carry it. Runs in: callers. */

import {JSON_TYPE} from '../../protocol/call_body.mjs';
import {LONGEST_TIMER_MS, checkedTimeout} from '../../protocol/timeout.mjs';
import {FunctionTimeout} from '../../exceptions.mjs';

/** We wait this much longer than the call's limit: the host's own answer says more than our clock. */
const HOST_ANSWERS_FIRST_MS = 250;
/** @type {Map<string, Record<string, string>>} */
const shared = new Map();
const MAX_SHARED = 64;

/** The part of an AbortSignal that transports use. Making a real one takes two fifths of a call's CPU time. */
class DeadlineSignal {
  aborted = false;
  /** @type {unknown} */
  reason;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  /** @param {unknown} reason */
  abort(reason) {
    this.aborted = true;
    this.reason = reason;
    for (const listener of [...this.#listeners]) listener();
  }

  /**
   * @param {'abort'} _
   * @param {() => void} listener
   */
  addEventListener(_, listener) {
    this.#listeners.add(listener);
  }

  /**
   * @param {'abort'} _
   * @param {() => void} listener
   */
  removeEventListener(_, listener) {
    this.#listeners.delete(listener);
  }
}

/**
 * A signal that is aborted with the first of both.
 *
 * @param {AbortSignal} signal
 * @param {DeadlineSignal} deadline
 */
function eitherOf(signal, deadline) {
  const controller = new AbortController();
  deadline.addEventListener('abort', () => controller.abort(deadline.reason));
  return AbortSignal.any([signal, controller.signal]);
}

/** The time that one call may take. `signal` is aborted when it has passed, or when the caller aborts. */
export class Deadline {
  #timeout;
  #headers;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {AbortSignal | undefined} */
  signal;

  /**
   * @param {string} name of the function, for the error
   * @param {import('../host.mjs').CallLimits} limits
   * @throws {RangeError} the timeout is not a number of milliseconds above 0
   */
  constructor(name, {timeout, signal, headers}) {
    this.#timeout = checkedTimeout(timeout);
    this.#headers = headers;
    this.signal = signal;
    if (this.#timeout === null) return;
    const deadline = new DeadlineSignal();
    const message = `${name}: no answer within the limit of ${this.#timeout} ms`;
    const passed = () => deadline.abort(new FunctionTimeout(message, {code: 'timeout', function: name}));
    this.#timer = setTimeout(passed, Math.min(this.#timeout + HOST_ANSWERS_FIRST_MS, LONGEST_TIMER_MS));
    this.signal = signal === undefined ? /** @type {any} */ (deadline) : eitherOf(signal, deadline);
  }

  /**
   * The headers of the call's request.
   *
   * @param {string} type the body's content type
   * @param {string} accept
   * @returns {Record<string, string>}
   */
  headers(type, accept) {
    if (this.#headers === undefined && type === JSON_TYPE) return sharedHeaders(accept, this.#timeout);
    return {...headersFor(type, accept, this.#timeout), ...this.#headers};
  }

  /** The call is over. */
  end() {
    clearTimeout(this.#timer);
  }
}

/**
 * The headers that calls have in common. It is one object, so that connections keep its bytes.
 *
 * @param {string} accept
 * @param {number | null} timeout
 */
function sharedHeaders(accept, timeout) {
  const key = `${timeout} ${accept}`;
  let headers = shared.get(key);
  if (headers === undefined) {
    headers = Object.freeze(headersFor(JSON_TYPE, accept, timeout));
    if (shared.size < MAX_SHARED) shared.set(key, headers);
  }
  return headers;
}

/**
 * @param {string} type
 * @param {string} accept
 * @param {number | null} timeout
 */
function headersFor(type, accept, timeout) {
  /** @type {Record<string, string>} */
  const headers = {'Content-Type': type, Accept: accept};
  if (timeout !== null) headers['JSHost-Timeout'] = String(timeout / 1000);
  return headers;
}
