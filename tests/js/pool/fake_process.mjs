// @ts-check
/** The process of a worker that is a fake: the test plays the worker. */

import {PassThrough} from 'node:stream';
import {Decoder, Kind, encode} from '../../../jshost/js/protocol/frames.mjs';

export class FakeProcess {
  pid = 1;
  hasEnded = false;
  /** Whether it ends when it is drained, without the test. */
  obeys = false;
  end = 'still running';
  stdout = new PassThrough();
  stderr = new PassThrough();
  /** @type {import('../../../jshost/js/protocol/frames.mjs').Frame[]} */
  received = [];
  /** @type {(() => void)[]} */
  #listeners = [];
  #decoder = new Decoder();

  constructor() {
    const channel = new PassThrough();
    channel.write = /** @type {any} */ ((/** @type {Buffer} */ data) => {
      const frames = this.#decoder.feed(Buffer.from(data));
      this.received.push(...frames);
      if (this.obeys && frames.some(({kind}) => kind === Kind.DRAIN)) setImmediate(() => this.exit('exit code 0'));
    });
    this.channel = channel;
  }

  /**
   * @param {number} kind
   * @param {number} callId
   * @param {string} payload
   */
  send(kind, callId, payload) {
    this.channel.emit('data', encode(kind, callId, payload));
  }

  /**
   * @param {string[]} [functions]
   * @param {Record<string, unknown>} [options]
   */
  ready(functions = ['f'], options = {}) {
    this.send(Kind.READY, 0, JSON.stringify({language: 'python', version: '3', functions, options}));
  }

  /** @param {() => void} listener */
  onEnd(listener) {
    this.#listeners.push(listener);
  }

  kill() {
    this.exit('signal SIGKILL');
  }

  /** @param {string} how */
  exit(how) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.end = how;
    for (const stream of [this.channel, this.stdout, this.stderr]) stream.destroy();
    for (const listener of this.#listeners) listener();
  }

  memory() {
    return undefined;
  }

  close() {}
}
