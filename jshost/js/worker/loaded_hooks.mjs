// @ts-check
/**
 * Reports every ES module that is loaded. Runs in: the loader thread of a Node worker.
 */

/** @type {import('node:worker_threads').MessagePort} */
let port;

/** @param {{port: import('node:worker_threads').MessagePort}} data */
export function initialize(data) {
  port = data.port;
}

/** @type {import('node:module').LoadHook} */
export async function load(url, context, nextLoad) {
  port.postMessage(url);
  return nextLoad(url, context);
}
