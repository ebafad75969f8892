// @ts-check
/** How long a call over HTTP may take, and the headers that say so. Runs in: callers. */

import {JSON_TYPE} from '../../protocol/call_body.mjs';
import {LONGEST_TIMER_MS, checkedTimeout} from '../../protocol/timeout.mjs';
import {FunctionTimeout} from '../../exceptions.mjs';

/** How much longer than the call's limit we listen: the host's own answer says more than our clock. */
const HOST_ANSWERS_FIRST_MS = 250;
/** @type {Map<string, Record<string, string>>} */
const shared = new Map();
const MAX_SHARED = 64;

/** What transports use of an AbortSignal: to make a real one for each call takes two fifths of its CPU time. */
class Late {
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
 * @param {AbortSignal} signal
 * @param {Late} late
 */
function eitherOf(signal, late) {
  const controller = new AbortController();
  late.addEventListener('abort', () => controller.abort(late.reason));
  return AbortSignal.any([signal, controller.signal]);
}

/** How long one call may take, and who may end it before. */
export class Limit {
  #timeout;
  #headers;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {AbortSignal | undefined} */
  signal;

  /**
   * @param {string} name
   * @param {number | null} usual
   * @param {import('../function.mjs').CallOptions} options
   */
  constructor(name, usual, {timeout = usual, signal, headers}) {
    this.#timeout = checkedTimeout(timeout);
    this.#headers = headers;
    this.signal = signal;
    if (this.#timeout === null) return;
    const late = new Late();
    const message = `${name}: no answer within the limit of ${this.#timeout} ms`;
    const passed = () => late.abort(new FunctionTimeout(message, {code: 'timeout', function: name}));
    this.#timer = setTimeout(passed, Math.min(this.#timeout + HOST_ANSWERS_FIRST_MS, LONGEST_TIMER_MS));
    this.signal = signal === undefined ? /** @type {any} */ (late) : eitherOf(signal, late);
  }

  /**
   * @param {string} type
   * @param {string} accept
   * @returns {Record<string, string>}
   */
  headers(type, accept) {
    if (this.#headers === undefined && type === JSON_TYPE) return sharedHeaders(accept, this.#timeout);
    return {...headersFor(type, accept, this.#timeout), ...this.#headers};
  }

  end() {
    clearTimeout(this.#timer);
  }
}

/**
 * The headers of calls that differ in nothing else: one object, so that connections know its bytes.
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
