// @ts-check
/** The calls of a Controller wait for those before them. */

import assert from 'node:assert/strict';
import {test} from 'node:test';
import {CallOrder} from '../../../jshost/js/embedding/call_order.mjs';

const turn = () => new Promise(setImmediate);

/**
 * The names of the calls whose turn has come, in order.
 *
 * @param {CallOrder} order
 */
function enterAll(order) {
  /** @type {string[]} */
  const begun = [];
  const leaves = ['a', 'b', 'c'].map((name) => {
    const {before, leave} = order.enter();
    void before.then(() => begun.push(name));
    return leave;
  });
  return {begun, leaves};
}

test('a call begins after the one before it', async () => {
  const {begun, leaves: [leaveA, leaveB]} = enterAll(new CallOrder(true));
  await turn();
  assert.deepEqual(begun, ['a']);
  leaveA();
  await turn();
  assert.deepEqual(begun, ['a', 'b']);
  leaveB();
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

test('no call overtakes another, if one between them gives up', async () => {
  const {begun, leaves: [leaveA, leaveB]} = enterAll(new CallOrder(true));
  leaveB();
  await turn();
  assert.deepEqual(begun, ['a']);
  leaveA();
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

test('without an order all begin at once', async () => {
  const {begun} = enterAll(new CallOrder(false));
  await turn();
  assert.deepEqual(begun, ['a', 'b', 'c']);
});

for (const isOrdered of [true, false]) {
  test(`all are done when each has left, ${isOrdered ? 'in order' : 'at the same time'}`, async () => {
    const order = new CallOrder(isOrdered);
    const {leaves} = enterAll(order);
    let isDone = false;
    const done = order.done().then(() => { isDone = true; });
    leaves[2]();
    leaves[0]();
    await turn();
    assert.equal(isDone, false);
    order.enter(); // later ones are not waited for
    leaves[1]();
    await done;
  });
}
