// @ts-check
/**
 * The chunks of a call: sent as the host has room for them, or collected. Runs in: Node workers.
 */

import {isBytes} from '../protocol/bytes.mjs';
import {Kind} from '../protocol/frames.mjs';
import {encodeChunk} from '../protocol/values.mjs';

/** How many bytes of a call's frames may be on their way; docs/protocol.md says what is counted. */
export const WINDOW_BYTES = 256 * 1024;
const MAX_QUEUE_BYTES = 64 * 1024 * 1024;
/** What a queued chunk takes beside its payload. */
const QUEUED_OVERHEAD_BYTES = 128;
/** So long a producer may keep the event loop from reading the channel. */
const LONGEST_TURN_MS = 4;

const READY = Promise.resolve();

/** @typedef {import('./context.mjs').CallContext & {id: number, settled: boolean, cancelled: boolean}} SendingCall */
/** @typedef {{next(): any, return?(): any}} Producer an iterator */
/** @typedef {object & {destroy?: () => void}} Source what gives one: a generator, a Node stream */

/** One call's chunks on their way to the host. */
export class OutgoingStream {
  #call;
  #outbox;
  /** @type {unknown[] | undefined} where the caller wants no chunks: all of them, for the result */
  #collected;
  /** @type {import('../protocol/values.mjs').Encoded[]} */
  #queue = [];
  #queuedBytes = 0;
  #unacknowledgedBytes = 0;
  /** @type {{promise: Promise<void>, resolve: () => void, reject: (reason: unknown) => void} | undefined} */
  #waiting;
  /** @type {(() => void) | undefined} */
  #onEmpty;
  #turnBegan = performance.now();
  /** @type {Promise<void> | undefined} */
  #breath;
  #hasWarned = false;
  /** Called when no more chunks are wanted. @type {(() => void) | undefined} */
  onStop;

  /**
   * @param {SendingCall} call
   * @param {import('../protocol/outbox.mjs').Outbox} outbox
   * @param {boolean} collects
   */
  constructor(call, outbox, collects) {
    this.#call = call;
    this.#outbox = outbox;
    if (collects) this.#collected = [];
  }

  /** Whether a producer must wait. */
  get isFull() {
    return this.#queue.length > 0 || this.#unacknowledgedBytes >= WINDOW_BYTES;
  }

  /**
   * Send a chunk: any value that has JSON, or bytes.
   *
   * @param {unknown} chunk
   * @returns {Promise<void>} fulfilled when there is room for more, rejected when the call is cancelled
   */
  send(chunk) {
    const call = this.#call;
    if (call.settled) {
      this.#warn();
      return READY;
    }
    if (call.cancelled) return refused(call.signal.reason);
    if (this.#collected !== undefined) {
      // Bytes are often read into the same buffer again.
      this.#collected.push(isBytes(chunk) ? Buffer.from(encodeChunk(chunk).payload) : chunk);
      return this.#pause();
    }
    const encoded = encodeChunk(chunk);
    if (this.isFull) this.#enqueue(encoded);
    else this.#post(encoded);
    return this.isFull ? this.#room() : this.#pause();
  }

  /**
   * What the call results in: what the function returned, else the chunks where they were collected.
   *
   * @param {unknown} value
   */
  result(value) {
    return value === undefined ? this.#collected : value;
  }

