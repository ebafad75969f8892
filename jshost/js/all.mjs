// @ts-check
/** Everything that `require` gives; see load.cjs. Runs in: callers. */

export * from './index.mjs';
export {Bindings} from './embedding/bindings.mjs';
