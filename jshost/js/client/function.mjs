// @ts-check
/** Calling a host's functions. Runs in: callers. */

import {Limit} from './http/deadline.mjs';
import {JSON_TYPE, bodyHash, encodeCall} from '../protocol/call_body.mjs';
import {EventParser} from '../protocol/events.mjs';
import {Host} from './http/host.mjs';
import {checkedTimeout} from '../protocol/timeout.mjs';
import {decodeParts, encodeParts} from '../protocol/multipart.mjs';
import {ConfigError, HostConnectionError, UnexpectedResponse, errorFrom, errorOfStranger} from '../exceptions.mjs';
import {decodeResult, parseJson} from '../protocol/results.mjs';

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * @typedef {object} CallOptions
 * @property {number | null} [timeout] milliseconds that a call may take; null: no limit
 * @property {AbortSignal} [signal] aborts the call, and the function's own signal
 * @property {Record<string, string>} [headers] sent along: `X-Request-ID`, `traceparent`
 */

/**
 * @typedef {object} FunctionOptions
 * @property {Host} [host] the host to call; by default one that all functions share, see `HostOptions`
 * @property {number | null} [timeout] milliseconds that a call may take, 10 000 by default; null: no limit
 * @property {'error' | 'bigint'} [integers] what becomes of integers beyond 2**53 in results: an error
 *   (the default), or a BigInt
 */

/** @typedef {import('./http/transport.mjs').Answer} Answer */
/** @typedef {import('./http/host.mjs').Transport} Transport */

/** @type {Host | undefined} */
let sharedHost;

/**
 * A function on a host, by name; in whichever language it is written.
 *
 * @example
 * const predict = new Function('predict', {rootUrl: 'http://127.0.0.1:9009', timeout: 2000});
 * await predict.call({x: 1});
 */
export class HostFunction {
  #host;
  #timeout;
  #integers;

  /**
   * @param {string} name
   * @param {FunctionOptions & import('./http/host.mjs').HostOptions} [options]
   */
  constructor(name, options = {}) {
    if (typeof name !== 'string' || name === '') throw new TypeError(`Function needs the name of a function, not ${JSON.stringify(name)}`);
    const {host, timeout = DEFAULT_TIMEOUT_MS, integers = 'error', ...hostOptions} = options;
    const [first] = Object.keys(hostOptions);
    if (host !== undefined && first !== undefined) throw new ConfigError(`${JSON.stringify(first)} is no option of a Function that has a host: give it to the host.`);
    this.name = name;
    this.#host = host ?? (first !== undefined ? new Host(hostOptions) : undefined);
    this.#timeout = checkedTimeout(timeout);
    this.#integers = integers;
  }

  /** The host that calls go to. */
  get host() {
    return this.#host ?? (sharedHost ??= new Host());
  }

