// @ts-check
/**
 * Requests over https, to a proxy in front of a host, with Node's own client. Runs in: callers.
 *
 * It is loaded for https URLs only; see transport.mjs for the others.
 */

import https from 'node:https';
import {MAX_CONNECTIONS, MAX_IDLE_MS, authorization, gathered, translated} from './messages.mjs';

/**
 * @typedef {import('./messages.mjs').Response} Response
 * @typedef {import('./messages.mjs').Transport} Transport
 */

/**
 * The connections to one root URL.
 *
 * @implements {Transport}
 */
export class HttpsTransport {
  #agent;
  #authorization;
  #options;
  #rootUrl;
  #prefix;

  /**
   * @param {string} rootUrl `https://host:port/prefix`
   * @param {string} [token] the host's token
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
   * Send a request.
   *
   * @param {string} method
   * @param {string} path escaped, beginning with "/"
   * @param {Record<string, string>} headers
   * @param {Buffer} body
   * @param {AbortSignal} [signal] ends it: the promise is rejected with the signal's reason
   * @returns {Promise<Response>} once its head has come
   * @throws {HostConnectionError} no host listens, or the connection broke
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
   * The pieces of a response's body, as they come.
   *
   * @param {Response} response
   * @param {AbortSignal} [signal] the request's
   * @returns {AsyncGenerator<Buffer, void>}
   */
  async *pieces(response, signal) {
    try {
      yield* response.message;
    } catch (error) {
      throw translated(/** @type {Error} */ (error), this.#rootUrl, signal);
    }
    if (!response.message.complete) {
      throw translated(new Error('it was closed'), this.#rootUrl, signal);
    }
  }

  /**
   * The whole body of a response.
   *
   * @param {Response} response
   * @param {AbortSignal} [signal]
   */
  body(response, signal) {
    return gathered(this.pieces(response, signal));
  }

  /** Close the idle connections, and each of the others once it has its response. */
  close() {
    const agent = /** @type {https.Agent & {keepAlive: boolean}} */ (this.#agent);
    agent.keepAlive = false; // `destroy` would break the calls of others
    for (const sockets of Object.values(agent.freeSockets)) sockets?.forEach((socket) => socket.destroy());
  }
}
