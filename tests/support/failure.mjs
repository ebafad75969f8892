// @ts-check
/** The error of a call that a worker cannot run or answer. */

import assert from 'node:assert/strict';
import {CallError} from '../../jshost/js/protocol/values.mjs';

/**
 * What a call fails with.
 *
 * @param {() => unknown} work
 * @returns {CallError}
 */
export function failure(work) {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof CallError, `a CallError, not ${error}`);
    return error;
  }
  return assert.fail('it does not fail');
}
