// @ts-check
/** A host's response, and what both transports have in common. Runs in: callers. */

import {HostConnectionError, UnexpectedResponse} from '../../exceptions.mjs';

/** A connection that was idle for longer is not used again: hosts close theirs after 75 s. */
export const MAX_IDLE_MS = 30_000;
export const MAX_CONNECTIONS = 256;
const UNREACHABLE = ['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EHOSTUNREACH', 'ETIMEDOUT'];

/**
 * A response of which the head has come; the body may be on its way.
 *
 * @typedef {object} Response
 * @property {number} status
 * @property {string} type the content type
 * @property {any} message the body, as its transport reads it
 */

/**
 * The connections to one host.
 *
 * @typedef {object} Transport
 * @property {(method: string, path: string, headers: Record<string, string>, body: Buffer, signal?: AbortSignal) => Promise<Response>} request
 *   send a request; its response, once the head has come
 * @property {(response: Response, signal?: AbortSignal) => AsyncGenerator<Buffer, void>} pieces the body, as it comes
 * @property {(response: Response, signal?: AbortSignal) => Promise<Buffer>} body the whole body
 * @property {() => void} close close the idle connections; each of the others once it has its response
 */

/**
 * The error of a request that has no response, or only a part of one.
 *
 * @param {NodeJS.ErrnoException} error
 * @param {string} rootUrl
 * @param {AbortSignal} [signal] the request's
 */
export function translated(error, rootUrl, signal) {
  if (signal?.aborted) return signal.reason;
  const options = {cause: error};
  if (UNREACHABLE.includes(error.code ?? '')) {
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
 * The Authorization header: the token, or the user name and password of the URL.
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

/**
 * The pieces as one buffer.
 *
 * @param {Buffer[]} pieces
 */
export function joined(pieces) {
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

/**
 * All pieces that come, as one buffer.
 *
 * @param {AsyncIterable<Buffer>} source
 * @returns {Promise<Buffer>}
 */
export async function gathered(source) {
  const pieces = [];
  for await (const piece of source) pieces.push(piece);
  return joined(pieces);
}
