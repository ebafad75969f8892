// @ts-check
/** Results into bytes, and what has no form, with its place. */

import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {runInNewContext} from 'node:vm';
import {decodeParts} from '../../../jshost/js/protocol/multipart.mjs';
import {encodeChunk, encodeResult} from '../../../jshost/js/protocol/values.mjs';
import {failure} from '../../support/failure.mjs';

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
    [Uint8Array.of(0xff, 0), 'b', Buffer.of(0xff, 0)],
    [Buffer.from('ab'), 'b', Buffer.from('ab')],
    [Uint8Array.of(1, 2).buffer, 'b', Buffer.of(1, 2)],
    [new Uint8Array(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2), 'b', Buffer.of(2, 3)],
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
    ['a DataView', new DataView(new ArrayBuffer(1)), 'a DataView has no JSON form'],
  ];
  for (const [name, value, problem] of refused) {
    test(`${name} alone`, () => {
      const error = failure(() => encodeResult(value));
      assert.deepEqual([error.code, error.errorName], ['unserializable_result', 'TypeError']);
      assert.ok(error.message.startsWith(`result: ${problem}`), error.message);
    });
    if (typeof value === 'symbol') continue; // as a member it is left out, as functions are
    test(`${name} somewhere inside`, () => {
      const result = {id: 7, options: {items: [1, 2, 3, {price: value}], more: 1}};
      const error = failure(() => encodeResult(result));
      assert.ok(error.message.startsWith(`result options.items[3].price: ${problem}`), error.message);
    });
  }

  test('a symbol as a member is left out', () => {
    assert.equal(encodeResult({a: Symbol('a'), b: null}).payload.toString(), '{"b":null}');
  });

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

