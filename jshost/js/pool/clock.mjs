// @ts-check
/** The clock of a pool, and waiting by it. Runs in: programs that own Python workers. */

const POLL_MS = 2;
const LONGEST_POLL_MS = 50;

/** Seconds on a monotonic clock. */
export function now() {
  return performance.now() / 1000;
}

/**
 * Wait until the condition holds, for at most `limitMs`. It is checked less and less often.
 *
 * @param {() => boolean} condition
 * @param {number} limitMs
 */
export async function until(condition, limitMs) {
  const deadline = performance.now() + limitMs;
  for (let pauseMs = POLL_MS; !condition() && performance.now() < deadline; pauseMs = Math.min(pauseMs * 1.1, LONGEST_POLL_MS)) {
    await new Promise((resolve) => void setTimeout(resolve, pauseMs).unref());
  }
}
