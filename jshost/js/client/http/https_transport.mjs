// @ts-check
/**
 * Requests to a host behind a proxy that speaks https, by Node's own client. Runs in: callers.
 *
 * It is loaded where a URL says https. All else goes through transport.mjs.
 */

import https from 'node:https';
import {MAX_CONNECTIONS, MAX_IDLE_MS, authorization, gathered, translated} from './messages.mjs';

/** @typedef {import('./transport.mjs').Answer} Answer */

/** The connections to one root URL. */
export class HttpsTransport {
  #agent;
  #authorization;
  #options;
  #rootUrl;
  #prefix;

  /**
   * @param {string} rootUrl `https://host:port/prefix`
   * @param {string} [token] what the host wants to be told
   */
  constructor(rootUrl, token) {
    this.#rootUrl = rootUrl;
    const url = new URL(rootUrl);
    this.#authorization = authorization(url, token);
    this.#agent = new https.Agent({keepAlive: true, maxSockets: MAX_CONNECTIONS, scheduling: 'lifo', timeout: MAX_IDLE_MS});
    this.#options = {
      agent: this.#agent,
      hostname: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port,
    };
    this.#prefix = url.pathname.replace(/\/$/, '');
  }

  /**
   * Send a request; the head of its answer.
   *
   * @param {string} method
   * @param {string} path escaped, beginning with "/"
   * @param {Record<string, string>} headers
   * @param {Buffer} body
   * @param {AbortSignal} [signal] ends it; the promise is then rejected with its reason
   * @returns {Promise<Answer>}
   * @throws {HostConnectionError} nobody listens, or the connection broke
   */
  request(method, path, headers, body, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const request = https.request({
        ...this.#options,
        method,
        path: this.#prefix + path,
        headers: {...this.#authorization, ...headers, 'Content-Length': body.length},
      });
      const abort = () => request.destroy(signal?.reason);
      signal?.addEventListener('abort', abort, {once: true});
      request.on('close', () => signal?.removeEventListener('abort', abort));
      request.on('error', (error) => reject(translated(error, this.#rootUrl, signal)));
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
      throw translated(/** @type {Error} */ (error), this.#rootUrl, signal);
    }
    if (!answer.message.complete) {
      throw translated(new Error('it was closed'), this.#rootUrl, signal);
    }
  }

  /**
   * An answer's body, whole.
   *
   * @param {Answer} answer
   * @param {AbortSignal} [signal]
   */
  body(answer, signal) {
    return gathered(this.pieces(answer, signal));
  }

  /** Close the idle connections; each of the others once it has its answer. */
  close() {
    const agent = /** @type {https.Agent & {keepAlive: boolean}} */ (this.#agent);
    agent.keepAlive = false; // `destroy` would break the calls of others
    for (const sockets of Object.values(agent.freeSockets)) sockets?.forEach((socket) => socket.destroy());
  }
}
