// @ts-check
/** One Python worker: how it is spawned, and how it is made sure that it ends. Runs in: programs that own Python workers. */

import {spawn} from 'node:child_process';
import {existsSync, readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';

/** Where the worker's end of the socket pair is, and the socket whose hang-up kills it. */
const CHANNEL = 3;
const LIFELINE = 4;
const PAGE_BYTES = 4096;

/**
 * What every worker of a pool is started with.
 *
 * @typedef {object} Launch
 * @property {string} python the interpreter
 * @property {string} file the Python file that it loads
 * @property {Record<string, unknown>} settings what else it is told
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
 * A worker leads a process group of its own: Ctrl-C in the program's terminal is the program's to
 * handle, and a kill reaches what the worker started. None of its handles keeps the program running.
 */
export class PythonProcess {
  #child;
  #hasEnded = false;
  #end = 'still running';

  /** @param {Launch} launch */
  constructor({python, file, settings, env, cwd}) {
    const told = JSON.stringify({...settings, channel: CHANNEL, lifeline: LIFELINE, guard: true});
    this.#child = spawn(python, ['-P', '-X', 'utf8', workerFile(), file, told], {
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

  /** SIGKILL to the worker and to what it started itself; harmless when it is gone. */
  kill() {
    if (!this.#hasEnded) this.#killGroup();
  }

  /** The bytes of memory that it uses (resident set size); undefined where that is not known. */
  memory() {
    try {
      const pages = readFileSync(`/proc/${this.pid}/statm`, 'latin1').split(' ')[1];
      return Number(pages) * PAGE_BYTES;
    } catch {
      return undefined; // it has ended, or this is no Linux
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
    this.#killGroup(); // what it has started and left
  }

  #killGroup() {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // nobody is left
    }
  }
}
