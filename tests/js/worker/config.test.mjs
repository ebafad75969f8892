// @ts-check
/** Config files in every module system, and what is said of those that do not load. */

import assert from 'node:assert/strict';
import {mkdirSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {after, describe, test} from 'node:test';
import {ConfigError} from '../../../jshost/js/exceptions.mjs';
import {describeFailure, load, loadConfig, readFunctions, readOptions} from '../../../jshost/js/worker/config.mjs';
import {LoadedFiles} from '../../../jshost/js/worker/loaded_files.mjs';

const root = mkdtempSync(join(tmpdir(), 'jshost-config-'));
after(() => rmSync(root, {recursive: true}));
let folders = 0;

/**
 * Write files into a folder of their own.
 *
 * @param {Record<string, string>} files texts by name
 * @returns {string} the path of the first
 */
function write(files) {
  const folder = join(root, String(++folders));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), {recursive: true});
    writeFileSync(join(folder, name), text);
  }
  return join(folder, Object.keys(files)[0]);
}

const MODULE = '{"type": "module"}';
const COMMONJS = '{"type": "commonjs"}';
const PACKAGE = {
  'node_modules/tea/package.json': '{"name": "tea", "main": "tea.js"}',
  'node_modules/tea/tea.js': 'exports.price = 3;',
};

describe('a config loads', () => {
  /** @type {[string, Record<string, string>][]} */
  const systems = [
    ['as CommonJS', {'host.config.js': 'module.exports = {port: 1, functions: {f: () => 3}};'}],
    ['as CommonJS by exports', {'host.config.js': 'exports.port = 1; exports.functions = {f: () => 3};'}],
    ['as .cjs', {'host.config.cjs': 'module.exports = {port: 1, functions: {f: () => 3}};', 'package.json': MODULE}],
    ['as CommonJS in a package that says so', {'host.config.js': 'module.exports = {port: 1, functions: {f: () => 3}};', 'package.json': COMMONJS}],
    ['as an ES module in a package that says so', {'host.config.js': 'export default {port: 1, functions: {f: () => 3}};', 'package.json': MODULE}],
    ['as .mjs', {'host.config.mjs': 'export default {port: 1, functions: {f: () => 3}};'}],
    ['as an ES module by names', {'host.config.mjs': 'export const port = 1; export const functions = {f: () => 3};'}],
    ['as transpiled from an ES module', {'host.config.js': 'exports.__esModule = true; exports.default = {port: 1, functions: {f: () => 3}};'}],
    ['with a top-level await', {'host.config.mjs': 'const port = await Promise.resolve(1); export default {port, functions: {f: () => 3}};'}],
    ['with a top-level await in a package', {'host.config.js': 'const port = await Promise.resolve(1); export default {port, functions: {f: () => 3}};', 'package.json': MODULE}],
    ['with a package beside it', {'host.config.js': "module.exports = {port: 1, functions: {f: () => require('tea').price}};", ...PACKAGE}],
    ['with a package beside it, as an ES module', {'host.config.mjs': "import tea from 'tea'; export default {port: 1, functions: {f: () => tea.price}};", ...PACKAGE}],
    ['with a file beside it', {'host.config.js': "module.exports = require('./near');", 'near.js': 'module.exports = {port: 1, functions: {f: () => 3}};'}],
    ['with JSON beside it', {'host.config.js': "module.exports = {...require('./near.json'), functions: {f: () => 3}};", 'near.json': '{"port": 1}'}],
    ['with a file beside it, as an ES module', {'host.config.mjs': "export {default} from './near.mjs';", 'near.mjs': 'export default {port: 1, functions: {f: () => 3}};'}],
    ['with all functions of a module', {'host.config.mjs': "import * as functions from './near.mjs'; export default {port: 1, functions};", 'near.mjs': 'export const f = () => 3;'}],
    ['from a folder with odd characters', {'größe #1 %20?/host.config.mjs': 'export default {port: 1, functions: {f: () => 3}};'}],
  ];
  for (const [name, files] of systems) {
    test(name, async () => {
      const path = write(files);
      const config = await loadConfig(path);
      assert.equal(config.port, 1);
      assert.equal(readFunctions(path, config).get('f')?.(), 3);
    });
  }

  test('with the properties that its functions read', async () => {
    const config = await loadConfig(write({'host.config.js': "module.exports = {apiKey: 'secret', functions: {}};"}));
    assert.equal(config.apiKey, 'secret');
  });

  test('once', async () => {
    const text = 'globalThis.jshostLoads = (globalThis.jshostLoads ?? 0) + 1; module.exports = {functions: {}};';
    await loadConfig(write({'host.config.js': text}));
    assert.equal(/** @type {any} */ (globalThis).jshostLoads, 1);
  });
});

