/// <reference lib="esnext.disposable" />
/** The types of "jshost", for `require` and, through index.d.ts, for `import`. */

export interface CallOptions {
  /** Milliseconds that the call may take; null: no limit. */
  timeout?: number | null;
  /** Aborts the call, and the work. */
  signal?: AbortSignal;
}

/** Integers beyond 2**53 in results become an error, or a BigInt. */
export type Integers = 'error' | 'bigint';

export type Arguments = Record<string, unknown>;

/** The values of a call as they come; after the last one, `result` is the value that the function returned. */
export interface ValueStream<T = any, R = any> extends AsyncIterable<T> {
  readonly result: R;
}

export class Stream<T = any, R = any> implements ValueStream<T, R> {
  private constructor();
  readonly result: R;
  readonly hasEnded: boolean;
  [Symbol.asyncIterator](): AsyncIterator<T, void>;
  /** Stop reading; the function is stopped. */
  close(): Promise<void>;
}

export interface PythonOptions {
  /** The interpreter: a path, a command, or a virtual environment's folder. */
  python?: string;
  /** Milliseconds that a call may take; by default there is no limit. */
  timeout?: number | null;
  integers?: Integers;
  /** Whether the workers keep the program running, also without calls. */
  keepAlive?: boolean;
  env?: Record<string, string | undefined>;
  cwd?: string;
  workers?: number;
  threads?: number;
  concurrency?: number;
  maxQueue?: number;
  maxRequests?: number | null;
  /** Bytes, or a string such as "200mb". */
  maxMemory?: number | string | null;
  /** Seconds. */
  maxAge?: number | null;
  /** Seconds. */
  functionTimeout?: number | null;
  /** Seconds. */
  startTimeout?: number | null;
  /** Seconds. */
  shutdownTimeout?: number | null;
  respawn?: boolean;
}

export interface PrintedLine {
  text: string;
  stream: 'stdout' | 'stderr';
  /** "" if no call printed it. */
  function: string;
  requestId: string;
  pid: number;
}

export interface LogRecord {
  level: string;
  message: string;
  function: string;
  requestId: string;
  pid: number;
}

export interface WorkerNotice {
  kind: 'died' | 'killed' | 'recycled' | 'halted';
  worker: number;
  message: string;
}

export interface Events {
  print: PrintedLine;
  log: LogRecord;
  worker: WorkerNotice;
}

export class Python {
  private constructor();
  readonly functions: string[];
  readonly workers: {pid: number | undefined; state: 'starting' | 'ready' | 'retiring'; calls: number}[];
  call<R = any>(name: string, args?: Arguments, options?: CallOptions): Promise<R>;
  stream<T = any, R = any>(name: string, args?: Arguments, options?: CallOptions): Stream<T, R>;
  /** The results in order; in the place of a call that failed, its error. */
  batch(calls: Iterable<readonly [name: string, args?: Arguments]>, options?: CallOptions): Promise<any[]>;
  on<E extends keyof Events>(event: E, listener: (data: Events[E]) => void): this;
  off<E extends keyof Events>(event: E, listener: (data: Events[E]) => void): this;
  /** End the workers; `timeout` is how many milliseconds calls may take to finish. */
  end(options?: {timeout?: number}): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The functions of a file, each called with one object of arguments. */
export type Functions<F> = {
  readonly [Name in Exclude<keyof F, keyof Python>]: F[Name] extends (args: infer A) => infer R
    ? (args: A, options?: CallOptions) => Promise<Awaited<R>>
    : (args?: Arguments, options?: CallOptions) => Promise<any>;
};

/**
 * Start a Python of the program's own and load `file` in it.
 *
 * @example
 * const py = await python<{predict(args: {x: number}): number}>('./model.py');
 * const y = await py.predict({x: 1});
 */
export function python<F = Record<string, unknown>>(file: string | URL, options?: PythonOptions): Promise<Python & Functions<F>>;

export interface HostOptions {
  /** Where the host, or a proxy in front of it, listens: `http://`, `https://` or `unix:///path`. */
  rootUrl?: string;
  /** Without rootUrl: call the running host of this config file. */
  configFile?: string;
  /** Let the manager start the host, for development. */
  useManager?: boolean;
  /** A Python that has jshost, for the manager. */
  python?: string;
}

export class Host {
  constructor(options?: HostOptions);
  status(signal?: AbortSignal): Promise<Record<string, any>>;
}

export interface FunctionOptions extends HostOptions {
  host?: Host;
  /** Milliseconds that a call may take, 10 000 by default; null: no limit. */
  timeout?: number | null;
  integers?: Integers;
}

export interface HostCallOptions extends CallOptions {
  headers?: Record<string, string>;
}

declare class HostFunction<A extends object = Arguments, R = any> {
  constructor(name: string, options?: FunctionOptions);
  readonly name: string;
  readonly host: Host;
  call(args?: A, options?: HostCallOptions): Promise<R>;
  stream<T = any>(args?: A, options?: HostCallOptions): Stream<T, R>;
  map(calls: Iterable<A>, options?: HostCallOptions): Promise<(R | Error)[]>;
}

export {HostFunction as Function};

export function batch(calls: Iterable<readonly [HostFunction<any, any>, Arguments?]>, options?: HostCallOptions): Promise<any[]>;

/** The base of every error that jshost throws. */
export class JSHostError extends Error {}
/** An option or a config file is wrong. */
export class ConfigError extends JSHostError {}
/** No host answers. */
export class HostConnectionError extends JSHostError {}
/** The answer is not from a jshost host. */
export class UnexpectedResponse extends JSHostError {}

/** The other side answered with an error. */
export class RemoteError extends JSHostError {
  readonly code: string;
  readonly function: string | undefined;
  readonly errorName: string;
  readonly remoteStack: string;
  readonly properties: Record<string, unknown>;
  readonly requestId: string | undefined;
}
export class RequestError extends RemoteError {}
export class FunctionNotFound extends RemoteError {}
export class ArgumentsError extends RemoteError {}
export class FunctionError extends RemoteError {}
/** A Python function raised an exception; `name` is the exception's class. */
export class PythonError extends FunctionError {
  readonly traceback: string;
  /** The file that raised it, and the line in it. */
  readonly module: string | undefined;
  readonly line: number | undefined;
}
export class ProcessError extends RemoteError {}
export class HostUnavailable extends RemoteError {}
export class FunctionTimeout extends RemoteError {}
