// @ts-check
/**
 * multipart/form-data (RFC 7578), without I/O: the twin of multipart.py, held to the same bytes by
 * tests/vectors/multipart.json. Runs in: Node workers.
 */

import {createRequire} from 'node:module';

export const MEDIA_TYPE = 'multipart/form-data';

/**
 * One part: the field's name, its content type, its bytes, and its file name if it has one.
 *
 * @typedef {{name: string, contentType: string, data: Buffer | Uint8Array, filename?: string}} Part
 */

/** The bytes are not multipart/form-data, or some are missing; the text says which. */
export class MultipartError extends Error {
  name = 'MultipartError';
}

const require = createRequire(import.meta.url);
/** Loaded with the first form: loading takes some milliseconds. @type {() => typeof import('node:crypto')} */
const crypto = () => require('node:crypto');

const PARAMETER = /;\s*([\w*-]+)\s*=\s*(?:"((?:\\"(?!\s*(?:;|$))|[^"])*)"|([^\s;"]+))/g;
// As browsers write names. "%" itself is escaped only where it would be read as another escape.
const TO_ESCAPE = /["\r\n]|%(?=22|0D|0A|25)/g;
const ESCAPED = /%(22|0D|0A|25(?=22|0D|0A|25))/g;
const BLANK_LINE = Buffer.from('\r\n\r\n');
const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
const DASH = 0x2d;
const RETURN = 0x0d;
const NEWLINE = 0x0a;

/**
 * The parts as a body and its content type. The boundary is made from the parts, so that equal
 * values have equal bytes.
 *
 * @param {Part[]} parts
 * @returns {{type: string, body: Buffer}}
 */
export function encodeParts(parts) {
  const boundary = makeBoundary(parts);
  /** @type {(Buffer | Uint8Array)[]} */
  const pieces = [];
  for (const {name, contentType, data, filename} of parts) {
    const file = filename === undefined ? '' : `; filename="${escape(filename)}"`;
    pieces.push(
      Buffer.from(
        `${pieces.length > 0 ? '\r\n' : ''}--${boundary}\r\n` +
          `Content-Disposition: form-data; name="${escape(name)}"${file}\r\n` +
          `Content-Type: ${contentType}\r\n\r\n`,
      ),
      data,
    );
  }
  pieces.push(Buffer.from(`${pieces.length > 0 ? '\r\n' : ''}--${boundary}--\r\n`));
  return {type: `${MEDIA_TYPE}; boundary=${boundary}`, body: Buffer.concat(pieces)};
}

/**
 * The parts of a body, as views into it; a part without a content type is text/plain (RFC 7578,
 * section 4.4).
 *
 * @param {string} type the body's content type
 * @param {Buffer} body
 * @returns {(Part & {data: Buffer})[]}
 * @throws {MultipartError}
 */
export function decodeParts(type, body) {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(type)}`);
  const atOnce = delimiter.length - 2;
  // A body usually begins with the first delimiter, without a line end before it.
  const begins = body.length >= atOnce && body.compare(delimiter, 2, delimiter.length, 0, atOnce) === 0;
  let found = delimiterAt(body, delimiter, begins ? -2 : body.indexOf(delimiter));
  const parts = [];
  while (!found.isLast) {
    const next = delimiterAt(body, delimiter, body.indexOf(delimiter, found.end));
    parts.push(decodePart(body, found.end, next.start, parts.length + 1));
    found = next;
  }
  return parts;
}

/**
 * The boundary that a content type names.
 *
 * @param {string} type
 */
function boundaryOf(type) {
  const {kind, parameters} = parseHeader(type);
  if (kind !== MEDIA_TYPE) throw new MultipartError(`${JSON.stringify(type)} is not ${MEDIA_TYPE}`);
  const boundary = parameters.get('boundary');
  if (!boundary) throw new MultipartError(`${JSON.stringify(type)} has no boundary`);
  return boundary;
}

/**
 * The first delimiter, from the one found at `at` on, that is not the beginning of a longer word.
 *
 * @param {Buffer} body
 * @param {Buffer} delimiter
 * @param {number} at
 * @returns {{start: number, end: number, isLast: boolean}} where the content before it ends, and
 *   where the next content begins
 */
function delimiterAt(body, delimiter, at) {
  for (let found = at !== -1; found; found = at !== -1) {
    let end = at + delimiter.length;
    if (body[end] === DASH && body[end + 1] === DASH) return {start: at, end: end + 2, isLast: true};
    while (body[end] === 0x20 || body[end] === 0x09) end += 1;
    if (body[end] === RETURN && body[end + 1] === NEWLINE) return {start: at, end: end + 2, isLast: false};
    at = body.indexOf(delimiter, at + delimiter.length);
  }
  const what = delimiter.toString('utf8', 2);
  throw new MultipartError(`the delimiter ${what} is missing: the body is not whole, or not multipart`);
}

/**
 * @param {Buffer} body
 * @param {number} start
 * @param {number} stop
 * @param {number} number
 */
function decodePart(body, start, stop, number) {
  // From two bytes before: a part without headers begins with the blank line.
  const blank = body.subarray(0, Math.max(stop, 0)).indexOf(BLANK_LINE, start - 2);
  if (blank === -1) throw new MultipartError(`part ${number} has no blank line after its headers`);
  /** @type {Map<string, string>} */
  const headers = new Map();
  for (const line of decodeHeaders(body.subarray(start, Math.max(start, blank)), number).split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon !== -1) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  const {parameters} = parseHeader(headers.get('content-disposition') ?? '');
  const name = parameters.get('name');
  if (name === undefined) throw new MultipartError(`part ${number} has no name in its Content-Disposition`);
  const file = parameters.get('filename') ?? parameters.get('filename*');
  const filename = file === undefined ? undefined : unescape(file);
  const contentType = headers.get('content-type') || 'text/plain';
  return {name: unescape(name), contentType, data: body.subarray(blank + 4, stop), filename};
}

/**
 * @param {Buffer} bytes
 * @param {number} number
 */
function decodeHeaders(bytes, number) {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new MultipartError(`the headers of part ${number} are not UTF-8`);
  }
}

/**
 * `value; name="parameter"`
 *
 * @param {string} header
 */
function parseHeader(header) {
  /** @type {Map<string, string>} */
  const parameters = new Map();
  for (const [, key, quoted, token] of header.matchAll(PARAMETER)) {
    const known = key.toLowerCase();
    if (!parameters.has(known)) parameters.set(known, token ?? quoted.replaceAll('\\"', '"'));
  }
  return {kind: header.split(';', 1)[0].trim().toLowerCase(), parameters};
}

/** @param {Part[]} parts */
function makeBoundary(parts) {
  const {createHash} = crypto();
  const hash = createHash('sha1');
  for (const {name, contentType, data} of parts) hash.update(name).update(contentType).update(data);
  let boundary = `jshost-${hash.digest('hex')}`;
  while (parts.some(({data}) => asBuffer(data).includes(boundary))) {
    boundary = `jshost-${createHash('sha1').update(boundary).digest('hex')}`;
  }
  return boundary;
}

/** @param {Uint8Array} data */
function asBuffer(data) {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** @param {string} name */
function escape(name) {
  if (!name.isWellFormed()) {
    throw new MultipartError(`the name ${JSON.stringify(name)} has a lone surrogate, which UTF-8 cannot encode; give the bytes another name`);
  }
  return name.replace(TO_ESCAPE, (found) => `%${found.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`);
}

/** @param {string} name */
function unescape(name) {
  return name.replace(ESCAPED, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
}
