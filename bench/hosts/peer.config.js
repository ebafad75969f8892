'use strict';
// js-host's config file. Runs in: the js-host row's Node. BENCH_PORT names the port.
// Silent, because js-host otherwise logs three lines for every call and no other row logs.

const functions = require('./functions.cjs');

/** @param {(data: any) => any} called */
const withCallback = (called) => (data, cb) => {
  Promise.resolve(called(data)).then((value) => cb(null, value), cb);
};

module.exports = {
  port: process.env.BENCH_PORT,
  silent: true,
  functions: Object.fromEntries(
    Object.entries(functions).map(([name, called]) => [name, withCallback(called)]),
  ),
};
