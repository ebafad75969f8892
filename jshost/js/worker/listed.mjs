// @ts-check
/**
 * The config file of `jshost.embedded({name: 'npm:package'})` and of `jshost.javascript(code)`.
 * Runs in: Node workers.
 *
 * An environment variable names the functions, so that no file has to be written and removed.
 */

import {createRequire} from 'node:module';
import {isAbsolute, join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {ConfigError} from '../exceptions.mjs';

/** @type {{functions?: Record<string, string>, folder?: string}} */
const listed = JSON.parse(process.env.JSHOST_LISTED ?? '{}');
delete process.env.JSHOST_LISTED;
const folder = listed.folder ?? process.cwd();
const require = createRequire(join(folder, 'noop.js'));
const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;

/**
 * @param {string} name
 * @param {string} place 'npm:package', 'npm:package:export' or './file.js:export'
 */
async function find(name, place) {
  const [, module, path] = /** @type {RegExpExecArray} */ (/^(?:npm:)?(.*?)(?::([^:]*))?$/.exec(place));
  const resolved = resolve(name, place, module);
  const loaded = await import(isAbsolute(resolved) ? pathToFileURL(resolved).href : resolved);
  const whole = 'default' in loaded ? loaded.default : loaded;
  const found = path ? (loaded[path] ?? whole?.[path]) : whole;
  if (typeof found !== 'function') {
    throw new ConfigError(`embedded: "${name}" is '${place}', a ${typeof found}, not a function.`);
  }
  return found;
}

/**
 * @param {string} name
 * @param {string} place
 * @param {string} module
 */
function resolve(name, place, module) {
  try {
    return require.resolve(module);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'MODULE_NOT_FOUND') throw error;
    const mend = place.startsWith('npm:')
      ? `is not installed in ${folder}. Run there: npm install ${module.split('/', module.startsWith('@') ? 2 : 1).join('/')}`
      : `is no file that ${folder} has`;
    throw new ConfigError(`embedded: "${name}" is '${place}', but ${module} ${mend}`);
  }
}

/** @type {Map<string, Function>} */
const compiled = new Map();

/**
 * The function whose name is its own code: its body, which sees `data` and `require`.
 *
 * @param {string} code
 */
function compile(code) {
  let fn = compiled.get(code);
  if (fn === undefined) {
    const made = new AsyncFunction('data', 'require', `${code}\n//# sourceURL=javascript`);
    fn = (/** @type {unknown} */ data) => made(data, require);
    compiled.set(code, fn);
  }
  return fn;
}

/** @type {Record<string, Function>} */
const functions = {};
for (const [name, place] of Object.entries(listed.functions ?? {})) {
  functions[name] = await find(name, place);
}

export default listed.functions ? {functions} : {functions, functionOf: compile};
