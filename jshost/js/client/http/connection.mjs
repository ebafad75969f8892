// @ts-check
/** One connection of a caller's to a host: a request, its answer, the next request. Runs in: callers. */

import {connect} from 'node:net';
import {ResponseReader} from './http1.mjs';
import {joined} from './messages.mjs';

/** A smaller body is copied behind its head, so that both are one write. */
const SMALL_BYTES = 64 * 1024;
/** So much of an answer may wait for its reader; then the socket is read no further. */
const MAX_WAITING_BYTES = 256 * 1024;

/**
 * An answer whose head has come; the rest may be on its way.
 *
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} type the content type
 * @property {any} message its body, still to come
 */

/** One request, from when it is made until its answer has come or will not. */
export class Exchange {
  /** @type {Buffer[]} what has come of the body, and not been taken */
  #pieces = [];
  #waitingBytes = 0;
  /** @type {Error | undefined} */
  #error;
  #wake = () => {};
  #resolve;
  #reject;
  #signal;
  #abort = () => this.end(this.#signal?.reason);
  /** @type {Connection | undefined} that it was sent over */
  connection;
  /** Whether the answer has come, to its end. */
  isWhole = false;

  /**
   * @param {AbortSignal | undefined} signal ends it
   * @param {(answer: Answer) => void} resolve
   * @param {(error: Error) => void} reject
   */
  constructor(signal, resolve, reject) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#abort);
  }

  /** Whether nothing will come any more. */
  get isOver() {
    return this.isWhole || this.#error !== undefined;
  }

  /**
   * @param {number} status
   * @param {string} type
   */
  onHead(status, type) {
    this.#resolve({status, type, message: this});
  }

  /** @param {Buffer} piece */
  onBody(piece) {
    this.#pieces.push(piece);
    this.#waitingBytes += piece.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.connection?.pause();
    this.#wake();
  }

  onEnd() {
    this.isWhole = true;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#wake();
  }

  /** @param {Error} error there will be no answer, or no more of it */
  fail(error) {
    this.#error = error;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#reject(error);
    this.#wake();
  }

  /** @param {Error} [error] whoever asked does not want the answer */
  end(error = new Error('its reader has left')) {
    if (this.isOver) return;
    if (this.connection === undefined) this.fail(error);
    else this.connection.destroy(error);
  }

  /** The body, where all of it has come. */
  whole() {
    if (!this.isWhole) return undefined;
    return joined(this.#take());
  }

  /** The pieces of the body, as they come; whoever leaves before the end ends the connection. */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        yield* this.#take();
        if (this.#pieces.length > 0) continue;
        if (this.#error !== undefined) throw this.#error;
        if (this.isWhole) return;
        await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
      }
    } finally {
      this.end();
    }
  }

  #take() {
    const pieces = this.#pieces;
    this.#pieces = [];
    if (this.#waitingBytes > MAX_WAITING_BYTES && !this.isOver) this.connection?.resume();
    this.#waitingBytes = 0;
    return pieces;
  }
}

/**
 * @typedef {object} ConnectionOwner
 * @property {(connection: Connection) => void} onFree the answer is whole: it takes another request
 * @property {(connection: Connection) => void} onGone it is closed
 */

/** A socket and who uses it. While nobody does, it does not keep the program from ending. */
export class Connection {
  #socket;
  #owner;
  #reader;
  /** @type {Exchange | undefined} */
  #exchange;
  #isGone = false;
  /** When its last answer was whole, by `performance.now()`. */
  idleSince = 0;

  /**
   * @param {import('node:net').NetConnectOpts} where
   * @param {ConnectionOwner} owner
   */
  constructor(where, owner) {
    this.#owner = owner;
    this.#reader = new ResponseReader({
      onHead: (status, type) => this.#exchange?.onHead(status, type),
      onBody: (piece) => this.#exchange?.onBody(piece),
    });
    this.#socket = connect({...where, noDelay: true, keepAlive: true});
    this.#socket.on('data', (data) => this.#read(data));
    this.#socket.on('end', () => {
      if (this.#reader.end()) this.#finish();
      this.destroy();
    });
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('close', () => this.destroy());
  }

  /**
   * Send a request.
   *
   * @param {Exchange} exchange gets its answer
   * @param {string} head
   * @param {Buffer} body
   */
  send(exchange, head, body) {
    exchange.connection = this;
    this.#exchange = exchange;
    this.#reader.begin();
    this.#socket.ref();
    if (body.length <= SMALL_BYTES) {
      const bytes = Buffer.allocUnsafe(head.length + body.length);
      bytes.write(head, 'latin1');
      body.copy(bytes, head.length);
      this.#socket.write(bytes);
      return;
    }
    this.#socket.cork();
    this.#socket.write(head, 'latin1');
    this.#socket.write(body);
    this.#socket.uncork();
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  /** @param {Error} [error] what whoever waits for an answer is told */
  destroy(error = new Error('it was closed')) {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#socket.destroy();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#owner.onGone(this);
    exchange?.fail(error);
  }

  /** @param {Buffer} data */
  #read(data) {
    try {
      this.#reader.feed(data);
    } catch (error) {
      this.destroy(/** @type {Error} */ (error));
      return;
    }
    if (!this.#reader.isDue) this.#finish(); // all of `data` has been looked at
  }

  #finish() {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    // Where the answer came before all of the request was sent, the other side does not read the rest.
    if (this.#reader.keepAlive && this.#socket.writableLength === 0) {
      this.#socket.resume();
      this.#socket.unref();
      this.idleSince = performance.now();
      this.#owner.onFree(this);
    } else this.destroy();
    exchange?.onEnd();
  }
}
