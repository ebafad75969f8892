// @ts-check
/** Keeps the event loop open while somebody waits for a worker. Runs in: programs that own Python workers. */

const LONG_MS = 2 ** 31 - 1;

/** Workers alone do not keep a program running; calls that are on their way do. */
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

  /** All is over. */
  close() {
    clearInterval(this.#timer);
  }
}
