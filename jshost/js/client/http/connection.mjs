// @ts-check
/** One connection to a host: a request, its response, the next request. Runs in: callers. */

import {connect} from 'node:net';
import {ResponseParser} from './http1.mjs';
import {joined} from './messages.mjs';

/** A smaller body is copied behind the head, so that both are one write. */
const SMALL_BYTES = 64 * 1024;
/** If more of a response waits for its reader, the socket is not read further. */
const MAX_WAITING_BYTES = 256 * 1024;

/** @typedef {import('./messages.mjs').Response} Response */

/** One request and its response, until the response has come to its end, or cannot come any more. */
export class Exchange {
  /** @type {Buffer[]} pieces of the body that its reader has not taken */
  #pieces = [];
  #waitingBytes = 0;
  /** @type {Error | undefined} */
  #error;
  #wake = () => {};
  #resolve;
  #reject;
  #signal;
  #abort = () => this.end(this.#signal?.reason);
  /** @type {Connection | undefined} the request was sent over it */
  connection;
  /** Whether the response has come to its end. */
  isWhole = false;

  /**
   * @param {AbortSignal | undefined} signal ends it
   * @param {(response: Response) => void} resolve
   * @param {(error: Error) => void} reject
   */
  constructor(signal, resolve, reject) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#abort);
  }

  /** Whether nothing more will come. */
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

  /** @param {Error} error why there is no response, or no more of it */
  fail(error) {
    this.#error = error;
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#reject(error);
    this.#wake();
  }

  /** @param {Error} [error] why the caller does not want the response */
  end(error = new Error('the reader left')) {
    if (this.isOver) return;
    if (this.connection === undefined) this.fail(error);
    else this.connection.destroy(error);
  }

  /** The body, if all of it has come. */
  whole() {
    if (!this.isWhole) return undefined;
    return joined(this.#take());
  }

  /** The pieces of the body, as they come. Leaving the loop before the end closes the connection. */
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
 * @property {(connection: Connection) => void} onFree the response is whole: it takes another request
 * @property {(connection: Connection) => void} onGone it is closed
 */

/** A socket and the exchange that uses it. An idle one does not keep the program running. */
export class Connection {
  #socket;
  #owner;
  #reader;
  /** @type {Exchange | undefined} */
  #exchange;
  #isGone = false;
  /** When it became idle, by `performance.now()`. */
  idleSince = 0;

  /**
   * @param {import('node:net').NetConnectOpts} where
   * @param {ConnectionOwner} owner
   * @param {typeof connect} [open]
   */
  constructor(where, owner, open = connect) {
    this.#owner = owner;
    this.#reader = new ResponseParser({
      onHead: (status, type) => this.#exchange?.onHead(status, type),
      onBody: (piece) => this.#exchange?.onBody(piece),
    });
    this.#socket = open({...where, noDelay: true, keepAlive: true});
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
   * @param {Exchange} exchange gets the response
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

  /** @param {Error} [error] for the exchange that waits for a response */
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
    if (!this.#reader.isDue) this.#finish(); // after all of `data` was read
  }

  #finish() {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    // If the response came before all of the request was sent, the host does not read the rest.
    if (this.#reader.keepAlive && this.#socket.writableLength === 0) {
      this.#socket.resume();
      this.#socket.unref();
      this.idleSince = performance.now();
      this.#owner.onFree(this);
    } else this.destroy();
    exchange?.onEnd();
  }
}
