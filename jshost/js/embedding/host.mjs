// @ts-check
/** A host in the program itself: its own Python workers, no server. Runs in: programs that own Python workers. */

import path from 'node:path';
import {Stream} from '../client/streams.mjs';
import {findPython} from '../discovery/interpreter.mjs';
import {FunctionNotFound} from '../exceptions.mjs';
import {atSite} from '../pool/call_site.mjs';
import {Registry} from '../pool/registry.mjs';
import {JSON_TYPE, encodeCall} from '../protocol/call_body.mjs';
import {decodePayload} from '../protocol/results.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {Anchor} from './anchor.mjs';
import {Chunks} from './chunks.mjs';
import {listenerFor} from './output.mjs';

/**
 * @typedef {import('../client/host.mjs').CallRequest} CallRequest
 * @typedef {import('../client/host.mjs').Host} Host
 * @typedef {import('../pool/pending_call.mjs').PendingCall} PendingCall
 * @typedef {import('../pool/pool.mjs').Pool} Pool
 */

/**
 * @typedef {object} HostOptions
 * @property {string} [python] the interpreter: a path, a command, or a virtual environment's folder. By
 *   default: JSHOST_PYTHON, the active virtual environment, one beside the file or in the working
 *   directory (.venv, venv), python3, python
 * @property {boolean} [keepAlive] whether the workers keep the program running, also without calls
 * @property {Record<string, string | undefined>} [env] environment variables of the workers, added to the program's
 * @property {string} [cwd] the workers' working directory
 */

/** @implements {Host} */
export class EmbeddedHost {
  #registry;
  #anchor;
  #keepAlive;
  /** @type {Promise<void> | undefined} */
  #ending;
  #requests = 0;
  #requestPrefix = Math.random().toString(36).slice(2, 10);

  /**
   * @param {Registry} registry
   * @param {Anchor} anchor
   * @param {boolean} keepAlive
   */
  constructor(registry, anchor, keepAlive = false) {
    this.#registry = registry;
    this.#anchor = anchor;
    this.#keepAlive = keepAlive;
    if (keepAlive) anchor.hold();
  }

  /**
   * Start the workers of a file.
   *
   * @param {string} file its whole path
   * @param {'module' | 'controller'} serve what of the file is called: its functions, or an object of its Controller
   * @param {HostOptions & {cwd: string, calledIn: string}} options `calledIn`: the program's working directory at the call
   * @param {Record<string, unknown>} poolOptions
   * @param {import('node:events').EventEmitter} events
   */
  static async start(file, serve, {python, keepAlive, env = {}, cwd, calledIn}, poolOptions, events) {
    const found = await findPython({python, folder: path.dirname(file), cwd: calledIn});
    const anchor = new Anchor();
    const launch = {python: found.path, cwd, env: {...process.env, ...env}, serve};
    const registry = new Registry(launch, poolOptions, anchor, listenerFor(events));
    await registry.load(file);
    return new EmbeddedHost(registry, anchor, keepAlive);
  }

  /** The functions' names. */
  get functions() {
    return this.#registry.functions;
  }

  /** The worker processes: `{pid, state, calls}`. */
  get workers() {
    return this.#registry.workers;
  }

  /**
   * @param {CallRequest} request
   * @returns {Promise<any>}
   */
  call(request) {
    return new Promise((resolve, reject) => {
      const {signal, integers} = request;
      refuseAborted(signal);
      const caller = {
        onError: reject,
        onResult: (/** @type {Buffer} */ payload) => {
          try {
            resolve(decodePayload(payload, integers));
          } catch (error) {
            reject(error);
          }
        },
      };
      const {pool, pending} = this.#begin(request, encodeCall(request.args), caller, false);
      cancelOnAbort(pool, pending, signal);
    });
  }

  /** @param {CallRequest} request */
  stream(request) {
    const {args, signal, integers} = request;
    const encoded = encodeCall(args);
    return new Stream((stream) => new Chunks((chunks) => {
      refuseAborted(signal);
      const caller = {
        onChunk: (/** @type {Buffer} */ payload) => chunks.add(payload),
        onError: (/** @type {Error} */ error) => chunks.end(error),
        onResult: (/** @type {Buffer} */ payload) => {
          try {
            stream.result = decodePayload(payload, integers);
            chunks.end(undefined);
          } catch (error) {
            chunks.end(error);
          }
        },
      };
      const {pool, pending} = this.#begin(request, encoded, caller, true);
      cancelOnAbort(pool, pending, signal);
      return {credit: (size) => pool.credit(pending, size), cancel: () => pool.cancel(pending)};
    }, (payload) => decodePayload(payload, integers)));
  }

  /**
   * @param {import('../client/host.mjs').Call[]} calls
   * @param {import('../client/host.mjs').CallLimits} limits of each call
   * @returns {Promise<any[]>}
   */
  batch(calls, limits) {
    return Promise.all(calls.map((call) => this.call({...call, ...limits}).catch((error) => error)));
  }

  /**
   * End the workers.
   *
   * @param {number} [graceMs] how long calls may take to finish
   * @returns {Promise<void>}
   */
  end(graceMs) {
    this.#ending ??= this.#registry.end(graceMs).then(() => {
      if (this.#keepAlive) this.#anchor.release();
      this.#anchor.close();
    });
    return this.#ending;
  }

  /**
   * @param {CallRequest} request
   * @param {{body: Buffer, type: string}} encoded its arguments
   * @param {import('../pool/pending_call.mjs').Caller} caller
   * @param {boolean} isStream
   */
  #begin({name, timeout, site}, {body, type}, caller, isStream) {
    const limitMs = checkedTimeout(timeout);
    const route = this.#registry.route(name);
    if (route === undefined) {
      const message = `there is no function "${name}"; there are: ${this.functions.join(', ') || 'none'}`;
      throw atSite(new FunctionNotFound(message, {code: 'unknown_function', function: name}), site);
    }
    const limit = route.limitMs === null || limitMs !== null && limitMs < route.limitMs ? limitMs : route.limitMs;
    this.#requests += 1;
    /** @type {import('../protocol/frames.mjs').CallHeader} */
    const header = {name, requestId: `${this.#requestPrefix}-${this.#requests}`, timeout: limit === null ? null : limit / 1000};
    if (type !== JSON_TYPE) header.type = type;
    if (isStream) header.stream = true;
    return {pool: route.pool, pending: route.pool.call(header, body, limit, caller, site)};
  }
}

/** @param {AbortSignal | undefined} signal */
function refuseAborted(signal) {
  if (signal && typeof signal.throwIfAborted !== 'function') throw new TypeError('signal must be an AbortSignal, as an AbortController has one');
  signal?.throwIfAborted();
}

/**
 * @param {Pool} pool
 * @param {PendingCall} pending
 * @param {AbortSignal | undefined} signal
 */
function cancelOnAbort(pool, pending, signal) {
  if (!signal) return;
  const abort = () => {
    pool.cancel(pending);
    pending.caller.onError(signal.reason);
  };
  signal.addEventListener('abort', abort, {once: true});
  pending.stopListening = () => signal.removeEventListener('abort', abort);
}
