// What a host in production sets; docs/production.md says why. Runs in: Node worker.
'use strict';

const {createHash} = require('node:crypto');

module.exports = {
  workers: 2,
  functionTimeout: 60,
  shutdownDelay: 2,
  shutdownTimeout: 10,
  allowedHosts: ['js.internal', 'jshost'],
  functions: {
    hello_world: ({name = 'World'}) => `Hello, ${name}!`,
    digest: ({text}) => createHash('sha256').update(text).digest('hex'),
  },
};
