// @ts-check
/** Keeps the event loop running while a call waits for a worker. Runs in: programs that own Python workers. */

const LONG_MS = 2 ** 31 - 1;

/** Calls in progress keep the program running; workers alone do not. */
export class Anchor {
  #holds = 0;
  #timer = setInterval(() => undefined, LONG_MS).unref();

  hold() {
    this.#holds += 1;
    if (this.#holds === 1) this.#timer.ref();
  }

  release() {
    this.#holds -= 1;
    if (this.#holds === 0) this.#timer.unref();
  }

  /** Nothing waits any more. */
  close() {
    clearInterval(this.#timer);
  }
}
