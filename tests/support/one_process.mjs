// @ts-check
/** Runs test files in one process, which starts once: `node one_process.mjs FILE...`. Runs in: tests. */

import path from 'node:path';
import {pathToFileURL} from 'node:url';

for (const file of process.argv.slice(2)) await import(pathToFileURL(path.resolve(file)).href);
