// @ts-check
/**
 * A call's arguments as bytes. Python's client makes the same bytes, so that equal calls have equal hashes
 * in both languages; tests/vectors/calls.json checks it. Runs in: callers.
 *
 * It is the JSON of Python's json.dumps: the separators are ", " and ": ", all is ASCII, and the members of
 * the arguments object are sorted. Bytes inside are sent beside it, see multipart.mjs.
 */

import {createHash} from 'node:crypto';
import {isBoxedPrimitive} from 'node:util/types';
import {token} from './attachments.mjs';
import {asBuffer, travelsAsBytes} from './bytes.mjs';
import {encodeParts} from './multipart.mjs';

export const JSON_TYPE = 'application/json';
const BYTES_TYPE = 'application/octet-stream';
const DEEPEST = 500;

/**
 * The body of a call and its content type.
 *
 * @param {Record<string, unknown>} args
 * @returns {{body: Buffer, type: string}}
 * @throws {TypeError} a value cannot be sent; the message names its place
 */
export function encodeCall(args) {
  if (args === null || typeof args !== 'object' || Array.isArray(args) || travelsAsBytes(args)) {
    throw new TypeError(`a call takes one object of arguments, not ${args === null ? 'null' : describe(args)}`);
  }
  const writer = new Writer();
  const data = Buffer.from(writer.object(args, '', '', Object.keys(args).sort(byCodePoint)), 'latin1');
  if (writer.pieces.length === 0) return {body: data, type: JSON_TYPE};
  return encodeParts([{name: 'data', contentType: JSON_TYPE, data}, ...writer.pieces]);
}

/**
 * The hash in a call's URL.
 *
 * @param {Buffer} body
 */
export function bodyHash(body) {
  return createHash('sha1').update(body).digest('hex');
}

class Writer {
  /** @type {import('./multipart.mjs').Part[]} the bytes found so far */
  pieces = [];
  /** @type {object[]} */
  #above = [];

  /**
   * @param {any} value
   * @param {string} place as errors name it: 'options.items[3].price'
   * @param {string} pointer the same as a JSON Pointer
   * @param {string} key
   * @returns {string | undefined} undefined: the member is left out
   */
  value(value, place, pointer, key) {
    switch (typeof value) {
      case 'string': return quote(value);
      case 'number': return number(value, place);
      case 'boolean': return value ? 'true' : 'false';
      case 'bigint': return value.toString();
      case 'undefined': return undefined;
      case 'object': return value === null ? 'null' : this.#inside(value, place, pointer, key);
      default: throw refused(place, `a ${typeof value} cannot be carried`);
    }
  }

  /**
   * @param {any} value
   * @param {string} place
   * @param {string} pointer
   * @param {string} key
   */
  #inside(value, place, pointer, key) {
    if (travelsAsBytes(value)) {
      this.pieces.push({name: pointer, contentType: BYTES_TYPE, data: asBuffer(value)});
      return 'null';
    }
    if (value instanceof Date && Number.isNaN(value.getTime())) throw refused(place, 'an invalid Date has no form');
    if (typeof value.toJSON === 'function') {
      const plain = value.toJSON(key);
      if (plain !== value) return this.value(plain, place, pointer, key);
    }
    if (isBoxedPrimitive(value)) return this.value(value.valueOf(), place, pointer, key);
    if (this.#above.includes(value) || this.#above.length > DEEPEST) {
      throw refused(place, 'the structure contains itself, or is too deep');
    }
    this.#above.push(value);
    const text = Array.isArray(value) ? this.#array(value, place, pointer) : this.object(value, place, pointer);
    this.#above.pop();
    return text;
  }

  /**
   * @param {unknown[]} items
   * @param {string} place
   * @param {string} pointer
   */
  #array(items, place, pointer) {
    const texts = Array.from(items, (item, index) => (
      plainText(item) ?? this.value(item, `${place}[${index}]`, `${pointer}/${index}`, `${index}`) ?? 'null'
    ));
    return `[${texts.join(', ')}]`;
  }

  /**
   * @param {Record<string, unknown>} members
   * @param {string} place
   * @param {string} pointer
   * @param {string[]} [names]
   */
  object(members, place, pointer, names = Object.keys(members)) {
    if (names.length === 0 && !isPlain(members)) throw refused(place, `${describe(members)} cannot be carried${hintFor(members)}`);
    const texts = [];
    for (const name of names) {
      const member = members[name];
      const text = plainText(member) ?? this.value(member, place ? `${place}.${name}` : name, `${pointer}/${token(name)}`, name);
      if (text !== undefined) texts.push(`${quote(name)}: ${text}`);
    }
    return `{${texts.join(', ')}}`;
  }
}

/**
 * A string or a plain number. It is never refused, so it needs no place: to name one takes longer than to
 * write the value.
 *
 * @param {unknown} value
 */
function plainText(value) {
  if (typeof value === 'string') return quote(value);
  return typeof value === 'number' ? plainDigits(value) : undefined;
}

const ESCAPED_BY_PYTHON = /[\x7f-\uffff]/g;

/** @param {string} text */
function quote(text) {
  return JSON.stringify(text).replace(ESCAPED_BY_PYTHON, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * Most numbers: JavaScript writes them as Python does.
 *
 * @param {number} value
 */
function plainDigits(value) {
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e15 || value === 0 ? String(value) : undefined;
}

/**
 * As Python's repr: it has the same digits, but begins to write an exponent at other sizes.
 *
 * @param {number} value
 * @param {string} place
 */
function number(value, place) {
  if (!Number.isFinite(value)) throw refused(place, `${value} has no JSON form; pass null or a string instead`);
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return String(BigInt(value));
  const [digits, power] = value.toExponential().split('e');
  const exponent = Number(power);
  if (exponent >= -4 && exponent < 16) return plainNumber(digits, exponent);
  return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

/**
 * @param {string} digits "-1.25"
 * @param {number} exponent
 */
function plainNumber(digits, exponent) {
  const sign = digits.startsWith('-') ? '-' : '';
  const bare = digits.replace(/[-.]/g, '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${bare}`;
  return `${sign}${bare.slice(0, exponent + 1)}.${bare.slice(exponent + 1)}`;
}

/**
 * Python's order of strings. JavaScript's own is the order of UTF-16 units.
 *
 * @param {string} one
 * @param {string} other
 */
function byCodePoint(one, other) {
  const points = [...one];
  const others = [...other];
  for (let index = 0; index < points.length && index < others.length; index++) {
    const difference = Number(points[index].codePointAt(0)) - Number(others[index].codePointAt(0));
    if (difference !== 0) return difference;
  }
  return points.length - others.length;
}

/** @param {object} value */
function isPlain(value) {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** @param {any} value */
function describe(value) {
  if (Array.isArray(value)) return 'an array';
  if (value === undefined) return 'undefined';
  if (typeof value !== 'object') return `a ${typeof value}`;
  return `a ${value[Symbol.toStringTag] || value.constructor?.name || 'object'}`;
}

/** @param {any} value */
function hintFor(value) {
  if (value instanceof Map) return '; pass Object.fromEntries(map)';
  if (value instanceof Set) return '; pass [...set]';
  if (value instanceof Promise) return '; await it first';
  if (value instanceof Error) return '; pass its message';
  if (Symbol.iterator in value) return '; pass Array.from(…)';
  return '; pass its fields, or give it a toJSON() method';
}

/**
 * @param {string} place
 * @param {string} problem
 */
function refused(place, problem) {
  return new TypeError(`argument ${place || 'object'}: ${problem}`);
}
