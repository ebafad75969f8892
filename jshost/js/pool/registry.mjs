// @ts-check
/** The functions of a Python file and of the files that it includes, and their pools. Runs in: programs that own Python workers. */

import {existsSync} from 'node:fs';
import path from 'node:path';
import {policyFor, readPoolOptions, OPTION_NAMES} from './options.mjs';
import {Pool} from './pool.mjs';
import {ConfigError} from '../exceptions.mjs';

/**
 * @typedef {object} Route the pool of a function
 * @property {Pool} pool
 * @property {number | null} limitMs how long its file lets a call take
 */

/** The pools of a file and of the files that it includes, and which of them runs a function; as pool/registry.py. */
export class Registry {
  #launch;
  #wanted;
  #anchor;
  #listener;
  #startProcess;
  #source;
  /** @type {Map<string, Pool>} by file */
  #pools = new Map();
  /** @type {Map<string, Route>} by function */
  #routes = new Map();
  #graceMs = 0;

  /**
   * @param {{python: string, serve: string, cwd: string, env: NodeJS.ProcessEnv}} launch
   * @param {Record<string, unknown>} wanted the program's options; they take precedence over the files'
   * @param {import('./owner.mjs').Anchor} anchor
   * @param {import('./owner.mjs').Listener} listener
   * @param {ConstructorParameters<typeof Pool>[4]} [startProcess]
   */
  constructor(launch, wanted, anchor, listener, startProcess) {
    const known = new Set(OPTION_NAMES);
    const unknown = Object.keys(wanted).find((name) => !known.has(name));
    this.#source = launch.serve === 'controller' ? 'new Bindings()' : 'python()';
    if (unknown !== undefined) throw new ConfigError(`${this.#source}: there is no option "${unknown}".`);
    this.#launch = launch;
    this.#wanted = wanted;
    this.#anchor = anchor;
    this.#listener = listener;
    this.#startProcess = startProcess;
  }

  /** @returns {string[]} */
  get functions() {
    return [...this.#routes.keys()];
  }

  get workers() {
    return [...this.#pools.values()].flatMap((pool) => pool.status);
  }

  /** @param {string} name */
  route(name) {
    return this.#routes.get(name);
  }

  /**
   * Load a file and the Python files that it includes. A program imports the JavaScript files itself.
   *
   * @param {string} file
   */
  async load(file) {
    try {
      await this.#load(file);
    } catch (error) {
      await this.end(0);
      throw error;
    }
  }

  /** @param {number} [graceMs] how long calls may take to finish; by default the option shutdownTimeout */
  async end(graceMs = this.#graceMs) {
    await Promise.all([...this.#pools.values()].map((pool) => pool.end(graceMs)));
  }

  /** @param {string} file */
  async #load(file) {
    if (this.#pools.has(file)) return;
    if (!existsSync(file)) throw new ConfigError(`${file}: no such Python file.`);
    const own = readPoolOptions(this.#wanted, this.#source);
    const {python, serve, cwd, env} = this.#launch;
    const settings = {options: OPTION_NAMES, threads: own.threads, serve, ...('threads' in this.#wanted && {forceThreads: true})};
    const pool = new Pool({python, file, settings, cwd, env}, policyFor({...own, workers: 1}), this.#anchor, this.#listener, this.#startProcess);
    this.#pools.set(file, pool);
    const ready = await pool.start();
    const options = readPoolOptions(this.#wanted, this.#source, readPoolOptions(ready.options, file));
    pool.setPolicy(policyFor(options));
    this.#graceMs ||= (options.shutdownTimeout ?? Infinity) * 1000;
    const limitMs = options.functionTimeout === null ? null : options.functionTimeout * 1000;
    for (const name of ready.functions) {
      if (this.#routes.has(name)) throw new ConfigError(`${file}: a function has already been defined with the name "${name}"`);
      this.#routes.set(name, {pool, limitMs});
    }
    for (const each of options.include) {
      if (each.endsWith('.py')) await this.#load(path.resolve(path.dirname(file), each));
    }
  }
}
