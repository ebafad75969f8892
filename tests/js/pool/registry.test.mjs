// @ts-check
/** The pools of a Python file and of the files that it includes; their processes are fakes. */

import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {after, test} from 'node:test';
import {Registry} from '../../../jshost/js/pool/registry.mjs';
import {Kind} from '../../../jshost/js/protocol/frames.mjs';
import {FakeProcess} from './fake_process.mjs';

const folder = mkdtempSync(path.join(tmpdir(), 'registry-'));
const keepRunning = setInterval(() => undefined, 1000); // a pool's own timers do not
after(() => {
  clearInterval(keepRunning);
  rmSync(folder, {recursive: true});
});

/** @typedef {{functions?: string[], options?: Record<string, unknown>, failure?: Record<string, unknown>}} File */

/**
 * A registry over files that serve what is said here.
 *
 * @param {Record<string, File>} files
 * @param {Record<string, unknown>} [wanted]
 */
function registryOver(files, wanted = {}) {
  for (const name of Object.keys(files)) writeFileSync(path.join(folder, name), '');
  /** @type {{launch: import('../../../jshost/js/pool/process.mjs').Launch, process: FakeProcess}[]} */
  const started = [];
  const start = (/** @type {import('../../../jshost/js/pool/process.mjs').Launch} */ launch) => {
    const process = new FakeProcess();
    process.obeys = true;
    const {functions, options, failure} = files[path.basename(launch.file)];
    started.push({launch, process});
    setImmediate(() => {
      if (failure === undefined) process.ready(functions, options);
      else process.send(Kind.ERROR, 0, JSON.stringify(failure));
    });
    return process;
  };
  const listener = {onLine: () => undefined, onLog: () => undefined, onNotice: () => undefined};
  const anchor = {hold: () => undefined, release: () => undefined};
  const registry = new Registry({python: 'python', serve: 'module', cwd: '/', env: {}}, wanted, anchor, listener, start);
  const load = () => registry.load(path.join(folder, Object.keys(files)[0]));
  return {registry, load, started};
}

test('a file is loaded, and the Python files that it includes; JavaScript is not', async () => {
  const {registry, load, started} = registryOver({
    'main.py': {functions: ['f'], options: {include: ['more.py', 'host.config.js', 'main.py'], function_timeout: 2}},
    'more.py': {functions: ['g', 'h']},
  });
  await load();
  assert.deepEqual(registry.functions, ['f', 'g', 'h']);
  assert.deepEqual(['f', 'g', 'x'].map((name) => registry.route(name)?.limitMs), [2000, null, undefined]);
  assert.notEqual(registry.route('f')?.pool, registry.route('g')?.pool);
  assert.equal(registry.route('h')?.pool, registry.route('g')?.pool);
  assert.deepEqual(started.map(({launch}) => path.basename(launch.file)), ['main.py', 'more.py']);
  assert.deepEqual(registry.workers.map(({state}) => state), ['ready', 'ready']);
  await registry.end(0);
  assert.deepEqual(registry.workers, []);
});

test("the program's options take precedence over the file's", async () => {
  const {registry, load, started} = registryOver({'main.py': {functions: ['f'], options: {workers: 2, functionTimeout: 5}}}, {workers: 3, threads: 4});
  await load();
  assert.equal(registry.route('f')?.limitMs, 5000);
  assert.deepEqual([started.length, registry.workers.length], [3, 3]);
  assert.deepEqual([started[0].launch.settings.threads, started[0].launch.settings.forceThreads], [4, true]);
  await registry.end(0);
});

test('an option that does not exist, or cannot have its value, is an error', async () => {
  assert.throws(() => registryOver({}, {worker: 3}), {name: 'ConfigError', message: 'python(): there is no option "worker".'});
  const {load, started} = registryOver({'main.py': {functions: ['f']}}, {workers: 0});
  await assert.rejects(load(), {name: 'ConfigError', message: /^python\(\): the option "workers" must be a whole number/});
  assert.equal(started.length, 0);
  const file = registryOver({'main.py': {functions: ['f'], options: {workers: 'two'}}});
  await assert.rejects(file.load(), {name: 'ConfigError', message: /main\.py: the option "workers"/});
});

test('after a file that does not load, or is missing, no worker is left', async () => {
  const {registry, load, started} = registryOver({
    'main.py': {functions: ['f'], options: {include: ['broken.py']}},
    'broken.py': {failure: {name: 'SyntaxError', message: 'invalid syntax'}},
  });
  await assert.rejects(load(), {name: 'SyntaxError', message: 'invalid syntax'});
  assert.deepEqual([started.every(({process}) => process.hasEnded), registry.workers], [true, []]);
  const missing = registryOver({'main.py': {functions: ['f'], options: {include: ['absent.py']}}});
  await assert.rejects(missing.load(), {name: 'ConfigError', message: /absent\.py: no such Python file/});
  assert.ok(missing.started[0].process.hasEnded);
});

test('two functions with the same name are an error', async () => {
  const {load, started} = registryOver({
    'main.py': {functions: ['f'], options: {include: ['more.py']}},
    'more.py': {functions: ['f']},
  });
  await assert.rejects(load(), {name: 'ConfigError', message: /more\.py: a function has already been defined with the name "f"/});
  assert.ok(started.every(({process}) => process.hasEnded));
});
