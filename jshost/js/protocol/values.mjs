// @ts-check
/**
 * The results of functions become bytes. A value that cannot is an error that names its place.
 * Runs in: Node workers.
 */

import {isBoxedPrimitive} from 'node:util/types';
import {encodeWithBytes} from './attachments.mjs';
import {asBuffer, isBytes, travelsAsBytes} from './bytes.mjs';
import {HOLDS_BYTES, stringify} from './stringify.mjs';

/** A call is answered with this error of jshost, not with one of the function. */
export class CallError extends Error {
  /**
   * @param {string} code a key of exceptions.CODES
   * @param {string} message
   * @param {string} [errorName] the class that the caller sees
   */
  constructor(code, message, errorName = '') {
    super(message);
    this.code = code;
    this.errorName = errorName;
  }
}

/** The form of a value on the wire: 'j' JSON, 't' text, 'b' bytes, 'm' multipart. */
/** @typedef {{form: 'j' | 't' | 'b' | 'm', payload: string | Buffer}} Encoded */

/**
 * A function's result. With `asJson`, a string becomes JSON too.
 *
 * @param {unknown} value
 * @param {boolean} [asJson]
 * @returns {Encoded}
 */
export function encodeResult(value, asJson = false) {
  // UTF-8 has no lone surrogates: a string with one travels as JSON, which can escape it.
  if (typeof value === 'string' && !asJson && value.isWellFormed()) return {form: 't', payload: value};
  if (value === undefined || value === null) return {form: 'j', payload: 'null'};
  if (isBytes(value)) return {form: 'b', payload: asBuffer(value)};
  const text = toJson(value, 'result');
  return text === HOLDS_BYTES ? {form: 'm', payload: withBytes(value)} : {form: 'j', payload: text};
}

/**
 * One value of a stream.
 *
 * @param {unknown} value
 * @returns {Encoded}
 */
export function encodeChunk(value) {
  if (value === undefined) return {form: 'j', payload: 'null'};
  if (isBytes(value)) return {form: 'b', payload: asBuffer(value)};
  const text = toJson(value, 'chunk');
  if (text !== HOLDS_BYTES) return {form: 'j', payload: text};
  const problem = 'chunk: bytes inside a value cannot be streamed; send them as a chunk of their own';
  throw new CallError('unserializable_result', problem, 'TypeError');
}

/**
 * @param {unknown} value
 * @param {string} what the value is, for the error's text
 * @returns {string | typeof HOLDS_BYTES}
 */
function toJson(value, what) {
  let text;
  try {
    text = stringify(value);
  } catch (error) {
    throw whyNot(value, what, error);
  }
  if (text === HOLDS_BYTES) return text;
  // JSON.stringify turns an unsupported value into null, {} or (a typed array) {"0":…}: search only then.
  if (text === undefined || text.includes('null') || text.includes('{}') || text.includes('{"0":')) {
    const {problem, holdsBytes} = lookThrough(value, what);
    if (problem) throw problem;
    if (holdsBytes) return HOLDS_BYTES;
  }
  return text ?? 'null';
}

/** @param {unknown} value */
function withBytes(value) {
  let body;
  try {
    body = encodeWithBytes(value).body;
  } catch (error) {
    throw whyNot(value, 'result', error);
  }
  const {problem} = lookThrough(value, 'result');
  if (problem) throw problem;
  return body;
}

/**
 * @param {unknown} value
 * @param {string} what
 * @param {unknown} error thrown when it was serialized
 */
function whyNot(value, what, error) {
  const {problem} = lookThrough(value, what);
  if (problem || !isStackOverflow(error)) return problem ?? error;
  return new CallError('unserializable_result', `${what}: the structure is too deep`, 'RangeError');
}

/** @param {unknown} error */
function isStackOverflow(error) {
  return error instanceof RangeError && error.message === 'Maximum call stack size exceeded';
}

/**
 * The first item of a value that has no JSON form, and whether there are bytes before it.
 *
 * @param {unknown} value
 * @param {string} what
 * @returns {{problem?: CallError, holdsBytes: boolean}}
 */
