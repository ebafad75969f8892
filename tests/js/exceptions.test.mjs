// @ts-check
/** What callers get for an envelope: the same kind of error in both languages. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {CODES, errorFrom} from '../../jshost/js/exceptions.mjs';

const source = readFileSync(new URL('../../jshost/exceptions.py', import.meta.url), 'utf8');
const codesOfPython = [...source.matchAll(/^ {4}"(\w+)": \(\d{3}, (\w+)\),$/gm)].map(([, code, name]) => [code, name]);

test('each code has the class that it has in Python', () => {
  assert.ok(codesOfPython.length > 20);
  assert.deepEqual(Object.entries(CODES).map(([code, Class]) => [code, Class.name]).sort(), codesOfPython.sort());
});

test('a host that wants a token refuses the request', () => {
  const error = errorFrom({code: 'unauthorized', message: 'This host wants a token'});
  assert.deepEqual([error.name, error.code], ['RequestError', 'unauthorized']);
});
