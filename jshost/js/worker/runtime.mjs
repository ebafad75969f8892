// @ts-check
/**
 * A worker's runtime: reads calls, runs their functions, answers. Runs in: Node workers.
 *
 * A `Runtime` is given a channel and a loaded config, and ends with an `ExitReason`. It knows nothing
 * of the process around it: that is `main`. worker/runtime.py is the same for Python.
 */

import {parseBody} from '../protocol/arguments.mjs';
import {Decoder, Kind, splitCall} from '../protocol/frames.mjs';
import {CallError, encodeResult} from '../protocol/values.mjs';
import {RunningCall, currentCall, run} from './calls.mjs';
import {describeError} from './errors.mjs';
import {userStack} from './stacks.mjs';

/** An answer waits at most so long for others, to go in the same write. */
const LONGEST_WAIT_MS = 1;
/** A write is large enough with so many: the host reads them while the next are made. */
const ANSWERS_IN_A_WRITE = 32;

/** Why a runtime has ended. */
export const ExitReason = Object.freeze({
  /** The host said DRAIN, and the last call is answered. */
  DRAINED: 'drained',
  /** The channel reached EOF, or cannot be written. */
  HOST_GONE: 'host gone',
  /** The host sent bytes that are no frames. */
  PROTOCOL_ERROR: 'protocol error',
});

/** @typedef {typeof ExitReason[keyof typeof ExitReason]} Reason */

/**
 * @typedef {object} RuntimeOptions
 * @property {import('./loaded_files.mjs').LoadedFiles} [newFiles] reports files that calls are the
 *   first to load; for hosts that watch them
 * @property {(call: RunningCall) => void} [endLines] ends the lines that a call prints
 */

/** The calls of one channel. */
export class Runtime {
  #channel;
  #outbox;
  #config;
  #newFiles;
  #endLines;
  #decoder = new Decoder();
  /** @type {Map<number, RunningCall>} */
  #calls = new Map();
  #isDraining = false;
  /** @type {(reason: Reason) => void} */
  #resolve = () => {};

  /**
   * @param {import('./channel.mjs').Channel} channel
   * @param {import('./config.mjs').LoadedConfig} config
   * @param {RuntimeOptions} [options]
   */
  constructor(channel, config, {newFiles, endLines = () => {}} = {}) {
    this.#channel = channel;
    this.#outbox = channel.outbox;
    this.#config = config;
    this.#newFiles = newFiles;
    this.#endLines = endLines;
  }

