// @ts-check
/** Why calls fail that no function has failed, in words. Runs in: programs that own Python workers. */

/** @type {Record<string, string>} */
const REFUSALS = {
  queue_full: 'the queue is full; try again later',
  draining: 'this Python was ended and takes no more calls',
};

/**
 * Why a call was not taken.
 *
 * @param {string} code
 * @param {string} lastProblem why workers do not start, where they do not
 */
export function refusal(code, lastProblem) {
  return code === 'draining' && lastProblem || REFUSALS[code] || lastProblem;
}

/** @param {import('../protocol/frames.mjs').FrameError} problem */
export function tooLarge({message}) {
  return `the call is larger than what a worker can be sent at once: ${message}`;
}

/**
 * Why a call that was taken got no answer.
 *
 * @param {import('./pending_call.mjs').PendingCall} call
 * @param {string} code
 * @param {string} end what is known of its worker's end
 */
export function failure({timeoutMs, startedAt}, code, end) {
  if (code === 'draining') return REFUSALS.draining;
  if (code !== 'timeout') return end;
  const spent = Math.round(performance.now() - startedAt);
  return `no answer within the limit of ${timeoutMs} ms (${spent} ms spent); the call was cancelled`;
}

/**
 * @param {string} file
 * @param {number} limitS
 */
export function slowStart(file, limitS) {
  return `${file}: did not finish loading within ${limitS} s; does it wait for something at its top level? The option startTimeout gives it more time.`;
}
