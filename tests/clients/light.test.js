// SPDX-License-Identifier: Apache-2.0
//
// smoldot as a light client of four validators: it keeps no state and trusts no node.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { createClient } from 'polkadot-api';
import { getWsProvider } from 'polkadot-api/ws';

import { inBrowser } from './browser.js';
import { accounts, newDevice } from './chain.js';
import { ask, finalised, startDevelopment, startLightClient, startNetwork } from './network.js';
import { bring, enrol } from './people.js';
import { assertProved, assertSameHead } from './proof.js';

describe('smoldot as a light client', () => {
  let network, full, light, roles, device, head;

  before(async () => {
    network = await startNetwork();
    full = createClient(getWsProvider(network.nodes[0].endpoint));
    roles = await accounts();
    device = await enrol(full, roles);
    head = await bring(full, roles, device, [0, 1, 2]);
    light = await startLightClient(network.specification);
  });

  after(async () => {
    await light?.stop();
    full?.destroy();
    await network?.stop();
  });

  test('it follows finality, and reads the head that hashchain_proveHead proves', async () => {
    await assertSameHead({ client: light.client, node: network.nodes[1], device, head });
    // It goes on by itself, with a node less.
    await network.nodes[3].stop();
    const { number } = await light.client.getFinalizedBlock();
    await finalised(light.client, (block) => block.number > number + 3);
    head = await bring(full, roles, device, [0, 3]);
    await assertSameHead({ client: light.client, node: network.nodes[2], device, head });
  });

  test('transactions go through it, and a refusal comes by its name', async () => {
    head = await bring(light.client, roles, device, [0, 4]);
    await assertSameHead({ client: light.client, node: network.nodes[0], device, head });
    const { genesisHash } = await light.client.getChainSpecData();
    const { device: unknown } = newDevice(genesisHash, roles.authenticationServer);
    unknown.id = 4_000_000;
    await assert.rejects(bring(light.client, roles, unknown, [0]), /UnknownDevice/);
  });

  /** Asserts that a page comes to this head in a final block of the nodes' chain. Returns what it opened for that. */
  const assertSameInBrowser = async (t, specification, options) => {
    const answer = await inBrowser(t, { specification, options, device: device.id, length: device.length });
    if (!answer) return undefined;
    const [node] = network.nodes;
    assert.equal(answer.head, head);
    assert.equal(answer.hash, await ask(node.endpoint, 'chain_getBlockHash', answer.block));
    await assertProved({ node, device, head });
    return answer.opened;
  };

  test('in a browser it does the same over WebSocket', async (t) => {
    const opened = await assertSameInBrowser(t, network.specification, { forbidWebRtc: true });
    if (!opened) return;
    assert.ok(opened.WebSocket > 0);
    assert.equal(opened.RTCPeerConnection, 0);
  });

  test('in a browser it does the same over WebRTC alone, with no proxy and no certificate of anybody', async (t) => {
    const opened = await assertSameInBrowser(t, network.overWebRtc, { forbidWs: true, forbidWss: true });
    if (!opened) return;
    assert.ok(opened.RTCPeerConnection > 0);
    assert.equal(opened.WebSocket, 0);
  });
});

describe('smoldot and a chain of one node', () => {
  const beyondTheFirst = ({ number }) => number > 0;
  let took;

  test('a development chain is followed', async () => {
    const { client, stop } = await startDevelopment();
    try {
      const began = Date.now();
      await finalised(client, beyondTheFirst);
      took = Date.now() - began;
    } finally {
      await stop();
    }
  });

  test('a sealing chain has no proofs of finality, so no light client follows it', async () => {
    const { node, client, stop } = await startDevelopment('--sealing', '500');
    try {
      await assert.rejects(ask(node.endpoint, 'hashchain_proveFinality'), { code: 9_104 });
      // Three times as long as it takes on a chain with GRANDPA, and half a minute more.
      assert.notEqual(took, undefined, 'how long a chain with GRANDPA takes was not measured');
      const patience = 3 * took + 30_000;
      await assert.rejects(finalised(client, beyondTheFirst, patience), /no such block within/);
      const last = await ask(node.endpoint, 'chain_getFinalizedHead');
      const { number } = await ask(node.endpoint, 'chain_getHeader', last);
      assert.ok(Number(number) > 0, 'the node itself calls its blocks final');
    } finally {
      await stop();
    }
  });
});
