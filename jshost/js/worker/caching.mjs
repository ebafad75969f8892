// @ts-check
/**
 * Which functions' answers caches may keep, and which code they come from. Runs in: Node workers.
 *
 * worker/caching.py does the same for Python.
 */

import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname, join, resolve} from 'node:path';
import {ConfigError} from '../exceptions.mjs';

/** Loaded where a function is cacheable: it takes some milliseconds. @type {() => typeof import('node:crypto')} */
const crypto = () => createRequire(import.meta.url)('node:crypto');
const LONGEST_S = 365 * 86_400;
const DIGITS = 12;
/** Files that list the installed packages; the first is npm's own list. */
const LOCK_FILES = [
  'node_modules/.package-lock.json',
  'package-lock.json',
  'yarn.lock',
  'pnpm-lock.yaml',
  'bun.lock',
];
/** Node has no public list of loaded ES modules: they are found in the source text. */
const RELATIVE_IMPORT = /\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"?#]+)/g;

/**
 * The caching part of READY; empty where no function is cacheable.
 *
 * @param {Map<string, import('./context.mjs').UserFunction>} functions
 * @param {string} config the config file's path
 * @param {() => string[]} files the project's files that are loaded
 */
export function describeCaching(functions, config, files) {
  /** @type {Record<string, number>} */
  const cacheable = {};
  for (const [name, fn] of functions) {
    const mark = /** @type {any} */ (fn).cacheable;
    if (mark !== undefined) cacheable[name] = maxAge(mark, name, config);
  }
  if (Object.keys(cacheable).length === 0) return {};
  return {cacheable, fingerprint: fingerprint(config, files())};
}

/**
 * @param {any} mark
 * @param {string} name
 * @param {string} config
 * @returns {number}
 */
function maxAge(mark, name, config) {
  const age = mark?.maxAge;
  if (Number.isInteger(age) && age >= 1 && age <= LONGEST_S && Object.keys(mark).length === 1) return age;
  throw new ConfigError(
    `${config}: "${name}" is marked as cacheable by ${JSON.stringify(mark)}; it must be {maxAge: …} with ` +
      `whole seconds from 1 to ${LONGEST_S}.`,
  );
}

/**
 * A few hexadecimal digits that change with the contents of the files and of the project's files that
 * they import, the versions of the installed packages, and Node's version.
 *
 * @param {string} config the config file's path
 * @param {string[]} files the project's files that are loaded
 */
export function fingerprint(config, files) {
  /** @type {Map<string, Buffer>} */
  const contents = new Map();
  const ahead = [...files];
  for (let file = ahead.pop(); file !== undefined; file = ahead.pop()) {
    const content = contents.has(file) ? undefined : read(file);
    if (content === undefined) continue;
    contents.set(file, content);
    for (const [, specifier] of content.toString('latin1').matchAll(RELATIVE_IMPORT)) {
      ahead.push(resolve(dirname(file), specifier));
    }
  }
  const {createHash} = crypto();
  const hash = createHash('sha1').update(process.version).update(installed(dirname(config)) ?? '');
  for (const [, content] of [...contents].sort(([one], [other]) => (one < other ? -1 : 1))) {
    hash.update(createHash('sha1').update(content).digest());
  }
  return hash.digest('hex').slice(0, DIGITS);
}

/**
 * The nearest lock file.
 *
 * @param {string} start
 */
function installed(start) {
  for (let folder = start; ; folder = dirname(folder)) {
    for (const name of LOCK_FILES) {
      const content = read(join(folder, name));
      if (content !== undefined) return content;
    }
    if (folder === dirname(folder)) return undefined;
  }
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file);
  } catch {
    return undefined; // no such file, or a folder
  }
}
