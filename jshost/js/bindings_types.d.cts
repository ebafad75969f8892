/// <reference lib="esnext.disposable" />
/** The types that both entries of "jshost/bindings" share. */

import type {Arguments, CallOptions, Events, PythonOptions, ValueStream} from './index.cjs';

export interface BindingsOptions extends Omit<PythonOptions, 'workers' | 'respawn'> {
  /** The Python file with the class Controller. */
  controller: string | URL;
  /** Let calls run at the same time, not one after the other. */
  concurrent?: boolean;
}

export type Method = (args?: Arguments, options?: CallOptions) => Promise<any>;

export interface BindingsObject {
  call<R = any>(name: string, args?: Arguments, options?: CallOptions): Promise<R>;
  stream<T = any, R = any>(name: string, args?: Arguments, options?: CallOptions): ValueStream<T, R>;
  onMessage(listener: (data: any, method: string) => void): this;
  on<E extends keyof Events>(event: E, listener: (data: Events[E]) => void): this;
  /** Remove a listener of `on`, or, as 'message', one of `onMessage`. */
  off(event: keyof Events | 'message', listener: (...data: any[]) => void): this;
  setProperty(name: string, value: unknown): Promise<null>;
  getProperty<R = any>(name: string): Promise<R>;
  end(options?: {timeout?: number}): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface BindingsClass {
  /** Methods of the Controller can be called by their names; `new Bindings<{…}>` types them. */
  new <M = Record<string, Method>>(properties: Record<string, unknown> | undefined, options: BindingsOptions): BindingsObject & Omit<M, keyof BindingsObject>;
  /** A new process, and a new object, for each call. */
  once<M = Record<string, Method>>(properties: Record<string, unknown> | undefined, options: BindingsOptions): BindingsObject & Omit<M, keyof BindingsObject>;
}
