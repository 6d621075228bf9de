// SPDX-License-Identifier: Apache-2.0
//
// dedot, which learns the chain from its metadata when it connects.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { DedotClient, WsProvider } from 'dedot';

import { startNode } from '../polkadot-js/node.js';
import { accounts, enrolling, hex, newDevice, STUDY } from './chain.js';

describe('dedot', () => {
  let node, client, roles;

  before(async () => {
    node = await startNode();
    client = await DedotClient.new(new WsProvider(node.endpoint));
    roles = await accounts();
  });

  after(async () => {
    await client?.disconnect();
    await node?.stop();
  });

  /** Resolves to the result once the block is finalised. */
  const submit = async (call, account) => await call.signAndSend(account).untilFinalized();

  test('it enrols a device, brings a run, and reads the head', async () => {
    const { device, enrolment } = newDevice(client.genesisHash, roles.authenticationServer);
    const enrolled = await submit(enrolling(client, enrolment), roles.authenticationServer);
    assert.equal(enrolled.dispatchError, undefined);
    const { data: event } = client.events.clientHashchain.DeviceEnrolled.find(enrolled.events).palletEvent;
    const run = device.run(event.device, [Buffer.from([0, 1, 2])]);
    const brought = await submit(client.tx.clientHashchain.submit({ ...run, sequence: BigInt(run.sequence) }), roles.relay);
    assert.equal(brought.dispatchError, undefined);
    const head = await client.call.hashchainApi.head(event.device);
    assert.equal(head.hash, hex(device.head));
    assert.equal((await client.view.clientHashchain.head(event.device)).hash, hex(device.head));
    assert.equal((await client.call.hashchainApi.study(STUDY)).open, true);
  });

  test('a refusal has its name and its sentence', async () => {
    const { device } = newDevice(client.genesisHash, roles.authenticationServer);
    const run = device.run(4_000_000, [Buffer.from([0])]);
    const call = client.tx.clientHashchain.submit({ ...run, sequence: BigInt(run.sequence) });
    const refused = await submit(call, roles.relay);
    assert.ok(client.errors.clientHashchain.UnknownDevice.is(refused.dispatchError));
    const { docs } = client.registry.findErrorMeta(refused.dispatchError);
    assert.match(docs.join(' '), /device/);
  });
});
