// @ts-check
/** Stacks that begin and end in the user's code. Runs in: Node workers. */

const OURS = new URL('..', import.meta.url).href;
const FRAME = /^\s+at /;
const NODES_FRAME = /^\s+at .*(\bnode:|\bnative\b)/;
/** How a generator's code is entered; of no interest between the user's code and ours. */
const RESUMED = /^\s+at [^(]*\b(next|return|throw) \(<anonymous>\)$/;

/**
 * A stack without our frames. Frames below the user's code show how the worker got there; frames
 * above it show where our code threw.
 *
 * @param {unknown} stack
 */
export function userStack(stack) {
  const lines = String(stack ?? '').split('\n');
  if (!lines.some(isOurs)) return lines.join('\n');
  const top = lines.findIndex((line) => FRAME.test(line));
  const theirs = lines.findIndex((line, index) => index >= top && FRAME.test(line) && !isPlumbing(line));
  if (theirs === -1) return lines.slice(0, top).join('\n');
  const above = lines.slice(top, theirs).some(isOurs) ? [] : lines.slice(top, theirs);
  const below = lines.slice(theirs);
  let end = below.findIndex(isOurs);
  if (end !== -1) {
    while (isPlumbing(below[end - 1])) end -= 1;
    below.length = end;
  }
  return [...lines.slice(0, top), ...above, ...below].join('\n');
}

/** @param {string} line */
function isOurs(line) {
  return line.includes(OURS) && FRAME.test(line);
}

/** @param {string} line */
function isPlumbing(line) {
  return isOurs(line) || NODES_FRAME.test(line) || RESUMED.test(line);
}

/**
 * The same without Node's own frames: they do not help with a file that does not load.
 *
 * @param {unknown} stack
 */
export function loadingStack(stack) {
  const lines = userStack(stack).split('\n');
  return lines.filter((line) => !/^\s+at .*\bnode:/.test(line)).join('\n');
}
