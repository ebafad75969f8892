// @ts-check
/** What holds for connections to hosts, whatever is under them. Runs in: callers. */

import {HostConnectionError, UnexpectedResponse} from '../../exceptions.mjs';

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

/**
 * Who asks: whoever has the token, or is named in the URL.
 *
 * @param {URL} url
 * @param {string} [token]
 * @returns {Record<string, string>}
 */
export function authorization({username, password}, token) {
  if (token) return {Authorization: `Bearer ${token}`};
  if (!username) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return {Authorization: `Basic ${Buffer.from(pair).toString('base64')}`};
}

/** @param {Buffer[]} pieces */
export function joined(pieces) {
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

/**
 * @param {AsyncIterable<Buffer>} source
 * @returns {Promise<Buffer>}
 */
export async function gathered(source) {
  const pieces = [];
  for await (const piece of source) pieces.push(piece);
  return joined(pieces);
}
