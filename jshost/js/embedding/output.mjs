// @ts-check
/** Passes on what Python prints and logs: as events, or to the program's stderr. Runs in: programs that own Python workers. */

/**
 * A pool's listener that emits `print`, `log` and `worker`. An event without listeners goes to stderr.
 *
 * @param {import('node:events').EventEmitter} events
 * @returns {import('../pool/owner.mjs').Listener}
 */
export function listenerFor(events) {
  return {
    onLine(worker, stream, {text, function: name, requestId}) {
      const hasListener = events.emit('print', {text, stream, function: name, requestId, pid: worker.process.pid});
      if (!hasListener) process.stderr.write(`${text}\n`);
    },
    onLog(worker, {level, message, function: name, requestId}) {
      const hasListener = events.emit('log', {level, message, function: name, requestId, pid: worker.process.pid});
      if (!hasListener && level !== 'debug') process.stderr.write(`${level.toUpperCase()}: ${message}\n`);
    },
    onNotice({kind, message}) {
      const hasListener = events.emit('worker', {kind, message});
      if (!hasListener && kind !== 'recycled') process.stderr.write(`jshost: ${message}\n`);
    },
  };
}
