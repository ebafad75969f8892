// @ts-check
/** A host that is called over HTTP. Runs in: callers. */

import {setTimeout as sleep} from 'node:timers/promises';
import {HostConnectionError} from '../../exceptions.mjs';
import {JSON_TYPE, bodyHash, encodeCall} from '../../protocol/call_body.mjs';
import {encodeParts} from '../../protocol/multipart.mjs';
import {Stream} from '../streams.mjs';
import {unlessAborted} from '../waiting.mjs';
import {Deadline} from './deadline.mjs';
import {Locator} from './locator.mjs';
import {answersIn, resultIn, valuesIn} from './responses.mjs';
import {HttpTransport} from './transport.mjs';

/** How long a host that has just restarted is looked for: it may listen at another address. */
const MOVING_MS = 1000;
const MOVING_POLL_MS = 20;
const STATUS_TIMEOUT_MS = 5000;
const EVENTS_TYPE = 'text/event-stream';
const ANY_RESULT = `${JSON_TYPE}, */*`;
const STREAM_OR_RESULT = `${EVENTS_TYPE}, ${JSON_TYPE}`;
const BATCH_ANSWER = `multipart/form-data, ${JSON_TYPE}`;

/**
 * @typedef {import('./messages.mjs').Transport} Transport
 * @typedef {import('./messages.mjs').Response} Response
 * @typedef {import('../host.mjs').CallRequest} CallRequest
 * @typedef {import('../host.mjs').Host} Host
 */

/**
 * The host at `rootUrl`, or the running one that serves `configFile`. It is found at the first call.
 *
 * @example
 * const host = new Host({rootUrl: 'http://127.0.0.1:9010'});
 * await new Function('render', {host}).call({component: 'App'});
 *
 * @implements {Host}
 */
export class ServedHost {
  /** What users import it as, and see where they print one. */
  static name = 'Host';

  #locator;
  #openTransport;
  /** @type {Promise<Transport> | undefined} */
  #transport;

  /**
   * @param {import('./locator.mjs').HostOptions} [options]
   * @param {(url: string, token?: string) => Promise<Transport>} [openTransport]
   */
  constructor(options = {}, openTransport = transportTo) {
    this.#locator = new Locator(options);
    this.#openTransport = openTransport;
  }

  /** @param {CallRequest} request */
  async call({name, args, integers, ...limits}) {
    const {body, type} = encodeCall(args);
    const deadline = await this.#deadline(name, limits);
    try {
      const {response, transport} = await this.#send('POST', pathOf(name, body), deadline.headers(type, ANY_RESULT), body, deadline.signal);
      return resultIn(name, response, await transport.body(response, deadline.signal), integers);
    } finally {
      deadline.end();
    }
  }

  /** @param {CallRequest} request */
  stream(request) {
    const encoded = encodeCall(request.args);
    return new Stream((stream) => this.#values(stream, request, encoded));
  }

  /**
   * @param {import('../host.mjs').Call[]} calls
   * @param {import('../host.mjs').CallLimits} limits
   * @returns {Promise<any[]>}
   */
  async batch(calls, limits) {
    const {body, type} = encodeParts(calls.map(({name, args}) => {
      const call = encodeCall(args);
      return {name, contentType: call.type, data: call.body};
    }));
    const deadline = await this.#deadline('batch', limits);
    try {
      const {response, transport} = await this.#send('POST', `/batch?hash=${bodyHash(body)}`, deadline.headers(type, BATCH_ANSWER), body, deadline.signal);
      return answersIn(calls, response, await transport.body(response, deadline.signal));
    } finally {
      deadline.end();
    }
  }

  /**
   * The host's own description: `{type: 'Host', version, config, pid, …}`.
   *
   * @param {AbortSignal} [signal]
   * @returns {Promise<Record<string, any>>}
   */
  async status(signal = AbortSignal.timeout(STATUS_TIMEOUT_MS)) {
    const {response, transport} = await this.#send('GET', '/status', {}, Buffer.alloc(0), signal);
    return JSON.parse(String(await transport.body(response, signal)));
  }

  /** Close the idle connections; a call opens new ones. */
  close() {
    const transport = this.#transport;
    this.#transport = undefined;
    transport?.then((each) => each.close(), () => {});
  }

  /**
   * @param {Stream} stream
   * @param {CallRequest} request
   * @param {{body: Buffer, type: string}} encoded
   * @returns {AsyncGenerator<any, void>}
   */
  async *#values(stream, {name, args: _, integers, ...limits}, {body, type}) {
    const deadline = await this.#deadline(name, limits);
    try {
      const {response, transport} = await this.#send('POST', pathOf(name, body), deadline.headers(type, STREAM_OR_RESULT), body, deadline.signal);
      if (response.type.startsWith(EVENTS_TYPE)) {
        yield* valuesIn(name, transport.pieces(response, deadline.signal), integers, stream);
      } else {
        stream.result = resultIn(name, response, await transport.body(response, deadline.signal), integers);
      }
    } finally {
      deadline.end();
    }
  }

  /**
   * The deadline of a call begins when its host has been found, or started.
   *
   * @param {string} name
   * @param {import('../host.mjs').CallLimits} limits
   */
  async #deadline(name, limits) {
    await unlessAborted(this.#connected(), limits.signal); // an aborted call ends the wait, not the start of the host
    return new Deadline(name, limits);
  }

  /**
   * Send a request. If the host has moved, and nothing received the request, it is sent to the new address.
   *
   * @param {string} method
   * @param {string} path
   * @param {Record<string, string>} headers
   * @param {Buffer} body
   * @param {AbortSignal | undefined} signal
   * @returns {Promise<{response: Response, transport: Transport}>}
   */
  async #send(method, path, headers, body, signal) {
    for (const end = Date.now() + MOVING_MS; ;) {
      const transport = await this.#connected();
      try {
        return {response: await transport.request(method, path, headers, body, signal), transport};
      } catch (error) {
        if (!this.#locator.mayMove || !(error instanceof HostConnectionError)) throw error;
        this.close(); // the next call finds the host again
        const code = /** @type {any} */ (error).cause?.code;
        const wasReceived = code !== 'ECONNREFUSED' && code !== 'ENOENT';
        if (wasReceived || Date.now() > end) throw error;
        await sleep(MOVING_POLL_MS);
      }
    }
  }

  #connected() {
    if (this.#transport === undefined) {
      const transport = this.#locator.find().then(({url, token}) => this.#openTransport(url, token));
      transport.catch(() => {
        if (this.#transport === transport) this.#transport = undefined;
      });
      this.#transport = transport;
    }
    return this.#transport;
  }
}

/**
 * @param {string} name
 * @param {Buffer} body
 */
function pathOf(name, body) {
  return `/function/${encodeURIComponent(name)}?hash=${bodyHash(body)}`;
}

/**
 * @param {string} url
 * @param {string} [token]
 * @returns {Promise<Transport>}
 */
async function transportTo(url, token) {
  if (!url.startsWith('https:')) return new HttpTransport(url, token);
  const {HttpsTransport} = await import('./https_transport.mjs'); // most programs do not need it
  return new HttpsTransport(url, token);
}
