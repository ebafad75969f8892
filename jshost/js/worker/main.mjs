// @ts-check
/**
 * The worker that runs a host.config.js's functions. Runs in: Node workers, started by
 * pool/process.py as `node main.mjs CONFIG SETTINGS`.
 */

import {Socket} from 'node:net';
import {format} from 'node:util';
import {parseBody} from '../protocol/arguments.mjs';
import {describeCaching} from './caching.mjs';
import {Call, currentCall, run} from './calls.mjs';
import {ConfigError, describeFailure, loadConfig, readFunctions, readOptions} from './config.mjs';
import {describeError} from './errors.mjs';
import {Decoder, Kind, encode, splitCall} from '../protocol/frames.mjs';
import {LoadedFiles} from './loaded_files.mjs';
import {Outbox} from '../protocol/outbox.mjs';
import {markLines} from './output.mjs';
import {userStack} from './stacks.mjs';
import {CallError, encodeResult} from '../protocol/values.mjs';

/** So long may an answer wait for others, to go in the same write, */
const LONGEST_WAIT_MS = 1;
/** which is large enough with so many: the host reads them while the next are made. */
const ANSWERS_IN_A_WRITE = 32;

const path = process.argv[2];
const settings = JSON.parse(process.argv[3]);
process.argv.splice(2, 2);

const channel = new Socket({fd: settings.channel, readable: true, writable: true});
channel.on('error', () => process.exit(1)); // the host is gone, in the middle of a write
const outbox = new Outbox(channel);
const endOutput = markLines(process.stdout, currentCall);
const endErrors = markLines(process.stderr, currentCall);

const loadedFiles = new LoadedFiles(path);
if (settings.reload) loadedFiles.watchImports();

/** @type {Map<number, Call>} */
const calls = new Map();
let draining = false;

/**
 * @param {number} kind
 * @param {number} callId
 * @param {unknown} value
 */
function sendJson(kind, callId, value) {
  outbox.post(kind, callId, JSON.stringify(value));
}

/** @returns {import('./calls.mjs').Logger} */
function frameLogger() {
  /** @param {string} level */
  const at = (level) => (/** @type {unknown[]} */ ...args) => {
    const call = currentCall();
    const entry = {level, message: format(...args), function: call?.name ?? '', requestId: call?.requestId ?? ''};
    sendJson(Kind.LOG, 0, entry);
  };
  return {log: at('info'), info: at('info'), warn: at('warning'), error: at('error'), debug: at('debug')};
}

/**
 * Errors that nobody caught: they belong to the call whose code threw them, if it still waits.
 *
 * @param {unknown} error
 */
function onUncaught(error) {
  const call = currentCall();
  if (call !== undefined && !call.settled) {
    settle(call, error ?? new Error(`${error} was thrown`));
    return;
  }
  reportUncaught(call, error);
}

/**
 * Nobody waits for this error any more; it goes to the log.
 *
 * @param {Call | undefined} call
 * @param {unknown} error
 */
function reportUncaught(call, error) {
  const where = call === undefined ? 'outside of any call' : `in ${call.name}, after its answer`;
  console.error(`Uncaught ${where}:`, error instanceof Error ? userStack(error.stack) : error);
}

/** @param {string} file */
async function load(file) {
  const config = await loadConfig(file);
  const functions = readFunctions(file, config);
  /** @type {import('./calls.mjs').HostContext} */
  const host = {
    config,
    logger: config.logger ?? frameLogger(),
    addFunction(name, fn) {
      if (functions.has(name)) {
        throw new ConfigError(`A function has already been defined with the name "${name}"`);
      }
      if (typeof fn !== 'function') {
        throw new ConfigError(`addFunction("${name}", …) needs a function, not a ${typeof fn}.`);
      }
      functions.set(name, fn);
    },
  };
  if (config.extendHost !== undefined) {
    if (typeof config.extendHost !== 'function') {
      throw new ConfigError(`${file}: "extendHost" must be a function that takes the host.`);
    }
    await config.extendHost(host);
  }
  const caching = describeCaching(functions, file, () => loadedFiles.all());
  return {functions, host, options: readOptions(file, config, settings.options), caching};
}

/**
 * Answer a call: with its value, or with what was thrown.
 *
 * @param {Call} call
 * @param {unknown} error
 * @param {unknown} [value]
 */
