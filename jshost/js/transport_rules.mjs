// @ts-check
/** What holds for connections to hosts, whatever is under them. Runs in: callers. */

import {HostConnectionError, UnexpectedResponse} from './remote_errors.mjs';

/** One that has been idle for longer is not used again: hosts close theirs after 75 s. */
export const MAX_IDLE_MS = 30_000;
export const MAX_CONNECTIONS = 256;
const NOBODY = ['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EHOSTUNREACH', 'ETIMEDOUT'];

/**
 * What callers are told where a request has no answer, or only a part of one.
 *
 * @param {NodeJS.ErrnoException} error
 * @param {string} rootUrl
 * @param {AbortSignal} [signal] the request's
 */
export function translated(error, rootUrl, signal) {
  if (signal?.aborted) return signal.reason;
  const options = {cause: error};
  if (NOBODY.includes(error.code ?? '')) {
    return new HostConnectionError(`No host answers at ${rootUrl} (${error.code}). Start one with: jshost serve CONFIG`, options);
  }
  if (error instanceof UnexpectedResponse || error.code?.startsWith('HPE_')) {
    return new UnexpectedResponse(`${rootUrl}: ${error.message}`, options);
  }
  return new HostConnectionError(
    `${rootUrl}: the connection broke (${error.code ?? error.message}) before the answer was whole; the call may have run.`,
    options,
  );
}
