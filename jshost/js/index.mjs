// @ts-check
/** What Node programs import from "jshost". Runs in: callers. */

export {Function, Stream, batch} from './function.mjs';
export {Host} from './host.mjs';
export {Python, python} from './python.mjs';
export * from './remote_errors.mjs';
