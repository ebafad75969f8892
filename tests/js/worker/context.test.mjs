// @ts-check
/** The host as functions see it. */

import assert from 'node:assert/strict';
import {describe, test} from 'node:test';
import {ConfigError} from '../../../jshost/js/exceptions.mjs';
import {makeHostContext} from '../../../jshost/js/worker/context.mjs';

const nothing = () => {};
const logger = {log: nothing, info: nothing, warn: nothing, error: nothing, debug: nothing};

test('it has the config with its extra properties, and the logger', () => {
  const host = makeHostContext({apiKey: 'secret'}, new Map(), logger);
  assert.equal(host.config.apiKey, 'secret');
  assert.equal(host.logger, logger);
});

describe('addFunction', () => {
  test('serves one more function, also when it is taken out of the host', () => {
    const functions = new Map([['f', nothing]]);
    const {addFunction} = makeHostContext({}, functions, logger);
    addFunction('g', nothing);
    assert.deepEqual([...functions.keys()], ['f', 'g']);
  });

  test('refuses a name that is taken', () => {
    const {addFunction} = makeHostContext({}, new Map([['f', nothing]]), logger);
    const message = 'A function has already been defined with the name "f"';
    assert.throws(() => addFunction('f', nothing), (error) => error instanceof ConfigError && error.message === message);
  });

  test('refuses what is no function', () => {
    const {addFunction} = makeHostContext({}, new Map(), logger);
    assert.throws(() => addFunction('f', /** @type {any} */ ('text')), /addFunction\("f", …\) needs a function, not a string/);
  });
});
