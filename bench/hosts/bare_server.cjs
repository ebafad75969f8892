'use strict';
// The floor's server: Node's http module, JSON in, JSON out, nothing else. Runs in: its own Node.
// Usage: node bare_server.cjs PORT, or the path of a unix socket

const http = require('node:http');
const functions = require('./functions.cjs');

const PREFIX = '/function/';

/**
 * @param {http.ServerResponse} response
 * @param {number} status
 * @param {unknown} value
 */
function answer(response, status, value) {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}

const server = http.createServer((request, response) => {
  if (request.url === '/ready') {
    answer(response, 200, 'ready');
    return;
  }
  /** @type {Buffer[]} */
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    try {
      const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
      const called = functions[request.url.slice(PREFIX.length)];
      answer(response, 200, await called(JSON.parse(body.toString())));
    } catch (error) {
      answer(response, 500, String(error));
    }
  });
});

server.keepAliveTimeout = 0; // rows rest between rounds; their connections must outlive that
const where = process.argv[2];
server.listen(where.startsWith('/') ? { path: where } : { port: Number(where), host: '127.0.0.1' });
