// @ts-check
/** Bodies into values, results into bytes, and what JSON cannot say, with its place. */

import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {CallError, encodeResult, parseBody} from '../../jshost/js/values.mjs';

/** @param {string} text */
const parse = (text) => parseBody(Buffer.from(text));

/**
 * What a call fails with.
 *
 * @param {() => unknown} work
 * @returns {CallError}
 */
function failure(work) {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof CallError, `a CallError, not ${error}`);
    return error;
  }
  return assert.fail('it does not fail');
}

describe('a body', () => {
  test('is a JSON object', () => {
    assert.deepEqual(parse('{"a": [1, null, "größe 🙂"], "b": {}}'), {a: [1, null, 'größe 🙂'], b: {}});
  });

  test('may be empty', () => {
    assert.deepEqual(parse(''), {});
  });

  test('keeps lone surrogates and controls', () => {
    assert.deepEqual(parse('{"a": "\\ud800 \\u0000 \\u2028"}'), {a: '\ud800 \0 \u2028'});
  });

  test('keeps a key that is called __proto__ to itself', () => {
    const data = parse('{"__proto__": {"evil": true}}');
    assert.equal(Object.getPrototypeOf(data), Object.prototype);
    assert.equal(/** @type {any} */ ({}).evil, undefined);
  });

  for (const [text, kind] of [['[1]', 'array'], ['"a"', 'string'], ['1', 'number'], ['true', 'boolean'], ['null', 'null']]) {
    test(`that is a JSON ${kind} is refused`, () => {
      const error = failure(() => parse(text));
      assert.equal(error.code, 'not_an_object');
      assert.equal(error.message, `the body must be a JSON object, not a JSON ${kind}`);
    });
  }

  for (const text of ['{', '{"a": }', '{a: 1}', "{'a': 1}", '{} {}', 'undefined', '{"a": NaN}', ' ', '\ufeff{}']) {
    test(`${JSON.stringify(text)} is malformed`, () => {
      const error = failure(() => parse(text));
      assert.equal(error.code, 'malformed_json');
      assert.match(error.message, /^the body is not JSON: /);
    });
  }

  for (const hex of ['7b2261223a22ff227d', 'ff', '7b2261223a22eda080227d', 'fffe7b007d00']) {
    test(`${hex} is not UTF-8`, () => {
      const error = failure(() => parseBody(Buffer.from(hex, 'hex')));
      assert.deepEqual([error.code, error.message], ['malformed_json', 'the body is not UTF-8']);
    });
  }
});

describe('a number in a body', () => {
  for (const text of [
    '9007199254740991',
    '9007199254740992',
    '-9007199254740992',
    '1234567890123456.5',
    '0.12345678901234567890',
    '1e300',
    '12345678901234567890e5',
    '"9007199254740993"',
    '"a \\" 9007199254740993"',
    '"a \\\\", "b": "9007199254740993 \\\\\\" 9007199254740993"',
    '{"9007199254740993": 1}',
    '"\\u0022 9007199254740993"',
    '["a\\\\", "9007199254740993"]',
  ]) {
    test(`${text} arrives`, () => {
      assert.deepEqual(parse(`{"a": ${text}}`), JSON.parse(`{"a": ${text}}`));
    });
  }

  for (const [text, place, token] of [
    ['{"id": 9007199254740993}', 'id', '9007199254740993'],
    ['{"id": -9007199254740993}', 'id', '-9007199254740993'],
    ['{"options": {"items": [1, {"price": 123456789012345678901}]}}', 'options.items[1].price', '123456789012345678901'],
    ['{"a": "x \\\\", "b": 9007199254740993}', 'b', '9007199254740993'],
    ['{"a": "\\"", "b": [9007199254740993]}', 'b[0]', '9007199254740993'],
    [`{"a": 1${'0'.repeat(400)}}`, 'a', `1${'0'.repeat(400)}`],
  ]) {
    test(`${text.slice(0, 60)} would be rounded`, () => {
      const error = failure(() => parse(text));
      assert.deepEqual([error.code, error.errorName], ['unsafe_integer', 'TypeError']);
      assert.ok(error.message.startsWith(`argument ${place}: ${token} is beyond 2**53`), error.message);
    });
  }

  for (const megabytes of [1, 16]) {
    test(`beside a string of ${megabytes} MB is looked at`, () => {
      const long = 'x"\\'.repeat((megabytes * 1024 * 1024) / 3);
      assert.equal(parse(JSON.stringify({long, digits: '1234567890123456789'})).long, long);
      const error = failure(() => parse(`{"long": ${JSON.stringify(long)}, "id": 9007199254740993}`));
      assert.equal(error.code, 'unsafe_integer');
    });
  }
});

