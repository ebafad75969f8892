// @ts-check
/**
 * The errors that callers get. Runs in: callers.
 *
 *     JSHostError
 *     ├── ConfigError            an option is wrong, or a config file
 *     ├── HostConnectionError    no host answers
 *     ├── UnexpectedResponse     the answer is not from a jshost host
 *     └── RemoteError            a host or a worker answered with an error
 *         ├── RequestError       the request was refused                 400 401 403 405 413 415
 *         ├── FunctionNotFound   no function of that name                404
 *         ├── ArgumentsError     the arguments do not fit                422
 *         ├── FunctionError      the function failed                     500
 *         │   └── PythonError    it is written in Python
 *         ├── ProcessError       the worker or the host died             502
 *         ├── HostUnavailable    the queue is full, or the host stops    503
 *         └── FunctionTimeout    the deadline passed                     504
 *
 * `CODES` is the one table from an envelope's code to the class; exceptions.py has the same.
 */

const TRACEBACK = 'Traceback (most recent call last):';
const PLACE = /^ {2}File "([^"]*)", line (\d+)(?:, in .*)?$/gm;

/** The base of every error that jshost throws. */
export class JSHostError extends Error {
  name = 'JSHostError';
}

/** An option or a config file is wrong; the message says which one, and how to fix it. */
export class ConfigError extends JSHostError {
  name = 'ConfigError';
}

/** No host answers, or the connection to it broke; then the call may have run. */
export class HostConnectionError extends JSHostError {
  name = 'HostConnectionError';
}

/** The answer is not from a jshost host. */
export class UnexpectedResponse extends JSHostError {
  name = 'UnexpectedResponse';
}

/**
 * An error in JSON, as a host or a worker sends it (docs/protocol.md).
 *
 * @typedef {object} Envelope
 * @property {string} [code]
 * @property {string} [name] the remote error's class
 * @property {string} [message]
 * @property {string} [stack]
 * @property {string | null} [function]
 * @property {string | null} [requestId]
 * @property {Record<string, unknown>} [properties]
 * @property {Envelope} [cause]
 */

/** The other side answered with an error. */
export class RemoteError extends JSHostError {
  name = 'RemoteError';

  /**
   * @param {string} message
   * @param {Envelope} [envelope]
   */
  constructor(message, envelope = {}) {
    const {cause} = envelope;
    super(message, cause === undefined ? undefined : {cause: causeFrom(cause)});
    /** The kind of the error: a key of `CODES`. */
    this.code = envelope.code ?? 'function_failed';
    /** The function's name. */
    this.function = envelope.function ?? undefined;
    /** The remote error's class, or "". */
    this.errorName = envelope.name ?? '';
    /** The remote stack or traceback, or "". */
    this.remoteStack = envelope.stack ?? '';
    Object.defineProperty(this, 'remoteStack', {enumerable: false}); // the text of a PythonError has it
    /** Other properties of the remote error: `code`, `statusCode`, … */
    this.properties = envelope.properties ?? {};
    /** The id under which both sides logged the call. */
    this.requestId = envelope.requestId ?? undefined;
  }
}

/** The request was refused: its body, its headers or its method. */
export class RequestError extends RemoteError {
  name = 'RequestError';
}

/** There is no function of that name. */
export class FunctionNotFound extends RemoteError {
  name = 'FunctionNotFound';
}

/** The arguments do not fit the function. */
export class ArgumentsError extends RemoteError {
  name = 'ArgumentsError';
}

/** The function failed; `errorName`, `remoteStack`, `properties` and `cause` say why. */
export class FunctionError extends RemoteError {
  name = 'FunctionError';
}

/** A Python function failed. `name` is the exception's class; the JavaScript stack is the caller's. */
export class PythonError extends FunctionError {
  /**
   * @param {string} message
   * @param {Envelope} [envelope]
   */
  constructor(message, envelope = {}) {
    super(message, envelope);
    this.name = envelope.name || 'PythonError';
    /** Python's own traceback. */
    this.traceback = this.remoteStack;
    Object.defineProperty(this, 'traceback', {enumerable: false});
    const last = [...this.traceback.matchAll(PLACE)].pop();
    /** The file that raised it, and the line in it. */
    this.module = last?.[1];
    this.line = last === undefined ? undefined : Number(last[2]);
  }
}

/** A worker or a host could not start, or died while it ran the call. */
export class ProcessError extends RemoteError {
  name = 'ProcessError';
}

/** No more calls are taken for now. */
export class HostUnavailable extends RemoteError {
  name = 'HostUnavailable';
}

/** The deadline passed before the function answered; the work was stopped. */
export class FunctionTimeout extends RemoteError {
  name = 'FunctionTimeout';
}

/** @type {Record<string, typeof RemoteError>} */
export const CODES = {
  bad_request: RequestError,
  malformed_json: RequestError,
  malformed_multipart: RequestError,
  not_an_object: RequestError,
  wrong_hash: RequestError,
  unauthorized: RequestError,
  host_not_allowed: RequestError,
  origin_not_allowed: RequestError,
  unknown_function: FunctionNotFound,
  not_found: RequestError,
  method_not_allowed: RequestError,
  body_too_large: RequestError,
  not_json: RequestError,
  arguments: ArgumentsError,
  unsafe_integer: ArgumentsError,
  function_failed: FunctionError,
  unserializable_result: FunctionError,
  load_failed: FunctionError,
  cancelled: FunctionError,
  worker_died: ProcessError,
  queue_full: HostUnavailable,
  starting: HostUnavailable,
  draining: HostUnavailable,
  timeout: FunctionTimeout,
};

/**
 * The error that an envelope stands for.
 *
 * @param {Envelope} envelope
 * @returns {RemoteError}
 */
export function errorFrom(envelope) {
  const {code = 'function_failed', message = '', stack = ''} = envelope;
  const isPython = stack.startsWith(TRACEBACK) || stack.includes(`\n${TRACEBACK}`);
  const known = Object.hasOwn(CODES, code) ? CODES[code] : FunctionError;
  const Class = isPython && known === FunctionError ? PythonError : known;
  if (Class === PythonError) return new Class(message, envelope);
  const headline = envelope.name ? `${envelope.name}: ${message}` : message;
  return new Class(envelope.function ? `${envelope.function}: ${headline}` : headline, envelope);
}

/**
 * The cause of an error. It was raised on the other side, so it has the stack of that side.
 *
 * @param {Envelope} envelope
 */
function causeFrom(envelope) {
  const cause = errorFrom({code: 'function_failed', ...envelope});
  const headline = `${cause.name}: ${cause.message}`;
  const value = cause.remoteStack ? `${headline}\n\n${cause.remoteStack}` : headline;
  Object.defineProperty(cause, 'stack', {value, writable: true, configurable: true});
  return cause;
}

/**
 * The error of an answer without an envelope: it is not from a host.
 *
 * @param {string} name what was called
 * @param {number} status
 * @param {string} text
 * @returns {JSHostError}
 */
export function errorOfStranger(name, status, text) {
  const shown = JSON.stringify(text.slice(0, 200));
  if ([502, 503, 504].includes(status)) {
    return new HostConnectionError(
      `${name}: a proxy answers ${status} in place of a host. It reaches no host, or lost the connection to one; ` +
        `then the call may have run. Its text: ${shown}`,
    );
  }
  return new UnexpectedResponse(`${name}: status ${status}, not as a jshost host answers: ${shown}`);
}
