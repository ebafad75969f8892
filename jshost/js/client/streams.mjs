// @ts-check
/** The values of a call that streams. Runs in: callers, programs that own Python workers. */

/** The values of a stream; after the last one, `result` is the value that the function returned. */
export class Stream {
  #values;
  /** @type {unknown} */
  #result;
  /** Whether the function has returned. */
  hasEnded = false;

  /** @param {(stream: Stream) => AsyncIterator<any, void> & {return(): Promise<unknown>}} begin */
  constructor(begin) {
    this.#values = begin(this);
  }

  get result() {
    return this.#result;
  }

  set result(value) {
    this.#result = value;
    this.hasEnded = true;
  }

  [Symbol.asyncIterator]() {
    return this.#values;
  }

  /** Stop reading; the function's signal is aborted. */
  async close() {
    await this.#values.return();
  }
}
