// @ts-check
/** The values in RESULT and CHUNK frames. Runs in: programs that own Python workers. */

import {decodeResult, parseJson} from './results.mjs';

const JSON_FORM = 'j'.charCodeAt(0);
const TEXT_FORM = 't'.charCodeAt(0);
const BYTES_FORM = 'b'.charCodeAt(0);
/** Smaller ones are copied, for a view would keep all that was read with them. */
const LARGE_BYTES = 32 * 1024;

/**
 * @param {Buffer} payload
 * @param {import('./results.mjs').Integers} integers
 * @returns {unknown}
 * @throws {RangeError} an integer beyond 2**53, where `integers` is 'error'
 */
export function valueIn(payload, integers) {
  const form = payload[0];
  if (form === JSON_FORM) return parseJson(payload.subarray(1), integers);
  if (form === TEXT_FORM) return payload.toString('utf8', 1);
  const rest = payload.subarray(1);
  if (form === BYTES_FORM) return rest.length < LARGE_BYTES ? Buffer.from(rest) : rest;
  const boundary = rest.toString('latin1', 2, rest.indexOf('\r\n'));
  return decodeResult(`multipart/form-data; boundary=${boundary}`, rest, integers);
}
