// @ts-check
/** Where a host listens: its URL from the options, or from the records of running hosts. Runs in: callers. */

import {existsSync, realpathSync} from 'node:fs';
import {resolve} from 'node:path';
import {env} from 'node:process';
import {fastestUrl, findHosts} from '../../discovery/records.mjs';
import {ConfigError, HostConnectionError} from '../../exceptions.mjs';

const CONFIG_FILES = ['host.config.py', 'host.config.js', 'host.config.mjs', 'host.config.cjs'];
const URL_SCHEMES = ['http://', 'https://', 'unix:///'];

/**
 * @typedef {object} HostOptions
 * @property {string} [rootUrl] where the host, or a proxy in front of it, listens: `http://`, `https://`
 *   or `unix:///path`; JSHOST_ROOT_URL
 * @property {string} [configFile] without a URL, the running host of this config file is called; by default
 *   the first of host.config.py, .js, .mjs and .cjs in the working directory; JSHOST_CONFIG_FILE
 * @property {string} [token] the token of a host that asks for one; JSHOST_TOKEN. The token of a host that
 *   is found on this machine is known
 * @property {boolean} [useManager] let the manager start the host, for development; JSHOST_USE_MANAGER
 * @property {string} [python] a Python that has jshost, for the manager; by default it is found as for
 *   `python()`
 */

/** Finds a host: at the first call, and again after the host has moved. */
export class Locator {
  #rootUrl;
  #configFile;
  #useManager;
  #python;
  #token;

  /** @param {HostOptions} options */
  constructor({rootUrl, configFile, useManager, python, token, ...unknown}) {
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
      throw new ConfigError('rootUrl and useManager exclude each other: one names a running host, the other starts a host.');
    }
  }

  /** Whether the host may have another address after a restart. */
  get mayMove() {
    return this.#rootUrl === undefined;
  }

  /**
   * @returns {Promise<{url: string, token: string | undefined}>}
   * @throws {HostConnectionError} no such host runs
   * @throws {ConfigError} there is no config file
   */
  async find() {
    const {url, token} = await this.#locate();
    return {url, token: this.#token ?? (token || env.JSHOST_TOKEN)};
  }

  /** @returns {Promise<{url: string, token: string}>} */
  async #locate() {
    if (this.#rootUrl !== undefined) return {url: this.#rootUrl, token: ''};
    const configFile = this.#existingConfigFile();
    const [found] = findHosts(configFile);
    if (this.#useManager) {
      const {holdHost} = await import('../../discovery/manager.mjs'); // most programs do not need it
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

/** @param {string | undefined} value */
function isOn(value) {
  return ['1', 'true', 'yes', 'on'].includes((value ?? '').toLowerCase());
}
