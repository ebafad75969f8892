// @ts-check
/** The multipart codec's JavaScript half: what it writes, and what others write. */

import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {describe, test} from 'node:test';
import {parseBody} from '../../../jshost/js/protocol/arguments.mjs';
import {CallError} from '../../../jshost/js/protocol/values.mjs';
import {MultipartError, decodeParts, encodeParts} from '../../../jshost/js/protocol/multipart.mjs';

/** @typedef {import('../../../jshost/js/protocol/multipart.mjs').Part} Part */

const vectors = JSON.parse(readFileSync(new URL('../../vectors/multipart.json', import.meta.url), 'utf8'));
const octets = 'application/octet-stream';

/** @param {Part[]} parts */
const plain = (parts) => parts.map(({name, contentType, data, filename}) => [name, contentType, Buffer.from(data).toString('latin1'), filename]);

/**
 * @param {string} text
 * @param {string} [type]
 */
const decode = (text, type = 'multipart/form-data; boundary=b') => plain(decodeParts(type, Buffer.from(text, 'latin1')));

/**
 * Numbers from 0 to 1 that are the same in every run.
 *
 * @param {number} seed
 */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('what is written', () => {
  test('has its boundary from its parts', () => {
    const {type, body} = encodeParts([{name: 'data', contentType: 'application/json', data: Buffer.from('{}')}]);
    const boundary = 'jshost-5445fe802c389e4c93726ba32c91c49435cc9bad';
    assert.equal(type, `multipart/form-data; boundary=${boundary}`);
    assert.equal(body.toString(), [
      `--${boundary}`,
      'Content-Disposition: form-data; name="data"',
      'Content-Type: application/json',
      '',
      '{}',
      `--${boundary}--`,
      '',
    ].join('\r\n'));
  });

  test('has another boundary where a part holds it', () => {
    const empty = {name: 'a', contentType: octets, data: Buffer.alloc(0)};
    const {type} = encodeParts([empty]);
    const boundary = type.slice(type.indexOf('jshost-'));
    // A part whose hash is known: its own boundary cannot be inside it, so one is made to occur.
    const holder = {name: 'b', contentType: octets, data: Buffer.from(`\r\n--${boundary}--`)};
    const {type: both, body} = encodeParts([empty, holder]);
    assert.deepEqual(plain(decodeParts(both, body)), plain([{...empty, filename: undefined}, {...holder, filename: undefined}]));
  });

  test('reads back, whatever it is', () => {
    const random = randomNumbers(21);
    const alphabet = ['\r', '\n', '-', '"', '%', '%22', '%0D', '%2522', '\\', 'a', 'ä', '🙂', ';', '=', ' ', '\0', '/'];
    const text = (/** @type {number} */ most) => Array.from({length: Math.floor(random() * most)}, () => alphabet[Math.floor(random() * alphabet.length)]).join('');
    for (let round = 0; round < 500; round++) {
      const parts = Array.from({length: Math.floor(random() * 5)}, () => ({
        name: text(8).replace(/\\/g, ''),
        contentType: octets,
        data: Buffer.from(random() < 0.5 ? text(40) : `\r\n--${text(3)}`),
        filename: random() < 0.3 ? text(5).replace(/\\/g, '') : undefined,
      }));
      const {type, body} = encodeParts(parts);
      assert.deepEqual(plain(decodeParts(type, body)), plain(parts), `round ${round}`);
    }
  });
});

