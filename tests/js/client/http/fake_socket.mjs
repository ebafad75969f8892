// @ts-check
/** A socket to a host that is a fake: the test plays the host. */

import {EventEmitter} from 'node:events';

export const OK = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';

export class FakeSocket extends EventEmitter {
  /** The requests so far, as Latin-1. */
  sent = '';
  writes = 0;
  isPaused = false;
  /** Whether it keeps the program running. */
  isHeld = true;
  isDestroyed = false;
  writableLength = 0;

  /**
   * @param {string | Buffer} data
   * @param {BufferEncoding} [encoding]
   */
  write(data, encoding) {
    this.writes += 1;
    this.sent += Buffer.from(/** @type {string} */ (data), encoding).toString('latin1');
    return true;
  }

  cork() {}

  uncork() {}

  ref() {
    this.isHeld = true;
  }

  unref() {
    this.isHeld = false;
  }

  pause() {
    this.isPaused = true;
  }

  resume() {
    this.isPaused = false;
  }

  destroy() {
    this.isDestroyed = true;
    this.emit('close');
  }

  /** @param {string} text what the host sends, as Latin-1 */
  receive(text) {
    this.emit('data', Buffer.from(text, 'latin1'));
  }

  /** @param {string} body of a whole response */
  answer(body) {
    this.receive(`${OK}Content-Length: ${body.length}\r\n\r\n${body}`);
  }
}

/** Opens sockets, and keeps them. */
export function socketFactory() {
  /** @type {FakeSocket[]} */
  const sockets = [];
  /** @type {any[]} */
  const places = [];
  const open = /** @type {any} */ ((/** @type {unknown} */ where) => {
    places.push(where);
    sockets.push(new FakeSocket());
    return sockets[sockets.length - 1];
  });
  return {open, sockets, places};
}
