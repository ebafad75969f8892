// @ts-check
/** Values: the JavaScript codec is what the vectors say, which Python's tests read as well. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {describe, test} from 'node:test';
import {parseBody} from '../../../jshost/js/protocol/arguments.mjs';
import {encodeParts} from '../../../jshost/js/protocol/multipart.mjs';
import {encodeResult} from '../../../jshost/js/protocol/values.mjs';
import {failure} from '../../support/failure.mjs';

/**
 * @typedef {{js: string, json: string, parts?: Record<string, string>}} Row
 * @typedef {Row & {py: string, refusedByJavaScript?: string}} ArgumentRow
 * @typedef {Row & {text?: string, bytes?: string, settles?: boolean}} ResultRow
 * @typedef {{js: string, says: string, place?: string, error?: string, alone?: boolean, inside?: boolean}} RefusedRow
 * @typedef {{javascript: string[], arguments: ArgumentRow[], results: ResultRow[], refusedResults: RefusedRow[]}} Vectors
 */

/** @type {Vectors} */
const vectors = JSON.parse(readFileSync(new URL('../../vectors/values.json', import.meta.url), 'utf8'));

/** Evaluates the rows' JavaScript. @type {(text: string) => unknown} */
const valueOf = new Function('require', `${vectors.javascript.join('\n')}\nreturn (text) => eval('(' + text + ')');`)(
  createRequire(import.meta.url),
);

/**
 * @param {string} json
 * @param {Record<string, string>} parts
 * @param {string} [prefix]
 */
function multipart(json, parts, prefix = '') {
  return encodeParts([
    {name: 'data', contentType: 'application/json', data: Buffer.from(json)},
    ...Object.entries(parts).map(([place, data]) => (
      {name: prefix + place, contentType: 'application/octet-stream', data: Buffer.from(data, 'latin1')}
    )),
  ]);
}

describe('an argument', () => {
  for (const row of vectors.arguments) {
    const json = `{"value": ${row.json}}`;
    test(row.py, () => {
      if (row.refusedByJavaScript !== undefined) {
        const {code, message} = failure(() => parseBody(Buffer.from(json)));
        assert.deepEqual([code, message], ['unsafe_integer', `argument value: ${row.refusedByJavaScript}`]);
        return;
      }
      const {type, body} = row.parts
        ? multipart(json, row.parts, '/value')
        : {type: 'application/json', body: Buffer.from(json)};
      assert.deepEqual(parseBody(body, type), {value: valueOf(row.js)});
    });
  }
});

describe('a result', () => {
  for (const row of vectors.results.filter(({settles}) => !settles)) {
    test(row.js, () => {
      const {form, payload} = encodeResult(valueOf(row.js));
      if (row.parts) {
        assert.equal(form, 'm');
        assert.deepEqual(payload, multipart(row.json, row.parts).body);
      } else if (row.bytes !== undefined) {
        assert.deepEqual([form, payload], ['b', Buffer.from(row.bytes, 'latin1')]);
      } else {
        assert.deepEqual([form, payload], row.text === undefined ? ['j', row.json] : ['t', row.text]);
      }
    });
  }
});

describe('a refused result', () => {
  for (const {js, says, place = '', error = 'TypeError', alone, inside} of vectors.refusedResults) {
    const isCut = place === '…'; // the structure is too deep to say where
    /** @type {[boolean | undefined, string, (value: unknown) => unknown][]} */
    const ways = [
      [inside, place.slice(1), (value) => value],
      [alone, `options.items[3].price${place}`, (value) => ({options: {items: [1, 2, 3, {price: value}]}})],
    ];
    for (const [isSkipped, where, wrap] of ways) {
      if (isSkipped) continue;
      test(`${js} ${where}`, () => {
        const {code, errorName, message} = failure(() => encodeResult(wrap(valueOf(js))));
        const what = isCut || where === '' ? 'result' : `result ${where}`;
        assert.deepEqual([code, errorName, message], ['unserializable_result', error, `${what}: ${says}`]);
      });
    }
  }
});