  /** Fulfilled at once, or, every few milliseconds, when the event loop has turned. */
  #pause() {
    if (this.#breath !== undefined) return this.#breath;
    if (performance.now() - this.#turnBegan < LONGEST_TURN_MS) return READY;
    this.#breath = new Promise((resolve) => {
      setImmediate(() => {
        this.#breath = undefined;
        this.#turnBegan = performance.now();
        resolve();
      });
    });
    return this.#breath;
  }

  #room() {
    if (this.#waiting === undefined) {
      /** @type {() => void} */
      let resolve = () => {};
      /** @type {(reason: unknown) => void} */
      let reject = () => {};
      const promise = new Promise((yes, no) => {
        [resolve, reject] = [/** @type {() => void} */ (yes), no];
      });
      promise.catch(() => {}); // a function may send without waiting
      this.#waiting = {promise, resolve, reject};
    }
    return this.#waiting.promise;
  }

  /** @param {number} bytes how many the reader has taken */
  credit(bytes) {
    this.#unacknowledgedBytes -= bytes;
    let next = 0;
    while (next < this.#queue.length && this.#unacknowledgedBytes < WINDOW_BYTES) {
      const encoded = this.#queue[next++];
      this.#queuedBytes -= queuedSize(encoded);
      this.#post(encoded);
    }
    if (next > 0) this.#queue = this.#queue.slice(next);
    if (this.#queue.length === 0) this.#emptied();
    if (!this.isFull) {
      this.#turnBegan = performance.now();
      this.#waiting?.resolve();
      this.#waiting = undefined;
    }
  }

  /**
   * The call is cancelled: chunks are dropped, those that wait to be sent too.
   *
   * @param {unknown} reason
   */
  cancel(reason) {
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
    this.#queue = [];
    this.onStop?.();
    this.#emptied();
  }

  /** The call is settled: chunks that are sent from now on are ignored. */
  end() {
    this.#waiting?.resolve();
    this.#waiting = undefined;
    this.onStop?.();
  }

  /**
   * Call `work` when all chunks are sent.
   *
   * @param {() => void} work
   */
  whenSent(work) {
    this.#onEmpty = work;
    if (this.#queue.length === 0) this.#emptied();
  }

  #emptied() {
    const work = this.#onEmpty;
    this.#onEmpty = undefined;
    work?.();
  }

  /** @param {import('../protocol/values.mjs').Encoded} encoded */
  #post({form, payload}) {
    this.#unacknowledgedBytes += this.#outbox.post(Kind.CHUNK, this.#call.id, payload, form);
  }

  /** @param {import('../protocol/values.mjs').Encoded} encoded */
  #enqueue(encoded) {
    const size = queuedSize(encoded);
    if (this.#queuedBytes + size > MAX_QUEUE_BYTES) {
      throw new Error(
        `send: ${this.#queuedBytes} bytes wait to be sent, for the caller reads more slowly; ` +
          'await what send() returns before you send more',
      );
    }
    this.#queuedBytes += size;
    const {form, payload} = encoded;
    this.#queue.push({form, payload: typeof payload === 'string' ? payload : Buffer.from(payload)});
  }

  #warn() {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const {name, host} = this.#call;
    host.logger.warn(`${name}: send() was called after the call was answered; what it sends is ignored`);
  }
}

/** @param {import('../protocol/values.mjs').Encoded} encoded */
function queuedSize({payload}) {
  return QUEUED_OVERHEAD_BYTES + payload.length;
}

/** @param {unknown} reason */
function refused(reason) {
  const promise = Promise.reject(reason);
  promise.catch(() => {});
  return promise;
}

/**
 * Send all that a producer gives, at the reader's pace.
 *
 * @param {SendingCall} call
 * @param {OutgoingStream} stream
 * @param {Source} source
 * @returns {Promise<unknown>} what the producer returned
 */
export async function drive(call, stream, source) {
  const producer = iteratorOf(source);
  let isWaiting = false;
  /** @type {(step?: any) => void} */
  let wake = () => {};
  stream.onStop = () => {
    // An async generator that waits ends when what it waits for has come; the call ends now.
    if (isWaiting) void close(producer);
    if (typeof source.destroy === 'function') source.destroy();
    wake();
  };
  try {
    for (;;) {
      let step = producer.next();
      if (isThenable(step)) {
        isWaiting = true;
        const next = step;
        step = await new Promise((resolve, reject) => {
          wake = resolve; // not Promise.race: a promise that lives longer would collect reactions
          next.then(resolve, reject);
        });
        if (call.cancelled || call.settled) throw call.signal.reason;
        isWaiting = false;
      }
      if (call.cancelled || call.settled) break;
      if (step.done) {
        stream.onStop = undefined;
        return stream.result(step.value);
      }
      const ready = stream.send(isThenable(step.value) ? await step.value : step.value);
      if (ready !== READY) await ready;
      if (call.cancelled || call.settled) break;
    }
  } catch (error) {
    if (!isWaiting) await close(producer);
    throw error;
  }
  await close(producer);
  throw call.signal.reason;
}

/**
 * Let a producer clean up; an error there does not replace the call's own.
 *
 * @param {Producer} producer
 */
async function close(producer) {
  try {
    await producer.return?.();
  } catch {
    // the call has an error already, or its caller is gone
  }
}

/**
 * @param {any} value
 * @returns {value is PromiseLike<unknown>}
 */
export function isThenable(value) {
  const canHave = typeof value === 'function' || (typeof value === 'object' && value !== null);
  return canHave && typeof value.then === 'function';
}

/**
 * Whether a value is streamed: async iterables are, and iterators, but no arrays, sets and the
 * like, which are values.
 *
 * @param {any} value
 * @returns {value is Source}
 */
export function isSource(value) {
  if (value === null || typeof value !== 'object') return false;
  if (typeof value[Symbol.asyncIterator] === 'function') return true;
  return typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function';
}

/**
 * @param {any} source
 * @returns {Producer}
 */
function iteratorOf(source) {
  return (source[Symbol.asyncIterator] ?? source[Symbol.iterator]).call(source);
}
