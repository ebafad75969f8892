// @ts-check
/** Stacks as the author of a function needs them. Runs in: Node workers. */

const OURS = new URL('.', import.meta.url).href;

/**
 * A stack down to where our code called the user's; what lies below is how the worker got there.
 *
 * @param {unknown} stack
 */
export function userStack(stack) {
  const lines = String(stack ?? '').split('\n');
  const first = lines.findIndex((line) => line.includes(OURS));
  return (first === -1 ? lines : lines.slice(0, first)).join('\n');
}

/**
 * The same without Node's own frames: for a file that does not load, they say nothing.
 *
 * @param {unknown} stack
 */
export function loadingStack(stack) {
  const lines = userStack(stack).split('\n');
  return lines.filter((line) => !/^\s+at .*\bnode:/.test(line)).join('\n');
}
