// @ts-check
/** The values that one method of a Controller sends. Runs in: programs that own Python workers. */

/**
 * A call that has its place in the order of calls.
 *
 * @typedef {object} BegunCall
 * @property {Promise<import('../client/streams.mjs').Stream>} stream
 * @property {() => Promise<void>} done to be called when the stream has been read
 */

/** The values of one call; after the last one, `result` is the value that the method returned. */
export class MessageStream {
  /** @type {unknown} */
  result;
  #values;

  /**
   * @param {() => BegunCall} begin makes the call, when the first value is asked for
   * @param {(value: unknown) => void} onValue
   */
  constructor(begin, onValue) {
    this.#values = this.#read(begin, onValue);
  }

  [Symbol.asyncIterator]() {
    return this.#values;
  }

  /**
   * @param {() => BegunCall} begin
   * @param {(value: unknown) => void} onValue
   * @returns {AsyncGenerator<any, void>}
   */
  async *#read(begin, onValue) {
    const begun = begin();
    try {
      const stream = await begun.stream;
      for await (const value of stream) {
        onValue(value);
        yield value;
      }
      this.result = stream.result;
    } finally {
      await begun.done();
    }
  }
}
