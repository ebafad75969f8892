// @ts-check
/** The calls of a pool: begun, answered, cancelled; as pool/call_table.py. Runs in: programs that own Python workers. */

import {FrameError, Kind, joinCall} from '../protocol/frames.mjs';
import {objectIn} from './channel.mjs';
import {now} from './clock.mjs';
import {PendingCall, REFUSALS} from './pending_call.mjs';
import {Refused} from './scheduling/actions.mjs';

/**
 * @typedef {import('./scheduling/actions.mjs').Action} Action
 * @typedef {import('./scheduling/scheduler.mjs').Scheduler} Scheduler
 */

const MAX_CALL_ID = 0xffffffff;

export class CallTable {
  #scheduler;
  #fleet;
  #anchor;
  /** @type {Map<number, PendingCall>} */
  #calls = new Map();
  #lastId = 0;

  /**
   * @param {Scheduler} scheduler
   * @param {import('./fleet.mjs').Fleet} fleet
   * @param {import('./owner.mjs').Anchor} anchor
   */
  constructor(scheduler, fleet, anchor) {
    this.#scheduler = scheduler;
    this.#fleet = fleet;
    this.#anchor = anchor;
  }

  /** The number of calls so far. */
  get begun() {
    return this.#lastId;
  }

  /**
   * Hand a call to a worker, or queue it.
   *
   * @param {import('../protocol/frames.mjs').CallHeader} header
   * @param {Buffer} body
   * @param {number | null} timeoutMs
   * @param {import('./pending_call.mjs').Caller} caller
   * @param {import('./call_site.mjs').CallSite | undefined} site
   * @returns {PendingCall}
   * @throws {import('../exceptions.mjs').RemoteError} the queue is full, the pool was ended, or the call is too large
   */
  begin(header, body, timeoutMs, caller, site) {
    this.#lastId = this.#lastId % MAX_CALL_ID + 1;
    const id = this.#lastId;
    const pending = new PendingCall(id, header.name, header.requestId, timeoutMs, caller, site);
    let payload;
    let worker;
    try {
      payload = joinCall(header, body);
      worker = this.#scheduler.submit(id, timeoutMs === null ? Infinity : (pending.startedAt + timeoutMs) / 1000);
    } catch (error) {
      throw this.#refusal(pending, error);
    }
    if (worker === null) pending.unsent = payload;
    else this.#fleet.workers.get(worker)?.post(Kind.CALL, id, payload);
    this.#calls.set(id, pending);
    this.#anchor.hold();
    return pending;
  }

  /**
   * The call's turn has come: send it to a worker.
   *
   * @param {number} id
   * @param {import('./channel.mjs').WorkerChannel} worker
   */
  send(id, worker) {
    const pending = this.#calls.get(id);
    if (pending?.unsent === undefined) return;
    worker.post(Kind.CALL, id, pending.unsent);
    pending.unsent = undefined;
  }

  /**
   * The caller left: drop the answer.
   *
   * @param {PendingCall} pending
   * @returns {Action[]}
   */
  cancel(pending) {
    return this.#remove(pending.id) === undefined ? [] : this.#scheduler.cancel(pending.id, now());
  }

  /**
   * The caller has taken `size` bytes of the call's CHUNK frames: more may come.
   *
   * @param {PendingCall} pending
   * @param {number} size
   */
  credit(pending, size) {
    const worker = this.#scheduler.workerOf(pending.id);
    const taken = Buffer.allocUnsafe(4);
    taken.writeUInt32BE(size);
    if (worker !== null) this.#fleet.workers.get(worker)?.post(Kind.CHUNK, pending.id, taken);
  }

  /**
   * A worker sent the answer of a call.
   *
   * @param {number} kind RESULT or ERROR
   * @param {number} id
   * @param {Buffer} payload
   * @returns {Action[]}
   */
  onAnswer(kind, id, payload) {
    const pending = this.#remove(id);
    const actions = this.#scheduler.finished(id, now());
    if (pending !== undefined) {
      if (kind === Kind.RESULT) pending.caller.onResult(payload);
      else pending.caller.onError(pending.error(objectIn(payload)));
    }
    return actions;
  }

  /**
   * A worker sent one value of a stream.
   *
   * @param {number} id
   * @param {Buffer} payload
   */
  onChunk(id, payload) {
    this.#calls.get(id)?.caller.onChunk?.(payload);
  }

  /**
   * A call will get no answer.
   *
   * @param {Extract<Action, {do: 'fail'}>} action
   */
  fail({call, code, worker}) {
    const pending = this.#remove(call);
    if (pending === undefined) return;
    const {halted, draining} = this.#scheduler;
    const end = halted && draining ? 'this Python was ended before the function had finished' : this.#fleet.describeEnd(worker);
    pending.caller.onError(pending.unanswered(code, end));
  }

  /**
   * The error of a call that the pool does not take.
   *
   * @param {PendingCall} pending
   * @param {unknown} error
   */
  #refusal(pending, error) {
    if (error instanceof FrameError) {
      return pending.error({code: 'body_too_large', message: `the call is larger than what a worker can be sent at once: ${error.message}`});
    }
    if (!(error instanceof Refused)) return error;
    const {code} = error;
    const {loadError} = this.#fleet;
    const message = code === 'draining' && loadError || REFUSALS[code] || loadError;
    return pending.error({code, message});
  }

  /** @param {number} id */
  #remove(id) {
    const pending = this.#calls.get(id);
    if (pending === undefined) return undefined;
    this.#calls.delete(id);
    this.#anchor.release();
    pending.stopListening?.();
    return pending;
  }
}
