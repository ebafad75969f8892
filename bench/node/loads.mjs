// The load generator for Node programs: what load.py is for Python's. Every load answers an object of
// named numbers. Runs in: node/driver.mjs.

import {setTimeout as pause} from 'node:timers/promises';

const CHUNK = '0123456789';
const LINE = '<li class="item">line</li>\n';
const PROBE_PAUSE_MS = 1;

/** @typedef {import('./callers.mjs').Caller} Caller */

/** @param {number[]} samples */
function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {Caller} caller
 * @param {string} name
 * @param {any} args
 */
async function check(caller, name, args) {
  const result = await caller.call(name, args);
  const expected = name === 'tiny' ? args.x + 1 : args.text;
  if (result !== expected) throw new Error(`${name} answered ${String(result).slice(0, 60)}`);
}

/**
 * One call after another, up to `count` calls or `seconds`. `text_bytes` stands for a `text` of so many
 * bytes of markup.
 *
 * @param {Caller} caller
 * @param {{function: string, count: number, seconds: number, x?: number, text_bytes?: number}} load
 */
async function latency(caller, {function: name, count, seconds, x, text_bytes: size}) {
  const args = size === undefined ? {x} : {text: LINE.repeat(size / LINE.length + 1).slice(0, size)};
  await check(caller, name, args);
  const samples = [];
  const end = performance.now() + seconds * 1e3;
  while (samples.length < count) {
    const before = performance.now();
    await caller.call(name, args);
    const after = performance.now();
    samples.push((after - before) * 1e3);
    if (after > end) break;
  }
  samples.sort((a, b) => a - b);
  const p95 = samples[Math.min(samples.length - 1, Math.round(samples.length * 0.95))];
  return {calls: samples.length, p50_us: median(samples), p95_us: p95};
}

/**
 * `calls` of the tiny function always in flight, for `seconds`: calls per second.
 *
 * @param {Caller} caller
 * @param {{calls: number, seconds: number}} load
 */
async function inFlight(caller, {calls, seconds}) {
  await Promise.all(Array.from({length: calls}, (_, x) => check(caller, 'tiny', {x})));
  let made = 0;
  const begin = performance.now();
  const end = begin + seconds * 1e3;
  async function one() {
    while (performance.now() < end) {
      await caller.call('tiny', {x: 1});
      made += 1;
    }
  }
  await Promise.all(Array.from({length: calls}, one));
  return {calls_per_s: made / (performance.now() - begin) * 1e3};
}

/**
 * `callers` calls at once of a function that waits `ms`: until all have finished.
 *
 * @param {Caller} caller
 * @param {{callers: number, ms: number}} load
 */
async function fan(caller, {callers, ms}) {
  const begin = performance.now();
  await Promise.all(Array.from({length: callers}, () => caller.call('sleep', {ms})));
  return {ms: performance.now() - begin};
}

/**
 * Streams of `count` chunks of 10 bytes, one stream after another: chunks per second.
 *
 * @param {Caller} caller
 * @param {{function: string, count: number, seconds: number}} load
 */
async function stream(caller, {function: name, count, seconds}) {
  const {stream: begin} = /** @type {Required<Caller>} */ (caller);
  for await (const _ of begin(name, {count: 100})); // compiled before it is timed
  let chunks = 0;
  const began = performance.now();
  let elapsed = 0;
  for (; elapsed < seconds * 1e3; elapsed = performance.now() - began) {
    let [last, read] = [/** @type {unknown} */ (undefined), 0];
    for await (const chunk of begin(name, {count})) {
      last = chunk;
      read += 1;
    }
    if (read !== count || last !== CHUNK) throw new Error(`${name} gave ${read} chunks, at last ${last}`);
    chunks += read;
  }
  return {chunks_per_s: chunks / elapsed * 1e3};
}

/**
 * `callers` callers of a function that burns `ms` of CPU; another makes tiny calls meanwhile.
 *
 * @param {Caller} caller
 * @param {{callers: number, calls: number, ms: number}} load
 */
async function burn(caller, {callers, calls, ms}) {
  await caller.call('burn', {ms});
  /** @type {number[]} */
  const waits = [];
  let burning = callers;
  const begin = performance.now();
  async function burner() {
    for (let made = 0; made < calls; made += 1) await caller.call('burn', {ms});
    burning -= 1;
    return performance.now() - begin;
  }
  async function prober() {
    while (burning > 0) {
      const before = performance.now();
      await caller.call('tiny', {x: 1});
      waits.push(performance.now() - before);
      await pause(PROBE_PAUSE_MS);
    }
    return 0;
  }
  const taken = await Promise.all([prober(), ...Array.from({length: callers}, burner)]);
  const speedUp = callers * calls * ms / Math.max(...taken);
  return {speed_up: speedUp, wait_p50_ms: median(waits), wait_max_ms: Math.max(...waits)};
}

/** @type {Record<string, (caller: Caller, load: any) => Promise<Record<string, number>>>} */
export const LOADS = {latency, in_flight: inFlight, fan, stream, burn};
