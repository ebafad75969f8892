// @ts-check
/**
 * Finds bytes inside a value, at no cost for values without bytes. Runs in: Node workers.
 *
 * JSON.stringify has no event for "bytes were met": a Buffer would become {"type":"Buffer",...}, a
 * Uint8Array an object with a member for each byte, at 300 ns a byte. Both are asked for a toJSON
 * first, and that is where we listen, but only while `stringify` runs. At any other time a Buffer
 * has Node's toJSON and a Uint8Array has none, as everywhere. Callers never load this module.
 */

import {usualToJson} from './bytes.mjs';

/** `stringify` returns this for a value that holds bytes. */
export const HOLDS_BYTES = Symbol('the value holds bytes');

let isLooking = false;
let met = false;

function meet() {
  met = true;
  throw HOLDS_BYTES; // the rest is not needed: the value will be searched
}

const nodesToJson = Buffer.prototype.toJSON;

/** @this {Buffer} */
function toJSON() {
  return isLooking ? meet() : nodesToJson.call(this);
}

usualToJson.add(toJSON);
Object.defineProperty(Buffer.prototype, 'toJSON', {
  ...Object.getOwnPropertyDescriptor(Buffer.prototype, 'toJSON'),
  value: toJSON,
});
Object.defineProperty(Uint8Array.prototype, 'toJSON', {
  configurable: true,
  get: () => (isLooking ? meet() : undefined),
  set(value) {
    Object.defineProperty(this, 'toJSON', {value, writable: true, enumerable: true, configurable: true});
  },
});

/**
 * The value's JSON (undefined if it has none), or `HOLDS_BYTES`. An ArrayBuffer, or bytes of
 * another realm, are not noticed here.
 *
 * @param {unknown} value
 * @returns {string | undefined | typeof HOLDS_BYTES}
 */
export function stringify(value) {
  met = false;
  isLooking = true;
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    if (!met) throw error;
  } finally {
    isLooking = false;
  }
  return met ? HOLDS_BYTES : text; // also if a toJSON of the user caught the symbol
}
