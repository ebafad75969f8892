// @ts-check
/** Bodies into arguments: JSON, and multipart with bytes in it. */

import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {parseBody} from '../../../jshost/js/protocol/arguments.mjs';
import {encodeParts} from '../../../jshost/js/protocol/multipart.mjs';
import {failure} from '../../support/failure.mjs';

/** @param {string} text */
const parse = (text) => parseBody(Buffer.from(text));

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

describe('a multipart body', () => {
  /** @param {[name: string, type: string, data: string, filename?: string][]} parts */
  function parseParts(...parts) {
    const {type, body} = encodeParts(parts.map(([name, contentType, data, filename]) => ({name, contentType, data: Buffer.from(data), filename})));
    return parseBody(body, type);
  }

  /** @param {Parameters<typeof parseParts>} parts */
  const refusal = (...parts) => {
    const {code, message} = failure(() => parseParts(...parts));
    return [code, message];
  };

  const json = 'application/json';
  const octets = 'application/octet-stream';
  const bytes = Buffer.from('png');

  test('has its bytes where they belong', () => {
    const data = '{"image":null,"list":[{"a/b":null},null],"n":1}';
    const found = parseParts(['data', json, data], ['/image', octets, 'png'], ['/list/0/a~1b', octets, 'png'], ['/list/1', octets, 'png']);
    assert.deepEqual(found, {image: bytes, list: [{'a/b': bytes}, bytes], n: 1});
    assert.ok(Buffer.isBuffer(found.image));
  });

  test('may be a form\'s', () => {
    const found = parseParts(['title', 'text/plain', 'größe'], ['image', 'image/jpeg', 'png', 'a.jpg'], ['note', 'text/plain; charset=utf-8', 'png', 'note.txt'], ['options', json, '{"a":[1]}']);
    assert.deepEqual(found, {title: 'größe', image: bytes, note: bytes, options: {a: [1]}});
  });

  test('may have its data behind its bytes, or none', () => {
    assert.deepEqual(parseParts(['image', octets, 'png'], ['data', 'text/plain', '{"width":1}']), {width: 1, image: bytes});
    assert.deepEqual(parseParts(['image', octets, 'png']), {image: bytes});
    assert.deepEqual(parseParts(), {});
  });

  test('takes members with odd names as they are', () => {
    const found = parseParts(['/__proto__', octets, 'png'], ['a/b', 'text/plain', 'x'], ['/data', octets, 'png']);
    assert.equal(Object.getPrototypeOf(found), Object.prototype);
    assert.deepEqual(Object.keys(found), ['__proto__', 'a/b', 'data']);
    assert.equal(/** @type {any} */ ({}).evil, undefined);
  });

  for (const place of ['/a/b', '/list/1', '/list/00', '/list/-1', '/list/length', '/__proto__/evil', '/text/0', '/constructor/x']) {
    test(`with ${place}, which is no place, is refused`, () => {
      const [code, message] = refusal(['data', json, '{"list":[null],"text":"a"}'], [place, octets, 'png']);
      assert.equal(code, 'malformed_multipart');
      assert.ok(message.endsWith(`the part "${place}" has no place in the part "data"`), message);
      assert.equal(/** @type {any} */ ({}).evil, undefined);
    });
  }

  test('with a part twice is refused', () => {
    const [code, message] = refusal(['image', octets, 'a'], ['/image', octets, 'b']);
    assert.equal(code, 'malformed_multipart');
    assert.match(message, /the part "\/image" is there twice$/);
  });

  test('with data that is no object is refused', () => {
    assert.equal(refusal(['data', json, '[null]'], ['/0', octets, 'a'])[0], 'not_an_object');
    assert.equal(refusal(['data', json, '{'])[0], 'malformed_json');
    assert.equal(refusal(['data', json, '{"id":9007199254740993}'])[0], 'unsafe_integer');
    assert.equal(refusal(['options', json, '{"id":9007199254740993}'])[0], 'unsafe_integer');
  });

  test('that is cut off is refused', () => {
    const {type, body} = encodeParts([{name: 'data', contentType: json, data: Buffer.from('{}')}]);
    const {code, message} = failure(() => parseBody(body.subarray(0, -10), type));
    assert.equal(code, 'malformed_multipart');
    assert.match(message, /the delimiter --jshost-[0-9a-f]{40} is missing: the body is not whole, or not multipart/);
  });

  test('with a text that is not UTF-8 is refused', () => {
    const {type, body} = encodeParts([{name: 'a', contentType: 'text/plain', data: Buffer.of(0xff)}]);
    assert.match(failure(() => parseBody(body, type)).message, /the part "a" is not UTF-8/);
  });
});
