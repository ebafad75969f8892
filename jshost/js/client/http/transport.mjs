// @ts-check
/**
 * Requests over http and unix sockets, on connections that are kept alive. Runs in: callers.
 *
 * Node's own client takes longer for a request than a host does. A connection that was idle for long is not
 * used again: the host may be about to close it. No request is sent twice: the call may have run.
 */

import {headerLines, requestHead} from './http1.mjs';
import {Connection, Exchange} from './connection.mjs';
import {MAX_CONNECTIONS, MAX_IDLE_MS, authorization, gathered, translated} from './messages.mjs';

const UNIX_SCHEME = 'unix://';
const HTTP_PORT = 80;

/**
 * @typedef {import('./messages.mjs').Response} Response
 * @typedef {import('./messages.mjs').Transport} Transport
 */
/** @typedef {{exchange: Exchange, head: string, body: Buffer}} Waiting */

/**
 * The connections to one root URL.
 *
 * @implements {Transport}
 */
export class HttpTransport {
  #open;
  #rootUrl;
  #where;
  #prefix;
  #headers;
  /** @type {WeakMap<Record<string, string>, string>} the lines of headers that calls share and that never change */
  #lines = new WeakMap();
  /** @type {Connection[]} the one that was used last comes last, and is used first */
  #idle = [];
  #count = 0;
  /** @type {Waiting[]} requests that wait for a connection, as all are in use */
  #waiting = [];
  #isClosed = false;
  /** @type {NodeJS.Timeout | undefined} */
  #sweeper;

  /**
   * @param {string} rootUrl `http://host:port/prefix` or `unix:///path/of/a/socket`
   * @param {string} [token] the host's token
   * @param {ConstructorParameters<typeof Connection>[2]} [open] opens a socket
   */
  constructor(rootUrl, token, open) {
    this.#open = open;
    this.#rootUrl = rootUrl;
    const isUnix = rootUrl.startsWith(UNIX_SCHEME);
    const url = new URL(isUnix ? 'http://localhost' : rootUrl);
    this.#where = isUnix
      ? {path: decodeURIComponent(rootUrl.slice(UNIX_SCHEME.length))}
      : {host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || HTTP_PORT)};
    this.#prefix = url.pathname.replace(/\/$/, '');
    this.#headers = {Host: url.host, ...authorization(url, token)};
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
      const head = requestHead(method, this.#prefix + path, this.#linesOf(headers), body.length);
      const exchange = new Exchange(signal, resolve, (error) => reject(translated(error, this.#rootUrl, signal)));
      this.#send({exchange, head, body});
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
  }

  /**
   * The whole body of a response.
   *
   * @param {Response} response
   * @param {AbortSignal} [signal]
   * @returns {Promise<Buffer>}
   */
  async body(response, signal) {
    return response.message.whole() ?? gathered(this.pieces(response, signal));
  }

  /** Close the idle connections, and each of the others once it has its response. */
  close() {
    this.#isClosed = true;
    this.#closeIdle(this.#idle.length);
  }

  /** @param {Connection} connection */
  onFree(connection) {
    const next = this.#nextWaiting();
    if (next !== undefined) connection.send(next.exchange, next.head, next.body);
    else if (this.#isClosed) connection.destroy();
    else {
      this.#idle.push(connection);
      this.#sweeper ??= setTimeout(() => this.#sweep(), MAX_IDLE_MS).unref();
    }
  }

  /** @param {Connection} connection */
  onGone(connection) {
    this.#count -= 1;
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    const next = this.#nextWaiting();
    if (next !== undefined) this.#send(next);
  }

  /** @param {Record<string, string>} headers */
  #linesOf(headers) {
    const known = this.#lines.get(headers);
    if (known !== undefined) return known;
    const lines = headerLines({...this.#headers, ...headers});
    if (Object.isFrozen(headers)) this.#lines.set(headers, lines);
    return lines;
  }

  /** @param {Waiting} request */
  #send(request) {
    const connection = this.#connection();
    if (connection === undefined) this.#waiting.push(request);
    else connection.send(request.exchange, request.head, request.body);
  }

  /** A connection for the next request; undefined if all are in use. */
  #connection() {
    const last = this.#idle.pop();
    if (last !== undefined && performance.now() - last.idleSince < MAX_IDLE_MS) return last;
    last?.destroy();
    this.#closeIdle(last === undefined ? 0 : this.#idle.length); // these were idle for longer
    if (this.#count === MAX_CONNECTIONS) return undefined;
    this.#count += 1;
    return new Connection(this.#where, this, this.#open);
  }

  /** The first request in the queue whose caller still waits. */
  #nextWaiting() {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined || !next.exchange.isOver) return next;
    }
  }

  /** @param {number} count close this many of those that were idle for longest */
  #closeIdle(count) {
    for (const connection of this.#idle.splice(0, count)) connection.destroy();
    if (this.#idle.length === 0) {
      clearTimeout(this.#sweeper);
      this.#sweeper = undefined;
    }
  }

  #sweep() {
    this.#sweeper = undefined;
    const oldest = performance.now() - MAX_IDLE_MS;
    this.#closeIdle(this.#idle.filter(({idleSince}) => idleSince <= oldest).length);
    if (this.#idle.length > 0) this.#sweeper = setTimeout(() => this.#sweep(), MAX_IDLE_MS).unref();
  }
}
