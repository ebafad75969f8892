// @ts-check
/**
 * Frames on their way to the other side, with few writes for many frames. Runs in: Node workers, and
 * programs that own Python workers.
 *
 * The first frame of a turn of the event loop is written at once; later frames are
 * gathered, and written when the turn ends or when there are enough of them. A few calls are enough:
 * the worker runs them while the program makes the others.
 */

import {Kind, encode, encodeInto} from './frames.mjs';

const SLAB_BYTES = 64 * 1024;
const SMALL_BYTES = 16 * 1024;
const AT_ONCE = 1;
/** As for results, but a turn is long where a stream's producer computes between its chunks. */
const CHUNKS_AT_ONCE = 16;
const CALLS_IN_A_WRITE = 12;

export class Outbox {
  #channel;
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #end = 0;
  #writesInTurn = 0;
  #callsGathered = 0;
  #endTurn = () => {
    this.flush();
    this.#writesInTurn = 0;
  };

  /** @param {import('node:stream').Writable} channel */
  constructor(channel) {
    this.#channel = channel;
  }

  /**
   * Send a frame. The payload may be changed as soon as this returns.
   *
   * @param {number} kind
   * @param {number} callId
   * @param {Uint8Array | string} payload
   * @param {string} [form] one ASCII character that goes before the payload
   * @returns {number} the frame's size in bytes
   */
  post(kind, callId, payload, form = '') {
    const most = 16 + (typeof payload === 'string' ? 3 * payload.length : payload.length);
    if (most > SMALL_BYTES) return this.#postLarge(encode(kind, callId, payload, form));
    if (this.#end + most > SLAB_BYTES) this.flush();
    const start = this.#end;
    this.#end = encodeInto(this.#slab, start, kind, callId, payload, form);
    const size = this.#end - start;
    const limit = kind === Kind.CHUNK ? CHUNKS_AT_ONCE : kind === Kind.LOG ? Infinity : AT_ONCE;
    if (kind === Kind.CALL) this.#callsGathered += 1;
    if (this.#writesInTurn < limit || this.#callsGathered === CALLS_IN_A_WRITE) this.flush();
    return size;
  }

  /** @param {Buffer} frame */
  #postLarge(frame) {
    this.flush();
    this.#write(frame);
    return frame.length;
  }

  /** More than one frame follows in this turn: gather them all. */
  gather() {
    if (this.#writesInTurn > 0) return;
    process.nextTick(this.#endTurn);
    this.#writesInTurn = AT_ONCE;
  }

  /** Write the gathered frames. */
  flush() {
    if (this.#end === 0) return;
    const frames = this.#slab.subarray(0, this.#end);
    this.#end = 0;
    this.#callsGathered = 0;
    if (this.#channel.writableLength > 0) {
      this.#write(Buffer.from(frames)); // the host is slow: a slab for each few bytes would add up
      return;
    }
    this.#write(frames);
    // The kernel has not taken all of it, so the channel still needs the slab.
    if (this.#channel.writableLength > 0) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  /** @param {Buffer} data */
  #write(data) {
    if (this.#writesInTurn === 0) process.nextTick(this.#endTurn);
    this.#writesInTurn += 1;
    this.#channel.write(data);
  }
}
