// @ts-check
/** Answers into values. Runs in: callers. */

import {randomUUID} from 'node:crypto';
import {decodeWithBytes} from './attachments.mjs';
import {LONG_NUMBER, numbers} from './numbers.mjs';

const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
/** Begins the strings that stand for integers while JSON is parsed; nobody else's string does. */
const MARK = `integer-${randomUUID()}:`;

/** @typedef {'error' | 'bigint'} Integers what becomes of integers that a number would round */

/**
 * The value of an answer: text is a string, octet-stream a Buffer, JSON what it says, and multipart
 * is JSON with Buffers in it.
 *
 * @param {string} type the content type
 * @param {Buffer} body
 * @param {Integers} integers
 * @returns {unknown}
 * @throws {RangeError} an integer beyond 2**53, where `integers` is 'error'
 * @throws {Error} a body that does not fit its type
 */
export function decodeResult(type, body, integers) {
  const kind = type.split(';', 1)[0].trim().toLowerCase();
  if (kind === 'application/json') return parseJson(body, integers);
  if (kind === 'text/plain') return utf8.decode(body);
  if (kind === 'application/octet-stream') return body;
  if (kind === 'multipart/form-data') return decodeWithBytes(type, body, (json) => parseJson(json, integers));
  throw new Error(`no value travels as ${JSON.stringify(type)}`);
}

/**
 * JSON, with integers as they are: JSON.parse rounds those beyond 2**53 without a word.
 *
 * @param {Buffer} body
 * @param {Integers} integers
 * @returns {unknown}
 */
export function parseJson(body, integers) {
  const text = utf8.decode(body);
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  const unsafe = [...numbers(text)].filter(({token}) => isUnsafe(token));
  if (unsafe.length === 0) return JSON.parse(text);
  if (integers === 'error') {
    throw new RangeError(
      `the integer ${unsafe[0].token} is beyond 2**53, and a number would round it; ` +
        "set the option integers: 'bigint', or have it sent as a string",
    );
  }
  let marked = '';
  let end = 0;
  for (const {token, index} of unsafe) {
    marked += `${text.slice(end, index)}"${MARK}${token}"`;
    end = index + token.length;
  }
  marked += text.slice(end);
  return JSON.parse(marked, (_, value) => typeof value === 'string' && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value);
}

/** @param {string} token */
function isUnsafe(token) {
  if (token.length < 16 || /[.eE]/.test(token)) return false;
  return !Number.isSafeInteger(Number(token));
}
