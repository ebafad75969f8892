// @ts-check
/** Reads results and streamed values: from responses, events and frames. Runs in: callers, programs that own Python workers. */

import {randomUUID} from 'node:crypto';
import {decodeWithBytes} from './attachments.mjs';
import {LONG_NUMBER, numbers} from './numbers.mjs';

const JSON_FORM = 'j'.charCodeAt(0);
const TEXT_FORM = 't'.charCodeAt(0);
const BYTES_FORM = 'b'.charCodeAt(0);
/** Smaller ones are copied: a view would keep everything that was read with them. */
const LARGE_BYTES = 32 * 1024;
const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
/** Begins the strings that stand for integers while JSON is parsed; no other string begins with it. */
const MARK = `integer-${randomUUID()}:`;

/** @typedef {'error' | 'bigint'} Integers what an integer becomes that a number would round */

/**
 * The value of a body: text is a string, octet-stream a Buffer, and multipart is JSON with Buffers in it.
 *
 * @param {string} type the content type
 * @param {Buffer} body
 * @param {Integers} integers
 * @returns {unknown}
 * @throws {RangeError} an integer beyond 2**53, where `integers` is 'error'
 * @throws {Error} the body does not fit its type
 */
export function decodeResult(type, body, integers) {
  const kind = type.split(';', 1)[0].trim().toLowerCase();
  if (kind === 'application/json') return parseJson(body, integers);
  if (kind === 'text/plain') return utf8.decode(body);
  if (kind === 'application/octet-stream') return body;
  if (kind === 'multipart/form-data') return decodeWithBytes(type, body, (json) => parseJson(json, integers));
  throw new Error(`unknown content type ${JSON.stringify(type)}`);
}

/**
 * The value in a RESULT or CHUNK frame.
 *
 * @param {Buffer} payload
 * @param {Integers} integers
 * @returns {unknown}
 * @throws {RangeError} as decodeResult
 */
export function decodePayload(payload, integers) {
  const form = payload[0];
  if (form === JSON_FORM) return parseJson(payload.subarray(1), integers);
  if (form === TEXT_FORM) return payload.toString('utf8', 1);
  const rest = payload.subarray(1);
  if (form === BYTES_FORM) return rest.length < LARGE_BYTES ? Buffer.from(rest) : rest;
  return decodeMultipart(rest, integers);
}

/**
 * The value in an event of a stream.
 *
 * @param {string} event
 * @param {string} data
 * @param {Integers} integers
 * @returns {unknown}
 * @throws {RangeError} as decodeResult
 */
export function decodeEvent(event, data, integers) {
  if (event === 'chunk' || event === 'result') return parseJson(Buffer.from(data), integers);
  const bytes = Buffer.from(data, 'base64');
  return event === 'chunk-bytes' || event === 'result-bytes' ? bytes : decodeMultipart(bytes, integers);
}

/**
 * @param {Buffer} body
 * @param {Integers} integers
 */
function decodeMultipart(body, integers) {
  const boundary = body.toString('latin1', 2, body.indexOf('\r\n'));
  return decodeResult(`multipart/form-data; boundary=${boundary}`, body, integers);
}

/**
 * JSON without rounded integers: JSON.parse rounds those beyond 2**53 silently.
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
        "set the option integers: 'bigint', or let the function send a string",
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
