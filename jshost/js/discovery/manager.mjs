// @ts-check
/**
 * Lets the manager start a host and keep it for as long as this process lives. A Python with jshost talks
 * to the manager. Runs in: callers.
 */

import {execFile} from 'node:child_process';
import {dirname} from 'node:path';
import {pid} from 'node:process';
import {findPython} from './interpreter.mjs';
import {ConfigError, ProcessError} from '../exceptions.mjs';

const START_TIMEOUT_MS = 90_000;

/**
 * Start the host of a config file if none runs, and hold it for this process.
 *
 * @param {string} configFile
 * @param {string} [named] a Python that has jshost; else one is looked for as for `python()`
 * @returns {Promise<string>} where it listens
 */
export async function holdHost(configFile, named) {
  const {path: python} = await findPython({python: named, folder: dirname(configFile)});
  const request = JSON.stringify({config: configFile, pid});
  return new Promise((resolve, reject) => {
    execFile(python, ['-P', '-m', 'jshost.cli.hold', request], {timeout: START_TIMEOUT_MS}, (error, stdout, stderr) => {
      if (error === null) return resolve(JSON.parse(stdout).url);
      if (/No module named '?jshost\b/.test(stderr)) {
        return reject(new ConfigError(`${python} has no jshost, which starts hosts. Install it there (${python} -m pip install jshost), or name another Python in the option python or in JSHOST_PYTHON.`));
      }
      return reject(new ProcessError(`the host of ${configFile} does not start: ${stderr.trim() || error.message}`));
    });
  });
}
