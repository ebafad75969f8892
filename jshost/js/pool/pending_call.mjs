// @ts-check
/** A call as its pool has it, and who waits for it. Runs in: programs that own Python workers. */

import {PythonError, errorFrom} from '../exceptions.mjs';

/**
 * @typedef {object} CallOptions
 * @property {number | null} [timeout] milliseconds that the call may take; null: no limit
 * @property {AbortSignal} [signal] aborts the call: the work is stopped
 */

/**
 * Who waits for a call: it hears `onChunk` any number of times, where the call is a stream, and then
 * one of the other two.
 *
 * @typedef {object} Caller
 * @property {(value: Buffer) => void} onResult a RESULT frame's payload
 * @property {(error: Error) => void} onError
 * @property {(payload: Buffer) => void} [onChunk] a CHUNK frame's payload
 */

export class PendingCall {
  /** @type {Buffer | undefined} the CALL frame's payload, while the call waits for a worker */
  unsent;
  /** @type {(() => void) | undefined} */
  stopListening;

  /**
   * @param {number} id
   * @param {string} name
   * @param {string} requestId
   * @param {number | null} timeoutMs
   * @param {Caller} caller
   * @param {CallSite} site
   */
  constructor(id, name, requestId, timeoutMs, caller, site) {
    this.id = id;
    this.name = name;
    this.requestId = requestId;
    this.timeoutMs = timeoutMs;
    this.caller = caller;
    this.site = site;
    this.startedAt = performance.now();
  }

  /** @param {import('../exceptions.mjs').Envelope} envelope */
  error(envelope) {
    const whole = {...envelope, function: this.name, requestId: this.requestId};
    const wasRaised = envelope.code === 'function_failed';
    return atSite(wasRaised ? new PythonError(envelope.message ?? '', whole) : errorFrom(whole), this.site);
  }
}

/** @typedef {{readonly stack?: string}} CallSite */

/**
 * Where the caller stands; its text is made only when it is asked for.
 *
 * @param {Function} above what is left out, with all that it called
 * @returns {CallSite}
 */
export function callSite(above) {
  const site = {};
  Error.captureStackTrace(site, above);
  return site;
}

/**
 * Give an error the stack of the program's own call, with Python's traceback behind it.
 *
 * @template {Error} E
 * @param {E} error
 * @param {CallSite} site
 * @returns {E}
 */
export function atSite(error, site) {
  const stack = site.stack ?? '';
  const lines = stack.includes('\n') ? stack.slice(stack.indexOf('\n')) : '';
  const traceback = error instanceof PythonError && error.traceback ? `\n\n${error.traceback}` : '';
  const value = `${error.name}: ${error.message}${lines}${traceback}`;
  Object.defineProperty(error, 'stack', {value, writable: true, configurable: true});
  return error;
}