describe('a result that holds bytes', () => {
  /** @param {unknown} value */
  function parts(value) {
    const {form, payload} = encodeResult(value);
    assert.equal(form, 'm');
    const body = /** @type {Buffer} */ (payload);
    const type = `multipart/form-data; boundary=${body.toString('utf8', 2, body.indexOf('\r\n'))}`;
    return decodeParts(type, body).map(({name, contentType, data}) => [name, contentType, data.toString('latin1')]);
  }

  const octets = 'application/octet-stream';
  class Page {
    title = 'a';
    #image = Buffer.from('png');
    toJSON() { return {title: this.title, image: this.#image}; }
  }
  const many = [1, 2].map((id) => ({id, data: Buffer.from(`${id}`)}));
  /** @type {[string, unknown, string, string[][]][]} */
  const forms = [
    ['a Buffer', {a: 1, image: Buffer.from('png')}, '{"a":1,"image":null}', [['/image', 'png']]],
    ['an empty Buffer', {image: Buffer.alloc(0)}, '{"image":null}', [['/image', '']]],
    ['a Uint8Array', {image: Uint8Array.of(0x61)}, '{"image":null}', [['/image', 'a']]],
    ['an empty Uint8Array', {image: new Uint8Array(0)}, '{"image":null}', [['/image', '']]],
    ['an ArrayBuffer', {image: Uint8Array.of(0x61).buffer}, '{"image":null}', [['/image', 'a']]],
    ['bytes in an array', [1, [Buffer.from('a')]], '[1,[null]]', [['/1/0', 'a']]],
    ['many', many, '[{"id":1,"data":null},{"id":2,"data":null}]', [['/0/data', '1'], ['/1/data', '2']]],
    ['the same twice', [many[0].data, many[0].data], '[null,null]', [['/0', '1'], ['/1', '1']]],
    ['a member called data', {data: Buffer.from('a')}, '{"data":null}', [['/data', 'a']]],
    ['slashes and tildes', {'a/b~c': Buffer.from('a')}, '{"a/b~c":null}', [['/a~1b~0c', 'a']]],
    ['quotes and line ends', {'"\r\n%22': Buffer.from('a')}, '{"\\"\\r\\n%22":null}', [['/"\r\n%22', 'a']]],
    ['what toJSON gives', new Page(), '{"title":"a","image":null}', [['/image', 'png']]],
    ['dates, nulls and nothings', {d: new Date(0), n: null, u: undefined, f() {}, b: Buffer.from('a')},
      '{"d":"1970-01-01T00:00:00.000Z","n":null,"b":null}', [['/b', 'a']]],
    ['boxed primitives', [new String('a'), new Number(1), Buffer.from('a')], '["a",1,null]', [['/2', 'a']]],
    ['__proto__', JSON.parse('{"__proto__":{"a":1}}', (key, item) => (key === 'a' ? Buffer.from('a') : item)),
      '{"__proto__":{"a":null}}', [['/__proto__/a', 'a']]],
    ['another realm\'s bytes', {a: runInNewContext('Uint8Array.of(0x61)')}, '{"a":null}', [['/a', 'a']]],
  ];
  for (const [name, value, json, pieces] of forms) {
    test(`has ${name} beside its JSON`, () => {
      assert.deepEqual(parts(value), [['data', 'application/json', json], ...pieces.map(([place, data]) => [place, octets, data])]);
    });
  }

  test('is form m also where JSON is asked for', () => {
    assert.equal(encodeResult({a: Buffer.from('a')}, true).form, 'm');
    assert.equal(encodeResult(Buffer.from('a'), true).form, 'b');
  });

  test('still must be made of what has a form', () => {
    const circular = /** @type {any} */ ({image: Buffer.from('a'), list: []});
    circular.list.push(circular);
    /** @type {[unknown, RegExp][]} */
    const refused = [
      [{image: Buffer.from('a'), price: NaN}, /^result price: NaN has no JSON form/],
      [{image: Buffer.from('a'), tags: new Set()}, /^result tags: a Set has no JSON form/],
      [{image: Buffer.from('a'), id: 1n}, /^result id: the BigInt 1n has no JSON form/],
      [{image: Buffer.from('a'), samples: new Float32Array(1)}, /^result samples: a Float32Array has no JSON form/],
      [circular, /^result list\[0\]: the structure contains itself/],
    ];
    for (const [value, message] of refused) assert.match(failure(() => encodeResult(value)).message, message);
  });

  test('goes by the JSON form that a program gave its buffers', (t) => {
    const original = Object.getOwnPropertyDescriptor(Buffer.prototype, 'toJSON');
    t.after(() => Object.defineProperty(Buffer.prototype, 'toJSON', /** @type {any} */ (original)));
    /** @type {any} */ (Buffer.prototype).toJSON = /** @this {Buffer} */ function () { return this.toString('base64'); };
    const value = {image: Buffer.from('png'), nothing: null};
    assert.deepEqual(encodeResult(value), {form: 'j', payload: '{"image":"cG5n","nothing":null}'});
  });
});

describe('with JSON asked for', () => {
  test('a string is JSON', () => {
    assert.deepEqual(encodeResult('a', true), {form: 'j', payload: '"a"'});
    assert.deepEqual(encodeResult('', true), {form: 'j', payload: '""'});
    assert.deepEqual(encodeResult(1, true), {form: 'j', payload: '1'});
  });
});

describe('a chunk', () => {
  /** @type {[unknown, string, string | Buffer][]} */
  const chunks = [
    ['a\nb', 'j', '"a\\nb"'],
    [undefined, 'j', 'null'],
    [null, 'j', 'null'],
    [{a: [1]}, 'j', '{"a":[1]}'],
    [Buffer.from('a'), 'b', Buffer.from('a')],
    [Uint8Array.of(1).buffer, 'b', Buffer.of(1)],
  ];
  for (const [value, form, payload] of chunks) {
    test(`${form} ${payload}`, () => {
      assert.deepEqual(encodeChunk(value), {form, payload});
    });
  }

  test('may hold no bytes', () => {
    for (const value of [{image: Buffer.from('a')}, [new Uint8Array(1)], {a: {b: new ArrayBuffer(1)}}]) {
      const {code, message} = failure(() => encodeChunk(value));
      assert.equal(code, 'unserializable_result');
      assert.equal(message, 'chunk: bytes inside a value cannot be streamed; send them as a chunk of their own');
    }
  });

  test('that has no form says so', () => {
    assert.match(failure(() => encodeChunk({a: NaN})).message, /^chunk a: NaN has no JSON form/);
  });
});
