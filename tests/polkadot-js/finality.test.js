// SPDX-License-Identifier: Apache-2.0
//
// What only a node can give, against a development chain with its real consensus: a device's head with everything that
// somebody offline needs to believe it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { ApiPromise, WsProvider } from '@polkadot/api';

import { accounts, connect, enrol, night, submit } from './chain.js';
import { hex, verifyEd25519 } from './hashchain.js';
import { startNode } from './node.js';

describe('proofs of finality', () => {
  let node, api, device, run, brought;
  const rpc = (method, ...params) => api._rpcCore.provider.send(method, params);

  before(async () => {
    node = await startNode();
    api = await connect(node.endpoint);
    const roles = accounts();
    ({ device } = await enrol(api, roles.authenticationServer));
    run = device.run(device.id, [night(400)]);
    brought = await submit(api.tx.clientHashchain.submit(run), roles.relay);
  });

  after(async () => {
    await api?.disconnect();
    await node?.stop();
  });

  /** Asks at every newly finalised block, until the answer holds the device's head as it is now. */
  async function proofOfHead() {
    const current = await api.rpc.chain.getFinalizedHead();
    const { number } = await api.rpc.chain.getHeader(current);
    return new Promise((resolve, reject) => {
      const stop = api.rpc.chain.subscribeFinalizedHeads(async () => {
        const answer = await rpc('hashchain_proveHead', device.id).catch((error) => ({ error }));
        if (answer.error ? false : answer.blockNumber >= number.toNumber()) {
          (await stop)();
          resolve(answer);
        }
      });
      stop.catch(reject);
    });
  }

  test('hashchain_proveHead proves a head to somebody who knows only the validators', async (t) => {
    const answer = await proofOfHead();
    t.diagnostic(`block ${answer.blockNumber}, ${answer.proof.length} trie nodes`);

    const header = api.createType('Header', answer.header);
    assert.equal(header.hash.toHex(), answer.blockHash);
    assert.equal(header.number.toNumber(), answer.blockNumber);

    // The storage proof begins at the header's state root, and is the one the node gives for these keys.
    const roots = answer.proof.map((trieNode) => hex(api.registry.hash(Buffer.from(trieNode.slice(2), 'hex'))));
    assert.ok(roots.includes(header.stateRoot.toHex()));
    const keys = await (await api.at(answer.blockHash)).call.hashchainApi.headProofKeys(device.id);
    assert.deepEqual(answer.keys, keys.map((key) => key.toHex()));
    const plain = await api.rpc.state.getReadProof(answer.keys, answer.blockHash);
    assert.deepEqual([...answer.proof].sort(), plain.proof.map((trieNode) => trieNode.toHex()).sort());

    // The finality proof: this block, voted for by more than two thirds of the authorities.
    const finality = api.createType('(Hash, Bytes, Vec<Header>)', answer.finalityProof);
    const justification = api.createType('GrandpaJustification', finality[1]);
    const authorities = await api.call.grandpaApi.grandpaAuthorities();
    const set = await api.query.grandpa.currentSetId();
    const voters = justification.commit.precommits.filter(({ precommit, id, signature }) => {
      const message = api.createType('(u8, Hash, u32, u64, u64)', [
        1, precommit.targetHash, precommit.targetNumber, justification.round, set,
      ]);
      return verifyEd25519(id.toU8a(), message.toU8a(), signature.toU8a());
    });
    assert.ok(voters.length * 3 > authorities.length * 2);
    assert.equal(finality[0].toHex(), answer.blockHash);
    assert.equal(justification.commit.targetHash.toHex(), answer.blockHash);
  });

  const here = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const { rpc: methods, types, errors } = JSON.parse(here('docs/protocol/hashchain-rpc.json'));

  test('the definitions have every method and every code of the node, and no others', async () => {
    const answer = await rpc('rpc_methods');
    const ours = answer.methods.filter((name) => name.startsWith('hashchain_'));
    const defined = Object.keys(methods.hashchain).map((name) => `hashchain_${name}`);
    assert.deepEqual(defined.sort(), ours.sort());
    const source = ['prove_head', 'runs'].map((name) => here(`node/src/rpc/${name}.rs`)).join('');
    const codes = [...source.matchAll(/=> 9_(1\d\d),/g)].map(([, digits]) => `9${digits}`);
    assert.deepEqual(Object.keys(errors).sort(), [...new Set(codes)].sort());
  });

  test('with the definitions of our methods, the library knows them by name and reads their answers', async () => {
    const provider = new WsProvider(node.endpoint);
    const knowing = await ApiPromise.create({ provider, rpc: methods, types, noInitWarn: true, throwOnConnect: true });
    try {
      await proofOfHead();
      const read = await knowing.rpc.hashchain.proveHead(device.id, null, { set: null, record: true });
      const answer = await rpc('hashchain_proveHead', device.id, read.blockHash.toHex(), { set: null, record: true });
      assert.deepEqual(Object.keys(answer).sort(), Object.keys(types.HashchainHeadProof).sort());
      assert.deepEqual(read.toJSON(), answer);
      const block = await knowing.rpc.hashchain.proveFinality(read.blockHash, { set: null, record: false });
      assert.deepEqual(Object.keys(block.toJSON()).sort(), Object.keys(types.HashchainBlockProof).sort());
      // The votes may be later ones.
      for (const name of ['first', 'blockNumber', 'blockHash', 'header']) {
        assert.deepEqual(block.toJSON()[name], answer[name], name);
      }
      const at = brought.status.asFinalized;
      const runs = await knowing.rpc.hashchain.runs(device.id, at);
      const told = await rpc('hashchain_runs', device.id, at.toHex());
      assert.equal(told.length, 1);
      assert.deepEqual(Object.keys(told[0]).sort(), Object.keys(types.HashchainBroughtRun).sort());
      assert.deepEqual(runs.map((each) => each.toJSON()), told);
      assert.equal(runs[0].submitter.toString(), accounts().relay.address);
      assert.ok(runs[0].run.toHex().includes(run.entries[0].tag.slice(2)), 'the run has the tag');
      const unknown = knowing.rpc.hashchain.proveHead(4_000_000);
      await assert.rejects(unknown, ({ code }) => errors[code] === 'there is no such device');
    } finally {
      await knowing.disconnect();
    }
  });

  test('a device that does not exist is an error with a code of its own', async () => {
    await assert.rejects(rpc('hashchain_proveHead', 4_000_000), { code: 9_101 });
  });

  test("GRANDPA's own methods answer; before validators changed for the first time, they have no proof", async () => {
    const state = await api.rpc.grandpa.roundState();
    assert.ok(state.best.totalWeight.toNumber() > 0);
    await assert.rejects(api.rpc.grandpa.proveFinality(1), /not covered by authority set changes/);
  });
});
