// SPDX-License-Identifier: Apache-2.0
//
// The address list, read by the library with which Apps keeps its addresses.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';

import { cryptoWaitReady } from '@polkadot/util-crypto';

import { script } from './addresses.js';
import { accounts, connect } from './chain.js';
import { startNode } from './node.js';

describe('the address list for Apps', () => {
  let node, api;

  before(async () => {
    node = await startNode('--sealing', 'instant');
    api = await connect(node.endpoint);
    await cryptoWaitReady();
  });

  after(async () => {
    await api?.disconnect();
    await node?.stop();
  });

  /** Runs the script in a page with this storage. */
  function paste(text, storage) {
    let reloads = 0;
    const localStorage = {
      getItem: (key) => storage.get(key) ?? null,
      setItem: (key, value) => storage.set(key, value),
    };
    runInNewContext(text, { localStorage, location: { reload: () => (reloads += 1) }, JSON });
    assert.equal(reloads, 1);
  }

  /** The names in the address book that are for a chain, by address. */
  function names(storage, genesisHash) {
    const entries = [...storage.values()].map((text) => JSON.parse(text));
    const own = entries.filter(({ meta }) => meta.genesisHash === genesisHash);
    return Object.fromEntries(own.map(({ address, meta }) => [address, meta.name]));
  }

  test('Apps shows every office by its name, on this chain alone', async () => {
    const storage = new Map();
    paste(await script(api), storage);
    const roles = accounts();
    const shown = names(storage, api.genesisHash.toHex());
    assert.equal(shown[roles.member.address], 'member, validator');
    assert.equal(shown[roles.sponsor.address], 'sponsor of study 0, sponsor of study 1');
    assert.match(shown[roles.authenticationServer.address], /^authentication server of study 0/);
    assert.match(shown[roles.relay.address], /^relay of study 0/);
    assert.equal(shown[roles.nobody.address], undefined);
    assert.deepEqual(names(storage, `0x${'11'.repeat(32)}`), {});
  });

  test('a name that somebody gave stays', async () => {
    const storage = new Map();
    const key = `address:${api.createType('AccountId', accounts().relay.address).toHex()}`;
    const mine = JSON.stringify({ address: accounts().relay.address, meta: { name: 'ours' } });
    storage.set(key, mine);
    paste(await script(api), storage);
    assert.equal(storage.get(key), mine);
  });
});
