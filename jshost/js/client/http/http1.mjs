// @ts-check
/** HTTP/1.1 for a client (RFC 9112), without I/O: writes the head of a request, reads responses. Runs in: callers. */

import {UnexpectedResponse} from '../../exceptions.mjs';

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 4096;
const HEAD_END = '\r\n\r\n';
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
const LENGTH = /^\d{1,15}$/;
const CHUNK_SIZE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/;
/** These headers say where a message ends, or what happens to its connection. */
const OURS = new Set(['content-length', 'transfer-encoding', 'connection']);

/**
 * The bytes in front of a request's body, as Latin-1. The length comes last, so that hosts recognize the
 * head of an earlier call.
 *
 * @param {string} method
 * @param {string} target escaped
 * @param {string} lines `headerLines`
 * @param {number} length the body's
 */
export function requestHead(method, target, lines, length) {
  return `${method} ${target} HTTP/1.1\r\n${lines}Content-Length: ${length}${HEAD_END}`;
}

/**
 * The lines of a request's headers.
 *
 * @param {Record<string, string>} headers if two names differ only in case, the later one counts
 * @throws {TypeError} a header cannot be sent
 */
export function headerLines(headers) {
  /** @type {Map<string, string>} */
  const lines = new Map();
  for (const name in headers) {
    const value = String(headers[name]);
    const lower = name.toLowerCase();
    if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is not the name of a header`);
    if (!VALUE.test(value)) throw new TypeError(`the header ${name} holds a line end, or a character outside Latin-1: ${JSON.stringify(value)}`);
    if (OURS.has(lower)) throw new TypeError(`the header ${name} is not the caller's to set`);
    lines.set(lower, `${name}: ${value}\r\n`);
  }
  return [...lines.values()].join('');
}

/**
 * @typedef {object} ParserOwner
 * @property {(status: number, type: string) => void} onHead status and content type; the body, or the end, follows
 * @property {(piece: Buffer) => void} onBody
 */

/** Reads the responses of a connection, one after the other. `begin` expects the next one. */
export class ResponseParser {
  #owner;
  /** The method that reads the next bytes. It returns where it stopped, or -1 if it needs more bytes. */
  #state = this.#head;
  /** @type {Buffer | undefined} bytes that were not enough */
  #rest;
  #left = 0;
  /** Whether a response is expected and not yet whole. */
  isDue = false;
  /** Whether the connection may be used again: the response allows it, and no other bytes came. */
  keepAlive = true;

  /** @param {ParserOwner} owner */
  constructor(owner) {
    this.#owner = owner;
  }

  /** Expect a response. */
  begin() {
    this.isDue = true;
    this.#state = this.#head;
  }

  /**
   * @param {Buffer} data
   * @throws {UnexpectedResponse} this is not an HTTP response
   */
  feed(data) {
    const bytes = this.#rest === undefined ? data : Buffer.concat([this.#rest, data]);
    this.#rest = undefined;
    for (let at = 0; at < bytes.length;) {
      if (!this.isDue) {
        this.keepAlive = false; // no request was sent
        return;
      }
      const end = this.#state(bytes, at);
      if (end < 0) {
        this.#rest = bytes.subarray(at);
        return;
      }
      at = end;
    }
  }

