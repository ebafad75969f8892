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

module.exports = {
  /** @param {{x: number}} data */
  tiny: ({ x }) => x + 1,

  /** @param {{text: string}} data */
  echo: ({ text }) => text,

  /** @param {{ms: number}} data */
  sleep: ({ ms }) => new Promise((resolve) => { setTimeout(resolve, ms, ms); }),

  /** @param {{ms: number}} data */
  burn: ({ ms }) => { spendCpu(ms); return ms; },
};
