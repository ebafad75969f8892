'use strict';
// jshost's config file, JavaScript. Runs in: jshost's Node workers.

const functions = require('./functions.cjs');

module.exports = {
  functions,
  workers: Number(process.env.BENCH_WORKERS ?? 1),
};
