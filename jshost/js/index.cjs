/** What `require('jshost')` gives. Runs in: callers. */

'use strict';

module.exports = require('./load.cjs');
