// @ts-check
/** Runs the calls of a Controller one after the other. Runs in: programs that own Python workers. */

/** The calls that were made and are not done. */
export class CallOrder {
  /** @type {Set<Promise<unknown>>} */
  #calls = new Set();
  /** @type {Promise<unknown>} the calls before the next one */
  #before = Promise.resolve();
  #isOrdered;

  /** @param {boolean} isOrdered whether a call waits for those before it */
  constructor(isOrdered) {
    this.#isOrdered = isOrdered;
  }

  /**
   * Take the next place.
   *
   * @returns {{before: Promise<unknown>, leave: () => void}} the calls to wait for; `leave` ends the call
   */
  enter() {
    const before = this.#before;
    /** @type {(value?: unknown) => void} */
    let resolve = () => undefined;
    const call = new Promise((whenDone) => void (resolve = whenDone));
    this.#calls.add(call);
    if (this.#isOrdered) this.#before = Promise.all([before, call]); // a call that gives up lets no other overtake
    const leave = () => {
      resolve();
      this.#calls.delete(call);
    };
    return {before, leave};
  }

  /** Wait until all calls are done that were made so far. */
  async done() {
    await Promise.all(this.#calls);
  }
}
