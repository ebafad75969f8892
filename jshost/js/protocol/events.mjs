// @ts-check
/** Reads events from the bytes of a text/event-stream. Runs in: callers. */

const NEWLINE = 10;
const EMPTY = Buffer.alloc(0);

/** Bytes in, events out, however the bytes were split. */
export class EventParser {
  #rest = EMPTY;
  /** @type {Buffer[]} */
  #waiting = [];
  #event = '';
  /** @type {string[]} */
  #data = [];

  /**
   * @param {Buffer} piece
   * @returns {{event: string, data: string}[]}
   */
  feed(piece) {
    this.#waiting.push(piece);
    if (!piece.includes(NEWLINE)) return []; // joined once, when the line is whole
    const bytes = Buffer.concat([this.#rest, ...this.#waiting]);
    this.#waiting = [];
    const events = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      const line = bytes.toString('utf8', start, bytes[end - 1] === 13 && end > start ? end - 1 : end);
      start = end + 1;
      if (line !== '') this.#take(line);
      else if (this.#event || this.#data.length > 0) events.push(this.#whole());
    }
    this.#rest = bytes.subarray(start);
    return events;
  }

  /** @param {string} line */
  #take(line) {
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
  }

  #whole() {
    const event = {event: this.#event || 'message', data: this.#data.join('\n')};
    [this.#event, this.#data] = ['', []];
    return event;
  }
}
