// @ts-check
/** The options of a pool: what config files and programs may set. Runs in: programs that own Python workers. */

import {policyOf} from './scheduling/policy.mjs';
import {ConfigError} from '../exceptions.mjs';

const SIZE = /^(\d+(?:\.\d+)?)\s*([kmg]?)b?$/i;
const UNITS = new Map([['', 1], ['k', 1024], ['m', 1024 ** 2], ['g', 1024 ** 3]]);
const MAX_SECONDS = 1e9;

/** @typedef {{wanted: string, read: (value: any) => unknown}} Check `read` returns undefined for a value that it refuses */

/**
 * @param {number} least
 * @param {number} most
 * @returns {Check}
 */
function integer(least, most) {
  const isFine = (/** @type {unknown} */ value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
  return {wanted: `a whole number from ${least} to ${most}`, read: (value) => (isFine(value) ? value : undefined)};
}

/** @type {Check} */
const size = {
  wanted: 'a size in bytes, or a string such as "200mb"',
  read(value) {
    const [, number, unit] = SIZE.exec(String(value).trim()) ?? [];
    return number === undefined ? undefined : Math.trunc(Number(number) * Number(UNITS.get(unit.toLowerCase()))) || undefined;
  },
};

/** @type {Check} */
const seconds = {
  wanted: 'a number of seconds above 0, or null for no limit',
  read: (value) => (typeof value === 'number' && value > 0 && value < MAX_SECONDS ? value : undefined),
};

/** @type {Check} */
const flag = {wanted: 'true or false', read: (value) => (typeof value === 'boolean' ? value : undefined)};

/** @type {Check} */
const strings = {
  wanted: 'a list of strings',
  read: (value) => (Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : undefined),
};

export const DEFAULTS = {
  workers: 1,
  threads: 32,
  concurrency: 1024,
  maxQueue: 1024,
  maxRequests: /** @type {number | null} */ (null),
  maxMemory: /** @type {number | null} */ (null),
  maxAge: /** @type {number | null} */ (null),
  functionTimeout: /** @type {number | null} */ (null),
  startTimeout: /** @type {number | null} */ (60),
  shutdownTimeout: /** @type {number | null} */ (2),
  respawn: true,
  include: /** @type {string[]} */ ([]),
};

/**
 * The options of config files and of `python()`; times in seconds, sizes in bytes.
 *
 * @typedef {typeof DEFAULTS} PoolOptions
 */

/** @type {Record<keyof PoolOptions, Check>} */
const CHECKS = {
  workers: integer(1, 512),
  threads: integer(1, 10_000),
  concurrency: integer(1, 100_000),
  maxQueue: integer(0, 1_000_000),
  maxRequests: integer(1, 1e12),
  maxMemory: size,
  maxAge: seconds,
  functionTimeout: seconds,
  startTimeout: seconds,
  shutdownTimeout: seconds,
  respawn: flag,
  include: strings,
};

/** The options in both spellings. A worker sends those that its config file sets. */
export const OPTION_NAMES = Object.keys(DEFAULTS).flatMap((name) => [...new Set([snakeCase(name), name])]);

/**
 * @param {Record<string, unknown>} raw
 * @param {string} source the name of what sets them, for errors
 * @param {PoolOptions} [base] the options that `raw` does not set
 * @returns {PoolOptions}
 * @throws {ConfigError} an option has a value that it cannot have
 */
export function readPoolOptions(raw, source, base = DEFAULTS) {
  /** @type {Record<string, unknown>} */
  const options = {...base};
  for (const [name, check] of Object.entries(CHECKS)) {
    const value = raw[name] === undefined ? raw[snakeCase(name)] : raw[name];
    if (value === undefined) continue;
    const read = value !== null ? check.read(value) : check === seconds || DEFAULTS[/** @type {keyof PoolOptions} */ (name)] === null ? null : undefined;
    if (read === undefined) throw new ConfigError(`${source}: the option "${name}" must be ${check.wanted}, not ${JSON.stringify(value)}.`);
    options[name] = read;
  }
  return /** @type {PoolOptions} */ (options);
}

/**
 * The scheduler's policy.
 *
 * @param {PoolOptions} options
 */
export function policyFor({workers, concurrency, maxQueue, maxRequests, maxMemory, maxAge, startTimeout, respawn}) {
  const startTimeoutS = startTimeout ?? Infinity;
  return policyOf({workers, concurrency, maxQueue, maxRequests, maxMemory, maxAgeS: maxAge, startTimeoutS, respawn});
}

/** @param {string} name */
function snakeCase(name) {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
