// @ts-check
/** What a function says of caching, and what tells one version of its code from the next. */

import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {after, describe, test} from 'node:test';
import {describeCaching, fingerprint} from '../../../jshost/js/worker/caching.mjs';
import {ConfigError} from '../../../jshost/js/exceptions.mjs';

const root = mkdtempSync(join(tmpdir(), 'jshost-caching-'));
after(() => rmSync(root, {recursive: true}));
let folders = 0;

/** @param {Record<string, string>} files texts by name; returns a function that writes more */
function project(files) {
  const folder = join(root, String(++folders));
  /** @param {Record<string, string>} texts */
  const write = (texts) => {
    for (const [name, text] of Object.entries(texts)) {
      mkdirSync(dirname(join(folder, name)), {recursive: true});
      writeFileSync(join(folder, name), text);
    }
  };
  write(files);
  const config = join(folder, Object.keys(files)[0]);
  return {write, config, print: () => fingerprint(config, [config])};
}

/** @param {Record<string, unknown>} marks */
function functions(marks) {
  const made = Object.entries(marks).map(([name, cacheable]) => [name, Object.assign(() => 1, {cacheable})]);
  return new Map(/** @type {[string, () => number][]} */ (made));
}

describe('READY says', () => {
  test('which functions are cacheable', () => {
    const {config} = project({'host.config.js': '1'});
    const said = describeCaching(functions({render: {maxAge: 60}, plain: undefined}), config, () => [config]);
    assert.deepEqual(said.cacheable, {render: 60});
    assert.match(/** @type {string} */ (said.fingerprint), /^[0-9a-f]{12}$/);
  });

  test('nothing where none is', () => {
    assert.deepEqual(describeCaching(functions({plain: undefined}), '/x.js', assert.fail), {});
  });

  for (const mark of [60, true, null, {}, {maxAge: 0}, {maxAge: 1.5}, {maxAge: '60'}, {max_age: 60}, {maxAge: 9, x: 1}]) {
    test(`that ${JSON.stringify(mark)} is a mistake`, () => {
      const load = () => describeCaching(functions({render: mark}), '/host.config.js', () => []);
      assert.throws(load, (error) => error instanceof ConfigError && /"render" is marked .* whole seconds/.test(error.message));
    });
  }
});

describe('the fingerprint changes with', () => {
  test('the config file', () => {
    const {write, print} = project({'host.config.js': '1'});
    const first = print();
    assert.equal(print(), first);
    write({'host.config.js': '2'});
    assert.notEqual(print(), first);
  });

  /** @type {[string, string][]} */
  const imports = [
    ['import', "import {a} from './lib/a.mjs';"],
    ['import of nothing', "import './lib/a.mjs'"],
    ['import in lines', "import {\n  a,\n} from\n  './lib/a.mjs'"],
    ['export from', 'export * from "./lib/a.mjs"'],
    ['import()', "const a = await import('./lib/a.mjs');"],
  ];
  for (const [name, text] of imports) {
    test(`what it has by ${name}`, () => {
      const {write, print} = project({
        'host.config.mjs': text,
        'lib/a.mjs': "import {b} from '../b.mjs'; import './a.mjs'; import './gone.mjs';",
        'b.mjs': 'export const b = 1;',
      });
      const first = print();
      write({'b.mjs': 'export const b = 2;'});
      assert.notEqual(print(), first);
    });
  }

  test('the packages that are installed, or else those that are locked', () => {
    const {write, print} = project({'app/host.config.js': '1', 'package-lock.json': '1'});
    const prints = [print()];
    write({'package-lock.json': '2'});
    prints.push(print());
    write({'node_modules/.package-lock.json': '3'});
    prints.push(print());
    write({'package-lock.json': '4'});
    assert.equal(print(), prints[2]);
    assert.equal(new Set(prints).size, 3);
  });
});
