// @ts-check
/** What counts as bytes inside a value. Runs in: Node workers, callers. */

import {isArrayBuffer, isUint8Array} from 'node:util/types';

/** The toJSON methods that say nothing of how a program wants its buffers carried. */
export const usualToJson = new Set([Buffer.prototype.toJSON]);

/**
 * @param {unknown} value
 * @returns {value is Uint8Array | ArrayBuffer}
 */
export function isBytes(value) {
  return isUint8Array(value) || isArrayBuffer(value);
}

/**
 * Whether the value travels beside the JSON of what it is in. Programs may have given buffers
 * another JSON form; then it is that.
 *
 * @param {unknown} value
 * @returns {value is Uint8Array | ArrayBuffer}
 */
export function travelsAsBytes(value) {
  if (!isBytes(value)) return false;
  const {toJSON: own} = /** @type {{toJSON?: unknown}} */ (value);
  return typeof own !== 'function' || usualToJson.has(/** @type {any} */ (own));
}

/**
 * A view of the bytes, no copy.
 *
 * @param {Uint8Array | ArrayBuffer} value
 * @returns {Buffer}
 */
export function asBuffer(value) {
  if (isArrayBuffer(value)) return Buffer.from(value);
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
