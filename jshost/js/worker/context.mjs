// @ts-check
/** What functions see of their call and their host. Runs in: Node workers. */

import {ConfigError} from '../exceptions.mjs';

/**
 * @typedef {(...args: any[]) => unknown} UserFunction
 * @typedef {{[name: string]: any, functions?: Record<string, UserFunction>}} Config what a config file exports
 */

/**
 * What a function sees of its call: `this`, and its third argument.
 *
 * @typedef {object} CallContext
 * @property {string} name the function's name
 * @property {string} requestId the id in the logs of both sides
 * @property {HostContext} host
 * @property {AbortSignal} signal aborted when the deadline passes or the caller leaves
 * @property {number | null} timeout seconds that the call had when it arrived
 * @property {string | undefined} traceparent the caller's W3C trace context
 * @property {(chunk: unknown) => Promise<void>} send sends a value to the caller before the result;
 *   the promise is fulfilled when there is room for more
 */

/**
 * The host as functions see it.
 *
 * @typedef {object} HostContext
 * @property {Config} config the config file's object, with its extra properties
 * @property {Logger} logger
 * @property {(name: string, fn: UserFunction) => void} addFunction serves one more function; for
 *   `extendHost`, before the host listens
 */

/** @typedef {Record<'log' | 'info' | 'warn' | 'error' | 'debug', (...args: unknown[]) => void>} Logger */

/**
 * @param {Config} config
 * @param {Map<string, UserFunction>} functions by name; `addFunction` adds to it
 * @param {Logger} logger
 * @returns {HostContext}
 */
export function makeHostContext(config, functions, logger) {
  return {
    config,
    logger,
    addFunction(name, fn) {
      if (functions.has(name)) {
        throw new ConfigError(`A function has already been defined with the name "${name}"`);
      }
      if (typeof fn !== 'function') {
        throw new ConfigError(`addFunction("${name}", …) needs a function, not a ${typeof fn}.`);
      }
      functions.set(name, fn);
    },
  };
}
