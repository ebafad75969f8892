// @ts-check
/**
 * Requests to a host over kept-alive connections: http and unix sockets. Runs in: callers.
 *
 * Made for the few kinds of request that callers make, since Node's own client takes longer for one than
 * a host does. A connection that has been idle for long is not used again, for the host might be about
 * to close it; and nothing is sent twice, for the first may have run.
 */

import {headerLines, requestHead} from './http1.mjs';
import {Connection, Exchange} from './connection.mjs';
import {MAX_CONNECTIONS, MAX_IDLE_MS, authorization, gathered, translated} from './messages.mjs';

const UNIX_SCHEME = 'unix://';
const HTTP_PORT = 80;

/** @typedef {import('./connection.mjs').Answer} Answer */
/** @typedef {{exchange: Exchange, head: string, body: Buffer}} Waiting */

/** The connections to one root URL. */
export class HttpTransport {
  #rootUrl;
  #where;
  #prefix;
  #headers;
  /** @type {WeakMap<Record<string, string>, string>} of headers that calls share, and nobody changes */
  #lines = new WeakMap();
  /** @type {Connection[]} the one that was used last is used first */
  #idle = [];
  #count = 0;
  /** @type {Waiting[]} requests beyond as many connections as there may be */
  #waiting = [];
  #isClosed = false;
  /** @type {NodeJS.Timeout | undefined} */
  #sweeper;

  /**
   * @param {string} rootUrl `http://host:port/prefix` or `unix:///path/of/a/socket`
   * @param {string} [token] what the host wants to be told
   */
  constructor(rootUrl, token) {
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
      const head = requestHead(method, this.#prefix + path, this.#linesOf(headers), body.length);
      const exchange = new Exchange(signal, resolve, (error) => reject(translated(error, this.#rootUrl, signal)));
      this.#send({exchange, head, body});
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
  }

  /**
   * An answer's body, whole.
   *
   * @param {Answer} answer
   * @param {AbortSignal} [signal]
   * @returns {Promise<Buffer>}
   */
  async body(answer, signal) {
    return answer.message.whole() ?? gathered(this.pieces(answer, signal));
  }

  /** Close the idle connections; each of the others once it has its answer. */
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

  /** One that may be used, or none: there are as many as there may be. */
  #connection() {
    const last = this.#idle.pop();
    if (last !== undefined && performance.now() - last.idleSince < MAX_IDLE_MS) return last;
    last?.destroy();
    this.#closeIdle(last === undefined ? 0 : this.#idle.length); // they have been idle for longer still
    if (this.#count === MAX_CONNECTIONS) return undefined;
    this.#count += 1;
    return new Connection(this.#where, this);
  }

  /** The first request in the queue that somebody still waits for. */
  #nextWaiting() {
    for (;;) {
      const next = this.#waiting.shift();
      if (next === undefined || !next.exchange.isOver) return next;
    }
  }

  /** @param {number} count so many of those that have been idle for longest */
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
