// @ts-check
/** The pools of a Python file and of those that it includes. Runs in: programs that own Python workers. */

import {existsSync} from 'node:fs';
import path from 'node:path';
import {policyFor, readPoolOptions, OPTION_NAMES} from './options.mjs';
import {Pool} from './pool.mjs';
import {ConfigError} from '../exceptions.mjs';

/**
 * @typedef {object} Route where a function's calls go
 * @property {Pool} pool
 * @property {number | null} limit milliseconds that its file allows a call
 */

export class Pools {
  #launch;
  #wanted;
  #anchor;
  #listener;
  #source;
  /** @type {Map<string, Pool>} by file */
  #pools = new Map();
  /** @type {Map<string, Route>} by function */
  #routes = new Map();
  #graceMs = 0;

  /**
   * @param {{python: string, serve: string, cwd: string, env: NodeJS.ProcessEnv}} launch
   * @param {Record<string, unknown>} wanted what the program sets; it wins over the files
   * @param {import('../embedding/anchor.mjs').Anchor} anchor
   * @param {import('./pool.mjs').Listener} listener
   */
  constructor(launch, wanted, anchor, listener) {
    const known = new Set(OPTION_NAMES);
    const strange = Object.keys(wanted).find((name) => !known.has(name));
    this.#source = launch.serve === 'controller' ? 'new Bindings()' : 'python()';
    if (strange !== undefined) throw new ConfigError(`${this.#source}: there is no option "${strange}".`);
    this.#launch = launch;
    this.#wanted = wanted;
    this.#anchor = anchor;
    this.#listener = listener;
  }

  /** @returns {string[]} */
  get functions() {
    return [...this.#routes.keys()];
  }

  get workers() {
    return [...this.#pools.values()].flatMap(({workers, scheduler}) =>
      [...scheduler.workers.values()].map(({number, phase, calls}) => ({pid: workers.get(number)?.process.pid, state: phase, calls: calls.size})));
  }

  /** @param {string} name */
  route(name) {
    return this.#routes.get(name);
  }

  /**
   * Load a file and the Python files that it includes; JavaScript ones are the program's own to import.
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

  /** @param {number} [graceMs] how long calls may take to finish */
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
    const pool = new Pool({python, file, settings, cwd, env}, policyFor({...own, workers: 1}), this.#anchor, this.#listener);
    this.#pools.set(file, pool);
    const ready = await pool.start();
    const options = readPoolOptions(this.#wanted, this.#source, readPoolOptions(ready.options, file));
    pool.setPolicy(policyFor(options));
    this.#graceMs ||= (options.shutdownTimeout ?? Infinity) * 1000;
    const limit = options.functionTimeout === null ? null : options.functionTimeout * 1000;
    for (const name of ready.functions) {
      if (this.#routes.has(name)) throw new ConfigError(`${file}: a function has already been defined with the name "${name}"`);
      this.#routes.set(name, {pool, limit});
    }
    for (const each of options.include) {
      if (each.endsWith('.py')) await this.#load(path.resolve(path.dirname(file), each));
    }
  }
}
