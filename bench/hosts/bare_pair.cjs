'use strict';
// The other floor's end: length-prefixed JSON in and out, nothing else. Runs in: its own Node.
// Usage: node bare_pair.cjs DESCRIPTOR; it ends when the other end of the socket pair is closed.

const net = require('node:net');
const functions = require('./functions.cjs');

const LENGTH_BYTES = 4;
const channel = new net.Socket({ fd: Number(process.argv[2]), readable: true, writable: true });
/** @type {Buffer[]} */
let chunks = [];
let received = 0;

channel.on('data', (chunk) => {
  chunks.push(chunk);
  received += chunk.length;
  if (received < LENGTH_BYTES) return;
  if (chunks[0].length < LENGTH_BYTES) chunks = [Buffer.concat(chunks)];
  if (received < LENGTH_BYTES + chunks[0].readUInt32LE(0)) return;
  const frame = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
  chunks = [];
  received = 0;
  answer(frame.toString('utf8', LENGTH_BYTES));
});
channel.on('end', () => process.exit(0));

/** @param {string} request */
async function answer(request) {
  const [name, data] = JSON.parse(request);
  const body = Buffer.from(JSON.stringify(await functions[name](data)));
  const head = Buffer.allocUnsafe(LENGTH_BYTES);
  head.writeUInt32LE(body.length);
  channel.write(Buffer.concat([head, body]));
}
