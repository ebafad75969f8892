// @ts-check
/**
 * The states of a worker, and the events that move it from one to the next. The twin of
 * pool/scheduling/states.py, which explains them; tests/vectors/scheduler.json holds both to one
 * table. Only Python has the state `outdated`, as only a host reloads.
 * Runs in: programs that own Python workers.
 */

/** @typedef {'starting' | 'ready' | 'retiring'} Phase */

/**
 * What users see of each state.
 *
 * @satisfies {Record<string, Phase>}
 */
export const PHASES = /** @type {const} */ ({
  starting: 'starting',
  failed: 'starting',
  ready: 'ready',
  pinged: 'ready',
  lost: 'ready',
  held: 'retiring',
  held_pinged: 'retiring',
  held_lost: 'retiring',
  recycled: 'retiring',
  recycled_pinged: 'retiring',
  replaced: 'retiring',
  replaced_pinged: 'retiring',
  ending: 'retiring',
  killed: 'retiring',
});

/** @typedef {keyof typeof PHASES} State */

/** @type {Record<State, Record<string, State>>} */
export const TRANSITIONS = {
  starting: {ready: 'ready', kill: 'failed', lost: 'failed'},
  failed: {ready: 'lost'},
  ready: {ping: 'pinged', hold: 'held', lost: 'lost', take_over: 'recycled', replace: 'replaced'},
  pinged: {pong: 'ready', hold: 'held_pinged', lost: 'lost', take_over: 'recycled_pinged', replace: 'replaced_pinged'},
  lost: {replace: 'killed'},
  held: {ping: 'held_pinged', keep: 'ready', take_over: 'recycled', replace: 'replaced', kill: 'held_lost', lost: 'held_lost'},
  held_pinged: {pong: 'held', keep: 'pinged', take_over: 'recycled_pinged', replace: 'replaced_pinged', kill: 'held_lost', lost: 'held_lost'},
  held_lost: {take_over: 'killed'},
  recycled: {ping: 'recycled_pinged', replace: 'replaced', end: 'ending', kill: 'killed', lost: 'killed'},
  recycled_pinged: {pong: 'recycled', replace: 'replaced_pinged', kill: 'killed', lost: 'killed'},
  replaced: {ping: 'replaced_pinged', end: 'ending', kill: 'killed', lost: 'killed'},
  replaced_pinged: {pong: 'replaced', kill: 'killed', lost: 'killed'},
  ending: {kill: 'killed'},
  killed: {},
};

/**
 * @param {State[]} states
 * @returns {Set<State>}
 */
const setOf = (...states) => new Set(states);

/** Such a worker serves; a pinged one again once it has answered. */
export const SERVING = setOf('ready', 'pinged');
export const HELD_BACK = setOf('held', 'held_pinged');
/** Such a worker is replaced when it keeps a cancelled call. */
export const REPLACEABLE = setOf('ready', 'pinged', 'lost', 'held', 'held_pinged');
export const RECYCLING = setOf('recycled', 'recycled_pinged');
/** Such a worker finishes its last calls, and is ended then. */
export const LAST_CALLS = setOf('recycled', 'recycled_pinged', 'replaced', 'replaced_pinged');
/** The process of such a worker is about to end. */
export const STOPPING = setOf('failed', 'lost', 'held_lost', 'ending', 'killed');

/** An event that a worker's state does not allow: a mistake of its sender. */
export class IllegalTransition extends Error {
  name = 'IllegalTransition';

  /**
   * @param {number} number
   * @param {State | null} state
   * @param {string} event
   */
  constructor(number, state, event) {
    super(`worker ${number} in ${state ?? 'no'} state cannot take "${event}"`);
    this.number = number;
    this.state = state;
    this.event = event;
  }
}
