// @ts-check
/**
 * Bytes inside values: taken out, sent beside the JSON, and put in again. A place is a JSON Pointer
 * (RFC 6901): `/images/0`. Runs in: Node workers.
 */

import {isBoxedPrimitive} from 'node:util/types';
import {asBuffer, travelsAsBytes} from './bytes.mjs';
import {MultipartError, decodeParts, encodeParts} from './multipart.mjs';

const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';
const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

/**
 * A value that holds bytes as a multipart/form-data body.
 *
 * @param {unknown} value
 * @returns {{type: string, body: Buffer}}
 */
export function encodeWithBytes(value) {
  /** @type {import('./multipart.mjs').Part[]} */
  const pieces = [];
  const plain = detach(value, '', '', pieces);
  const data = Buffer.from(JSON.stringify(plain) ?? 'null');
  return encodeParts([{name: 'data', contentType: JSON_TYPE, data}, ...pieces]);
}

/**
 * The value as JSON.stringify sees it, with null in place of bytes. The bytes become pieces.
 *
 * @param {any} value
 * @param {string} key
 * @param {string} place
 * @param {import('./multipart.mjs').Part[]} pieces
 * @returns {unknown}
 */
function detach(value, key, place, pieces) {
  if (value === null || typeof value !== 'object' && typeof value !== 'bigint') return value;
  if (travelsAsBytes(value)) {
    pieces.push({name: place, contentType: BYTES_TYPE, data: asBuffer(value)});
    return null;
  }
  if (typeof value.toJSON === 'function') {
    const plain = value.toJSON(key);
    if (plain !== value) return detach(plain, key, place, pieces);
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => detach(item, `${index}`, `${place}/${index}`, pieces));
  }
  if (typeof value === 'bigint' || ArrayBuffer.isView(value) || isBoxedPrimitive(value)) return value;
  /** @type {Record<string, unknown>} */
  const plain = Object.create(null); // so that "__proto__" is a member like others
  for (const name of Object.keys(value)) {
    plain[name] = detach(value[name], name, `${place}/${token(name)}`, pieces);
  }
  return plain;
}

/**
 * The value in a multipart/form-data body. Plain forms are understood too: a part whose name
 * does not begin with a slash is the top-level member of that name, and a field (text/plain without a
 * file name) is a string.
 *
 * @param {string} type the body's content type
 * @param {Buffer} body
 * @param {(json: Buffer) => unknown} parse
 * @returns {unknown}
 * @throws {MultipartError}
 */
export function decodeWithBytes(type, body, parse) {
  /** @type {Map<string, unknown>} */
  const items = new Map();
  for (const part of decodeParts(type, body)) {
    const place = part.name === 'data' || part.name.startsWith('/') ? part.name : `/${token(part.name)}`;
    if (items.has(place)) throw new MultipartError(`the part "${part.name}" is there twice`);
    items.set(place, decodeItem(part, parse));
  }
  const value = items.has('data') ? items.get('data') : {};
  items.delete('data');
  for (const [place, item] of items) attach(value, place, item);
  return value;
}

/**
 * @param {import('./multipart.mjs').Part & {data: Buffer}} part
 * @param {(json: Buffer) => unknown} parse
 */
function decodeItem({name, contentType, data, filename}, parse) {
  const kind = contentType.split(';', 1)[0].trim().toLowerCase();
  if (name === 'data' || kind === JSON_TYPE && filename === undefined) return parse(data);
  if (kind !== 'text/plain' || filename !== undefined) return data;
  try {
    return utf8.decode(data);
  } catch {
    throw new MultipartError(`the part "${name}" is not UTF-8; send bytes as application/octet-stream`);
  }
}

/**
 * Put an item where a JSON Pointer points to; the last member of an object may be a new one.
 *
 * @param {any} value
 * @param {string} place
 * @param {unknown} item
 */
function attach(value, place, item) {
  const names = place.split('/').slice(1).map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = names.pop();
  for (const name of names) value = has(value, name) ? value[name] : undefined;
  if (last === undefined || !has(value, last) && !isObject(value)) {
    throw new MultipartError(`the part "${place}" has no place in the part "data"`);
  }
  // Defined, not assigned: "__proto__" is a member like others.
  Object.defineProperty(value, last, {value: item, writable: true, enumerable: true, configurable: true});
}

/**
 * @param {any} value
 * @param {string} name
 */
function has(value, name) {
  if (Array.isArray(value)) return /^(0|[1-9]\d*)$/.test(name) && Number(name) < value.length;
  return isObject(value) && Object.hasOwn(value, name);
}

/** @param {unknown} value */
function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/**
 * A member's name in a JSON Pointer (RFC 6901, section 3).
 *
 * @param {string} name
 */
export function token(name) {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
