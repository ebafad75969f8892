// @ts-check
/** Names of members that must not call Python. Runs in: programs that own Python workers. */

/** Promises, test runners and debuggers read these from any object. */
export const NEVER = new Set(['then', 'catch', 'finally', 'toJSON', 'inspect', 'constructor', 'valueOf', 'toString', 'asymmetricMatch', 'nodeType', '$$typeof']);

/** `await using` calls this one; it is missing in older versions of Node. */
export const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');
