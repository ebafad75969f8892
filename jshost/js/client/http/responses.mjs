// @ts-check
/** Values out of a host's responses. Runs in: callers. */

import {HostConnectionError, UnexpectedResponse, errorFrom, errorOfStranger} from '../../exceptions.mjs';
import {EventParser} from '../../protocol/events.mjs';
import {decodeParts} from '../../protocol/multipart.mjs';
import {decodeEvent, decodeResult} from '../../protocol/results.mjs';

/**
 * @typedef {import('./messages.mjs').Response} Response
 * @typedef {import('../host.mjs').Call} Call
 * @typedef {import('../../protocol/results.mjs').Integers} Integers
 */

/**
 * The result of one call.
 *
 * @param {string} name
 * @param {Response} response
 * @param {Buffer} body
 * @param {Integers} integers
 * @throws {import('../../exceptions.mjs').JSHostError} the response is an error
 */
export function resultIn(name, {status, type}, body, integers) {
  if (status !== 200) throw errorIn(name, status, body);
  return decodeResult(type, body, integers);
}

/**
 * The values of a stream; its result becomes `stream.result`.
 *
 * @param {string} name
 * @param {AsyncIterable<Buffer>} pieces of a text/event-stream
 * @param {Integers} integers
 * @param {import('../streams.mjs').Stream} stream
 * @returns {AsyncGenerator<any, void>}
 */
export async function* valuesIn(name, pieces, integers, stream) {
  const parser = new EventParser();
  for await (const piece of pieces) {
    for (const {event, data} of parser.feed(piece)) {
      if (event === 'error') throw errorFrom({...JSON.parse(data), function: name});
      const value = decodeEvent(event, data, integers);
      if (event.startsWith('chunk')) yield value;
      else stream.result = value;
    }
  }
  if (!stream.hasEnded) throw new HostConnectionError(`${name}: the stream ended before the function did.`);
}

/**
 * The answers of a batch in order: values and errors.
 *
 * @param {Call[]} calls
 * @param {Response} response
 * @param {Buffer} body
 * @returns {unknown[]}
 */
export function answersIn(calls, {status, type}, body) {
  if (status !== 200) throw errorIn('', status, body);
  const answers = decodeParts(type, body);
  if (answers.length !== calls.length) throw new UnexpectedResponse(`batch: ${answers.length} answers came for ${calls.length} calls`);
  return answers.map((part, index) => answerIn(calls[index], part));
}

/**
 * @param {Call} call
 * @param {{name: string, contentType: string, data: Buffer}} part
 */
function answerIn({name, integers}, {name: kind, contentType, data}) {
  if (kind === 'error') return errorFrom({...JSON.parse(String(data)), function: name});
  try {
    return decodeResult(contentType, data, integers);
  } catch (error) {
    return error;
  }
}

/**
 * @param {string} name of the function; "" for a batch
 * @param {number} status
 * @param {Buffer} body
 */
function errorIn(name, status, body) {
  let envelope;
  try {
    envelope = JSON.parse(String(body));
  } catch {
    envelope = undefined; // not from a host
  }
  if (typeof envelope?.code !== 'string') return errorOfStranger(name || 'batch', status, String(body));
  return errorFrom(name === '' ? envelope : {...envelope, function: name});
}
