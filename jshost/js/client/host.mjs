// @ts-check
/**
 * Types: `Host` is anything that answers calls, with values in and values out. `ServedHost` (client/http)
 * calls a host over HTTP; `EmbeddedHost` (embedding) calls the program's own workers.
 * Runs in: callers, programs that own Python workers.
 */

/**
 * What users may say of one call.
 *
 * @typedef {object} CallOptions
 * @property {number | null} [timeout] milliseconds that the call may take; null: no limit
 * @property {AbortSignal} [signal] aborts the call, and the function's own signal
 * @property {Record<string, string>} [headers] sent along to a served host: `X-Request-ID`, `traceparent`
 */

/**
 * A function's name, its arguments, and how its result is read.
 *
 * @typedef {object} Call
 * @property {string} name
 * @property {Record<string, unknown>} args
 * @property {import('../protocol/results.mjs').Integers} integers
 * @property {{readonly stack?: string}} [site] the place of the call, for the stack of its error
 */

/**
 * The limits of a call, or of a batch as a whole.
 *
 * @typedef {CallOptions & {timeout: number | null}} CallLimits
 */

/** @typedef {Call & CallLimits} CallRequest */

/**
 * @typedef {object} Host
 * @property {(request: CallRequest) => Promise<any>} call the function's result, or its error
 * @property {(request: CallRequest) => import('./streams.mjs').Stream} stream its values
 * @property {(calls: Call[], limits: CallLimits) => Promise<any[]>} batch results in order; an error in the
 *   place of a call that failed
 */

export {};
