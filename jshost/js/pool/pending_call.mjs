// @ts-check
/** A call that its pool has taken, and its caller. Runs in: programs that own Python workers. */

import {PythonError, errorFrom} from '../exceptions.mjs';
import {atSite} from './call_site.mjs';

/** @typedef {import('./call_site.mjs').CallSite} CallSite */

/**
 * The caller of a pool. A stream gets `onChunk` any number of times; every call then gets one of the
 * other two.
 *
 * @typedef {object} Caller
 * @property {(value: Buffer) => void} onResult a RESULT frame's payload
 * @property {(error: Error) => void} onError
 * @property {(payload: Buffer) => void} [onChunk] a CHUNK frame's payload
 */

/** @type {Record<string, string>} why a pool does not take a call */
export const REFUSALS = {
  queue_full: 'the queue is full; try again later',
  draining: 'this Python was ended and takes no more calls',
};

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
   * @param {CallSite | undefined} site
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

  /**
   * The error that an envelope stands for, with the name, the request id and the place of this call.
   *
   * @param {import('../exceptions.mjs').Envelope} envelope
   */
  error(envelope) {
    const whole = {...envelope, function: this.name, requestId: this.requestId};
    const wasRaised = envelope.code === 'function_failed';
    return atSite(wasRaised ? new PythonError(envelope.message ?? '', whole) : errorFrom(whole), this.site);
  }

  /**
   * The error of a call that got no answer.
   *
   * @param {string} code
   * @param {string} end how its worker ended
   */
  unanswered(code, end) {
    let message = code === 'draining' ? REFUSALS.draining : end;
    if (code === 'timeout') {
      const spent = Math.round(performance.now() - this.startedAt);
      message = `no answer within the limit of ${this.timeoutMs} ms (${spent} ms spent); the call was cancelled`;
    }
    return this.error({code, message});
  }
}
