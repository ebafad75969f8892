// @ts-check
/** One Python worker as its pool talks to it: frames both ways, and its printed lines. Runs in: programs that own Python workers. */

import {Decoder, FrameError, Kind} from '../protocol/frames.mjs';
import {LineSplitter} from '../protocol/lines.mjs';
import {Outbox} from '../protocol/outbox.mjs';

const STDERR_TAIL_LINES = 20;

/**
 * Who hears what a worker says: the pool.
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
   * @param {import('./process.mjs').PythonProcess} process
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

  /** What is known of the worker's end: how it ended, and what it said last. */
  get obituary() {
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
        else this.#takeNews(kind, payload);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.killReason = `sent what is no frame: ${error.message}`;
      this.process.kill();
      this.#disconnected(); // nothing that follows is believed
    }
  }

  /**
   * What is about no call.
   *
   * @param {number} kind
   * @param {Buffer} payload
   */
  #takeNews(kind, payload) {
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
   * @param {import('node:net').Socket} pipe
   * @param {'stdout' | 'stderr'} stream
   */
  #listen(pipe, stream) {
    const splitter = new LineSplitter();
    /** @param {import('../protocol/lines.mjs').Line[]} lines */
    const tell = (lines) => {
      for (const line of lines) {
        if (stream === 'stderr' && this.#stderrTail.push(line.text) > STDERR_TAIL_LINES) this.#stderrTail.shift();
        this.#owner.onLine(this, stream, line);
      }
    };
    pipe.on('data', (data) => tell(splitter.feed(data)));
    pipe.on('error', () => undefined);
    pipe.on('close', () => {
      this.openOutputs -= 1;
      tell(splitter.end());
    });
  }

  #disconnected() {
    if (!this.isConnected) return;
    this.isConnected = false;
    this.#owner.onGone(this);
  }
}

/**
 * @param {Buffer} payload
 * @returns {any}
 */
export function objectIn(payload) {
  let value;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    value = undefined;
  }
  if (value === null || typeof value !== 'object') throw new FrameError(`a JSON object was to come, not ${JSON.stringify(String(payload.subarray(0, 20)))}`);
  return value;
}
