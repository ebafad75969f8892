// What driver.py is, for rows whose calls a Node program makes: a line of JSON in, a line out.
// Usage: node driver.mjs CALLER '{"python": "python3"}' 3>&1; replies go to descriptor 3, for what
// peers print goes to 1. EOF on stdin ends it.

import {writeSync} from 'node:fs';
import {createInterface} from 'node:readline';
import {CALLERS} from './callers.mjs';
import {LOADS} from './loads.mjs';

const REPLIES = 3;

/** @param {object} reply */
function say(reply) {
  writeSync(REPLIES, `${JSON.stringify(reply)}\n`);
}

/** @param {any} error */
function failure(error) {
  return {error: `${error?.name}: ${String(error?.message).replace(/\s+/g, ' ').slice(0, 200)}`};
}

const [name, options] = process.argv.slice(2);
let caller;
try {
  caller = await CALLERS[name](JSON.parse(options));
  say({ready: true});
} catch (error) {
  say(failure(error));
  process.exit(1);
}
for await (const line of createInterface({input: process.stdin})) {
  const {op, ...load} = JSON.parse(line);
  try {
    say(await LOADS[op](caller, load));
  } catch (error) {
    say(failure(error)); // a failure is a row's result
  }
}
await caller.end();
process.exit(0);
