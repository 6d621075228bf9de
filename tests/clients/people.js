// SPDX-License-Identifier: Apache-2.0
//
// What people do on the network of four through polkadot-api, without descriptors.

import { Binary } from 'polkadot-api';
import { getPolkadotSigner } from 'polkadot-api/signer';

import { newDevice } from './chain.js';

/** Signs, submits, and resolves to the events of the finalised transaction. Rejects when it failed. */
export async function act(call, account) {
  const signer = getPolkadotSigner(account.publicKey, 'Sr25519', (input) => account.sign(input));
  const result = await call.signAndSubmit(signer);
  if (!result.ok) throw new Error(JSON.stringify(result.dispatchError));
  return result.events;
}

/** A device that was enrolled, with its number. */
export async function enrol(client, roles) {
  const { genesisHash } = await client.getChainSpecData();
  const { device, enrolment } = newDevice(genesisHash, roles.authenticationServer);
  const api = client.getUnsafeApi();
  const call = api.tx.ClientHashchain.enrol({
    ...enrolment,
    escrow: Binary.fromHex(enrolment.escrow),
    predecessor: undefined,
  });
  const events = await act(call, roles.authenticationServer);
  const event = events.find(({ type, value }) => type === 'ClientHashchain' && value.type === 'DeviceEnrolled');
  device.id = event.value.value.device;
  return device;
}

/** Brings the device's next entry, and resolves to its head. */
export async function bring(client, roles, device, bytes) {
  const run = device.run(device.id, [Buffer.from(bytes)]);
  const api = client.getUnsafeApi();
  await act(api.tx.ClientHashchain.submit({ run: { ...run, sequence: BigInt(run.sequence) } }), roles.relay);
  return `0x${device.head.toString('hex')}`;
}
