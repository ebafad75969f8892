// @ts-check
/** The channel to the host. Runs in: Node workers. */

import {Outbox} from '../protocol/outbox.mjs';

/** Our end of a socket pair. */
export class Channel {
  /** @param {import('node:stream').Duplex} socket */
  constructor(socket) {
    this.socket = socket;
    /** Sends frames, few writes for many of them. */
    this.outbox = new Outbox(socket);
    /** Fulfilled when the host is gone in the middle of a write. @type {Promise<unknown>} */
    this.lost = new Promise((resolve) => {
      socket.on('error', resolve);
    });
  }

  /**
   * Send a frame whose payload is the value's JSON.
   *
   * @param {number} kind
   * @param {number} callId
   * @param {unknown} value
   */
  sendJson(kind, callId, value) {
    this.outbox.post(kind, callId, JSON.stringify(value));
  }
}
