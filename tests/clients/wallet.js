// SPDX-License-Identifier: Apache-2.0
//
// What a hardware wallet signs: beside the call a digest of the metadata by which it was shown. The chain begins with the runtime that
// MHEALTH_RUNTIME names, which was built with the hash of its metadata: scripts/test hardware-wallets.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { DedotClient, WsProvider } from 'dedot';
import { MerkleizedMetadata } from 'dedot/merkleized-metadata';

import { exportedSpecification, launch, startNode } from '../polkadot-js/node.js';
import { accounts, enrolling, hex, newDevice } from './chain.js';

/** What runtime/build.rs says of a currency that is not there. */
const CURRENCY = { tokenSymbol: 'NONE', decimals: 0 };

/** The digest that a wallet computes from the chain's metadata, with this currency. */
async function digest(client, currency) {
  // RFC 78 is about this version.
  const metadata = await client.call.metadata.metadataAtVersion(15);
  return hex(Buffer.from(new MerkleizedMetadata(metadata, currency).digest()));
}

/** Enrols a new device by a call that is signed with a digest. Resolves to the result once the block is finalised. */
async function submit(client, server, metadataHash) {
  const { enrolment } = newDevice(client.genesisHash, server);
  return await enrolling(client, enrolment).signAndSend(server, { metadataHash }).untilFinalized();
}

/** A development chain that begins with this runtime. */
async function startWith(runtime, folder) {
  const specification = await exportedSpecification('dev');
  specification.genesis.runtimeGenesis.code = hex(await readFile(runtime));
  const file = join(folder, 'chain.json');
  await writeFile(file, JSON.stringify(specification));
  return launch(
    '--chain', file, '--alice', '--validator', '--force-authoring', '--base-path', join(folder, 'alice'),
    '--node-key', '1'.padStart(64, '0'), '--port', '0', '--no-mdns',
  );
}

describe('a hardware wallet', () => {
  let folder, node, client, server;

  before(async () => {
    const runtime = process.env.MHEALTH_RUNTIME;
    assert.ok(runtime, 'MHEALTH_RUNTIME names no runtime');
    folder = await mkdtemp(join(tmpdir(), 'mhealth-wallet-'));
    node = await startWith(runtime, folder);
    client = await DedotClient.new(new WsProvider(node.endpoint));
    server = (await accounts()).authenticationServer;
  });

  after(async () => {
    await client?.disconnect();
    await node?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test('signs for the metadata of a released runtime, and the chain takes it', async () => {
    const enrolled = await submit(client, server, await digest(client, CURRENCY));
    assert.equal(enrolled.dispatchError, undefined);
    assert.ok(client.events.clientHashchain.DeviceEnrolled.find(enrolled.events));
  });

  test('that was shown the calls by other metadata signs in vain', async () => {
    const another = await digest(client, { ...CURRENCY, decimals: 12 });
    await assert.rejects(submit(client, server, another), /BadProof/);
    const enrolled = await submit(client, server, undefined);
    assert.equal(enrolled.dispatchError, undefined, 'who asks for no check is taken as before');
  });
});

test('a runtime that was built without says that it has no hash of its metadata', async () => {
  const node = await startNode();
  const client = await DedotClient.new(new WsProvider(node.endpoint));
  try {
    const { authenticationServer } = await accounts();
    const metadataHash = await digest(client, CURRENCY);
    await assert.rejects(submit(client, authenticationServer, metadataHash), /CannotLookup/);
  } finally {
    await client.disconnect();
    await node.stop();
  }
});
