// SPDX-License-Identifier: Apache-2.0
//
// polkadot-api with descriptors that it generates from the chain's metadata.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

import { Binary, createClient } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';
import { getWsProvider } from 'polkadot-api/ws';

import { startNode } from '../polkadot-js/node.js';
import { accounts, hex, newDevice, STUDY } from './chain.js';

const modules = fileURLToPath(new URL('node_modules', import.meta.url));

/** What `papi add` and `papi generate` make of a node, in a folder of its own. */
async function generate(folder, endpoint) {
  await mkdir(join(folder, '.papi'));
  await symlink(modules, join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  const config = {
    version: 0,
    descriptorPath: '.papi/descriptors',
    entries: { mhealth: { wsUrl: endpoint } },
    // Otherwise the tool installs the descriptors as a package of the program around it.
    options: { noDescriptorsPackage: true },
  };
  await writeFile(join(folder, '.papi', 'polkadot-api.json'), JSON.stringify(config));
  const tool = join(modules, 'polkadot-api', 'bin', 'cli.js');
  await promisify(execFile)(process.execPath, [tool, 'generate'], { cwd: folder });
  const descriptors = join(folder, '.papi', 'descriptors', 'dist');
  const { mhealth } = await import(pathToFileURL(join(descriptors, 'index.js')));
  return { mhealth, types: await readFile(join(descriptors, 'mhealth.d.ts'), 'utf8') };
}

describe('polkadot-api', () => {
  let folder, node, client, api, types, roles;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mhealth-papi-'));
    node = await startNode();
    const generated = await generate(folder, node.endpoint);
    types = generated.types;
    client = createClient(getWsProvider(node.endpoint));
    api = client.getTypedApi(generated.mhealth);
    roles = await accounts();
  });

  after(async () => {
    client?.destroy();
    await node?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const signer = (account) => getPolkadotSigner(account.publicKey, 'Sr25519', (input) => account.sign(input));

  test('its descriptors have our calls, our runtime API and our sentences', () => {
    for (const name of ['submit_batch', 'set_auditor_key', 'HashchainApi', 'vote_urgent']) {
      assert.ok(types.includes(name), name);
    }
    assert.match(types, /The run names a previous link that is not the stored head/);
  });

  test('it enrols a device, brings a run, and reads the head in three ways', async () => {
    const { genesis } = await client.getChainSpecData().then(({ genesisHash }) => ({ genesis: genesisHash }));
    const { device, enrolment } = newDevice(genesis, roles.authenticationServer);
    const enrolled = await api.tx.ClientHashchain.enrol({
      ...enrolment,
      escrow: Binary.fromHex(enrolment.escrow),
      predecessor: undefined,
    }).signAndSubmit(signer(roles.authenticationServer));
    assert.ok(enrolled.ok, JSON.stringify(enrolled.dispatchError));
    const [{ payload: event }] = api.event.ClientHashchain.DeviceEnrolled.filter(enrolled.events);
    assert.equal(event.genesis, hex(device.head));

    const run = device.run(event.device, [Buffer.from([0, 1, 2])]);
    const brought = await api.tx.ClientHashchain.submit({
      run: { ...run, sequence: BigInt(run.sequence) },
    }).signAndSubmit(signer(roles.relay));
    assert.ok(brought.ok, JSON.stringify(brought.dispatchError));

    const head = hex(device.head);
    assert.equal((await api.apis.HashchainApi.head(event.device)).hash, head);
    assert.equal((await api.view.ClientHashchain.head(event.device)).hash, head);
    assert.equal((await api.view.ClientHashchain.device(event.device)).length, 1n);
    assert.equal((await api.view.ClientHashchain.study(STUDY)).open, true);
    const page = await api.query.ClientHashchain.HeadPages.getValue(0);
    assert.ok(page.some((each) => each.hash === head));
  });

  test('a refusal comes by its name, before and in a block', async () => {
    const { genesisHash } = await client.getChainSpecData();
    const { device } = newDevice(genesisHash, roles.authenticationServer);
    const run = device.run(4_000_000, [Buffer.from([0])]);
    const refused = await api.tx.ClientHashchain.submit({
      run: { ...run, sequence: BigInt(run.sequence) },
    }).signAndSubmit(signer(roles.relay));
    assert.equal(refused.ok, false);
    const { type, value } = refused.dispatchError;
    assert.deepEqual([type, value.type, value.value.type], ['Module', 'ClientHashchain', 'UnknownDevice']);

    const stranger = api.tx.System.remark({ remark: Binary.fromText('let me in') });
    await assert.rejects(stranger.signAndSubmit(signer(roles.nobody)), (error) => {
      const { type, value } = error.error;
      assert.deepEqual([type, value.type, value.value], ['Invalid', 'Custom', 101]);
      return true;
    });
  });

  test('fees are the one thing that it asks for and does not get: there are none', async () => {
    const call = api.tx.System.remark({ remark: Binary.fromText('free') });
    await assert.rejects(call.getEstimatedFees(roles.relay.address));
  });
});
