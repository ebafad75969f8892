// @ts-check
/** Which Python is found, and what is said where there is none. */

import assert from 'node:assert/strict';
import {chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, before, describe, test} from 'node:test';
import {findPython} from '../../../../jshost/js/discovery/interpreter.mjs';

/** @type {string} */
let root;
before(() => void (root = mkdtempSync(path.join(tmpdir(), 'find-python-'))));
after(() => rmSync(root, {recursive: true}));

/**
 * A command that says its version.
 *
 * @param {string} file
 * @param {string} says
 */
function command(file, says) {
  const whole = path.join(root, file);
  mkdirSync(path.dirname(whole), {recursive: true});
  writeFileSync(whole, `#!/bin/sh\necho "${says}"\n`);
  chmodSync(whole, 0o755);
  return whole;
}

/**
 * @param {string} folder
 * @param {string} [version]
 */
function environment(folder, version = '3.12.4') {
  const binary = command(`${folder}/bin/python`, 'not asked');
  writeFileSync(path.join(root, folder, 'pyvenv.cfg'), `home = /usr/bin\nversion = ${version}\n`);
  return binary;
}

describe('in order', () => {
  test('a named one, and nothing else', async () => {
    const binary = command('named/python3.13', 'Python 3.13.0');
    const env = {PATH: '/usr/bin', JSHOST_PYTHON: '/nowhere'};
    const found = await findPython({python: binary, folder: root, env, cwd: root});
    assert.deepEqual(found, {path: binary, version: '3.13.0', source: `the option python: ${binary}`});
    await assert.rejects(findPython({python: './none', folder: root, env, cwd: root}), /Tried:\n {2}- the option python: \.\/none: not found\n/);
  });

  test('a virtual environment by its folder', async () => {
    const binary = environment('project/env');
    const found = await findPython({python: 'env', folder: root, env: {PATH: ''}, cwd: path.join(root, 'project')});
    assert.equal(found.path, binary);
  });

  test('JSHOST_PYTHON before the active environment', async () => {
    const binary = command('other/python3', 'Python 3.12.0');
    const env = {JSHOST_PYTHON: binary, VIRTUAL_ENV: path.dirname(path.dirname(environment('active')))};
    assert.equal((await findPython({folder: root, env, cwd: root})).path, binary);
    delete (/** @type {any} */ (env).JSHOST_PYTHON);
    assert.equal((await findPython({folder: root, env, cwd: root})).source, `VIRTUAL_ENV=${path.join(root, 'active')}`);
  });

  test('an environment beside the file, in the working directory, and then PATH', async () => {
    const onPath = path.dirname(command('bin/python3', 'Python 3.11.9'));
    const [beside, here] = ['beside', 'here'].map((name) => path.join(root, name));
    mkdirSync(beside);
    mkdirSync(here);
    const where = {folder: beside, env: {PATH: onPath}, cwd: here};
    assert.equal((await findPython(where)).source, 'python3 on PATH');
    const local = environment('here/venv');
    assert.equal((await findPython(where)).path, local);
    const next = environment('beside/.venv');
    assert.equal((await findPython(where)).path, next);
  });
});

test('the error lists what was tried, and says what to do', async () => {
  const env = {PATH: path.dirname(command('old/python3', 'Python 3.8.10'))};
  const folder = path.join(root, 'nothing');
  await assert.rejects(findPython({folder, env, cwd: folder}), (/** @type {any} */ error) => {
    assert.equal(error.name, 'ConfigError');
    const lines = error.message.split('\n');
    assert.equal(lines[0], 'No Python 3.11 or newer was found. Tried:');
    assert.deepEqual(lines.slice(1, 5), [
      `  - ${folder}/.venv: not found`,
      `  - ${folder}/venv: not found`,
      `  - python3 on PATH (${env.PATH}/python3): version 3.8.10, too old`,
      '  - python on PATH: not found',
    ]);
    assert.match(lines[5], /^Install Python 3\.11 or newer, .* JSHOST_PYTHON\.$/);
    return true;
  });
});
