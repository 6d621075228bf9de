// SPDX-License-Identifier: Apache-2.0
//
// What the tests of all clients have in common: who signs, and a device that agrees to be enrolled.

import { Keyring } from '@polkadot/keyring';
import { cryptoWaitReady } from '@polkadot/util-crypto';

import { Device, hex, participantDigest } from '../polkadot-js/hashchain.js';

/** The study that both presets bring. */
export const STUDY = 0;

/** The well-known accounts of the presets, by what they do there. */
export async function accounts() {
  await cryptoWaitReady();
  const keyring = new Keyring({ type: 'sr25519', ss58Format: 42 });
  const named = (name) => keyring.addFromUri(`//${name}`);
  return {
    alice: named('Alice'),
    bob: named('Bob'),
    charlie: named('Charlie'),
    dave: named('Dave'),
    authenticationServer: named('Charlie'),
    relay: named('Dave'),
    nobody: named('Ferdie'),
  };
}

/** A new device, and what a server needs to enrol it: each field as hexadecimal digits. */
export function newDevice(genesis, server) {
  const device = new Device();
  const chain = Buffer.from(genesis.replace(/^0x/, ''), 'hex');
  const enrolment = {
    study: STUDY,
    key: hex(device.key),
    secret_commitment: hex(device.secretCommitment),
    escrow: hex(device.escrow),
    auditor_epoch: 0,
    participant: hex(participantDigest()),
    key_proof: hex(device.keyProof(chain, STUDY, server.publicKey)),
  };
  device.begin(chain, STUDY);
  return { device, enrolment };
}

/** The call of dedot by which the server enrols such a device. */
export function enrolling(client, enrolment) {
  const { study, key, secret_commitment, escrow, auditor_epoch, participant, key_proof } = enrolment;
  return client.tx.clientHashchain.enrol(
    study, key, secret_commitment, escrow, auditor_epoch, participant, undefined, key_proof,
  );
}

export { hex };
