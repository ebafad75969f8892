/** Sends a CSV file to pandas, as it is. Run: node describe.mjs */

import {readFile} from 'node:fs/promises';
import {python} from '../../jshost/js/index.mjs'; // in a project of yours: from 'jshost'

const py = await python(new URL('describe.py', import.meta.url));
const csv = await readFile(new URL('cities.csv', import.meta.url));

console.log(await py.describe({csv, column: 'population'}));