describe('what is read', () => {
  test('from curl', () => {
    const found = decode([
      '--------------------------d74496d66958873e', 'Content-Disposition: form-data; name="data"', '', '{"width": 100}',
      '--------------------------d74496d66958873e', 'Content-Disposition: form-data; name="image"; filename="photo.jpg"',
      'Content-Type: image/jpeg', '', '\xff\xd8', '--------------------------d74496d66958873e--', '',
    ].join('\r\n'), 'multipart/form-data; boundary=------------------------d74496d66958873e');
    assert.deepEqual(found, [['data', 'text/plain', '{"width": 100}', undefined], ['image', 'image/jpeg', '\xff\xd8', 'photo.jpg']]);
  });

  test('from a browser and from undici', async () => {
    const form = new FormData();
    form.set('a "quoted"\r\nname', 'line\nend');
    form.set('file', new Blob([Uint8Array.of(1, 2)], {type: 'image/png'}), 'ä.png');
    const request = new Request('http://a/', {method: 'POST', body: form});
    const body = Buffer.from(await request.arrayBuffer());
    assert.deepEqual(plain(decodeParts(/** @type {string} */ (request.headers.get('content-type')), body)), [
      ['a "quoted"\r\nname', 'text/plain', 'line\r\nend', undefined],
      ['file', 'image/png', '\x01\x02', 'ä.png'],
    ]);
  });

  /** @type {[string, string, string?][]} */
  const forms = [
    ['a quoted boundary', '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--', 'multipart/form-data; boundary="b"'],
    ['a type in capitals, with more parameters', '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--', 'Multipart/Form-Data; charset=utf-8; Boundary=b'],
    ['headers in any case, and others', '--b\r\nCONTENT-disposition:form-data;name=a\r\nContent-Length: 1\r\n\r\nx\r\n--b--'],
    ['a preamble and an epilogue', 'hello\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\nbye\r\n--b'],
    ['spaces behind the delimiter', '--b \t\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--'],
  ];
  for (const [name, body, type] of forms) {
    test(name, () => {
      assert.deepEqual(decode(body, type), [['a', 'text/plain', 'x', undefined]]);
    });
  }

  test('a delimiter that is the beginning of a longer word is content', () => {
    const found = decode('--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--bc\r\n--b-\r\n--b--');
    assert.deepEqual(found, [['a', 'text/plain', 'x\r\n--bc\r\n--b-', undefined]]);
  });

  test('is not copied', () => {
    const {type, body} = encodeParts([{name: 'a', contentType: octets, data: Buffer.alloc(1000)}]);
    assert.equal(decodeParts(type, body)[0].data.buffer, body.buffer);
  });

  /** @type {[string, string, RegExp, string?][]} */
  const malformed = [
    ['nothing', '', /the delimiter --b is missing/],
    ['no end', '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx', /the delimiter --b is missing/],
    ['no blank line', '--b\r\nContent-Disposition: form-data; name="a"\r\n--b--', /part 1 has no blank line/],
    ['no name', '--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--', /part 1 has no name/],
    ['no headers', '--b\r\n\r\nx\r\n--b--', /part 1 has no name/],
    ['no boundary', '', /has no boundary/, 'multipart/form-data'],
    ['another type', '', /is not multipart\/form-data/, 'multipart/mixed; boundary=b'],
  ];
  for (const [name, body, message, type] of malformed) {
    test(`${name} is an error`, () => {
      assert.throws(() => decode(body, type), (error) => error instanceof MultipartError && message.test(error.message));
    });
  }

  test('random bytes are parts or an error, nothing else', () => {
    const random = randomNumbers(22);
    const pieces = ['--b', '\r\n', '--', 'b', ' ', 'Content-Disposition: form-data; name="a"', '\r\n\r\n', 'x', ';', '"'];
    for (let round = 0; round < 3000; round++) {
      const body = `--b\r\n${Array.from({length: Math.floor(random() * 12)}, () => pieces[Math.floor(random() * pieces.length)]).join('')}`;
      try {
        decode(body);
      } catch (error) {
        assert.ok(error instanceof MultipartError, `${JSON.stringify(body)}: ${error}`);
      }
    }
  });
});

describe('the vectors that both codecs are held to', () => {
  /** @typedef {{name: string, type: string, data: string, filename?: string}} PlainPart */

  /** @param {PlainPart[]} parts */
  const given = (parts) => parts.map(({name, type, data, filename}) => ({name, contentType: type, data: Buffer.from(data, 'latin1'), filename}));

  for (const {name, parts, type, body} of vectors.encode) {
    test(`written: ${name}`, () => {
      const encoded = encodeParts(given(parts));
      assert.deepEqual([encoded.type, encoded.body.toString('latin1')], [type, body]);
      assert.deepEqual(plain(decodeParts(type, encoded.body)), plain(given(parts)));
    });
  }

  for (const {name, type, body, parts} of vectors.decode) {
    test(`read: ${name}`, () => {
      assert.deepEqual(decode(body, type), plain(given(parts)));
    });
  }

  for (const {name, type, body} of vectors.refused) {
    test(`refused: ${name}`, () => {
      assert.throws(() => decode(body, type), MultipartError);
    });
  }

  /** @param {PlainPart[]} parts */
  function call(parts) {
    const {type, body} = encodeParts(given(parts));
    return parseBody(body, type);
  }

  for (const {name, parts, value, bytes} of vectors.calls) {
    test(`a call with ${name}`, () => {
      const found = call(parts);
      for (const [place, text] of Object.entries(bytes)) {
        const names = place.split('/').slice(1).map((one) => one.replaceAll('~1', '/').replaceAll('~0', '~'));
        const last = /** @type {string} */ (names.pop());
        const holder = names.reduce((/** @type {any} */ item, one) => item[one], found);
        assert.ok(Buffer.isBuffer(holder[last]), place);
        assert.equal(holder[last].toString('latin1'), text);
        holder[last] = null;
      }
      assert.deepEqual(found, value);
    });
  }

  for (const {name, parts} of vectors.refusedCalls) {
    test(`a refused call with ${name}`, () => {
      assert.throws(() => call(parts), CallError);
    });
  }
});
