// @ts-check
/**
 * What the scheduler answers: actions for the pool to carry out, and refusals. The twin of
 * pool/scheduling/actions.py, which explains them. Runs in: programs that own Python workers.
 */

/** Why a worker is followed by another one. A worker that did not start has died, too. */
export const RESTART_REASONS = ['died', 'unresponsive', 'max_requests', 'max_memory', 'max_age'];

/** The call is not taken; `code` is "queue_full" or "draining". */
export class Refused extends Error {
  /** @param {string} code */
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/**
 * @typedef {{do: 'spawn', worker: number}
 *   | {do: 'send', worker: number, call: number}
 *   | {do: 'cancel', worker: number, call: number}
 *   | {do: 'fail', call: number, code: string, worker?: number}
 *   | {do: 'ping', worker: number}
 *   | {do: 'drain', worker: number}
 *   | {do: 'kill', worker: number, reason: string}
 *   | {do: 'recycled', worker: number, reason: string}
 *   | {do: 'halt', reason: string, worker: number}} Action
 */
