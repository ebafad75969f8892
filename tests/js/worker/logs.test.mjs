// @ts-check
/** What the user's code logs: LOG frames with the call that they belong to. */

import assert from 'node:assert/strict';
import {Duplex} from 'node:stream';
import {test} from 'node:test';
import {Decoder, Kind} from '../../../jshost/js/protocol/frames.mjs';
import {RunningCall, run} from '../../../jshost/js/worker/calls.mjs';
import {Channel} from '../../../jshost/js/worker/channel.mjs';
import {makeHostContext} from '../../../jshost/js/worker/context.mjs';
import {frameLogger} from '../../../jshost/js/worker/logs.mjs';

test('an entry has its level, its text and its call', () => {
  /** @type {Buffer[]} */
  const written = [];
  const socket = new Duplex({
    read() {},
    write(chunk, _, callback) {
      written.push(Buffer.from(chunk)); // the outbox writes into the same buffer again
      callback();
    },
  });
  const channel = new Channel(socket);
  const logger = frameLogger(channel);
  const host = makeHostContext({}, new Map(), logger);
  logger.warn('loading %d', 1);
  const call = new RunningCall(7, {name: 'f', timeout: null, requestId: '7-1'}, host, channel.outbox);
  run(call, () => logger.log('tea', {price: 3}), {}, () => {});
  channel.outbox.flush();
  const frames = new Decoder().feed(Buffer.concat(written));
  assert.deepEqual(frames.map(({kind, callId}) => [kind, callId]), [[Kind.LOG, 0], [Kind.LOG, 0]]);
  assert.deepEqual(frames.map(({payload}) => JSON.parse(payload.toString())), [
    {level: 'warning', message: 'loading 1', function: '', requestId: ''},
    {level: 'info', message: 'tea { price: 3 }', function: 'f', requestId: '7-1'},
  ]);
});