describe('a result', () => {
  /** @type {[unknown, string, string | Uint8Array][]} */
  const results = [
    ['Größe 🙂', 't', 'Größe 🙂'],
    ['', 't', ''],
    ['\ud800 alone', 'j', '"\\ud800 alone"'],
    [undefined, 'j', 'null'],
    [null, 'j', 'null'],
    [0, 'j', '0'],
    [false, 'j', 'false'],
    [1.5, 'j', '1.5'],
    [[1, undefined, null], 'j', '[1,null,null]'],
    [{a: undefined, b: null, c: {}}, 'j', '{"b":null,"c":{}}'],
    [{f() {}, b: 1}, 'j', '{"b":1}'],
    [{f() {}, b: null}, 'j', '{"b":null}'],
    [new Date(0), 'j', '"1970-01-01T00:00:00.000Z"'],
    [{at: new Date(0), b: null}, 'j', '{"at":"1970-01-01T00:00:00.000Z","b":null}'],
    [new URL('http://a/'), 'j', '"http://a/"'],
    [{toJSON: () => 'mine'}, 'j', '"mine"'],
    [{toJSON: () => ({a: null})}, 'j', '{"a":null}'],
    [{toJSON: () => undefined}, 'j', 'null'],
    [new (class Point { x = 1; })(), 'j', '{"x":1}'],
    [Object.create(null), 'j', '{}'],
    [[{}], 'j', '[{}]'],
    ['null', 't', 'null'],
    [['null', '{}'], 'j', '["null","{}"]'],
    [Uint8Array.of(0xff, 0), 'b', Uint8Array.of(0xff, 0)],
    [Buffer.from('ab'), 'b', Buffer.from('ab')],
  ];
  for (const [index, [value, form, payload]] of results.entries()) {
    test(`${index}: ${form} ${payload}`, () => {
      assert.deepEqual(encodeResult(value), {form, payload});
    });
  }

  test('may hold the same object twice', () => {
    const item = {a: null};
    assert.equal(encodeResult([item, item]).payload, '[{"a":null},{"a":null}]');
  });
});

describe('what JSON cannot say', () => {
  const circular = /** @type {any} */ ({a: [1]});
  circular.a.push({again: circular});
  /** @type {[string, unknown, string][]} */
  const refused = [
    ['NaN', NaN, 'NaN has no JSON form; return null or a string instead'],
    ['an infinity', -Infinity, '-Infinity has no JSON form'],
    ['a BigInt', 1n, 'the BigInt 1n has no JSON form; return a string'],
    ['a symbol', Symbol('a'), 'a symbol has no JSON form'],
    ['a Map', new Map([[1, 2]]), 'a Map has no JSON form; return Object.fromEntries(map)'],
    ['a Set', new Set([1]), 'a Set has no JSON form; return [...set]'],
    ['an Error', new Error('a'), 'a Error has no JSON form'],
    ['a RegExp', /a/, 'a RegExp has no JSON form'],
    ['a forgotten promise', Promise.resolve(1), 'a Promise has no JSON form'],
    ['an invalid Date', new Date(NaN), 'an invalid Date has no JSON form'],
    ['a typed array', new Float64Array([1, 2]), 'a Float64Array has no JSON form; return Array.from'],
    ['an ArrayBuffer', new ArrayBuffer(1), 'a ArrayBuffer has no JSON form'],
  ];
  for (const [name, value, problem] of refused) {
    test(`${name} alone`, () => {
      const error = failure(() => encodeResult(value));
      assert.deepEqual([error.code, error.errorName], ['unserializable_result', 'TypeError']);
      assert.ok(error.message.startsWith(`result: ${problem}`), error.message);
    });
    test(`${name} somewhere inside`, () => {
      const result = {id: 7, options: {items: [1, 2, 3, {price: value}], more: 1}};
      const error = failure(() => encodeResult(result));
      assert.ok(error.message.startsWith(`result options.items[3].price: ${problem}`), error.message);
    });
  }

  test('a function alone', () => {
    assert.match(failure(() => encodeResult(() => 1)).message, /^result: a function has no JSON form/);
  });

  test('a structure that contains itself', () => {
    assert.match(failure(() => encodeResult(circular)).message, /^result a\[1\]\.again: the structure contains itself/);
  });

  test('what toJSON gives is looked at, too', () => {
    const error = failure(() => encodeResult({tea: {toJSON: () => ({price: NaN})}}));
    assert.match(error.message, /^result tea\.price: NaN/);
  });

  test('an error of toJSON is shown as it is', () => {
    const broken = {toJSON() { throw new RangeError('no price is known'); }};
    assert.throws(() => encodeResult({tea: broken}), new RangeError('no price is known'));
  });
});

describe('a null beside it does not make a good result bad', () => {
  /** @param {number} depth */
  function nested(depth) {
    /** @type {unknown} */
    let value = 'leaf';
    for (let level = 0; level < depth; level++) value = {next: value};
    return value;
  }

  for (const depth of [400, 600, 2000]) {
    test(`where it is ${depth} levels deep`, () => {
      assert.ok(encodeResult({tree: nested(depth), other: 1}).payload.length > depth);
      assert.ok(encodeResult({tree: nested(depth), other: null}).payload.length > depth);
    });
  }

  test('where it is a BigInt that knows its JSON form', (t) => {
    Object.defineProperty(BigInt.prototype, 'toJSON', {
      configurable: true,
      value() { return this.toString(); },
    });
    t.after(() => delete (/** @type {any} */ (BigInt.prototype).toJSON));
    assert.equal(encodeResult({id: 7n, other: 1}).payload, '{"id":"7","other":1}');
    assert.equal(encodeResult({id: 7n, other: null}).payload, '{"id":"7","other":null}');
  });

  test('where toJSON gives the object itself', () => {
    class Model {
      name = 'tea';
      price = null;
      toJSON() { return this; }
    }
    assert.equal(encodeResult(new Model()).payload, '{"name":"tea","price":null}');
  });
});
