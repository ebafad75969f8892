// @ts-check
/** Errors as ERROR frames describe them. Runs in: Node workers. */

import {userStack} from './stacks.mjs';
import {CallError, encodeResult} from '../protocol/values.mjs';

const DEEPEST_CAUSE = 5;
const MAX_PROPERTIES_BYTES = 64 * 1024;
/** Properties that have a place of their own in the description. */
const DESCRIBED = new Set(['name', 'message', 'stack', 'cause', 'errors']);

/**
 * An error, or any other value that was thrown.
 *
 * @typedef {object} Described
 * @property {string} name
 * @property {string} message
 * @property {string} stack
 * @property {Record<string, unknown>} [properties]
 * @property {Described} [cause]
 */

/** Stands for a thrown undefined or null. */
export class Thrown {
  /** @type {undefined | null} */
  value;

  /** @param {undefined | null} value */
  constructor(value) {
    this.value = value;
  }

  toString() {
    return String(this.value);
  }
}

/**
 * The ERROR frame's JSON for an Error, or for any other value that was thrown.
 *
 * @param {any} error
 * @param {{cancelled: boolean}} call
 * @returns {Described & {code: string}}
 */
export function describeError(error, call) {
  if (error instanceof CallError) {
    return {code: error.code, name: error.errorName, message: error.message, stack: ''};
  }
  return {code: call.cancelled ? 'cancelled' : 'function_failed', ...describe(error, 0)};
}

/**
 * @param {any} error
 * @param {number} depth how many errors it is the cause of
 * @returns {Described}
 */
function describe(error, depth) {
  try {
    return looksLikeError(error) ? describeLikeError(error, depth) : describeOther(error, depth);
  } catch {
    const message = 'what was thrown cannot be shown: looking at it throws again';
    return {name: '', message, stack: ''};
  }
}

/** @param {any} error */
function looksLikeError(error) {
  return typeof error === 'object' && error !== null && typeof error.message === 'string';
}

/**
 * @param {any} error
 * @param {number} depth
 */
function describeLikeError(error, depth) {
  /** @type {Described} */
  const described = {
    name: String(error.name ?? error.constructor?.name ?? 'Error'),
    message: error.message,
    stack: userStack(error.stack),
  };
  const properties = readProperties(error);
  if (Object.keys(properties).length > 0) described.properties = properties;
  const {cause} = error;
  if (cause !== undefined && cause !== null && cause !== error && depth < DEEPEST_CAUSE) described.cause = describe(cause, depth + 1);
  return described;
}

/**
 * @param {any} error
 * @param {number} depth
 */
function describeOther(error, depth) {
  const message = (typeof error === 'object' ? asJson(error) : undefined) ?? String(error);
  const kind = error instanceof Thrown ? String(error) : typeof error;
  const stack = depth > 0 ? '' : `(a ${kind} was thrown, which has no stack; throw an Error to get one)`;
  return {name: '', message, stack};
}

/**
 * The error's own properties (`code`, `statusCode`) that have a JSON form, up to a limit.
 *
 * @param {any} error
 */
function readProperties(error) {
  /** @type {Record<string, unknown>} */
  const properties = {};
  let room = MAX_PROPERTIES_BYTES;
  /**
   * @param {string} name
   * @param {() => unknown} read
   */
  function add(name, read) {
    const text = jsonOf(read);
    if (text === undefined) return false;
    const size = Buffer.byteLength(text) + name.length;
    if (size > room) return false;
    room -= size;
    // Defined, not assigned: "__proto__" is a name as others.
    Object.defineProperty(properties, name, {value: JSON.parse(text), enumerable: true});
    return true;
  }
  for (const name of Object.keys(error)) {
    if (!DESCRIBED.has(name)) add(name, () => error[name]);
  }
  if (Array.isArray(error.errors)) {
    const described = error.errors.map((/** @type {unknown} */ one) => withoutDetails(describe(one, DEEPEST_CAUSE)));
    while (!add('errors', () => described) && described.length > 0) described.pop();
  }
  return properties;
}

/** @param {Described} described */
function withoutDetails({name, message, stack}) {
  return {name, message, stack};
}

/**
 * @param {() => unknown} read
 * @returns {string | undefined}
 */
function jsonOf(read) {
  try {
    const value = read();
    if (value === undefined || typeof value === 'function') return undefined;
    const {form, payload} = encodeResult(value, true);
    return form === 'j' ? String(payload) : undefined;
  } catch {
    return undefined; // a getter that throws, a structure that contains itself
  }
}

/** @param {any} value */
function asJson(value) {
  if (value instanceof Thrown) return undefined;
  try {
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}
