// @ts-check
/** Finds a Python interpreter for workers. Runs in: programs that own Python workers, callers. */

import {execFile} from 'node:child_process';
import {access, constants, readFile} from 'node:fs/promises';
import path from 'node:path';
import {ConfigError} from '../exceptions.mjs';

const MINIMUM = [3, 11];
const VERSION_TIMEOUT_MS = 10_000;
const VENV_FOLDERS = ['.venv', 'venv'];
const HOW_TO_GET_ONE =
  `Install Python ${MINIMUM.join('.')} or newer, make a virtual environment beside your Python file ` +
  '(python3 -m venv .venv), or name an interpreter in the option "python" or in JSHOST_PYTHON.';

/**
 * A usable Python: the interpreter's path, its version ("3.12.1"), and where it was found.
 *
 * @typedef {{path: string, version: string, source: string}} Python
 */

/**
 * @typedef {object} Where
 * @property {string} [python] a path, a command, or a virtual environment's folder: nothing else is tried
 * @property {string} folder where the Python file is
 * @property {NodeJS.ProcessEnv} [env]
 * @property {string} [cwd]
 */

/**
 * The Python to use: the one that is named (option, JSHOST_PYTHON), else the active virtual
 * environment's (VIRTUAL_ENV), one beside the Python file or in the working directory (.venv, venv),
 * `python3`, `python`.
 *
 * @param {Where} where
 * @returns {Promise<Python>}
 * @throws {ConfigError} no interpreter is new enough; the message lists those that were tried
 */
export async function findPython({python, folder, env = process.env, cwd = process.cwd()}) {
  const tried = [];
  for (const {source, binary} of candidates(python, folder, env, cwd)) {
    const found = await find(binary, env, cwd);
    if (found === undefined) {
      tried.push(`${source}: not found`);
      continue;
    }
    const version = await versionOf(found, env);
    if (version instanceof Error) tried.push(`${source} (${found}): does not run: ${version.message.trim()}`);
    else if (!isNewEnough(version)) tried.push(`${source} (${found}): version ${version}, too old`);
    else return {path: found, version, source};
  }
  const list = tried.map((line) => `  - ${line}\n`).join('');
  throw new ConfigError(`No Python ${MINIMUM.join('.')} or newer was found. Tried:\n${list}${HOW_TO_GET_ONE}`);
}

/**
 * @param {string | undefined} named
 * @param {string} folder
 * @param {NodeJS.ProcessEnv} env
 * @param {string} cwd
 * @returns {{source: string, binary: string}[]}
 */
function candidates(named, folder, env, cwd) {
  if (named) return [{source: `the option python: ${named}`, binary: named}];
  if (env.JSHOST_PYTHON) return [{source: `JSHOST_PYTHON=${env.JSHOST_PYTHON}`, binary: env.JSHOST_PYTHON}];
  const found = [];
  if (env.VIRTUAL_ENV) found.push({source: `VIRTUAL_ENV=${env.VIRTUAL_ENV}`, binary: binaryIn(env.VIRTUAL_ENV)});
  for (const place of new Set([folder, cwd])) {
    for (const name of VENV_FOLDERS) found.push({source: path.join(place, name), binary: binaryIn(path.join(place, name))});
  }
  return [...found, ...['python3', 'python'].map((name) => ({source: `${name} on PATH`, binary: name}))];
}

/** @param {string} environment a virtual environment's folder */
function binaryIn(environment) {
  return path.join(environment, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
}

/**
 * The file that a name stands for: a path, a virtual environment's folder, or a command on PATH.
 *
 * @param {string} binary
 * @param {NodeJS.ProcessEnv} env
 * @param {string} cwd
 */
async function find(binary, env, cwd) {
  const folders = binary.includes('/') ? [cwd] : (env.PATH ?? '').split(path.delimiter).filter(Boolean);
  for (const folder of folders) {
    const file = path.resolve(folder, binary);
    if (await isThere(path.join(file, 'pyvenv.cfg'))) return binaryIn(file);
    if (await isThere(file, constants.X_OK)) return file;
  }
  if (!binary.includes('/') && await isThere(path.resolve(cwd, binary, 'pyvenv.cfg'))) return binaryIn(path.resolve(cwd, binary));
  return undefined;
}

/**
 * @param {string} file
 * @param {number} [mode]
 */
function isThere(file, mode = constants.F_OK) {
  return access(file, mode).then(() => true, () => false);
}

/**
 * The version. A virtual environment has it in a file, which is quicker than running the interpreter.
 *
 * @param {string} binary
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<string | Error>}
 */
async function versionOf(binary, env) {
  const settings = await readFile(path.join(path.dirname(binary), '..', 'pyvenv.cfg'), 'utf8').catch(() => '');
  const noted = /^version(?:_info)?\s*=\s*(\d+\.\d+[.\d]*)/m.exec(settings);
  if (noted) return noted[1].replace(/\.$/, '');
  return new Promise((resolve) => {
    execFile(binary, ['--version'], {env, timeout: VERSION_TIMEOUT_MS}, (error, stdout, stderr) => {
      const version = /Python (\d+\.\d+\S*)/.exec(`${stdout}${stderr}`);
      resolve(version ? version[1] : (error ?? new Error(`${binary} --version does not say "Python …"`)));
    });
  });
}

/** @param {string} version */
function isNewEnough(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > MINIMUM[0] || major === MINIMUM[0] && minor >= MINIMUM[1];
}
