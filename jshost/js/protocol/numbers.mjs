// @ts-check
/** The numbers in a JSON text, before JSON.parse has rounded them. Runs in: Node workers, callers. */

/** Matches every text that holds an integer beyond 2**53. */
export const LONG_NUMBER = /\d{16}/;
const STRING_START_OR_NUMBER = /"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;

/**
 * The numbers in a JSON text as they are written, without those inside strings.
 *
 * @param {string} text
 * @returns {Generator<{token: string, index: number}, void>}
 */
export function* numbers(text) {
  STRING_START_OR_NUMBER.lastIndex = 0;
  for (let match; (match = STRING_START_OR_NUMBER.exec(text)) !== null; ) {
    if (match[0] !== '"') {
      yield {token: match[0], index: match.index};
      continue;
    }
    let end = match.index;
    do end = text.indexOf('"', end + 1);
    while (isEscaped(text, end));
    STRING_START_OR_NUMBER.lastIndex = end + 1;
  }
}

/**
 * Whether an odd number of backslashes precedes the character.
 *
 * @param {string} text
 * @param {number} index
 */
function isEscaped(text, index) {
  let first = index;
  while (text[first - 1] === '\\') first -= 1;
  return (index - first) % 2 === 1;
}
