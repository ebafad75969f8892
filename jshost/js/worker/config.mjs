// @ts-check
/**
 * Loading a host.config.js, .mjs or .cjs. Runs in: Node workers.
 */

import {existsSync, readFileSync} from 'node:fs';
import {createRequire, isBuiltin} from 'node:module';
import {dirname, join} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';
import {ConfigError} from '../exceptions.mjs';
import {describeCaching} from './caching.mjs';
import {makeHostContext} from './context.mjs';
import {loadingStack} from './stacks.mjs';

/** Loaded when it is needed: it takes some milliseconds. @type {() => typeof import('node:child_process')} */
const childProcess = () => createRequire(import.meta.url)('node:child_process');
const REPORT_TIMEOUT_MS = 10_000;

/**
 * @typedef {import('./context.mjs').UserFunction} UserFunction
 * @typedef {import('./context.mjs').Config} Config
 */

/**
 * A config file that is loaded.
 *
 * @typedef {object} LoadedConfig
 * @property {Map<string, UserFunction>} functions by name
 * @property {import('./context.mjs').HostContext} host
 * @property {Record<string, unknown>} options those that it sets
 * @property {ReturnType<typeof describeCaching>} caching
 * @property {string[]} files the project's files that are loaded
 */

/**
 * Load a config file with all that its host needs to know of it.
 *
 * @param {string} path
 * @param {import('./loaded_files.mjs').LoadedFiles} files
 * @param {import('./context.mjs').Logger} logger functions get it if the config brings none
 * @param {string[]} optionNames
 * @returns {Promise<LoadedConfig>}
 */
export async function load(path, files, logger, optionNames) {
  const config = await loadConfig(path);
  const functions = readFunctions(path, config);
  const host = makeHostContext(config, functions, config.logger ?? logger);
  if (config.extendHost !== undefined) {
    if (typeof config.extendHost !== 'function') {
      throw new ConfigError(`${path}: "extendHost" must be a function that takes the host.`);
    }
    await config.extendHost(host);
  }
  const caching = describeCaching(functions, path, () => files.all());
  const options = readOptions(path, config, optionNames);
  return {functions, host, options, caching, files: files.all()};
}

/**
 * The object that a config file exports, whichever module system it is written in.
 *
 * @param {string} path
 * @returns {Promise<Config>}
 */
export async function loadConfig(path) {
  const loaded = isModuleFile(path) ? await import(pathToFileURL(path).href) : createRequire(path)(path);
  const isModule = loaded?.__esModule || loaded?.[Symbol.toStringTag] === 'Module';
  const config = isModule && 'default' in loaded ? loaded.default : loaded;
  if (config === null || typeof config !== 'object') {
    throw new ConfigError(
      `${path}: must export an object with "functions", by module.exports or export default; ` +
        `it exports ${config === null ? 'null' : `a ${typeof config}`}.`,
    );
  }
  return config;
}

/**
 * Whether Node loads the file as an ES module: by its ending, or the nearest package.json.
 *
 * @param {string} path
 */
function isModuleFile(path) {
  if (!path.endsWith('.js')) return path.endsWith('.mjs');
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) return JSON.parse(readFileSync(manifest, 'utf8')).type === 'module';
    if (folder === dirname(folder)) return false;
  }
}

/**
 * The functions by name.
 *
 * @param {string} path
 * @param {Config} config
 * @returns {Map<string, UserFunction>}
 */
export function readFunctions(path, config) {
  const functions = config.functions ?? {};
  if (typeof functions !== 'object' || Array.isArray(functions)) {
    throw new ConfigError(`${path}: "functions" must be an object of names to functions.`);
  }
  for (const [name, fn] of Object.entries(functions)) {
    if (typeof fn !== 'function') {
      throw new ConfigError(
        `${path}: "functions" must map names to functions; "${name}" is a ${typeof fn}.`,
      );
    }
  }
  return new Map(Object.entries(functions));
}

/**
 * The options with these names that the config sets.
 *
 * @param {string} path
 * @param {Config} config
 * @param {string[]} names
 */
export function readOptions(path, config, names) {
  /** @type {Record<string, unknown>} */
  const options = {};
  for (const name of names) {
    const value = config[name];
    if (value === undefined) continue;
    if (typeof value === 'function' || typeof value === 'bigint' || typeof value === 'symbol') {
      throw new ConfigError(`${path}: the option "${name}" cannot be a ${typeof value}.`);
    }
    options[name] = value;
  }
  return options;
}

/**
 * A failed load for the config's author: the file and the line first, then the stack.
 *
 * @param {any} error
 * @param {string} path
 * @returns {{name: string, message: string, stack: string}}
 */
export function describeFailure(error, path) {
  if (!(error instanceof Error)) {
    return {name: '', message: `${path}: threw ${String(error)} while it was loaded`, stack: ''};
  }
  if (error instanceof ConfigError) return {name: error.name, message: error.message, stack: ''};
  const missing = missingPackage(error);
  const stack = loadingStack(error.stack);
  if (missing !== undefined) {
    const message =
      `${path}: the npm package "${missing}" is not installed. ` +
      `Run: npm install ${missing} (in ${dirname(path)}, or where your package.json is)`;
    return {name: error.name, message, stack};
  }
  const report = error instanceof SyntaxError ? syntaxReport(stack, path) : undefined;
  if (report !== undefined) {
    const message = `${report.file}, line ${report.line}: ${error.message}`;
    return {name: error.name, message, stack: report.text};
  }
  return {name: error.name, message: `${path}: ${error.message}`, stack};
}

/**
 * Where a file has its syntax error. The stack says so for CommonJS. For ES modules only Node's
 * report of an uncaught error does, so another Node makes one: linking fails before any code runs.
 *
 * @param {string} stack
 * @param {string} path
 */
function syntaxReport(stack, path) {
  const place = /^(file:\/\/)?(\/[^\n]*):(\d+)\n/;
  let text = stack;
  if (!place.test(text) && !/\n\s+at /.test(text)) {
    const code = `await import(${JSON.stringify(pathToFileURL(path).href)})`;
    const {spawnSync} = childProcess();
    const {stderr} = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
      timeout: REPORT_TIMEOUT_MS,
    });
    text = loadingStack(stderr.slice(Math.max(stderr.search(/^file:\/\//m), 0)));
    text = text.replace(/\n+Node\.js v[^]*$/, '');
  }
  const found = place.exec(text);
  if (found === null) return undefined;
  const [, scheme, file, line] = found;
  return {file: scheme ? fileURLToPath(scheme + file) : file, line, text};
}

/** @param {NodeJS.ErrnoException} error */
function missingPackage(error) {
  if (error.code !== 'MODULE_NOT_FOUND' && error.code !== 'ERR_MODULE_NOT_FOUND') return undefined;
  const specifier = /Cannot find (?:module|package) '([^']+)'/.exec(error.message)?.[1];
  if (!specifier || /^[./]|^[a-z]+:/i.test(specifier) || isBuiltin(specifier)) return undefined;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}
