// @ts-check
/** What memory the workers of a pool use, where it has a limit. The twin of pool/memory.py. Runs in: programs that own Python workers. */

const BUSY_MS = 100;
const IDLE_MS = 1000;

/** Looks from time to time, and tells the pool. */
export class MemoryWatch {
  #pool;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #lastCall = 0;

  /** @param {import('./pool.mjs').Pool} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  /** Begin, if the pool has a limit. */
  start() {
    if (this.#timer === undefined && this.#pool.scheduler.policy.maxMemory !== null) this.#look();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #look() {
    const pool = this.#pool;
    for (const worker of pool.workers.values()) {
      if (worker.isReady && !worker.isGone) this.measure(worker);
    }
    const isIdle = this.#lastCall === pool.callsBegun && pool.scheduler.idle;
    this.#lastCall = pool.callsBegun;
    this.#timer = setTimeout(() => this.#look(), isIdle ? IDLE_MS : BUSY_MS).unref();
  }

  /**
   * Tell the pool what a worker uses; the first time before it gets calls.
   *
   * @param {import('./channel.mjs').WorkerChannel} worker
   */
  measure(worker) {
    if (this.#pool.scheduler.policy.maxMemory === null) return;
    const rss = worker.process.memory();
    if (rss !== undefined) this.#pool.onMemory(worker, rss);
  }
}
