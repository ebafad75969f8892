// @ts-check
/**
 * Lines that functions print, marked with the call they belong to; workers/output.py reads the
 * marks, and says why they look as they do. Runs in: Node workers.
 */

/**
 * Mark what `stream.write` is given while a call runs.
 *
 * @param {NodeJS.WriteStream} stream
 * @param {() => {name: string, requestId: string} | undefined} currentCall
 */
export function markLines(stream, currentCall) {
  const write = stream.write;
  /** @type {typeof stream.write} */
  stream.write = function (/** @type {any} */ chunk, /** @type {any} */ ...rest) {
    const call = currentCall();
    if (call !== undefined) {
      const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      const mark = `\x1e${call.name}\x1f${call.requestId}\x1e`;
      chunk = mark + text.replace(/\n(?!$)/g, `\n${mark}`);
    }
    return write.call(stream, chunk, ...rest);
  };
}