function settle(call, error, value) {
  if (call.settled) {
    if (error !== undefined) reportUncaught(call, error);
    return;
  }
  call.settled = true;
  endOutput(call);
  endErrors(call);
  const outcome = encodeOutcome(call, error, value);
  if (call.stream === undefined) {
    answer(call, outcome);
  } else {
    call.stream.end();
    call.stream.whenSent(() => answer(call, outcome));
  }
}

/**
 * @param {Call} call
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
 * @param {Call} call
 * @param {ReturnType<typeof encodeOutcome>} outcome
 */
function answer(call, {kind, form, payload}) {
  calls.delete(call.id);
  if (settings.reload) loadedFiles.report();
  try {
    outbox.post(kind, call.id, payload, form);
  } catch (error) {
    outbox.post(Kind.ERROR, call.id, JSON.stringify(describeError(error, call))); // too large for a frame
  }
  if (draining && calls.size === 0) end();
}

/**
 * @param {{functions: Map<string, import('./config.mjs').UserFunction>, host: import('./calls.mjs').HostContext}} loaded
 * @param {import('../protocol/frames.mjs').Frame} frame
 */
function accept({functions, host}, {callId, payload}) {
  const {header, body} = splitCall(payload);
  const call = new Call(callId, header, host, outbox);
  calls.set(callId, call);
  try {
    const fn = functions.get(header.name) ?? host.config.functionOf?.(header.name); // see listed.mjs
    if (fn === undefined) {
      throw new CallError('unknown_function', `Not found. Unknown function "${header.name}"`);
    }
    run(call, fn, parseBody(body, header.type), settle);
  } catch (error) {
    settle(call, error);
  }
}

function end() {
  outbox.flush();
  channel.end(() => process.exit(0));
}

/** @param {Awaited<ReturnType<typeof load>>} loaded */
function serve(loaded) {
  const decoder = new Decoder();
  /** @param {import('../protocol/frames.mjs').Frame} frame */
  function handle(frame) {
    if (frame.kind === Kind.CALL) {
      accept(loaded, frame);
    } else if (frame.kind === Kind.CHUNK) {
      calls.get(frame.callId)?.stream?.credit(frame.payload.readUInt32BE(0));
    } else if (frame.kind === Kind.CANCEL) {
      calls.get(frame.callId)?.cancel(); // it keeps its slot until the function has ended
    } else if (frame.kind === Kind.PING) {
      outbox.post(Kind.PONG, frame.callId, frame.payload);
    } else if (frame.kind === Kind.DRAIN) {
      draining = true;
      if (calls.size === 0) end();
    }
  }
  /** @param {Buffer} data */
  function take(data) {
    const frames = decoder.feed(data);
    if (frames.length === 1) return handle(frames[0]);
    outbox.gather();
    let began = performance.now();
    let handled = 0;
    for (const frame of frames) {
      handle(frame);
      handled += 1;
      if (handled % ANSWERS_IN_A_WRITE !== 0 && performance.now() - began < LONGEST_WAIT_MS) continue;
      outbox.flush(); // answers do not wait for the calls behind theirs
      began = performance.now();
    }
  }
  channel.on('data', (data) => {
    try {
      take(/** @type {Buffer} */ (data));
    } catch (error) {
      console.error(error); // no byte that follows can be trusted
      process.exit(1);
    }
  });
  channel.on('end', () => process.exit(0)); // EOF: the host is gone
  sendJson(Kind.READY, 0, {
    language: 'javascript',
    version: process.versions.node,
    functions: [...loaded.functions.keys()],
    options: loaded.options,
    ...loaded.caching,
    files: loadedFiles.all(),
  });
  loadedFiles.onMore = (files) => sendJson(Kind.READY, 0, {files});
}

/** @param {unknown} error */
function refuse(error) {
  outbox.flush();
  const failure = {...describeFailure(error, path), files: loadedFiles.all()};
  channel.end(encode(Kind.ERROR, 0, JSON.stringify({code: 'config', ...failure})), () => process.exit(1));
}

process.on('exit', () => {
  for (const call of calls.values()) {
    endOutput(call); // what it said last may lack a line's end
    endErrors(call);
  }
  outbox.flush();
});
process.on('uncaughtException', onUncaught);
process.on('unhandledRejection', onUncaught);
process.setSourceMapsEnabled(true);
load(path).then(serve, refuse).catch((error) => {
  console.error(error); // a mistake of ours: without an end, the host would wait for nothing
  process.exit(1);
});
