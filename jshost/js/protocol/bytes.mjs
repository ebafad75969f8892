// @ts-check
/** Which values are bytes. Runs in: Node workers, callers. */

import {isArrayBuffer, isUint8Array} from 'node:util/types';

/** The toJSON methods that buffers have if the program gave them no other. */
export const usualToJson = new Set([Buffer.prototype.toJSON]);

/**
 * @param {unknown} value
 * @returns {value is Uint8Array | ArrayBuffer}
 */
export function isBytes(value) {
  return isUint8Array(value) || isArrayBuffer(value);
}

/**
 * Whether the value is sent beside the JSON that it belongs to. A program may have given its buffers a
 * toJSON of their own; then they are sent as that.
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
 * A view of the bytes, not a copy.
 *
 * @param {Uint8Array | ArrayBuffer} value
 * @returns {Buffer}
 */
export function asBuffer(value) {
  if (isArrayBuffer(value)) return Buffer.from(value);
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