  /** The connection has ended. Returns whether this completes the response. */
  end() {
    this.keepAlive = false;
    if (!this.isDue || this.#state !== this.#untilClosed) return false;
    this.#finish();
    return true;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   * @returns {number}
   */
  #head(bytes, at) {
    const end = bytes.indexOf(HEAD_END, at);
    if ((end < 0 ? bytes.length : end) - at > MAX_HEAD_BYTES) throw new UnexpectedResponse(`an answer's head is longer than ${MAX_HEAD_BYTES} bytes`);
    if (end < 0) return -1;
    const lines = bytes.toString('latin1', at, end).split('\r\n');
    const match = STATUS_LINE.exec(lines[0]);
    if (match === null) throw new UnexpectedResponse(`an answer begins with ${JSON.stringify(lines[0].slice(0, 80))}`);
    const status = Number(match[2]);
    const {length, isChunked, type, connection} = fieldsOf(lines);
    if (status === 101) throw new UnexpectedResponse('an answer wants to speak another protocol');
    if (status < 200) return end + HEAD_END.length; // "continue", or hints: the response follows
    if (connection.includes('close') || (match[1] === '0' && !connection.includes('keep-alive'))) this.keepAlive = false;
    if (isChunked && length !== undefined) this.keepAlive = false; // a proxy in between may have misread it
    this.#owner.onHead(status, type);
    if (status === 204 || status === 304) this.#finish();
    else if (isChunked) this.#state = this.#chunkSize;
    else if (length === undefined) this.#state = this.#untilClosed;
    else if (length === 0) this.#finish();
    else [this.#state, this.#left] = [this.#counted, length];
    return end + HEAD_END.length;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #counted(bytes, at) {
    const end = this.#piece(bytes, at);
    if (this.#left === 0) this.#finish();
    return end;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #untilClosed(bytes, at) {
    this.#owner.onBody(bytes.subarray(at));
    return bytes.length;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #chunkSize(bytes, at) {
    const end = lineEnd(bytes, at);
    if (end < 0) return -1;
    const line = bytes.toString('latin1', at, end);
    const match = CHUNK_SIZE.exec(line);
    if (match === null) throw new UnexpectedResponse(`${JSON.stringify(line.slice(0, 80))} is not the size of a chunk`);
    this.#left = Number.parseInt(match[1], 16);
    this.#state = this.#left === 0 ? this.#trailers : this.#chunk;
    return end + 2;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #chunk(bytes, at) {
    const end = this.#piece(bytes, at);
    if (this.#left === 0) this.#state = this.#chunkEnd;
    return end;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #chunkEnd(bytes, at) {
    const end = lineEnd(bytes, at);
    if (end > at) throw new UnexpectedResponse('a chunk is longer than its size says');
    if (end < 0) return -1;
    this.#state = this.#chunkSize;
    return end + 2;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #trailers(bytes, at) {
    const end = lineEnd(bytes, at);
    if (end < 0) return -1;
    if (end === at) this.#finish();
    return end + 2;
  }

  /**
   * @param {Buffer} bytes
   * @param {number} at
   */
  #piece(bytes, at) {
    const end = Math.min(at + this.#left, bytes.length);
    this.#left -= end - at;
    this.#owner.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  #finish() {
    this.isDue = false;
  }
}

/**
 * The headers that matter: of the body and the connection.
 *
 * @param {string[]} lines
 */
function fieldsOf(lines) {
  /** @type {number | undefined} */
  let length;
  let [isChunked, type, connection] = [false, '', ''];
  for (let index = 1; index < lines.length; index += 1) {
    const line = lines[index];
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    if (!NAME.test(name)) throw new UnexpectedResponse(`a header of an answer is ${JSON.stringify(line.slice(0, 80))}`);
    const value = line.slice(colon + 1).trim();
    if (name === 'content-type') type = value;
    else if (name === 'connection') connection += `${value.toLowerCase()},`;
    else if (name === 'transfer-encoding') {
      if (value.toLowerCase() !== 'chunked' || isChunked) throw new UnexpectedResponse(`an answer's Transfer-Encoding is ${JSON.stringify(value)}`);
      isChunked = true;
    } else if (name === 'content-length') {
      if (!LENGTH.test(value) || (length !== undefined && length !== Number(value))) {
        throw new UnexpectedResponse(`an answer's Content-Length is ${JSON.stringify(value)}`);
      }
      length = Number(value);
    }
  }
  return {length, isChunked, type, connection};
}

/**
 * @param {Buffer} bytes
 * @param {number} at
 */
function lineEnd(bytes, at) {
  const end = bytes.indexOf('\r\n', at);
  if ((end < 0 ? bytes.length : end) - at > MAX_LINE_BYTES) throw new UnexpectedResponse(`a line between chunks is longer than ${MAX_LINE_BYTES} bytes`);
  return end;
}
