// @ts-check
/**
 * Marks the lines that functions print with their call. Runs in: Node workers.
 *
 * protocol/lines.py reads the marks, and says why they look as they do.
 */

const LONGEST_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;

/** @typedef {import('./calls.mjs').RunningCall} RunningCall */

/**
 * Mark the lines that calls write to the stream. A part of a line waits for its end, so that lines of
 * concurrent calls do not mix.
 *
 * @param {NodeJS.WriteStream} stream
 * @param {() => RunningCall | undefined} currentCall
 * @returns {(call: RunningCall) => void} ends the line that a call has begun
 */
export function markLines(stream, currentCall) {
  const write = stream.write.bind(stream);
  /** @type {Map<RunningCall, Buffer>} */
  const open = new Map();

  /**
   * @param {RunningCall} call
   * @param {Buffer} data
   */
  function markedLines(call, data) {
    const begun = open.get(call);
    const whole = begun === undefined ? data : Buffer.concat([begun, data]);
    const end = whole.lastIndexOf(NEWLINE) + 1;
    const rest = whole.subarray(end);
    if (call.settled || rest.length > LONGEST_LINE_BYTES) {
      open.delete(call); // no end of the line can be waited for
      return mark(call, whole);
    }
    if (rest.length > 0) open.set(call, Buffer.from(rest));
    else open.delete(call);
    return mark(call, whole.subarray(0, end));
  }

  stream.write = /** @type {typeof stream.write} */ (
    function (/** @type {any} */ chunk, /** @type {any} */ encoding, /** @type {any} */ callback) {
      const call = currentCall();
      if (call === undefined) return write(chunk, encoding, callback);
      if (typeof encoding === 'function') [encoding, callback] = [undefined, encoding];
      return write(markedLines(call, Buffer.from(chunk, encoding)), callback);
    }
  );

  return (call) => {
    const rest = open.get(call);
    if (rest === undefined) return;
    open.delete(call);
    write(mark(call, rest));
  };
}

/**
 * @param {RunningCall} call
 * @param {Buffer} lines
 */
function mark(call, lines) {
  const head = Buffer.from(`\x1e${call.name}\x1f${call.requestId}\x1e`);
  const parts = [];
  for (let start = 0; start < lines.length; ) {
    const newline = lines.indexOf(NEWLINE, start);
    const end = newline === -1 ? lines.length : newline + 1;
    parts.push(head, lines.subarray(start, end));
    start = end;
  }
  if (lines.length > 0 && lines[lines.length - 1] !== NEWLINE) parts.push(Buffer.from('\n'));
  return Buffer.concat(parts);
}
