// @ts-check
/** The processes of a Controller: one, or one for each call. Runs in: programs that own Python workers. */

import {JSHostError} from '../exceptions.mjs';
import {atSite} from '../pool/call_site.mjs';
import {Python} from './python.mjs';

/** The function of a worker that makes the object. */
export const NEW = 'new Controller';

export class Controllers {
  /** @type {Set<Promise<Python>>} */
  #running = new Set();
  #file;
  #options;
  #properties;
  #events;
  #isOnce;
  #site;

  /**
   * @param {string | URL} file
   * @param {import('./python.mjs').PythonOptions} options
   * @param {Record<string, unknown>} properties of each object
   * @param {import('node:events').EventEmitter} events
   * @param {boolean} isOnce whether each call has its own process
   * @param {import('../pool/call_site.mjs').CallSite} site the place in the program, for errors at start
   */
  constructor(file, options, properties, events, isOnce, site) {
    this.#file = file;
    this.#options = options;
    this.#properties = properties;
    this.#events = events;
    this.#isOnce = isOnce;
    this.#site = site;
  }

  /**
   * The process for the next call.
   *
   * @returns {Promise<Python>}
   */
  forCall() {
    const [running] = this.#running;
    if (running !== undefined && !this.#isOnce) return running;
    const starting = this.#start().catch((error) => {
      throw error instanceof JSHostError ? atSite(error, this.#site) : error;
    });
    starting.catch(() => undefined); // the calls reject with it
    this.#running.add(starting);
    return starting;
  }

  /**
   * End the process of one call.
   *
   * @param {Promise<Python>} starting
   */
  async end(starting) {
    await endOf(starting);
    this.#running.delete(starting);
  }

  /** @param {number} timeout milliseconds that calls may take to finish */
  async endAll(timeout) {
    await Promise.all(Array.from(this.#running, (starting) => endOf(starting, {timeout})));
  }

  async #start() {
    const python = await Python.start(this.#file, 'controller', this.#options, this.#events);
    try {
      await python.call(NEW, {properties: this.#properties});
    } catch (error) {
      await python.end();
      throw error;
    }
    return python;
  }
}

/**
 * @param {Promise<Python>} starting
 * @param {{timeout?: number}} [options]
 */
async function endOf(starting, options) {
  const python = await starting.catch(() => undefined); // the calls reject with this error
  await python?.end(options);
}
