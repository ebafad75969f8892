/** All of jshost for `require`: the packed file, or, in the repository, the modules. Runs in: callers. */

'use strict';

const {existsSync} = require('node:fs');
const {join} = require('node:path');

module.exports = existsSync(join(__dirname, 'bundled.cjs')) ? require('./bundled.cjs') : require('./all.mjs');
