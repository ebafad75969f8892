// @ts-check
/** The program's end of a worker's channel. */

import assert from 'node:assert/strict';
import {PassThrough} from 'node:stream';
import {test} from 'node:test';
import {Kind, encode} from '../../../jshost/js/protocol/frames.mjs';
import {WorkerChannel} from '../../../jshost/js/pool/channel.mjs';

test('after bytes that are not a frame, nothing is read', () => {
  /** @type {string[]} */
  const heard = [];
  const process = {
    channel: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough(), pid: 1, end: 'still running',
    onEnd: () => undefined, kill: () => heard.push('kill'),
  };
  const owner = {onAnswer: () => heard.push('answer'), onGone: () => heard.push('gone')};
  const channel = new WorkerChannel(1, /** @type {any} */ (process), /** @type {any} */ (owner));
  const answer = Buffer.concat([encode(Kind.RESULT, 1, 'j1')].flat());
  process.channel.emit('data', answer);
  process.channel.emit('data', Buffer.alloc(100, 'x'));
  process.channel.emit('data', answer);
  assert.deepEqual(heard, ['answer', 'kill', 'gone']);
  assert.match(channel.describeExit(), /it sent bytes that are not a frame/);
});
