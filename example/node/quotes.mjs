/** Looks up quotes in a table that Python has loaded once. Run: node quotes.mjs */

import {python} from '../../jshost/js/index.mjs'; // in a project of yours: from 'jshost'

const py = await python(new URL('quotes.py', import.meta.url));

console.log(await py.quote({symbol: 'S042'}));
console.log(await py.best({count: 2}));

const began = performance.now();
const symbols = Array.from({length: 1000}, (_, number) => `S${String(number % 200).padStart(3, '0')}`);
const quotes = await Promise.all(symbols.map((symbol) => py.quote({symbol})));
console.log(`${quotes.length} quotes in ${Math.round(performance.now() - began)} ms`);

try {
  await py.quote({symbol: 'NONE'});
} catch (error) {
  console.log(`${error.name}: ${error.message}, line ${error.line}`);
}