test('a config that fails is run once: it may have opened a port', async () => {
  const text = 'globalThis.jshostRuns = (globalThis.jshostRuns ?? 0) + 1;';
  const path = write({
    'host.config.js': `${text}\nmodule.exports = require('./near.mjs');`,
    'near.mjs': 'await null; export default {functions: {}};', // no Node can require this
  });
  await assert.rejects(loadConfig(path), {code: /^ERR_REQUIRE_(ESM|ASYNC_MODULE)$/});
  assert.equal(/** @type {any} */ (globalThis).jshostRuns, 1);
});

describe('a config that is no object is refused', () => {
  for (const [text, kind] of [["'text'", 'a string'], ['null', 'null'], ['() => ({})', 'a function'], ['7', 'a number']]) {
    test(kind, async () => {
      for (const [name, prefix] of [['host.config.js', 'module.exports ='], ['host.config.mjs', 'export default']]) {
        const path = write({[name]: `${prefix} ${text};`});
        await assert.rejects(loadConfig(path), (error) => {
          assert.ok(error instanceof ConfigError);
          assert.ok(error.message.startsWith(`${path}: must export an object with "functions"`), error.message);
          assert.ok(error.message.endsWith(`it exports ${kind}.`), error.message);
          return true;
        });
      }
    });
  }
});

describe('functions', () => {
  test('may be missing', () => {
    assert.deepEqual(readFunctions('c', {}), new Map());
  });

  test('keep their names and their order', () => {
    const functions = {b() {}, a() {}, 'with/slash': () => {}};
    assert.deepEqual([...readFunctions('c', {functions}).keys()], ['b', 'a', 'with/slash']);
  });

  /** @type {[any, string][]} */
  const refused = [
    [[() => {}], 'c: "functions" must be an object of names to functions.'],
    ['text', 'c: "functions" must be an object of names to functions.'],
    [{render: 'text'}, 'c: "functions" must map names to functions; "render" is a string.'],
    [{render: undefined}, 'c: "functions" must map names to functions; "render" is a undefined.'],
    [{render: null}, 'c: "functions" must map names to functions; "render" is a object.'],
  ];
  for (const [functions, message] of refused) {
    test(`that are ${JSON.stringify(functions)} are refused`, () => {
      assert.throws(() => readFunctions('c', {functions}), {name: 'ConfigError', message});
    });
  }
});

describe('options', () => {
  test('are those that the host knows', () => {
    const config = {port: 9010, allowedHosts: ['a'], functionTimeout: null, colour: 'red', max_queue: 3};
    assert.deepEqual(readOptions('c', config, ['port', 'allowedHosts', 'functionTimeout', 'workers', 'max_queue']), {
      port: 9010,
      allowedHosts: ['a'],
      functionTimeout: null,
      max_queue: 3,
    });
  });

  for (const value of [() => 1, 1n, Symbol('a')]) {
    test(`of the type ${typeof value} are refused`, () => {
      assert.throws(() => readOptions('c', {workers: value}, ['workers']), {
        name: 'ConfigError',
        message: `c: the option "workers" cannot be a ${typeof value}.`,
      });
    });
  }
});

