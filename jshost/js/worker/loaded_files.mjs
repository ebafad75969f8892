// @ts-check
/**
 * Which files of the project are loaded, so that the host can watch them. Runs in: Node workers.
 */

import {createRequire, register} from 'node:module';
import {sep} from 'node:path';
import {fileURLToPath} from 'node:url';

const INSTALLED = `${sep}node_modules${sep}`;
const require = createRequire(import.meta.url);
const required = require.cache;
const OURS = fileURLToPath(new URL('..', import.meta.url));

export class LoadedFiles {
  /** @type {Set<string>} */
  #files;
  #reported = 0;
  /** Take what the loader's thread has sent by now: an answer must not be faster than that. */
  #takeImports = () => {};
  /** Gets all files when there are more. @type {(files: string[]) => void} */
  onMore = () => {};

  /** @param {string} config the config file's path */
  constructor(config) {
    this.#files = new Set([config]);
  }

  /** Watch ES modules too: Node has no public list of them. */
  watchImports() {
    /** @type {typeof import('node:worker_threads')} */
    const {MessageChannel, receiveMessageOnPort} = require('node:worker_threads'); // takes some milliseconds
    const {port1, port2} = new MessageChannel();
    /** @param {string} url */
    const take = (url) => {
      if (url.startsWith('file:')) this.#add(fileURLToPath(url));
    };
    port1.on('message', (url) => {
      take(url);
      this.report();
    });
    port1.unref();
    this.#takeImports = () => {
      for (let next = receiveMessageOnPort(port1); next !== undefined; next = receiveMessageOnPort(port1)) take(next.message);
    };
    register('./loaded_hooks.mjs', import.meta.url, {data: {port: port2}, transferList: [port2]});
  }

  /** @returns {string[]} */
  all() {
    this.#takeImports();
    for (const file of Object.keys(required)) this.#add(file);
    this.#reported = this.#files.size;
    return [...this.#files];
  }

  /** Report all files if there are more than at the last report. */
  report() {
    this.#takeImports();
    for (const file of Object.keys(required)) this.#add(file);
    if (this.#files.size > this.#reported) this.onMore(this.all());
  }

  /** @param {string} file */
  #add(file) {
    if (!file.includes(INSTALLED) && !file.startsWith(OURS)) this.#files.add(file);
  }
}
