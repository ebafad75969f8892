// @ts-check
/** Waiting for a promise until a signal is aborted, or for a limited time. Runs in: callers, programs that own Python workers. */

import {LONGEST_TIMER_MS} from '../protocol/timeout.mjs';

/**
 * A promise's value, unless the signal is aborted first. The work behind the promise goes on.
 *
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | null | undefined} signal
 * @returns {Promise<T>}
 */
export function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, {once: true});
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/**
 * Wait for a promise, but at most `limitMs`.
 *
 * @param {Promise<unknown>} promise
 * @param {number | null} limitMs null: no limit
 * @returns {Promise<boolean>} whether it was in time
 */
export async function within(promise, limitMs) {
  if (limitMs === null) return promise.then(() => true);
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const limit = new Promise((resolve) => void (timer = setTimeout(resolve, Math.min(limitMs, LONGEST_TIMER_MS), false)));
  return Promise.race([promise.then(() => true), limit]).finally(() => clearTimeout(timer));
}
