// SPDX-License-Identifier: Apache-2.0
//
// smoldot over a change of the validators. It takes some ten minutes, because the consortium's decision takes effect in the
// session after next: npm run change.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createClient, Enum } from 'polkadot-api';
import { getWsProvider } from 'polkadot-api/ws';

import { accounts } from './chain.js';
import { finalised, startLightClient, startNetwork } from './network.js';
import { act, bring, enrol } from './people.js';
import { assertSameHead } from './proof.js';

/** Two sessions of five minutes, and some more. */
const PATIENCE = 15 * 60_000;

let network, full, light, roles;

before(async () => {
  network = await startNetwork();
  full = createClient(getWsProvider(network.nodes[0].endpoint));
  roles = await accounts();
  light = await startLightClient(network.specification);
});

after(async () => {
  await light?.stop();
  full?.destroy();
  await network?.stop();
});

const set = async (client, at) => Number(await client.getUnsafeApi().apis.GrandpaApi.current_set_id({ at }));

test('a light client goes on over a change of validators, and a new one comes over it', async (t) => {
  const device = await enrol(full, roles);
  let head = await bring(full, roles, device, [0]);
  await assertSameHead({ client: light.client, node: network.nodes[0], device, head });
  const first = await set(light.client, 'finalized');

  const decision = Enum('RemoveValidator', { validator: roles.dave.address });
  for (const member of [roles.alice, roles.bob, roles.charlie]) {
    await act(full.getUnsafeApi().tx.Consortium.vote_urgent({ decision }), member);
  }
  const sessions = 300;
  const { number } = await light.client.getFinalizedBlock();
  const block = await finalised(light.client, (block) => block.number > number + sessions + 5, PATIENCE);
  // Both at once, while the client still holds the block.
  const [next, authorities] = await Promise.all([
    set(light.client, block.hash),
    light.client.getUnsafeApi().apis.GrandpaApi.grandpa_authorities({ at: block.hash }),
  ]);
  t.diagnostic(`set ${first} until block ${number}, set ${next} in block ${block.number}`);
  assert.ok(next > first, 'the validators have changed');
  assert.equal(authorities.length, 3);

  head = await bring(full, roles, device, [0, 1]);
  await assertSameHead({ client: light.client, node: network.nodes[1], device, head });
  const late = await startLightClient(network.specification);
  try {
    await assertSameHead({ client: late.client, node: network.nodes[2], device, head });
    assert.equal(await set(late.client, 'finalized'), next);
  } finally {
    await late.stop();
  }
});
