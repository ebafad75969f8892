// @ts-check
/**
 * A call's body becomes a value, a function's result becomes bytes; what JSON cannot say is an
 * error that names its place. Runs in: Node workers.
 */

/** A call that is answered with an error of our own, not the function's. */
export class CallError extends Error {
  /**
   * @param {string} code a key of exceptions.CODES
   * @param {string} message
   * @param {string} [errorName] the class that the caller sees
   */
  constructor(code, message, errorName = '') {
    super(message);
    this.code = code;
    this.errorName = errorName;
  }
}

const utf8 = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});
const LONG_NUMBER = /\d{16}/;
const STRING_START_OR_NUMBER = /"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/**
 * The arguments object in a body; an empty body is `{}`.
 *
 * @param {Buffer} body
 * @returns {Record<string, unknown>}
 */
export function parseBody(body) {
  if (body.length === 0) return {};
  let text;
  try {
    text = utf8.decode(body);
  } catch {
    throw new CallError('malformed_json', 'the body is not UTF-8');
  }
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CallError('malformed_json', `the body is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
    throw new CallError('not_an_object', `the body must be a JSON object, not a JSON ${kind}`);
  }
  if (LONG_NUMBER.test(text)) refuseUnsafeIntegers(text, value);
  return value;
}

/**
 * JSON.parse rounds integers beyond 2**53 without a word; a caller must hear of it.
 *
 * @param {string} text
 * @param {unknown} value
 */
function refuseUnsafeIntegers(text, value) {
  for (const token of numbers(text)) {
    if (token.length < 16 || /[.eE]/.test(token)) continue;
    const number = Number(token);
    if (Number.isSafeInteger(number) || Math.abs(number) === 2 ** 53 && BigInt(token) === BigInt(number)) continue;
    const place = find(value, (item) => item === number) ?? '';
    throw new CallError(
      'unsafe_integer',
      `argument ${place}: ${token} is beyond 2**53 and JavaScript would round it; pass it as a string`,
      'TypeError',
    );
  }
}

/**
 * The numbers in a JSON text as they are written, without those inside strings.
 *
 * @param {string} text
 */
function* numbers(text) {
  STRING_START_OR_NUMBER.lastIndex = 0;
  for (let match; (match = STRING_START_OR_NUMBER.exec(text)) !== null; ) {
    if (match[0] !== '"') {
      yield match[0];
      continue;
    }
    let end = match.index;
    do end = text.indexOf('"', end + 1);
    while (isEscaped(text, end));
    STRING_START_OR_NUMBER.lastIndex = end + 1;
  }
}

/**
 * Whether the character is behind an odd number of backslashes.
 *
 * @param {string} text
 * @param {number} index
 */
function isEscaped(text, index) {
  let first = index;
  while (text[first - 1] === '\\') first -= 1;
  return (index - first) % 2 === 1;
}

/**
 * A result as its form ('j' JSON, 't' text, 'b' bytes) and its payload.
 *
 * @param {unknown} value
 * @returns {{form: 'j' | 't' | 'b', payload: string | Uint8Array}}
 */
export function encodeResult(value) {
  if (typeof value === 'string') {
    // UTF-8 has no lone surrogates: such a string travels as JSON, which can escape them.
    if (value.isWellFormed()) return {form: 't', payload: value};
    return {form: 'j', payload: JSON.stringify(value)};
  }
  if (value === undefined || value === null) return {form: 'j', payload: 'null'};
  if (value instanceof Uint8Array) return {form: 'b', payload: value};
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw unserializable(value) ?? (isStackOverflow(error) ? tooDeep() : error);
  }
  // What JSON cannot say has become null, {} or, a typed array, {"0":…}: only then look for it.
  if (text === undefined || text.includes('null') || text.includes('{}') || text.includes('{"0":')) {
    const problem = unserializable(value);
    if (problem) throw problem;
  }
  return {form: 'j', payload: text ?? 'null'};
}

/** @param {unknown} error */
function isStackOverflow(error) {
  return error instanceof RangeError && error.message === 'Maximum call stack size exceeded';
}

function tooDeep() {
  return new CallError('unserializable_result', 'result: the structure is too deep', 'RangeError');
}

/**
 * @param {unknown} value
 * @returns {CallError | undefined}
 */
function unserializable(value) {
  let problem = '';
  let place;
  try {
    place = find(value, (item, above) => (problem = problemOf(item, above)) !== '');
  } catch (error) {
    if (!isStackOverflow(error)) throw error;
    return undefined; // too deep to look through, though JSON.stringify managed it
  }
  if (place === undefined) return undefined;
  const where = place ? `result ${place}` : 'result';
  return new CallError('unserializable_result', `${where}: ${problem}`, 'TypeError');
}

/**
 * @param {unknown} item
 * @param {unknown[]} above
 */
function problemOf(item, above) {
  if (typeof item === 'number' && !Number.isFinite(item)) {
    return `${item} has no JSON form; return null or a string instead`;
  }
  if (typeof item === 'bigint' && !('toJSON' in BigInt.prototype)) return `the BigInt ${item}n has no JSON form; return a string`;
  if (typeof item === 'symbol') return 'a symbol has no JSON form';
  if (typeof item === 'function' && above.length === 0) return 'a function has no JSON form';
  if (item === null || typeof item !== 'object') return '';
  if (above.includes(item)) return 'the structure contains itself';
  if (item instanceof Date && Number.isNaN(item.getTime())) return 'an invalid Date has no JSON form';
  const hasJson = 'toJSON' in item && typeof item.toJSON === 'function';
  if (hasJson || Array.isArray(item)) return '';
  if (ArrayBuffer.isView(item)) {
    return `a ${item.constructor.name} has no JSON form; return Array.from(…), or a Uint8Array as the whole result`;
  }
  if (Object.keys(item).length > 0) return '';
  const prototype = Object.getPrototypeOf(item);
  if (prototype === null || prototype === Object.prototype) return '';
  const name = item.constructor?.name || 'object';
  const hint = item instanceof Set ? '; return [...set]' : item instanceof Map ? '; return Object.fromEntries(map)' : '';
  return `a ${name} has no JSON form${hint}`;
}

/**
 * The place of the first item, depth first, that `test` accepts: 'options.items[3].price'.
 *
 * @param {unknown} value
 * @param {(item: unknown, above: unknown[]) => boolean} test
 * @param {string} [path]
 * @param {unknown[]} [above]
 * @returns {string | undefined}
 */
function find(value, test, path = '', above = []) {
  if (test(value, above)) return path;
  if (value === null || typeof value !== 'object') return undefined;
  const inside = [...above, value];
  if ('toJSON' in value && typeof value.toJSON === 'function') {
    const plain = value.toJSON();
    if (plain !== value) return find(plain, test, path, inside);
  }
  for (const [key, item] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${key}]` : path ? `.${key}` : key;
    const found = find(item, test, path + step, inside);
    if (found !== undefined) return found;
  }
  return undefined;
}
