// @ts-check
/** What Node programs import from "jshost". Runs in: callers. */

export {Function, Stream, batch} from './client/function.mjs';
export {Host} from './client/http/host.mjs';
export {Python, python} from './embedding/python.mjs';
export * from './exceptions.mjs';
