// @ts-check
/**
 * Requests to a host over kept-alive connections: http, https, unix sockets. Runs in: callers.
 *
 * A connection that has been idle for long is not used again, for the host might be about to close it;
 * and nothing is sent twice, for the first may have run.
 */

import http from 'node:http';
import https from 'node:https';
import {HostConnectionError, UnexpectedResponse} from './remote_errors.mjs';

/** Hosts close idle connections after 75 s. */
const MAX_IDLE_MS = 30_000;
const MAX_CONNECTIONS = 256;
const UNIX_SCHEME = 'unix://';

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} type the content type
 * @property {http.IncomingMessage} message its body, still to come
 */

/** The connections to one root URL. */
export class HttpTransport {
  #agent;
  #options;
  #rootUrl;
  #send;

  #authorization;

  /**
   * @param {string} rootUrl `http://host:port/prefix`, `https://…` or `unix:///path/of/a/socket`
   * @param {string} [token] what the host wants to be told
   */
  constructor(rootUrl, token) {
    this.#authorization = token ? {Authorization: `Bearer ${token}`} : {};
    this.#rootUrl = rootUrl;
    const isUnix = rootUrl.startsWith(UNIX_SCHEME);
    const url = new URL(isUnix ? 'http://localhost' : rootUrl);
    const {Agent, request} = url.protocol === 'https:' ? https : http;
    this.#send = request;
    this.#agent = new Agent({keepAlive: true, maxSockets: MAX_CONNECTIONS, scheduling: 'lifo', timeout: MAX_IDLE_MS});
    this.#options = {
      agent: this.#agent,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
      auth: url.username ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : undefined,
      socketPath: isUnix ? decodeURIComponent(rootUrl.slice(UNIX_SCHEME.length)) : undefined,
    };
    /** What stands before each path. */
    this.prefix = url.pathname.replace(/\/$/, '');
  }

  /**
   * Send a request; the head of its answer.
   *
   * @param {string} method
   * @param {string} path escaped, beginning with "/"
   * @param {http.OutgoingHttpHeaders} headers
   * @param {Buffer} body
   * @param {AbortSignal} [signal] ends it; the promise is then rejected with its reason
   * @returns {Promise<Answer>}
   * @throws {HostConnectionError} nobody listens, or the connection broke
   */
  request(method, path, headers, body, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const request = this.#send({
        ...this.#options,
        method,
        path: this.prefix + path,
        headers: {...this.#authorization, ...headers, 'Content-Length': body.length},
      });
      const abort = () => request.destroy(signal?.reason);
      signal?.addEventListener('abort', abort, {once: true});
      request.on('close', () => signal?.removeEventListener('abort', abort));
      request.on('error', (error) => reject(this.#translated(error, signal)));
      request.on('socket', (socket) => socket.setNoDelay?.(true));
      request.on('response', (message) => resolve({
        status: message.statusCode ?? 0,
        type: message.headers['content-type'] ?? '',
        message,
      }));
      request.end(body);
    });
  }

  /**
   * The pieces of an answer's body, as they come.
   *
   * @param {Answer} answer
   * @param {AbortSignal} [signal] the request's
   * @returns {AsyncGenerator<Buffer, void>}
   */
  async *pieces(answer, signal) {
    try {
      yield* answer.message;
    } catch (error) {
      throw this.#translated(/** @type {Error} */ (error), signal);
    }
    if (!answer.message.complete) {
      throw new HostConnectionError(`${this.#rootUrl}: the connection broke before the answer was whole; the call may have run.`);
    }
  }

  /**
   * An answer's body, whole.
   *
   * @param {Answer} answer
   * @param {AbortSignal} [signal]
   */
  async body(answer, signal) {
    const pieces = [];
    for await (const piece of this.pieces(answer, signal)) pieces.push(piece);
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
  }

  /** Close the idle connections; each of the others once it has its answer. */
  close() {
    const agent = /** @type {http.Agent & {keepAlive: boolean}} */ (this.#agent);
    agent.keepAlive = false; // `destroy` would break the calls of others
    for (const sockets of Object.values(agent.freeSockets)) sockets?.forEach((socket) => socket.destroy());
  }

  /**
   * @param {NodeJS.ErrnoException} error
   * @param {AbortSignal} [signal]
   */
  #translated(error, signal) {
    if (signal?.aborted) return signal.reason;
    const options = {cause: error};
    if (['ECONNREFUSED', 'ENOENT', 'ENOTFOUND', 'EHOSTUNREACH', 'ETIMEDOUT'].includes(error.code ?? '')) {
      return new HostConnectionError(`No host answers at ${this.#rootUrl} (${error.code}). Start one with: jshost serve CONFIG`, options);
    }
    if (error.code?.startsWith('HPE_')) return new UnexpectedResponse(`${this.#rootUrl}: ${error.message}`, options);
    return new HostConnectionError(
      `${this.#rootUrl}: the connection broke (${error.code ?? error.message}) before the answer was whole; the call may have run.`,
      options,
    );
  }
}
