// @ts-check
/** Arguments into bytes: those that Python makes of the same, or an error that names the place. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {describe, test} from 'node:test';
import {bodyHash, encodeCall} from '../../../jshost/js/protocol/call_body.mjs';

const vectors = JSON.parse(readFileSync(new URL('../../vectors/calls.json', import.meta.url), 'utf8'));

/** @param {string} code */
const evaluate = (code) => new Function(`return (${code})`)();

for (const {name, js, body, hash} of vectors.calls) {
  test(`${name}: the bytes and the hash are Python's`, () => {
    const encoded = encodeCall(evaluate(js));
    assert.equal(encoded.type, 'application/json');
    assert.equal(encoded.body.toString(), body);
    assert.equal(bodyHash(encoded.body), hash);
  });
}

test('bytes travel beside the JSON, at any depth', () => {
  const {body, type} = encodeCall({b: [Buffer.from('one')], a: new Uint8Array([50]), c: {'x/y': new ArrayBuffer(1)}});
  assert.match(type, /^multipart\/form-data; boundary=jshost-/);
  assert.ok(body.includes('{"a": null, "b": [null], "c": {"x/y": null}}'));
  const names = [...body.toString('latin1').matchAll(/name="([^"]*)"/g)].map((match) => match[1]);
  assert.deepEqual(names, ['data', '/a', '/b/0', '/c/x~1y']);
});

test('toJSON decides for itself', () => {
  const {body} = encodeCall({at: new Date(0), by: {toJSON: (/** @type {string} */ key) => `I am ${key}`}});
  assert.equal(body.toString(), '{"at": "1970-01-01T00:00:00.000Z", "by": "I am by"}');
});

test('the same object twice is no circle', () => {
  const shared = {n: 1};
  assert.equal(encodeCall({a: shared, b: [shared, shared]}).body.toString(), '{"a": {"n": 1}, "b": [{"n": 1}, {"n": 1}]}');
});

describe('what cannot be carried is an error that names its place', () => {
  const circle = /** @type {any} */ ({});
  circle.inside = {circle};
  /** @type {[any, RegExp][]} */
  const cases = [
    [{options: {items: [1, {price: NaN}]}}, /^argument options\.items\[1\]\.price: NaN has no JSON form/],
    [{a: Infinity}, /^argument a: Infinity/],
    [{a: () => 1}, /^argument a: a function cannot be carried/],
    [{a: Symbol('x')}, /^argument a: a symbol/],
    [{a: new Map([[1, 2]])}, /^argument a: a Map cannot be carried; pass Object\.fromEntries\(map\)/],
    [{a: new Set([1])}, /^argument a: a Set .*\[\.\.\.set\]/],
    [{a: Promise.resolve(1)}, /^argument a: a Promise .*await it first/],
    [{a: new Error('x')}, /^argument a: a Error .*pass its message/],
    [{a: new Date(NaN)}, /^argument a: an invalid Date/],
    [{circle}, /^argument circle\.inside\.circle: the structure contains itself/],
    [null, /one object of arguments, not null/],
    [[1], /not an array/],
    ['text', /not a string/],
    [Buffer.from('x'), /not a Uint8Array/],
  ];
  for (const [value, message] of cases) {
    test(String(message), () => assert.throws(() => encodeCall(value), {name: 'TypeError', message}));
  }
});