describe('a config that does not load is described', () => {
  /**
   * @param {Record<string, string>} files
   * @returns {Promise<{name: string, message: string, stack: string, path: string}>}
   */
  async function described(files) {
    const path = write(files);
    try {
      await loadConfig(path);
    } catch (error) {
      return {...describeFailure(error, path), path};
    }
    return assert.fail('it loads');
  }

  /** @type {[string, Record<string, string>][]} */
  const mistakes = [
    ['in CommonJS', {'host.config.js': 'const a = 1;\nconst b = = 2;\n'}],
    ['in .cjs', {'host.config.cjs': 'const a = 1;\nconst b = = 2;\n'}],
    ['in an ES module', {'host.config.mjs': 'const a = 1;\nconst b = = 2;\n'}],
    ['in a package of ES modules', {'host.config.js': 'const a = 1;\nconst b = = 2;\n', 'package.json': MODULE}],
    ['in a folder with a space', {'a folder/host.config.mjs': 'const a = 1;\nconst b = = 2;\n'}],
  ];
  for (const [name, files] of mistakes) {
    test(`by file, line and text: a syntax error ${name}`, async () => {
      const {path, message, stack, ...failure} = await described(files);
      assert.equal(failure.name, 'SyntaxError');
      assert.equal(message, `${path}, line 2: Unexpected token '='`);
      assert.match(stack, /\nconst b = = 2;\n +\^/);
      assert.ok(!stack.includes('node:internal'), stack);
    });
  }

  for (const [name, files] of /** @type {[string, Record<string, string>][]} */ ([
    ['CommonJS', {'host.config.js': "require('./near.js');", 'near.js': 'function (\n'}],
    ['an ES module', {'host.config.mjs': "import './near.mjs';", 'near.mjs': 'function (\n'}],
  ])) {
    test(`by the file that has it: a syntax error in what ${name} imports`, async () => {
      const {path, message} = await described(files);
      assert.ok(message.startsWith(`${join(dirname(path), Object.keys(files)[1])}, line 1: `), message);
    });
  }

  test('by file and line: a name that a module does not export', async () => {
    const {path, message} = await described({
      'host.config.mjs': "\nimport {cofee} from './near.mjs';\nexport default {functions: {cofee}};",
      'near.mjs': 'export const coffee = () => 1;',
    });
    assert.ok(message.startsWith(`${path}, line 2: `), message);
    assert.match(message, /does not provide an export named 'cofee'/);
  });

  /** @type {[string, string][]} */
  const specifiers = [
    ['no-such-package', 'no-such-package'],
    ['no-such-package/sub/file.js', 'no-such-package'],
    ['@scope/no-such-package', '@scope/no-such-package'],
    ['@scope/no-such-package/sub', '@scope/no-such-package'],
  ];
  for (const [specifier, name] of specifiers) {
    for (const [file, text] of [['host.config.js', `require('${specifier}')`], ['host.config.mjs', `import '${specifier}'`]]) {
      test(`by the package that is missing: ${text}`, async () => {
        const {path, message} = await described({[file]: text});
        assert.equal(
          message,
          `${path}: the npm package "${name}" is not installed. ` +
            `Run: npm install ${name} (in ${dirname(path)}, or where your package.json is)`,
        );
      });
    }
  }

  for (const [file, text] of [
    ['host.config.js', "require('./no-such-file.js')"],
    ['host.config.mjs', "import './no-such-file.js'"],
    ['host.config.mjs', "import 'node:no-such-module'"],
  ]) {
    test(`not as a missing package: ${text}`, async () => {
      const {path, message} = await described({[file]: text});
      assert.ok(message.startsWith(`${path}: `), message);
      assert.ok(!message.includes('npm install'), message);
      assert.match(message, /no-such-/);
    });
  }

  for (const file of ['host.config.js', 'host.config.mjs']) {
    test(`by its line: an error that ${file} throws`, async () => {
      const text = "function check() {\n  throw new RangeError('no key');\n}\ncheck();\n";
      const {path, name, message, stack} = await described({[file]: text});
      assert.deepEqual([name, message], ['RangeError', `${path}: no key`]);
      assert.match(stack, new RegExp(`at check \\(.*${file.replaceAll('.', '\\.')}:2:9\\)`));
      assert.ok(!stack.includes('jshost/js/'), stack);
      assert.ok(!stack.includes('node:internal'), stack);
    });
  }

  for (const [thrown, shown] of [["'text'", 'text'], ['undefined', 'undefined'], ['null', 'null'], ['404', '404']]) {
    test(`though it throws ${thrown}`, async () => {
      const {path, message} = await described({'host.config.js': `throw ${thrown};`});
      assert.equal(message, `${path}: threw ${shown} while it was loaded`);
    });
  }

  test('without a stack, where it is our own error', () => {
    assert.deepEqual(describeFailure(new ConfigError('c: wrong'), 'c'), {
      name: 'ConfigError',
      message: 'c: wrong',
      stack: '',
    });
  });
});

describe('a loaded config', () => {
  const nothing = () => {};
  const logger = {log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing};

  test('has all that its host must know', async () => {
    const path = write({
      'host.config.cjs': `
        const f = () => 1;
        f.cacheable = {maxAge: 60};
        module.exports = {port: 1, other: 2, functions: {f}, extendHost(host) { host.addFunction('g', () => 2); }};
      `,
    });
    const loaded = await load(path, new LoadedFiles(path), logger, ['port', 'address']);
    assert.deepEqual([...loaded.functions.keys()], ['f', 'g']);
    assert.deepEqual(loaded.options, {port: 1});
    assert.ok(loaded.files.includes(path));
    assert.deepEqual(loaded.caching.cacheable, {f: 60});
    assert.equal(loaded.host.logger, logger);
  });

  test('may bring its logger', async () => {
    const path = write({'host.config.cjs': 'exports.logger = {own: true};'});
    const {host} = await load(path, new LoadedFiles(path), logger, []);
    assert.deepEqual(host.logger, {own: true});
  });

  test('must have a function as extendHost', async () => {
    const path = write({'host.config.cjs': 'exports.extendHost = 1;'});
    await assert.rejects(load(path, new LoadedFiles(path), logger, []), /"extendHost" must be a function that takes the host/);
  });
});
