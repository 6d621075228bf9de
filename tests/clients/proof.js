// SPDX-License-Identifier: Apache-2.0
//
// A head by two ways: what a light client reads from the network by itself, and what `hashchain_proveHead` of one node proves.

import assert from 'node:assert/strict';

import { ask, finalised } from './network.js';

/** Asserts that a node proves this head, and returns the proof. */
export async function assertProved({ node, device, head }) {
  const proof = await ask(node.endpoint, 'hashchain_proveHead', device.id);
  // The proof has the stored page of heads among its nodes, down from the state's root in the block's header.
  assert.ok(proof.proof.some((part) => part.includes(head.slice(2))), 'the proof has the head');
  return proof;
}

/** Asserts that both are `head`, in the same final block. Returns the block's number. */
export async function assertSameHead({ client, node, device, head }) {
  const { number } = await ask(node.endpoint, 'chain_getHeader').then(({ number }) => ({ number: Number(number) }));
  // A block that both know to be final.
  await finalised(client, (block) => block.number >= number - 1);
  const proof = await assertProved({ node, device, head });
  const block = await finalised(client, (block) => block.number >= proof.blockNumber);

  const at = block.number === proof.blockNumber ? block.hash : await ancestor(client, block, proof.blockNumber);
  assert.equal(at, proof.blockHash, 'both have the same final block');
  const read = await client.getUnsafeApi().apis.HashchainApi.head(device.id, { at });
  assert.equal(read.hash, head, 'the light client reads the head');
  const header = await client.getBlockHeader(at);
  assert.ok(proof.header.includes(header.stateRoot.slice(2)), "the proof's state is the light client's");
  return block.number;
}

/** The hash of the block with this number before a block. */
async function ancestor(client, block, number) {
  let { hash, parent } = block;
  for (let at = block.number; at > number; at -= 1) {
    hash = parent;
    parent = (await client.getBlockHeader(hash)).parentHash;
  }
  return hash;
}
