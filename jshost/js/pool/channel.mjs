// @ts-check
/** The connection to one worker: frames both ways, and the lines that it prints. Runs in: programs that own Python workers. */

import {Decoder, FrameError, Kind} from '../protocol/frames.mjs';
import {LineSplitter} from '../protocol/lines.mjs';
import {Outbox} from '../protocol/outbox.mjs';

const STDERR_TAIL_LINES = 20;

/**
 * The pool, as a channel calls it.
 *
 * @typedef {object} ChannelOwner
 * @property {(kind: number, callId: number, payload: Buffer) => void} onAnswer
 * @property {(callId: number, payload: Buffer) => void} onChunk
 * @property {(worker: WorkerChannel, ready: Ready) => void} onReady
 * @property {(worker: WorkerChannel, failure: import('../exceptions.mjs').Envelope) => void} onLoadFailed
 * @property {(worker: WorkerChannel) => void} onPong
 * @property {(worker: WorkerChannel) => void} onGone
 * @property {(worker: WorkerChannel, stream: 'stdout' | 'stderr', line: import('../protocol/lines.mjs').Line) => void} onLine
 * @property {(worker: WorkerChannel, entry: LogEntry) => void} onLog
 */

/**
 * A worker's process, as its channel and its pool use it.
 *
 * @typedef {object} WorkerProcess
 * @property {number} pid
 * @property {import('node:stream').Duplex} channel frames go both ways
 * @property {import('node:stream').Readable} stdout
 * @property {import('node:stream').Readable} stderr
 * @property {boolean} hasEnded
 * @property {string} end how it ended: "exit code 3", "signal SIGKILL"
 * @property {(listener: () => void) => void} onEnd
 * @property {() => void} kill
 * @property {() => number | undefined} memory in bytes
 * @property {() => void} close
 */

/** @typedef {{language: string, version: string, functions: string[], options: Record<string, unknown>}} Ready */
/** @typedef {{level: string, message: string, function: string, requestId: string}} LogEntry */

export class WorkerChannel {
  isReady = false;
  isConnected = true;
  isGone = false;
  expectedEnd = false;
  killReason = '';
  loadError = '';
  openOutputs = 2;
  #owner;
  #decoder = new Decoder();
  #outbox;
  /** @type {string[]} */
  #stderrTail = [];

  /**
   * @param {number} number
   * @param {WorkerProcess} process
   * @param {ChannelOwner} owner
   */
  constructor(number, process, owner) {
    this.number = number;
    this.process = process;
    this.#owner = owner;
    this.#outbox = new Outbox(process.channel);
    process.channel.on('data', (data) => this.#take(data));
    process.channel.on('error', () => undefined); // 'close' follows
    process.channel.on('close', () => this.#disconnected());
    process.onEnd(() => owner.onGone(this));
    this.#listen(process.stdout, 'stdout');
    this.#listen(process.stderr, 'stderr');
  }

  /**
   * @param {number} kind
   * @param {number} callId
   * @param {Uint8Array | string} [payload]
   */
  post(kind, callId, payload = '') {
    if (this.isConnected) this.#outbox.post(kind, callId, payload);
  }

  drain() {
    if (this.expectedEnd) return;
    this.expectedEnd = true;
    this.post(Kind.DRAIN, 0);
  }

  /** How the worker ended, with its last lines on stderr. */
  describeExit() {
    let text = `worker ${this.number} (pid ${this.process.pid}) died: ${this.process.end}`;
    if (this.killReason) text += ` from its owner: it ${this.killReason}`;
    if (this.#stderrTail.length > 0) text += `; its last lines on stderr:\n${this.#stderrTail.join('\n')}`;
    return text;
  }

  close() {
    this.isConnected = false;
    this.process.close();
  }

  /** @param {Buffer} data */
  #take(data) {
    if (!this.isConnected) return;
    try {
      for (const {kind, callId, payload} of this.#decoder.feed(data)) {
        if (kind === Kind.RESULT || kind === Kind.ERROR && callId !== 0) this.#owner.onAnswer(kind, callId, payload);
        else if (kind === Kind.CHUNK) this.#owner.onChunk(callId, payload);
        else this.#takeOther(kind, payload);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.killReason = `sent bytes that are not a frame: ${error.message}`;
      this.process.kill();
      this.#disconnected(); // the rest is not read
    }
  }

  /**
   * A frame that belongs to no call.
   *
   * @param {number} kind
   * @param {Buffer} payload
   */
  #takeOther(kind, payload) {
    if (kind === Kind.PONG) {
      this.#owner.onPong(this);
    } else if (kind === Kind.LOG) {
      this.#owner.onLog(this, objectIn(payload));
    } else if (kind === Kind.READY && !this.isReady) {
      this.isReady = true;
      this.#owner.onReady(this, objectIn(payload));
    } else if (kind === Kind.ERROR) {
      this.#owner.onLoadFailed(this, objectIn(payload));
    }
  }

  /**
   * @param {import('node:stream').Readable} pipe
   * @param {'stdout' | 'stderr'} stream
   */
  #listen(pipe, stream) {
    const splitter = new LineSplitter();
    /** @param {import('../protocol/lines.mjs').Line[]} lines */
    const report = (lines) => {
      for (const line of lines) {
        if (stream === 'stderr' && this.#stderrTail.push(line.text) > STDERR_TAIL_LINES) this.#stderrTail.shift();
        this.#owner.onLine(this, stream, line);
      }
    };
    pipe.on('data', (data) => report(splitter.feed(data)));
    pipe.on('error', () => undefined);
    pipe.on('close', () => {
      this.openOutputs -= 1;
      report(splitter.end());
    });
  }

  #disconnected() {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.#owner.onGone(this);
  }
}

/**
 * The JSON object in a frame.
 *
 * @param {Buffer} payload
 * @returns {any}
 * @throws {FrameError} there is none
 */
export function objectIn(payload) {
  let value;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    value = undefined;
  }
  if (value === null || typeof value !== 'object') throw new FrameError(`expected a JSON object, not ${JSON.stringify(String(payload.subarray(0, 20)))}`);
  return value;
}
