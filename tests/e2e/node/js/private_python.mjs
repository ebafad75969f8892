// @ts-check
/** What the tests of a private Python share: a folder of Python files, and what is ended behind each test. */

import {spawnSync} from 'node:child_process';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, afterEach} from 'node:test';
import {python} from '../../../../jshost/js/index.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'private-python-'));
after(() => rmSync(folder, {recursive: true}));

/** @type {{end(): Promise<void>}[]} */
const open = [];
afterEach(async () => void await Promise.all(open.splice(0).map((each) => each.end())));

/**
 * @param {string} name
 * @param {string} text
 */
export function write(name, text) {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

/**
 * A Python with a file of its own; it is ended behind the test.
 *
 * @param {string} text
 * @param {import('../../../../jshost/js/embedding/python.mjs').PythonOptions} [options]
 */
export async function pythonWith(text, options) {
  return endLater(await python(write(`file_${open.length}_${process.hrtime.bigint()}.py`, text), options));
}

/**
 * @template {{end(): Promise<void>}} T
 * @param {T} each
 */
export function endLater(each) {
  open.push(each);
  return each;
}

/**
 * The first value of an event.
 *
 * @param {{on(event: any, listener: (data: any) => void): unknown}} py
 * @param {string} event
 * @param {(data: any) => boolean} [test]
 * @returns {Promise<any>}
 */
export function heard(py, event, test = () => true) {
  return new Promise((resolve) => py.on(event, (data) => test(data) && resolve(data)));
}

/**
 * Whether a process runs; one that has ended and that nobody has waited for does not.
 *
 * @param {number} pid
 */
export function isRunning(pid) {
  const {status, stdout} = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], {encoding: 'utf8'});
  return status === 0 && !stdout.startsWith('Z');
}

/**
 * @param {() => unknown} condition may be async
 * @param {string} what
 * @param {number} [limitMs]
 */
export async function wait(condition, what, limitMs = 5000) {
  const end = performance.now() + limitMs;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`no ${what} within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
