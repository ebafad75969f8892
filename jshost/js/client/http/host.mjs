// @ts-check
/** A host as its callers see it: found, or named by its URL. Runs in: callers. */

import {existsSync, realpathSync} from 'node:fs';
import {resolve} from 'node:path';
import {env} from 'node:process';
import {setTimeout as sleep} from 'node:timers/promises';
import {unlessAborted} from '../waiting.mjs';
import {HttpTransport} from './transport.mjs';
import {fastestUrl, findHosts} from '../../discovery/records.mjs';
import {ConfigError, HostConnectionError} from '../../exceptions.mjs';

const CONFIG_FILES = ['host.config.py', 'host.config.js', 'host.config.mjs', 'host.config.cjs'];
const URL_SCHEMES = ['http://', 'https://', 'unix:///'];
/** How long a host that has just restarted is looked for: it listens elsewhere. */
const MOVING_MS = 1000;
const MOVING_POLL_MS = 20;

/** @typedef {HttpTransport | import('./https_transport.mjs').HttpsTransport} Transport */

/**
 * @typedef {object} HostOptions
 * @property {string} [rootUrl] where the host, or a proxy in front of it, listens: `http://`, `https://`
 *   or `unix:///path`; JSHOST_ROOT_URL
 * @property {string} [configFile] else the running host of this config file is found; by default the
 *   first of host.config.py, .js, .mjs and .cjs in the working directory; JSHOST_CONFIG_FILE
 * @property {string} [token] what the host wants to be told; JSHOST_TOKEN; a host of this user that is
 *   found needs none
 * @property {boolean} [useManager] have the host started by the manager, for development;
 *   JSHOST_USE_MANAGER
 * @property {string} [python] a Python that has jshost, for the manager; else one is looked for as for `python()`
 */

/**
 * The host at `rootUrl`, or the running one that serves `configFile`; it is looked for at the first call.
 *
 * @example
 * const host = new Host({rootUrl: 'http://127.0.0.1:9010'});
 * await new Function('render', {host}).call({component: 'App'});
 */
export class Host {
  #rootUrl;
  #configFile;
  #useManager;
  #python;
  #token;
  /** @type {Promise<Transport> | undefined} */
  #transport;

  /** @param {HostOptions} [options] */
  constructor({rootUrl, configFile, useManager, python, token, ...unknown} = {}) {
    for (const name of Object.keys(unknown)) throw new ConfigError(`there is no option ${JSON.stringify(name)} of a function or its host.`);
    this.#token = token;
    this.#rootUrl = rootUrl ?? (configFile === undefined ? env.JSHOST_ROOT_URL : undefined);
    this.#configFile = configFile ?? env.JSHOST_CONFIG_FILE;
    this.#useManager = useManager ?? isOn(env.JSHOST_USE_MANAGER);
    this.#python = python;
    if (this.#rootUrl !== undefined && !URL_SCHEMES.some((scheme) => this.#rootUrl?.startsWith(scheme))) {
      throw new ConfigError(`rootUrl must begin with http://, https:// or unix:///, not ${JSON.stringify(this.#rootUrl)}.`);
    }
    if (this.#rootUrl !== undefined && useManager) {
      throw new ConfigError('rootUrl and useManager exclude each other: the one says where the host is, the other has it started.');
    }
  }

  /**
   * What the host says of itself: `{type: 'Host', version, config, pid, …}`.
   *
   * @param {AbortSignal} [signal]
   * @returns {Promise<Record<string, any>>}
   */
  async status(signal = AbortSignal.timeout(5000)) {
    return this.exchange('GET', '/status', {}, Buffer.alloc(0), signal, async (answer, transport) =>
      JSON.parse(String(await transport.body(answer, signal))));
  }

  /**
   * Send a request, and read its answer. One that nobody has heard of, since the host has moved, is
   * sent again to where it is now.
   *
   * @template T
   * @param {string} method
   * @param {string} path
   * @param {Record<string, string>} headers
   * @param {Buffer} body
   * @param {AbortSignal | undefined} signal
   * @param {(answer: import('./transport.mjs').Answer, transport: Transport) => Promise<T>} read
   * @returns {Promise<T>}
   */
  async exchange(method, path, headers, body, signal, read) {
    for (const end = Date.now() + MOVING_MS; ;) {
      const transport = await this.#connected();
      let answer;
      try {
        answer = await transport.request(method, path, headers, body, signal);
      } catch (error) {
        const code = /** @type {any} */ (error)?.cause?.code;
        const isNobody = code === 'ECONNREFUSED' || code === 'ENOENT';
        if (this.#rootUrl !== undefined || !(error instanceof HostConnectionError)) throw error;
        this.close(); // the next call looks for it anew
        if (!isNobody || Date.now() > end) throw error;
        await sleep(MOVING_POLL_MS);
        continue;
      }
      return await read(answer, transport); // so that the caller's own lines are in the stack of what it throws
    }
  }

  /**
   * Wait until the host has been found, or started by the manager.
   *
   * @param {AbortSignal} [signal] ends the wait, but not the start
   */
  async located(signal) {
    await unlessAborted(this.#connected(), signal);
  }

  /** Close the idle connections; a call opens new ones. */
  close() {
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.then((each) => each.close(), () => {});
  }

  #connected() {
    if (this.#transport === undefined) {
      const transport = this.#locate().then(({url, token}) => transportTo(url, this.#token ?? (token || env.JSHOST_TOKEN)));
      transport.catch(() => {
        if (this.#transport === transport) this.#transport = undefined;
      });
      this.#transport = transport;
    }
    return this.#transport;
  }

  /** @returns {Promise<{url: string, token: string}>} */
  async #locate() {
    if (this.#rootUrl !== undefined) return {url: this.#rootUrl, token: ''};
    const configFile = this.#existingConfigFile();
    const [found] = findHosts(configFile);
    if (this.#useManager) {
      const {holdHost} = await import('../../discovery/manager.mjs'); // few need it
      const url = await holdHost(configFile, this.#python);
      return {url, token: findHosts(configFile)[0]?.token ?? ''};
    }
    if (found === undefined) {
      throw new HostConnectionError(
        `No running host serves ${configFile}. Start one with: jshost serve ${configFile} (or set rootUrl to where one listens).`,
      );
    }
    return {url: fastestUrl(found), token: found.token};
  }

  #existingConfigFile() {
    const name = this.#configFile ?? CONFIG_FILES.find((each) => existsSync(each));
    if (name === undefined) {
      throw new ConfigError(`There is no ${CONFIG_FILES.join(', ')} in ${process.cwd()}. Name one in configFile, or set rootUrl.`);
    }
    const path = resolve(name);
    if (!existsSync(path)) throw new ConfigError(`${path}: no such config file.`);
    return realpathSync(path);
  }
}

/**
 * @param {string} url
 * @param {string} [token]
 * @returns {Promise<Transport>}
 */
async function transportTo(url, token) {
  if (!url.startsWith('https:')) return new HttpTransport(url, token);
  const {HttpsTransport} = await import('./https_transport.mjs'); // few need it
  return new HttpsTransport(url, token);
}

/** @param {string | undefined} value */
function isOn(value) {
  return ['1', 'true', 'yes', 'on'].includes((value ?? '').toLowerCase());
}
