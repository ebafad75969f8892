// @ts-check
/**
 * The manager, asked by way of Python, which knows how: it has a host started, and held for as long as
 * this process lives. Runs in: callers.
 */

import {execFile} from 'node:child_process';
import {env, pid} from 'node:process';
import {ConfigError, ProcessError} from './remote_errors.mjs';

const START_TIMEOUT_MS = 90_000;

/**
 * Have the config's host started where none runs, and hold it for this process.
 *
 * @param {string} configFile
 * @param {string} [python] one that has jshost
 * @returns {Promise<string>} where it listens
 */
export function holdHost(configFile, python = env.JSHOST_PYTHON ?? 'python3') {
  const request = JSON.stringify({config: configFile, pid});
  return new Promise((resolve, reject) => {
    execFile(python, ['-P', '-m', 'jshost.holding', request], {timeout: START_TIMEOUT_MS}, (error, stdout, stderr) => {
      if (error === null) return resolve(JSON.parse(stdout).url);
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') {
        return reject(new ConfigError(`${python}: cannot be run. Name a Python that has jshost, in the option python or in JSHOST_PYTHON.`));
      }
      if (stderr.includes('No module named jshost')) {
        return reject(new ConfigError(`${python} has no jshost, which starts hosts: ${python} -m pip install jshost`));
      }
      return reject(new ProcessError(`the host of ${configFile} does not start: ${stderr.trim() || error.message}`));
    });
  });
}
