// A fresh program that makes one call, prints its result and ends by itself.
// Usage: node first.mjs CALLER '{"python": "python3"}'

import {CALLERS} from './callers.mjs';

const [name, options] = process.argv.slice(2);
const caller = await CALLERS[name](JSON.parse(options));
console.log(await caller.call('tiny', {x: 1}));
await caller.end();
