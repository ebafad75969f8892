// @ts-check
/** Which files are loaded is known as soon as they are: an edit of one must be seen by the next call. */

import assert from 'node:assert/strict';
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {pathToFileURL} from 'node:url';
import {LoadedFiles} from '../../../jshost/js/worker/loaded_files.mjs';

test('a module is known once it is imported', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'jshost-'));
  context.after(() => rmSync(folder, {recursive: true}));
  const loaded = new LoadedFiles(join(folder, 'host.config.mjs'));
  loaded.watchImports();
  for (let number = 0; number < 50; number++) {
    const file = join(folder, `${number}.mjs`);
    writeFileSync(file, `export default ${number};`);
    assert.equal((await import(pathToFileURL(file).href)).default, number);
    assert.ok(loaded.all().includes(file), `module ${number} is not known`);
  }
});
