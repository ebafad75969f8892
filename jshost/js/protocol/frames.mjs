// @ts-check
/**
 * The frames between a host and a worker, without I/O: the twin of protocol/frames.py, held to the
 * same bytes by tests/vectors/frames.json. Runs in: Node workers.
 *
 * A frame is `length u32 · call id u32 · kind u8 · payload`, integers big-endian.
 */

export const HEADER_BYTES = 9;
export const MAX_PAYLOAD_BYTES = 2 ** 30;

export const Kind = Object.freeze({
  READY: 1,
  CALL: 2,
  RESULT: 3,
  CHUNK: 4,
  ERROR: 5,
  CANCEL: 6,
  LOG: 7,
  PING: 8,
  PONG: 9,
  DRAIN: 10,
});

/** @typedef {{kind: number, callId: number, payload: Buffer}} Frame */

export class FrameError extends Error {
  name = 'FrameError';
}

/**
 * One frame's bytes. A text payload is encoded straight into the frame.
 *
 * @param {number} kind
 * @param {number} callId
 * @param {Uint8Array | string} payload
 * @param {string} [form] one ASCII character that goes before the payload
 * @returns {Buffer}
 */
export function encode(kind, callId, payload = '', form = '') {
  const isText = typeof payload === 'string';
  const size = form.length + (isText ? Buffer.byteLength(payload) : payload.length);
  if (size > MAX_PAYLOAD_BYTES) throw tooLarge(size);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + size);
  frame.writeUInt32BE(size, 0);
  frame.writeUInt32BE(callId, 4);
  frame[8] = kind;
  if (form) frame[HEADER_BYTES] = form.charCodeAt(0);
  if (isText) frame.write(payload, HEADER_BYTES + form.length);
  else frame.set(payload, HEADER_BYTES + form.length);
  return frame;
}

/**
 * Write one frame into `target`, which has room for it: three bytes for each character of a text.
 *
 * @param {Buffer} target
 * @param {number} start
 * @param {number} kind
 * @param {number} callId
 * @param {Uint8Array | string} payload
 * @param {string} form
 * @returns {number} where the frame ends
 */
export function encodeInto(target, start, kind, callId, payload, form) {
  let end = start + HEADER_BYTES;
  if (form) target[end++] = form.charCodeAt(0);
  if (typeof payload === 'string') {
    end += target.write(payload, end);
  } else {
    target.set(payload, end);
    end += payload.length;
  }
  target.writeUInt32BE(end - start - HEADER_BYTES, start);
  target.writeUInt32BE(callId, start + 4);
  target[start + 8] = kind;
  return end;
}

/** Bytes in, frames out, however the bytes were split. */
export class Decoder {
  /** @type {Buffer[]} */
  #chunks = [];
  #size = 0;
  #need = HEADER_BYTES;

  /**
   * The frames that `data` completes, in order. Chunks of an unfinished frame are joined once.
   *
   * @param {Buffer} data
   * @returns {Frame[]}
   */
  feed(data) {
    if (this.#chunks.length > 0) {
      this.#chunks.push(data);
      this.#size += data.length;
      if (this.#size < this.#need) return [];
      data = Buffer.concat(this.#chunks, this.#size);
      this.#chunks = [];
    }
    /** @type {Frame[]} */
    const frames = [];
    let offset = 0;
    this.#need = HEADER_BYTES;
    while (data.length - offset >= HEADER_BYTES) {
      const size = data.readUInt32BE(offset);
      const kind = data[offset + 8];
      if (kind < Kind.READY || kind > Kind.DRAIN || size > MAX_PAYLOAD_BYTES) {
        throw new FrameError(`no frame begins like this: kind ${kind}, length ${size}`);
      }
      const stop = offset + HEADER_BYTES + size;
      if (stop > data.length) {
        this.#need = stop - offset;
        break;
      }
      const payload = data.subarray(offset + HEADER_BYTES, stop);
      frames.push({kind, callId: data.readUInt32BE(offset + 4), payload});
      offset = stop;
    }
    if (offset < data.length) {
      this.#chunks = [data.subarray(offset)];
      this.#size = data.length - offset;
    }
    return frames;
  }
}

/**
 * The header of a CALL; docs/protocol.md explains its members.
 *
 * @typedef {object} CallHeader
 * @property {string} name
 * @property {number | null} timeout
 * @property {string} requestId
 * @property {string} [type]
 * @property {boolean} [stream]
 * @property {boolean} [json]
 * @property {string} [traceparent]
 */

/**
 * A CALL's payload: `header length u16 · header · body`.
 *
 * @param {CallHeader} header
 * @param {Buffer} body
 * @returns {Buffer}
 */
export function joinCall(header, body) {
  const text = JSON.stringify(header);
  const size = Buffer.byteLength(text);
  if (size > 0xffff) throw new FrameError(`a header of ${size} bytes is over the ${0xffff} of a CALL`);
  const whole = 2 + size + body.length;
  if (whole > MAX_PAYLOAD_BYTES) throw tooLarge(whole);
  const payload = Buffer.allocUnsafe(whole);
  payload.writeUInt16BE(size, 0);
  payload.write(text, 2);
  payload.set(body, 2 + size);
  return payload;
}

/**
 * A CALL's payload as its header and the body's bytes.
 *
 * @param {Buffer} payload
 * @returns {{header: CallHeader, body: Buffer}}
 */
export function splitCall(payload) {
  const size = payload.length >= 2 ? payload.readUInt16BE(0) : 0;
  if (payload.length < 2 + size) throw new FrameError('a CALL is shorter than its header');
  return {header: readHeader(payload, 2, 2 + size), body: payload.subarray(2 + size)};
}

const REQUEST_ID = '"requestId":"';
const MAX_KNOWN_HEADERS = 256;
/** @type {Map<string, CallHeader>} */
const knownHeaders = new Map();

/**
 * Headers of one function differ in the request id only: the rest is parsed once.
 *
 * @param {Buffer} payload
 * @param {number} start
 * @param {number} end
 * @returns {CallHeader}
 */
function readHeader(payload, start, end) {
  const text = payload.toString('latin1', start, end);
  const found = text.indexOf(REQUEST_ID);
  const idStart = found + REQUEST_ID.length;
  const idEnd = text.indexOf('"', idStart);
  if (found === -1 || idEnd === -1 || !PLAIN.test(text)) return parseHeader(payload.subarray(start, end));
  const requestId = text.slice(idStart, idEnd);
  const around = text.slice(0, idStart) + text.slice(idEnd);
  const known = knownHeaders.get(around);
  if (known !== undefined) return {...known, requestId};
  const header = parseHeader(payload.subarray(start, end));
  if (header.requestId !== requestId) return header;
  if (knownHeaders.size === MAX_KNOWN_HEADERS) knownHeaders.clear();
  knownHeaders.set(around, header);
  return header;
}

/** Printable ASCII and no escapes: bytes are characters, and a quote ends a string. */
const PLAIN = /^[ -[\]-~]*$/;

const utf8 = new TextDecoder('utf-8', {fatal: true});

/** @param {Buffer} bytes */
function parseHeader(bytes) {
  let header;
  try {
    header = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    throw new FrameError(`a CALL's header is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header)) {
    throw new FrameError("a CALL's header is not an object");
  }
  return header;
}

/** @param {number} size */
function tooLarge(size) {
  return new FrameError(`a payload of ${size} bytes is over the ${MAX_PAYLOAD_BYTES} of a frame`);
}
