// @ts-check
/** What the user's code logs, as LOG frames. Runs in: Node workers. */

import {format} from 'node:util';
import {Kind} from '../protocol/frames.mjs';
import {currentCall} from './calls.mjs';

/**
 * A logger that sends each entry to the host, with the call that it belongs to.
 *
 * @param {import('./channel.mjs').Channel} channel
 * @returns {import('./context.mjs').Logger}
 */
export function frameLogger(channel) {
  /** @param {string} level */
  const at = (level) => (/** @type {unknown[]} */ ...args) => {
    const call = currentCall();
    const entry = {level, message: format(...args), function: call?.name ?? '', requestId: call?.requestId ?? ''};
    channel.sendJson(Kind.LOG, 0, entry);
  };
  return {log: at('info'), info: at('info'), warn: at('warning'), error: at('error'), debug: at('debug')};
}
