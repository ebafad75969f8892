// @ts-check
/** Types: what a pool asks of the program that owns it. Runs in: programs that own Python workers. */

/**
 * Keeps the program running between `hold` and `release`.
 *
 * @typedef {object} Anchor
 * @property {() => void} hold
 * @property {() => void} release
 */

/**
 * A worker has died, or was replaced.
 *
 * @typedef {{kind: 'died' | 'killed' | 'recycled' | 'halted', worker: number, message: string}} Notice
 */

/**
 * Gets what workers print and log, and what happens to them.
 *
 * @typedef {object} Listener
 * @property {(worker: import('./channel.mjs').WorkerChannel, stream: 'stdout' | 'stderr', line: import('../protocol/lines.mjs').Line) => void} onLine
 * @property {(worker: import('./channel.mjs').WorkerChannel, entry: import('./channel.mjs').LogEntry) => void} onLog
 * @property {(notice: Notice) => void} onNotice
 */

export {};
