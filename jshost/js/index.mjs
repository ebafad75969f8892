// @ts-check
/** The exports of "jshost". Runs in: callers. */

export {Function, batch} from './client/function.mjs';
export {ServedHost as Host} from './client/http/host.mjs';
export {Stream} from './client/streams.mjs';
export {Python, python} from './embedding/python.mjs';
export * from './exceptions.mjs';
