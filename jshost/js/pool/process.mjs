// @ts-check
/** The process of one Python worker: starts it, and makes sure that it ends. Runs in: programs that own Python workers. */

import {spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

/** The worker's descriptors: its end of the socket pair, and a socket that ends the worker when it closes. */
const CHANNEL = 3;
const LIFELINE = 4;
const PAGE_BYTES = 4096;

/** @typedef {import('./channel.mjs').WorkerProcess} Process */

/**
 * The settings of every worker of a pool.
 *
 * @typedef {object} Launch
 * @property {string} python the interpreter
 * @property {string} file the Python file that it loads
 * @property {Record<string, unknown>} settings other settings of the worker
 * @property {NodeJS.ProcessEnv} env
 * @property {string} cwd
 */

/** The Python half: the npm package's copy (beside the bundle, or above this folder), or the repository's. */
function workerFile() {
  for (const place of ['./python/jshost/worker/main.py', '../python/jshost/worker/main.py', '../../worker/main.py']) {
    const file = fileURLToPath(new URL(place, import.meta.url));
    if (existsSync(file)) return file;
  }
  throw new Error('the Python files of the npm package "jshost" are missing. Install what `npm pack` makes of it, or its folder without --install-links');
}

/**
 * A worker leads its own process group: the program handles Ctrl-C in its terminal, and a kill also ends
 * what the worker started. None of its handles keeps the program running.
 *
 * @implements {Process}
 */
export class WorkerProcess {
  #child;
  #hasEnded = false;
  #end = 'still running';

  /** @param {Launch} launch */
  constructor({python, file, settings, env, cwd}) {
    const workerSettings = JSON.stringify({...settings, channel: CHANNEL, lifeline: LIFELINE, guard: true});
    this.#child = spawn(python, ['-P', '-X', 'utf8', workerFile(), file, workerSettings], {
      cwd,
      env,
      detached: true,
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
    });
    this.#child.once('error', (error) => this.#ended(`it cannot be run: ${error.message}`));
    if (!this.#child.stdio?.[LIFELINE]) throw new Error(`${python}: cannot be run: too many files or processes are open`);
    this.#child.unref();
    for (const stream of this.#child.stdio) /** @type {any} */ (stream)?.unref();
    this.#child.once('exit', (code, signal) => this.#ended(signal === null ? `exit code ${code}` : `signal ${signal}`));
    this.lifeline.on('error', () => undefined);
  }

  get pid() {
    return this.#child.pid ?? 0;
  }

  get channel() {
    return /** @type {import('node:net').Socket} */ (this.#child.stdio[CHANNEL]);
  }

  get lifeline() {
    return /** @type {import('node:net').Socket} */ (this.#child.stdio[LIFELINE]);
  }

  get stdout() {
    return /** @type {import('node:net').Socket} */ (this.#child.stdout);
  }

  get stderr() {
    return /** @type {import('node:net').Socket} */ (this.#child.stderr);
  }

  get hasEnded() {
    return this.#hasEnded;
  }

  /** How it ended, in words: "exit code 3", "signal SIGKILL". */
  get end() {
    return this.#end;
  }

  /** @param {() => void} listener called when the process has ended */
  onEnd(listener) {
    this.#child.once('exit', listener);
    this.#child.once('error', listener);
  }

  /** Send SIGKILL to the worker and to what it started. Does nothing after it has ended. */
  kill() {
    if (!this.#hasEnded) this.#killGroup();
  }

  /** Its memory in bytes (resident set size); undefined where that is not known. */
  memory() {
    try {
      const pages = readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')[1];
      return Number(pages) * PAGE_BYTES;
    } catch {
      return undefined; // it has ended, or the system is not Linux
    }
  }

  close() {
    for (const stream of this.#child.stdio) stream?.destroy();
  }

  /** @param {string} how */
  #ended(how) {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#end = how;
    this.#killGroup(); // the processes that it started
  }

  #killGroup() {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // no process is left
    }
  }
}