function lookThrough(value, what) {
  let holdsBytes = false;
  let problem = '';
  let place;
  try {
    place = find(value, (item, above) => {
      if (typeof item === 'object' && travelsAsBytes(item)) {
        holdsBytes = true;
        return undefined;
      }
      problem = problemOf(item, above);
      return problem !== '';
    });
  } catch (error) {
    if (!isStackOverflow(error)) throw error;
    return {holdsBytes}; // too deep to search, but JSON.stringify may manage it
  }
  if (place === undefined) return {holdsBytes};
  const where = place ? `${what} ${place}` : what;
  return {problem: new CallError('unserializable_result', `${where}: ${problem}`, 'TypeError'), holdsBytes};
}

/**
 * @param {unknown} item
 * @param {unknown[]} above
 */
function problemOf(item, above) {
  if (typeof item === 'number' && !Number.isFinite(item)) {
    return `${item} has no JSON form; return null or a string instead`;
  }
  if (typeof item === 'bigint' && !('toJSON' in BigInt.prototype)) return `the BigInt ${item}n has no JSON form; return a string`;
  if (typeof item === 'symbol' && above.length === 0) return 'a symbol has no JSON form';
  if (typeof item === 'function' && above.length === 0) return 'a function has no JSON form';
  if (item === null || typeof item !== 'object') return '';
  if (above.includes(item)) return 'the structure contains itself';
  if (item instanceof Date && Number.isNaN(item.getTime())) return 'an invalid Date has no JSON form';
  const hasJson = 'toJSON' in item && typeof item.toJSON === 'function';
  if (hasJson || Array.isArray(item)) return '';
  if (isBoxedPrimitive(item)) return problemOf(item.valueOf(), above);
  if (ArrayBuffer.isView(item)) {
    return `a ${item.constructor.name} has no JSON form; return Array.from(…) or a Uint8Array`;
  }
  if (Object.keys(item).length > 0) return '';
  const prototype = Object.getPrototypeOf(item);
  if (prototype === null || prototype === Object.prototype) return '';
  return `a ${nameOf(item)} has no JSON form${hintFor(item)}`;
}

/** @param {any} item */
function nameOf(item) {
  return item[Symbol.toStringTag] || item.constructor?.name || 'object'; // an iterator's class is Object
}

/** @param {any} item */
function hintFor(item) {
  if (item instanceof Map) return '; return Object.fromEntries(map)';
  if (item instanceof Set) return '; return [...set]';
  if (item instanceof Error) return '; throw it, or return its message';
  if (item instanceof Promise) return '; await it first';
  if (Symbol.iterator in item) return '; return Array.from(…)';
  if (Symbol.asyncIterator in item) return '; return it alone, as a stream';
  return '';
}

/**
 * The place of the first item, depth first, that `test` accepts: 'options.items[3].price'.
 * If it returns undefined for an item, the item is not searched.
 *
 * @param {unknown} value
 * @param {(item: unknown, above: unknown[]) => boolean | undefined} test
 * @param {string} [path]
 * @param {unknown[]} [above]
 * @returns {string | undefined}
 */
export function find(value, test, path = '', above = []) {
  const verdict = test(value, above);
  if (verdict) return path;
  if (verdict === undefined || value === null || typeof value !== 'object') return undefined;
  above.push(value);
  const found = findInside(value, test, path, above);
  above.pop();
  return found;
}

/**
 * @param {object} value
 * @param {Parameters<typeof find>[1]} test
 * @param {string} path
 * @param {unknown[]} above
 * @returns {string | undefined}
 */
function findInside(value, test, path, above) {
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const plain = value.toJSON();
    if (plain !== value) return find(plain, test, path, above);
  }
  const isArray = Array.isArray(value);
  for (const [key, item] of Object.entries(value)) {
    const step = isArray ? `[${key}]` : path ? `.${key}` : key;
    const found = find(item, test, path + step, above);
    if (found !== undefined) return found;
  }
  return undefined;
}
