// @ts-check
/** The place in the program that made a call: the stack of the call's error. Runs in: programs that own Python workers. */

import {PythonError} from '../exceptions.mjs';

/** @typedef {{readonly stack?: string}} CallSite */

/**
 * The place of the current call. The text of the stack is made when it is read.
 *
 * @param {Function} above this function, and what it called, are left out
 * @returns {CallSite}
 */
export function callSite(above) {
  const site = {};
  Error.captureStackTrace(site, above);
  return site;
}

/**
 * Give an error the stack of the program's own call, followed by Python's traceback.
 *
 * @template {Error} E
 * @param {E} error
 * @param {CallSite} [site] without one, the error keeps its stack
 * @returns {E}
 */
export function atSite(error, site) {
  if (site === undefined) return error;
  const stack = site.stack ?? '';
  const lines = stack.includes('\n') ? stack.slice(stack.indexOf('\n')) : '';
  const traceback = error instanceof PythonError && error.traceback ? `\n\n${error.traceback}` : '';
  const value = `${error.name}: ${error.message}${lines}${traceback}`;
  Object.defineProperty(error, 'stack', {value, writable: true, configurable: true});
  return error;
}
