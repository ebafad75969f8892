// @ts-check
/** A function of a host, as programs call it. Runs in: callers. */

import {ConfigError} from '../exceptions.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {ServedHost} from './http/host.mjs';

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * @typedef {import('./host.mjs').CallOptions} CallOptions
 * @typedef {import('./host.mjs').Host} Host
 * @typedef {import('./streams.mjs').Stream} Stream
 */

/**
 * @typedef {object} FunctionOptions
 * @property {Host} [host] the host to call; by default all functions share one, see `HostOptions`
 * @property {number | null} [timeout] milliseconds that a call may take, 10 000 by default; null: no limit
 * @property {'error' | 'bigint'} [integers] what integers beyond 2**53 in results become: an error
 *   (the default), or a BigInt
 */

/** @type {ServedHost | undefined} */
let sharedHost;

/**
 * A function of a host, by its name. It may be written in either language.
 *
 * @example
 * const predict = new Function('predict', {rootUrl: 'http://127.0.0.1:9009', timeout: 2000});
 * await predict.call({x: 1});
 */
export class HostFunction {
  #host;
  #timeout;
  #integers;

  /**
   * @param {string} name
   * @param {FunctionOptions & import('./http/locator.mjs').HostOptions} [options]
   */
  constructor(name, options = {}) {
    if (typeof name !== 'string' || name === '') throw new TypeError(`Function needs the name of a function, not ${JSON.stringify(name)}`);
    const {host, timeout = DEFAULT_TIMEOUT_MS, integers = 'error', ...hostOptions} = options;
    const [first] = Object.keys(hostOptions);
    if (host !== undefined && first !== undefined) throw new ConfigError(`${JSON.stringify(first)} is not an option of a Function that has a host: give it to the host.`);
    this.name = name;
    this.#host = host ?? (first !== undefined ? new ServedHost(hostOptions) : undefined);
    this.#timeout = checkedTimeout(timeout);
    this.#integers = integers;
  }

  /** The host that is called. */
  get host() {
    return this.#host ?? (sharedHost ??= new ServedHost());
  }

  /**
   * Call the function with one object of arguments.
   *
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>} its result
   * @throws {import('../exceptions.mjs').RemoteError} the host, or the function, answered with an error
   * @throws {TypeError} an argument cannot be sent; nothing was sent
   */
  async call(args = {}, options = {}) {
    return await this.host.call(this.#request(args, options)); // awaited: the stack of an error names the caller
  }

  /**
   * Call a function that streams. Leaving the loop stops the function.
   *
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Stream} its values
   */
  stream(args = {}, options = {}) {
    return this.host.stream(this.#request(args, options));
  }

  /**
   * Call the function once for each object of arguments, in one request.
   *
   * @param {Iterable<Record<string, unknown>>} calls
   * @param {CallOptions} [options]
   * @returns {Promise<any[]>} the results in order; an error in the place of a call that failed
   */
  map(calls, options = {}) {
    return batch(Array.from(calls, (args) => /** @type {[HostFunction, Record<string, unknown>]} */ ([this, args])), options);
  }

  /**
   * A call of a batch.
   *
   * @param {Record<string, unknown>} [args]
   * @returns {import('./host.mjs').Call}
   */
  prepare(args = {}) {
    return {name: this.name, args, integers: this.#integers};
  }

  /**
   * @param {Record<string, unknown>} args
   * @param {CallOptions} options
   * @returns {import('./host.mjs').CallRequest}
   */
  #request(args, {timeout = this.#timeout, signal, headers}) {
    return {name: this.name, args, integers: this.#integers, timeout, signal, headers};
  }
}

export {HostFunction as Function};

/**
 * Make many calls in one request; the host runs them at the same time.
 *
 * @param {Iterable<[HostFunction, Record<string, unknown>?]>} calls
 * @param {CallOptions} [options] of the batch as a whole
 * @returns {Promise<any[]>} the results in order; an error in the place of a call that failed
 */
export async function batch(calls, {timeout = DEFAULT_TIMEOUT_MS, signal, headers} = {}) {
  const list = [...calls];
  if (list.length === 0) return [];
  const [host, ...others] = new Set(list.map(([fn]) => fn.host));
  if (others.length > 0) throw new TypeError('the functions of a batch must have the same host: make one batch for each host');
  return await host.batch(list.map(([fn, args]) => fn.prepare(args)), {timeout, signal, headers});
}
