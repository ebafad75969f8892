'use strict';
// The functions every JavaScript row serves. Runs in: each row's Node process.

/**
 * Spend `ms` milliseconds of this process's CPU time. Wall time would not do: two processes
 * that share one core would both seem to finish on time.
 * @param {number} ms
 */
function spendCpu(ms) {
  const start = process.cpuUsage();
  let sum = 0;
  for (;;) {
    for (let i = 0; i < 2000; i += 1) sum += i;
    const used = process.cpuUsage(start);
    if (used.user + used.system >= ms * 1000) return sum;
  }
}

const CHUNK = '0123456789';

/**
 * Results of every kind, by `i`: what each i gives is in bench/million.py, too.
 * @type {((i: number) => unknown)[]}
 */
const KINDS = [
  (i) => i + 1,
  (i) => `text ${i} \u00e4\u{1f600}`,
  (i) => ({ number: i, list: [i, null, true], nested: { text: 'x'.repeat(200) } }),
  () => null,
  (i) => Buffer.from(`bytes ${i}`),
  (i) => Promise.resolve('y'.repeat(10_000) + i),
  (i) => { throw new RangeError(`no ${i}`); },
];

module.exports = {
  /** @param {{x: number}} data */
  tiny: ({ x }) => x + 1,

  /** @param {{text: string}} data */
  echo: ({ text }) => text,

  /** @param {{ms: number}} data */
  sleep: ({ ms }) => new Promise((resolve) => { setTimeout(resolve, ms, ms); }),

  /** @param {{ms: number}} data */
  burn: ({ ms }) => { spendCpu(ms); return ms; },

  /** @param {{count: number}} data */
  * chunks({ count }) {
    for (let i = 0; i < count; i += 1) yield CHUNK;
  },

  /** @param {{count: number}} data */
  async * async_chunks({ count }) {
    for (let i = 0; i < count; i += 1) yield CHUNK;
  },

  /** @param {{i: number}} data */
  mixed: ({ i }) => KINDS[i % KINDS.length](i),
};
