// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as library from '../dist/node.js';
import { judged } from './cases.js';

const file = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url)));

test('every case comes out as it says, and false ones do not', () => {
  const held = judged(library, file('hashchain/tests/vectors/hashchain-v1.json'), file('evidence/tests/vectors/head-proofs-v1.json'));
  assert.ok(held > 0);
  console.log(`vectors: ${held} cases hold`);
});
