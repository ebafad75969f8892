// @ts-check
/** Reads the values of a streaming call, and gives the worker credit. Runs in: programs that own Python workers. */

import {HEADER_BYTES} from '../protocol/frames.mjs';

/** Credit is given for at least this much: a quarter of what a worker sends ahead. */
const CREDIT_BYTES = 64 * 1024;

/**
 * The call, as the reader of its stream uses it.
 *
 * @typedef {object} CreditedCall
 * @property {(size: number) => void} credit so many bytes of its frames have been taken
 * @property {() => void} cancel the reader left
 */

/**
 * The values of one call, as they come; the call is made when the first one is asked for.
 *
 * @implements {AsyncIterableIterator<any, void, any>}
 */
export class Chunks {
  #begin;
  #decode;
  /** @type {CreditedCall | undefined} */
  #call;
  /** @type {Buffer[]} */
  #waiting = [];
  #next = 0;
  #uncredited = 0;
  /** @type {{resolve: (step: IteratorResult<any, void>) => void, reject: (error: unknown) => void}[]} */
  #takers = [];
  #isOver = false;
  #hasBegun = false;
  /** @type {unknown} */
  #error;

  /**
   * @param {(chunks: Chunks) => CreditedCall} begin
   * @param {(payload: Buffer) => unknown} decode
   */
  constructor(begin, decode) {
    this.#begin = begin;
    this.#decode = decode;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<any, void>>} */
  async next() {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      this.#isOver = true; // where it cannot begin
      this.#call = this.#begin(this);
      this.#isOver = false;
    }
    if (this.#next < this.#waiting.length) return {value: this.#take(), done: false};
    if (!this.#isOver) return new Promise((resolve, reject) => void this.#takers.push({resolve, reject}));
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
    return {value: undefined, done: true};
  }

  /**
   * Stop reading; the function is stopped.
   *
   * @returns {Promise<IteratorResult<any, void>>}
   */
  async return() {
    const wasOver = this.#isOver;
    this.#hasBegun = true;
    this.#waiting = [];
    this.#next = 0;
    this.end(undefined);
    if (!wasOver) this.#call?.cancel();
    return {value: undefined, done: true};
  }

  /** @param {Buffer} payload a CHUNK frame's */
  add(payload) {
    if (this.#isOver) return;
    this.#waiting.push(payload);
    const taker = this.#takers.shift();
    if (taker === undefined) return;
    try {
      taker.resolve({value: this.#take(), done: false});
    } catch (error) {
      taker.reject(error);
    }
  }

  /**
   * The call is over.
   *
   * @param {unknown} error undefined: it did not fail
   */
  end(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    const [first, ...others] = this.#takers;
    this.#takers = [];
    if (first === undefined) this.#error = error;
    else if (error !== undefined) first.reject(error);
    else first.resolve({value: undefined, done: true});
    for (const taker of others) taker.resolve({value: undefined, done: true});
  }

  #take() {
    const payload = this.#waiting[this.#next++];
    if (this.#next === this.#waiting.length) {
      this.#waiting = [];
      this.#next = 0;
    }
    this.#uncredited += HEADER_BYTES + payload.length;
    if (this.#uncredited >= CREDIT_BYTES && !this.#isOver) {
      this.#call?.credit(this.#uncredited);
      this.#uncredited = 0;
    }
    try {
      return this.#decode(payload);
    } catch (error) {
      void this.return(); // a loop that fails does not leave by itself
      throw error;
    }
  }
}
