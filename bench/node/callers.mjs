// The ways for a Node program to call a Python function, behind one interface: `call` makes one call,
// `stream`, where there is one, gives a function's values as they come, `end` lets go of everything.
// Runs in: node/driver.mjs and node/first.mjs. Each imports its package when it is made.

import {spawn} from 'node:child_process';
import {fileURLToPath} from 'node:url';

const CHANNEL = 3;
const LENGTH_BYTES = 4;

/** @typedef {Record<string, unknown>} Args */
/** @typedef {{resolve: (value: any) => void, reject: (error: Error) => void}} Waiting */
/**
 * @typedef {object} Caller
 * @property {(name: string, args: Args) => Promise<unknown>} call
 * @property {(name: string, args: Args) => AsyncIterable<unknown>} [stream]
 * @property {() => unknown} end
 */

/** @param {string} name */
function hostFile(name) {
  return fileURLToPath(new URL(`../hosts/${name}`, import.meta.url));
}

/**
 * The floor: length-prefixed JSON to a bare Python, over a socket pair.
 *
 * @param {{python: string}} options
 * @returns {Promise<Caller>}
 */
async function pair({python}) {
  const stdio = /** @type {const} */ (['ignore', 'inherit', 'inherit', 'pipe']);
  const child = spawn(python, [hostFile('bare_pair.py'), String(CHANNEL)], {stdio: [...stdio]});
  const channel = /** @type {import('node:net').Socket} */ (child.stdio[CHANNEL]);
  /** @type {Waiting[]} */
  const waiting = [];
  /** @type {Buffer[]} */
  let chunks = [];
  let received = 0;
  channel.on('data', (chunk) => {
    chunks.push(chunk);
    received += chunk.length;
    while (received >= LENGTH_BYTES) {
      if (chunks[0].length < LENGTH_BYTES) chunks = [Buffer.concat(chunks)];
      const end = LENGTH_BYTES + chunks[0].readUInt32LE(0);
      if (received < end) return;
      const whole = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      waiting.shift()?.resolve(JSON.parse(whole.toString('utf8', LENGTH_BYTES, end)));
      received -= end;
      chunks = received > 0 ? [whole.subarray(end)] : [];
    }
  });
  channel.on('close', () => { for (const {reject} of waiting) reject(new Error('the bare Python has ended')); });
  return {
    call(name, args) {
      const body = Buffer.from(JSON.stringify([name, args]));
      const head = Buffer.allocUnsafe(LENGTH_BYTES);
      head.writeUInt32LE(body.length);
      channel.write(Buffer.concat([head, body]));
      return new Promise((resolve, reject) => { waiting.push({resolve, reject}); });
    },
    end: () => channel.end(),
  };
}

/**
 * python-shell with a script that answers line by line. Its messages do not say which call they
 * answer: the script answers in order.
 *
 * @param {{python: string}} options
 * @returns {Promise<Caller>}
 */
async function pythonShell({python}) {
  // @ts-ignore: its types are of no use here
  const {PythonShell} = await import('python-shell');
  const shell = new PythonShell(hostFile('shell_script.py'), {mode: 'json', pythonPath: python, pythonOptions: ['-u']});
  /** @type {((message: unknown) => void)[]} */
  const listeners = [];
  shell.on('message', (/** @type {unknown} */ message) => listeners[0](message));
  return {
    call(name, args) {
      shell.send([name, args]);
      return new Promise((resolve) => {
        listeners.push((message) => {
          listeners.shift();
          resolve(message);
        });
      });
    },
    async *stream(name, args) {
      /** @type {unknown[]} */
      let messages = [];
      let wake = () => {};
      listeners.push((message) => {
        messages.push(message);
        wake();
      });
      shell.send([name, args]);
      for (;;) {
        if (messages.length === 0) await new Promise((resolve) => { wake = () => resolve(undefined); });
        const taken = messages;
        messages = [];
        for (const message of taken) {
          if (message === null) return void listeners.shift();
          yield message;
        }
      }
    },
    end: () => new Promise((resolve) => { shell.end(resolve); }),
  };
}

/**
 * python-bridge: an expression for each call.
 *
 * @param {{python: string}} options
 * @returns {Promise<Caller>}
 */
async function pythonBridge({python}) {
  // @ts-ignore: its types are of no use here
  const {default: bridge} = await import('python-bridge');
  const running = bridge({python, stdio: ['pipe', 'inherit', 'inherit']});
  await running.ex`import sys; sys.path.insert(0, ${hostFile('')}); import peer_functions`;
  return {
    call: async (name, args) => running`getattr(peer_functions, ${name})(**${args})`,
    end: () => running.end(),
  };
}

/**
 * pythonia (JSPyBridge), with a reference kept to the module.
 *
 * @param {{python: string}} options
 * @returns {Promise<Caller>}
 */
async function pythonia({python}) {
  process.env.PYTHON_BIN = python;
  // @ts-ignore: its types are of no use here
  const {python: bridge} = await import('pythonia');
  const module = await bridge(hostFile('peer_functions.py'));
  return {
    call: (name, args) => module[`${name}$`](args),
    end: () => bridge.exit(),
  };
}

/**
 * jshost: a Python of the program's own.
 *
 * @param {{python: string}} options
 * @returns {Promise<Caller>}
 */
async function own({python}) {
  const {python: start} = await import('../../jshost/js/index.mjs');
  const py = await start(hostFile('host.config.py'), {python});
  return {
    call: (name, args) => py[name](args),
    stream: (name, args) => py.stream(name, args),
    end: () => py.end(),
  };
}

/**
 * jshost: a host over HTTP.
 *
 * @param {{root_url: string}} options
 * @returns {Promise<Caller>}
 */
async function http({root_url: rootUrl}) {
  const {Function} = await import('../../jshost/js/index.mjs');
  /** @type {Map<string, InstanceType<typeof Function>>} */
  const functions = new Map();
  /** @param {string} name */
  const named = (name) => {
    const known = functions.get(name) ?? new Function(name, {rootUrl});
    functions.set(name, known);
    return known;
  };
  return {
    call: (name, args) => named(name).call(args),
    stream: (name, args) => named(name).stream(args),
    end: () => {},
  };
}

/** @type {Record<string, (options: any) => Promise<Caller>>} */
export const CALLERS = {pair, 'python-shell': pythonShell, 'python-bridge': pythonBridge, pythonia, own, http};
