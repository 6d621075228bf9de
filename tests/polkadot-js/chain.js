// SPDX-License-Identifier: Apache-2.0
//
// What the tests do on a chain, in the words of a user of polkadot-js.

import { randomBytes } from 'node:crypto';

import { ApiPromise, Keyring, WsProvider } from '@polkadot/api';

import { docs } from './catalogue.js';
import { Device, hex, participantDigest } from './hashchain.js';

/** The study that both presets bring. */
export const STUDY = 0;

/** The well-known accounts of the presets and what they do there. */
export function accounts() {
  const keyring = new Keyring({ type: 'sr25519', ss58Format: 42 });
  const named = (name) => keyring.addFromUri(`//${name}`);
  return {
    member: named('Alice'),
    sponsor: named('Bob'),
    authenticationServer: named('Charlie'),
    relay: named('Dave'),
    nobody: named('Ferdie'),
    another: named('Ferdie//2'),
  };
}

export const connect = (endpoint) =>
  ApiPromise.create({ provider: new WsProvider(endpoint), noInitWarn: true, throwOnConnect: true });

/** Signs, submits, and resolves to the result once the block is finalised. Rejects when the pool turns it away. */
export async function submit(call, account) {
  let watching;
  const result = await new Promise((resolve, reject) => {
    watching = call.signAndSend(account, { nonce: -1 }, (result) => {
      if (result.isFinalized) resolve(result);
      if (result.isError) reject(new Error(`the transaction is ${result.status.type}`));
    });
    watching.catch(reject);
  });
  const stopWatching = await watching;
  stopWatching();
  return result;
}

/** What a user reads when a call failed: the error's name and its doc sentence. */
export function errorText(api, dispatchError) {
  const error = api.registry.findMetaError(dispatchError.asModule);
  return `${error.section}.${error.name}: ${docs(error)}`;
}

/** The call by which this server enrols a device. The device agrees to that server alone. */
export const enrolment = (api, device, server) =>
  api.tx.clientHashchain.enrol(
    STUDY, hex(device.key), hex(device.secretCommitment), hex(device.escrow), 0, hex(participantDigest()), null,
    hex(device.keyProof(api.genesisHash.toU8a(), STUDY, server.publicKey)),
  );

/** A new device, enrolled in the preset's study, with its number on this chain. */
export async function enrol(api, server) {
  const device = new Device();
  const result = await submit(
    enrolment(api, device, server),
    server,
  );
  if (result.dispatchError) throw new Error(errorText(api, result.dispatchError));
  const { event } = result.findRecord('clientHashchain', 'DeviceEnrolled');
  device.id = event.data.device.toNumber();
  device.begin(api.genesisHash.toU8a(), STUDY);
  return { device, event };
}

/** A night of sleep as a plain envelope. What it says is not the chain's business. */
export const night = (minutes) =>
  Buffer.concat([Buffer.from([0]), randomBytes(32), Buffer.from(JSON.stringify({ asleep: minutes }))]);
