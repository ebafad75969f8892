// @ts-check
/** A call's body becomes the arguments object. Runs in: Node workers. */

import {decodeWithBytes} from './attachments.mjs';
import {MEDIA_TYPE, MultipartError} from './multipart.mjs';
import {LONG_NUMBER, numbers} from './numbers.mjs';
import {CallError, find} from './values.mjs';

const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
const SMALL_BYTES = 1024;
const ASCII = /^[\0-\x7f]*$/;

/**
 * The arguments object in a body; an empty body is `{}`.
 *
 * @param {Buffer} body
 * @param {string} [type] the body's content type; absent: JSON
 * @returns {Record<string, unknown>}
 */
export function parseBody(body, type) {
  const value = type?.trimStart().toLowerCase().startsWith(MEDIA_TYPE) ? parseMultipart(type, body) : parseJson(body);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
    throw new CallError('not_an_object', `the body must be a JSON object, not a JSON ${kind}`);
  }
  return /** @type {Record<string, unknown>} */ (value);
}

/**
 * @param {string} type
 * @param {Buffer} body
 */
function parseMultipart(type, body) {
  try {
    return decodeWithBytes(type, body, parseJson);
  } catch (error) {
    if (!(error instanceof MultipartError)) throw error;
    throw new CallError('malformed_multipart', `the body is not multipart/form-data as it should be: ${error.message}`);
  }
}

/** @param {Buffer} body */
function parseJson(body) {
  if (body.length === 0) return {};
  const text = textOf(body);
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CallError('malformed_json', `the body is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (LONG_NUMBER.test(text)) refuseUnsafeIntegers(text, value);
  return value;
}

/** @param {Buffer} body */
function textOf(body) {
  if (body.length <= SMALL_BYTES) {
    const text = body.toString('latin1');
    if (ASCII.test(text)) return text; // most clients send this; it takes a third of the time
  }
  try {
    return utf8.decode(body);
  } catch {
    throw new CallError('malformed_json', 'the body is not UTF-8');
  }
}

/**
 * JSON.parse silently rounds integers beyond 2**53; the caller gets an error instead.
 *
 * @param {string} text
 * @param {unknown} value
 */
function refuseUnsafeIntegers(text, value) {
  for (const {token} of numbers(text)) {
    if (token.length < 16 || /[.eE]/.test(token)) continue;
    const number = Number(token);
    if (Number.isSafeInteger(number) || Math.abs(number) === 2 ** 53 && BigInt(token) === BigInt(number)) continue;
    const place = find(value, (item) => item === number) ?? '';
    throw new CallError(
      'unsafe_integer',
      `argument ${place}: ${token} is beyond 2**53 and JavaScript would round it; pass it as a string`,
      'TypeError',
    );
  }
}
