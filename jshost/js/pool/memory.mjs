// @ts-check
/** Measures the memory of a pool's workers, where it has a limit; as pool/memory.py. Runs in: programs that own Python workers. */

const BUSY_MS = 100;
const IDLE_MS = 1000;

/** @typedef {import('./channel.mjs').WorkerChannel} WorkerChannel */

/**
 * The pool, as far as it is watched.
 *
 * @typedef {object} WatchedPool
 * @property {{policy: {maxMemory: number | null}, idle: boolean}} scheduler
 * @property {ReadonlyMap<number, WorkerChannel>} workers
 * @property {number} callsBegun
 * @property {(worker: WorkerChannel, rss: number) => void} onMemory
 */

/** Measures from time to time and tells the pool. */
export class MemoryWatch {
  #pool;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #lastCall = 0;

  /** @param {WatchedPool} pool */
  constructor(pool) {
    this.#pool = pool;
  }

  /** Begin, if the pool has a limit. */
  start() {
    if (this.#timer === undefined && this.#pool.scheduler.policy.maxMemory !== null) this.#measureAll();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #measureAll() {
    const pool = this.#pool;
    for (const worker of pool.workers.values()) {
      if (worker.isReady && !worker.isGone) this.measure(worker);
    }
    const isIdle = this.#lastCall === pool.callsBegun && pool.scheduler.idle;
    this.#lastCall = pool.callsBegun;
    this.#timer = setTimeout(() => this.#measureAll(), isIdle ? IDLE_MS : BUSY_MS).unref();
  }

  /**
   * Tell the pool how much memory a worker uses. The first time is before the worker gets calls.
   *
   * @param {WorkerChannel} worker
   */
  measure(worker) {
    if (this.#pool.scheduler.policy.maxMemory === null) return;
    const rss = worker.process.memory();
    if (rss !== undefined) this.#pool.onMemory(worker, rss);
  }
}