  /**
   * Call the function with one object of arguments; its decoded result.
   *
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Promise<any>}
   * @throws {RemoteError} what the host, or the function, answered with; see exceptions.mjs
   * @throws {TypeError} an argument that cannot be carried; nothing was sent
   */
  async call(args = {}, options = {}) {
    const {body, type} = encodeCall(args);
    const limit = await limitOn(this.host, this.name, this.#timeout, options);
    const headers = limit.headers(type, `${JSON_TYPE}, */*`);
    try {
      return await this.host.exchange('POST', this.#path(body), headers, body, limit.signal, (answer, transport) =>
        this.#result(answer, transport, limit.signal));
    } finally {
      limit.end();
    }
  }

  /**
   * Call a function that streams; its values as they come. Leaving the loop stops the function.
   *
   * @param {Record<string, unknown>} [args]
   * @param {CallOptions} [options]
   * @returns {Stream}
   */
  stream(args = {}, options = {}) {
    const {body, type} = encodeCall(args);
    return new Stream((stream) => this.#values(stream, body, type, options));
  }

  /**
   * Call the function once for each object of arguments, in one request; in the place of a call that
   * failed stands its error.
   *
   * @param {Iterable<Record<string, unknown>>} calls
   * @param {CallOptions} [options]
   * @returns {Promise<any[]>}
   */
  map(calls, options = {}) {
    return batch(Array.from(calls, (args) => /** @type {[HostFunction, Record<string, unknown>]} */ ([this, args])), options);
  }

  /**
   * The value of one answer of a batch, or its error.
   *
   * @param {import('../protocol/multipart.mjs').Part & {data: Buffer}} part
   * @returns {unknown}
   */
  answerIn({name, contentType, data}) {
    if (name === 'error') return errorFrom({...JSON.parse(String(data)), function: this.name});
    try {
      return decodeResult(contentType, data, this.#integers);
    } catch (error) {
      return error;
    }
  }

  /** @param {Buffer} body */
  #path(body) {
    return `/function/${encodeURIComponent(this.name)}?hash=${bodyHash(body)}`;
  }

  /**
   * @param {Answer} answer
   * @param {Transport} transport
   * @param {AbortSignal | undefined} signal
   */
  async #result(answer, transport, signal) {
    const body = await transport.body(answer, signal);
    if (answer.status !== 200) throw refusal(this.name, answer, body);
    return decodeResult(answer.type, body, this.#integers);
  }

  /**
   * @param {Stream} stream
   * @param {Buffer} body
   * @param {string} type
   * @param {CallOptions} options
   * @returns {AsyncGenerator<any, void>}
   */
  async *#values(stream, body, type, options) {
    const limit = await limitOn(this.host, this.name, this.#timeout, options);
    const headers = limit.headers(type, `text/event-stream, ${JSON_TYPE}`);
    try {
      const [answer, transport] = await this.host.exchange('POST', this.#path(body), headers, body, limit.signal,
        async (...both) => both);
      if (!answer.type.startsWith('text/event-stream')) {
        stream.result = await this.#result(answer, transport, limit.signal);
        return;
      }
      const parser = new EventParser();
      for await (const piece of transport.pieces(answer, limit.signal)) {
        for (const {event, data} of parser.feed(piece)) {
          if (event === 'chunk') yield parseJson(Buffer.from(data), this.#integers);
          else if (event === 'chunk-bytes') yield Buffer.from(data, 'base64');
          else if (event === 'error') throw errorFrom({...JSON.parse(data), function: this.name});
          else stream.result = finalResult(event, data, this.#integers);
        }
      }
      if (!stream.hasEnded) throw new HostConnectionError(`${this.name}: the stream ended before the function did.`);
    } finally {
      limit.end();
    }
  }
}

export {HostFunction as Function};

/** The values of a stream; once they are read, `result` is what the function finally returned. */
export class Stream {
  #values;
  /** @type {unknown} */
  #result;
  /** Whether the function has returned. */
  hasEnded = false;

  /** @param {(stream: Stream) => AsyncIterator<any, void> & {return(): Promise<unknown>}} begin */
  constructor(begin) {
    this.#values = begin(this);
  }

  get result() {
    return this.#result;
  }

  set result(value) {
    this.#result = value;
    this.hasEnded = true;
  }

  [Symbol.asyncIterator]() {
    return this.#values;
  }

  /** Stop reading; the function's signal is aborted. */
  async close() {
    await this.#values.return();
  }
}

/**
 * Make many calls in one request; the host runs them at the same time.
 *
 * @param {Iterable<[HostFunction, Record<string, unknown>?]>} calls
 * @param {CallOptions} [options] for all of them
 * @returns {Promise<any[]>} the results in order; in the place of a call that failed, its error
 */
export async function batch(calls, options = {}) {
  const list = [...calls];
  if (list.length === 0) return [];
  const hosts = new Set(list.map(([fn]) => fn.host));
  if (hosts.size > 1) throw new TypeError('a batch goes to one host: make one for each');
  const parts = list.map(([fn, args = {}]) => {
    const {body, type} = encodeCall(args);
    return {name: fn.name, contentType: type, data: body};
  });
  const {body, type} = encodeParts(parts);
  const limit = await limitOn(list[0][0].host, 'batch', DEFAULT_TIMEOUT_MS, options);
  const headers = limit.headers(type, `multipart/form-data, ${JSON_TYPE}`);
  try {
    return await list[0][0].host.exchange('POST', `/batch?hash=${bodyHash(body)}`, headers, body, limit.signal,
      async (answer, transport) => {
        const content = await transport.body(answer, limit.signal);
        if (answer.status !== 200) throw refusal('batch', answer, content);
        const answers = decodeParts(answer.type, content);
        if (answers.length !== list.length) throw new UnexpectedResponse(`batch: ${answers.length} answers came for ${list.length} calls`);
        return answers.map((part, index) => list[index][0].answerIn(part));
      });
  } finally {
    limit.end();
  }
}

/**
 * The limit of a call: the time in which its host is found, or started, does not count.
 *
 * @param {Host} host
 * @param {string} name
 * @param {number | null} usual
 * @param {CallOptions} options
 */
async function limitOn(host, name, usual, options) {
  await host.located(options.signal);
  return new Limit(name, usual, options);
}

/**
 * @param {string} event
 * @param {string} data
 * @param {'error' | 'bigint'} integers
 */
function finalResult(event, data, integers) {
  if (event === 'result') return parseJson(Buffer.from(data), integers);
  const bytes = Buffer.from(data, 'base64');
  if (event === 'result-bytes') return bytes;
  const boundary = bytes.toString('latin1', 2, bytes.indexOf('\r\n'));
  return decodeResult(`multipart/form-data; boundary=${boundary}`, bytes, integers);
}

/**
 * @param {string} name
 * @param {Answer} answer
 * @param {Buffer} body
 */
function refusal(name, {status}, body) {
  let envelope;
  try {
    envelope = JSON.parse(String(body));
  } catch {
    return errorOfStranger(name, status, String(body));
  }
  if (typeof envelope?.code !== 'string') return errorOfStranger(name, status, String(body));
  return errorFrom(name === 'batch' ? envelope : {...envelope, function: name});
}
