/** What `require('jshost/bindings')` gives: the class, by itself and by its name. Runs in: callers. */

'use strict';

const {Bindings} = require('./load.cjs');

module.exports = Bindings;
module.exports.Bindings = Bindings;
module.exports.default = Bindings;
