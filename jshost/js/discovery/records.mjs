// @ts-check
/**
 * The hosts that run on this machine for this user, as records.py writes them. Runs in: callers.
 */

import {createHash} from 'node:crypto';
import {existsSync, lstatSync, readFileSync, readdirSync, statSync} from 'node:fs';
import {homedir, tmpdir, userInfo} from 'node:os';
import {join} from 'node:path';
import {env, platform} from 'node:process';

/** Linux counts a process's start in these (sysconf(_SC_CLK_TCK)); it is 100 wherever Node runs. */
const TICKS_PER_S = 100;

/**
 * A running host.
 *
 * @typedef {{configFile: string, url: string, pid: number, startedAt: number, socketPath: string, token: string}} HostRecord
 */

/** The user's own folder for records, where platformdirs has it; the host makes it. */
function runtimeFolder() {
  if (platform === 'darwin') return join(homedir(), 'Library/Caches/TemporaryItems/jshost');
  const {uid} = userInfo();
  const named = [env.XDG_RUNTIME_DIR, `/run/user/${uid}`].find((folder) => folder && isPrivate(folder, uid));
  return join(named ?? join(tmpdir(), `runtime-${uid}`), 'jshost');
}

/**
 * @param {string} folder
 * @param {number} uid
 */
function isPrivate(folder, uid) {
  const found = lstatSync(folder, {throwIfNoEntry: false});
  return found !== undefined && found.isDirectory() && found.uid === uid && (found.mode & 0o077) === 0;
}

/**
 * The hosts that serve a config file, the newest first.
 *
 * @param {string} configFile absolute, without links
 * @returns {HostRecord[]}
 */
export function findHosts(configFile) {
  const folder = runtimeFolder();
  const begin = `host-${digest(configFile)}-`;
  return namesIn(folder)
    .filter((name) => name.startsWith(begin) && name.endsWith('.json'))
    .map((name) => readRecord(join(folder, name)))
    .filter((record) => record !== undefined)
    .filter(isAlive)
    .sort((one, other) => other.startedAt - one.startedAt);
}

/**
 * The fastest URL of a host for this process.
 *
 * @param {HostRecord} record
 */
export function fastestUrl({url, socketPath}) {
  return existsSync(socketPath) ? `unix://${socketPath}` : url;
}

/** @param {string} folder */
function namesIn(folder) {
  try {
    if (statSync(folder).uid !== userInfo().uid) return []; // another user wrote them
    return readdirSync(folder);
  } catch {
    return []; // no host has ever run
  }
}

/**
 * @param {string} path
 * @returns {HostRecord | undefined}
 */
function readRecord(path) {
  let record;
  try {
    record = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined; // its host has just ended
  }
  const {config_file: configFile, url, pid, started_at: startedAt, token = ''} = record ?? {};
  if (typeof url !== 'string' || !Number.isInteger(pid) || typeof startedAt !== 'number' || typeof token !== 'string') return undefined;
  return {configFile, url, pid, startedAt, token, socketPath: path.replace(/\.json$/, '.sock')};
}

/** @param {HostRecord} record */
function isAlive({pid, startedAt}) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return platform !== 'linux' || Math.abs(startOfProcess(pid) - startedAt) < 1;
}

/**
 * When a process began, in seconds since the epoch (proc(5)); its id may be another one's by now.
 *
 * @param {number} pid
 */
function startOfProcess(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\)/s, '').trim().split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return -Infinity;
    const boot = /^btime (\d+)/m.exec(readFileSync('/proc/stat', 'latin1'));
    return Number(fields[19]) / TICKS_PER_S + Number(boot?.[1]);
  } catch {
    return -Infinity;
  }
}

/** @param {string} configFile */
function digest(configFile) {
  return createHash('sha1').update(configFile).digest('hex').slice(0, 16);
}
