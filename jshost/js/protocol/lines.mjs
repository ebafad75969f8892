// @ts-check
/**
 * Bytes of a pipe in, whole lines out, with the call that printed them: the twin of `LineSplitter` in
 * protocol/lines.py, which explains the marks. Runs in: programs that own Python workers.
 */

const LONGEST_LINE_BYTES = 64 * 1024;
const NEWLINE = 10;
const MARK = /\x1e([^\x1e\x1f]*)\x1f([^\x1e\x1f]*)\x1e/g;

/** @typedef {{text: string, function: string, requestId: string}} Line "" where the call is not known */

export class LineSplitter {
  /** @type {Buffer[]} */
  #rest = [];
  #size = 0;

  /**
   * @param {Buffer} data
   * @returns {Line[]}
   */
  feed(data) {
    const lines = [];
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end !== -1; end = data.indexOf(NEWLINE, start)) {
      lines.push(this.#take(data.subarray(start, end)));
      start = end + 1;
    }
    for (; this.#size + data.length - start > LONGEST_LINE_BYTES; start += LONGEST_LINE_BYTES) {
      lines.push(this.#take(data.subarray(start, start + LONGEST_LINE_BYTES)));
    }
    if (start < data.length) {
      this.#rest.push(data.subarray(start));
      this.#size += data.length - start;
    }
    return lines;
  }

  /**
   * The rest after the last line end.
   *
   * @returns {Line[]}
   */
  end() {
    return this.#size > 0 ? [this.#take(Buffer.alloc(0))] : [];
  }

  /** @param {Buffer} last */
  #take(last) {
    const whole = this.#size > 0 ? Buffer.concat([...this.#rest, last]) : last;
    this.#rest = [];
    this.#size = 0;
    return parseLine(whole.toString('utf8'));
  }
}

/**
 * @param {string} raw
 * @returns {Line}
 */
function parseLine(raw) {
  const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
  const mark = line.includes('\x1e') ? [...line.matchAll(MARK)][0] : undefined;
  if (mark === undefined) return {text: line, function: '', requestId: ''};
  return {text: line.replace(MARK, ''), function: mark[1], requestId: mark[2]};
}