  /**
   * Say READY, then read and run calls until the host says DRAIN or is gone.
   *
   * @returns {Promise<Reason>}
   */
  run() {
    /** @type {Promise<Reason>} */
    const ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const {socket, lost} = this.#channel;
    socket.on('data', this.#read);
    socket.on('end', () => this.#end(ExitReason.HOST_GONE));
    void lost.then(() => this.#end(ExitReason.HOST_GONE));
    this.#sayReady();
    return ended;
  }

  /**
   * Take an error that no code has caught. It belongs to the call whose code threw it, if that call
   * is not answered yet.
   *
   * @param {unknown} error
   */
  takeUncaught(error) {
    const call = currentCall();
    if (call === undefined || call.settled) reportUncaught(call, error);
    else this.#settle(call, error ?? new Error(`${error} was thrown`));
  }

  /** Send what is left to send, before the process exits. */
  flush() {
    for (const call of this.#calls.values()) this.#endLines(call);
    this.#outbox.flush();
  }

  #sayReady() {
    const {functions, options, caching, files} = this.#config;
    this.#channel.sendJson(Kind.READY, 0, {
      language: 'javascript',
      version: process.versions.node,
      functions: [...functions.keys()],
      options,
      ...caching,
      files,
    });
    if (this.#newFiles === undefined) return;
    this.#newFiles.onMore = (more) => this.#channel.sendJson(Kind.READY, 0, {files: more});
  }

  /** @param {Reason} reason */
  #end(reason) {
    const {socket} = this.#channel;
    socket.off('data', this.#read);
    if (reason === ExitReason.DRAINED) {
      this.#outbox.flush();
      socket.end(() => this.#resolve(reason));
      return;
    }
    if (reason === ExitReason.PROTOCOL_ERROR) {
      this.#outbox.flush();
      socket.destroy();
    }
    this.#resolve(reason);
  }

  // Reading

  /** @param {Buffer} data */
  #read = (data) => {
    try {
      this.#take(data);
    } catch (error) {
      console.error(error); // no byte that follows can be trusted
      this.#end(ExitReason.PROTOCOL_ERROR);
    }
  };

  /** @param {Buffer} data */
  #take(data) {
    const frames = this.#decoder.feed(data);
    if (frames.length === 1) return this.#handle(frames[0]);
    this.#outbox.gather();
    let began = performance.now();
    let handled = 0;
    for (const frame of frames) {
      this.#handle(frame);
      handled += 1;
      if (handled % ANSWERS_IN_A_WRITE !== 0 && performance.now() - began < LONGEST_WAIT_MS) continue;
      this.#outbox.flush(); // answers do not wait for the calls behind theirs
      began = performance.now();
    }
  }

  /** @param {import('../protocol/frames.mjs').Frame} frame */
  #handle(frame) {
    if (frame.kind === Kind.CALL) {
      this.#accept(frame);
    } else if (frame.kind === Kind.CHUNK) {
      this.#calls.get(frame.callId)?.stream?.credit(frame.payload.readUInt32BE(0));
    } else if (frame.kind === Kind.CANCEL) {
      this.#calls.get(frame.callId)?.cancel(); // it keeps its slot until the function has ended
    } else if (frame.kind === Kind.PING) {
      this.#outbox.post(Kind.PONG, frame.callId, frame.payload);
    } else if (frame.kind === Kind.DRAIN) {
      this.#isDraining = true;
      if (this.#calls.size === 0) this.#end(ExitReason.DRAINED);
    }
  }

  /** @param {import('../protocol/frames.mjs').Frame} frame */
  #accept({callId, payload}) {
    const {functions, host} = this.#config;
    const {header, body} = splitCall(payload);
    const call = new RunningCall(callId, header, host, this.#outbox);
    this.#calls.set(callId, call);
    try {
      const fn = functions.get(header.name) ?? host.config.functionOf?.(header.name); // see listed.mjs
      if (fn === undefined) {
        throw new CallError('unknown_function', `Not found. Unknown function "${header.name}"`);
      }
      run(call, fn, parseBody(body, header.type), this.#settle);
    } catch (error) {
      this.#settle(call, error);
    }
  }

  // Answering

  /**
   * Answer a call: with its value, or with what was thrown.
   *
   * @param {RunningCall} call
   * @param {unknown} error
   * @param {unknown} [value]
   */
  #settle = (call, error, value) => {
    if (call.settled) {
      if (error !== undefined) reportUncaught(call, error);
      return;
    }
    call.settled = true;
    this.#endLines(call);
    const outcome = encodeOutcome(call, error, value);
    if (call.stream === undefined) {
      this.#answer(call, outcome);
    } else {
      call.stream.end();
      call.stream.whenSent(() => this.#answer(call, outcome));
    }
  };

  /**
   * @param {RunningCall} call
   * @param {ReturnType<typeof encodeOutcome>} outcome
   */
  #answer(call, {kind, form, payload}) {
    this.#calls.delete(call.id);
    this.#newFiles?.report();
    try {
      this.#outbox.post(kind, call.id, payload, form);
    } catch (error) {
      this.#channel.sendJson(Kind.ERROR, call.id, describeError(error, call)); // too large for a frame
    }
    if (this.#isDraining && this.#calls.size === 0) this.#end(ExitReason.DRAINED);
  }
}

/**
 * @param {RunningCall} call
 * @param {unknown} error
 * @param {unknown} value
 * @returns {{kind: number, form: string, payload: string | Buffer}}
 */
function encodeOutcome(call, error, value) {
  try {
    if (error !== undefined) throw error;
    const {form, payload} = encodeResult(value, call.streams);
    return {kind: Kind.RESULT, form, payload};
  } catch (problem) {
    return {kind: Kind.ERROR, form: '', payload: JSON.stringify(describeError(problem, call))};
  }
}

/**
 * Log an error that no call can be answered with.
 *
 * @param {RunningCall | undefined} call
 * @param {unknown} error
 */
export function reportUncaught(call, error) {
  const where = call === undefined ? 'outside of any call' : `in ${call.name}, after its answer`;
  console.error(`Uncaught ${where}:`, error instanceof Error ? userStack(error.stack) : error);
}
