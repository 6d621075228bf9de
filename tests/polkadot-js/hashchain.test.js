// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { encode, genesis, hash, hex, refusal } from './hashchain.js';

const file = process.env.HASHCHAIN_VECTORS ?? new URL('../../hashchain/tests/vectors/hashchain-v1.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8'), bytesFromHex);

/** The vectors write bytes in hexadecimal; what is text is named here. */
function bytesFromHex(name, value) {
  const text = ['schema', 'generator', 'type', 'comment', 'result', 'label', 'caughtBy'];
  return typeof value === 'string' && !text.includes(name) ? Buffer.from(value, 'hex') : value;
}

for (const { type, device, secret, tests } of vectors.testGroups) {
  for (const vector of tests) {
    const name = `vector ${vector.tcId}, ${vector.comment}, is ${vector.result}`;
    test(vector.caughtBy ? `${name}: caught by its ${vector.caughtBy}` : name, () => {
      if (type === 'Encoding') {
        assert.equal(hex(encode(vector.label, ...vector.parts)), hex(vector.encoding));
        assert.equal(hex(hash(vector.label, ...vector.parts)), hex(vector.hash));
      } else {
        assert.equal(hex(genesis(device)), hex(device.genesis));
        assert.equal(refusal(device, secret, vector), vector.caughtBy);
      }
    });
  }
}

test('the file holds as many vectors as it says', () => {
  const found = vectors.testGroups.reduce((sum, group) => sum + group.tests.length, 0);
  assert.equal(found, vectors.numberOfTests);
  assert.ok(found > 0);
});
