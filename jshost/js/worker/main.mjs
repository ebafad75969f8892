// @ts-check
/**
 * The program of a worker that runs a host.config.js's functions. Runs in: Node workers.
 *
 * pool/process.py starts it as `node main.mjs CONFIG SETTINGS`. Only this file knows the process: its
 * arguments, descriptors, stdout and stderr, and how it exits. The work is done by runtime.mjs.
 */

import {Socket} from 'node:net';
import {Kind, encode} from '../protocol/frames.mjs';
import {currentCall} from './calls.mjs';
import {Channel} from './channel.mjs';
import {describeFailure, load} from './config.mjs';
import {LoadedFiles} from './loaded_files.mjs';
import {frameLogger} from './logs.mjs';
import {markLines} from './output.mjs';
import {ExitReason, Runtime, reportUncaught} from './runtime.mjs';

const path = process.argv[2];
const settings = JSON.parse(process.argv[3]);
process.argv.splice(2, 2);

const channel = new Channel(new Socket({fd: settings.channel, readable: true, writable: true}));
void channel.lost.then(() => process.exit(1)); // also while the config file loads
const endOutput = markLines(process.stdout, currentCall);
const endErrors = markLines(process.stderr, currentCall);
const files = new LoadedFiles(path);
if (settings.reload) files.watchImports();

/** @type {Runtime | undefined} */
let runtime;

/** @param {import('./config.mjs').LoadedConfig} config */
async function serve(config) {
  runtime = new Runtime(channel, config, {
    newFiles: settings.reload ? files : undefined,
    endLines(call) {
      endOutput(call);
      endErrors(call);
    },
  });
  const reason = await runtime.run();
  process.exit(reason === ExitReason.PROTOCOL_ERROR ? 1 : 0);
}

/** @param {unknown} error what loading the config file failed with */
function refuse(error) {
  channel.outbox.flush();
  const failure = {code: 'config', ...describeFailure(error, path), files: files.all()};
  channel.socket.end(encode(Kind.ERROR, 0, JSON.stringify(failure)), () => process.exit(1));
}

/** @param {unknown} error */
function onUncaught(error) {
  if (runtime === undefined) reportUncaught(undefined, error);
  else runtime.takeUncaught(error);
}

process.on('exit', () => {
  runtime?.flush();
  channel.outbox.flush();
});
process.on('uncaughtException', onUncaught);
process.on('unhandledRejection', onUncaught);
process.setSourceMapsEnabled(true);
load(path, files, frameLogger(channel), settings.options).then(serve, refuse).catch((error) => {
  console.error(error); // a mistake of ours: without an end, the host would wait for nothing
  process.exit(1);
});
