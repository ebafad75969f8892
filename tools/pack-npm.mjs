/**
 * Makes two things before the npm package is packed, and removes them afterwards: `bundled.cjs`, all
 * modules in one file for `require`, and `python/`, a copy of the modules that a Python worker imports.
 */

import {cpSync, mkdirSync, readFileSync, rmSync, existsSync} from 'node:fs';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = path.join(root, 'jshost', 'js');
const bundle = path.join(folder, 'bundled.cjs');
const copy = path.join(folder, 'python');
/** The modules that a user's Python code in a worker can import, through `jshost.__getattr__`. */
const ENTRIES = ['jshost.protocol.version', 'jshost.worker.main', 'jshost.worker.controllers', 'jshost.worker.context', 'jshost.exceptions'];

/** @param {string} name */
function fileOf(name) {
  const file = path.join(root, ...name.split('.'));
  if (existsSync(`${file}.py`)) return `${file}.py`;
  return existsSync(path.join(file, '__init__.py')) ? path.join(file, '__init__.py') : undefined;
}

/**
 * The modules of jshost that a file imports, and their packages.
 *
 * @param {string} file
 */
function importsOf(file) {
  const names = [];
  const text = readFileSync(file, 'utf8').replace(/\(\s*([^)]*)\)/g, (_, inside) => inside.replace(/\s+/g, ' '));
  for (const [, module, what] of text.matchAll(/^\s*from (jshost[\w.]*) import (.+)$/gm)) {
    const inside = what.split('#')[0].split(',').map((name) => `${module}.${name.trim().split(' ')[0]}`);
    names.push(module, ...inside.filter((name) => fileOf(name)));
  }
  return names.flatMap((name) => name.split('.').map((_, index, parts) => parts.slice(0, index + 1).join('.')));
}

function copyPython() {
  const done = new Set();
  const toDo = ENTRIES.flatMap((name) => ['jshost', 'jshost.worker', name]);
  for (let name = toDo.pop(); name !== undefined; name = toDo.pop()) {
    const file = fileOf(name);
    if (file === undefined || done.has(file)) continue;
    done.add(file);
    const target = path.join(copy, path.relative(root, file));
    mkdirSync(path.dirname(target), {recursive: true});
    cpSync(file, target);
    if (name !== 'jshost') toDo.push(...importsOf(file)); // the package itself imports modules only when they are used
  }
  return [...done].map((file) => path.relative(root, file)).sort();
}

rmSync(copy, {recursive: true, force: true});
rmSync(bundle, {force: true});
if (!process.argv.includes('--clean')) {
  const {build} = await import('esbuild').catch(() => {
    console.error(`esbuild packs the npm package, but it is not installed. Run: npm ci --prefix ${root}`);
    process.exit(1);
  });
  console.error(copyPython().join('\n'));
  await build({
    entryPoints: [path.join(folder, 'all.mjs')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    banner: {js: "const ownUrl = require('node:url').pathToFileURL(__filename).href;"},
    define: {'import.meta.url': 'ownUrl'},
    logLevel: 'warning',
  });
}
