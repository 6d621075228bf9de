// SPDX-License-Identifier: Apache-2.0
//
// The client hashchain, version 1, written from its specification (docs/protocol/hashchain.md) on nothing but Node's own
// cryptography: what somebody needs who writes a client in another language. It shares no line with the Rust crate,
// so where both agree with the test vectors, they agree with each other.

import { createHash, createHmac, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';

const DOMAIN = Buffer.from('mhealth-hashchain/1');
const ZERO = Buffer.alloc(32);

/** Length as 4 bytes big-endian, then the bytes. */
const lengthPrefixed = (part) => Buffer.concat([u32(part.length), part]);

export const encode = (label, ...parts) =>
  Buffer.concat([DOMAIN, Buffer.from(label), ...parts].map(lengthPrefixed));

export const hash = (label, ...parts) =>
  createHash('sha256').update(encode(label, ...parts)).digest();

const mac = (key, label, ...parts) =>
  createHmac('sha256', key).update(encode(label, ...parts)).digest();

function u32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

function u64(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

export const digest = (envelope) => hash('data', envelope);
export const tag = (key, sequence, previous, dataDigest) => mac(key, 'tag', u64(sequence), previous, dataDigest);
export const link = (sequence, previous, dataDigest, entryTag) =>
  hash('link', u64(sequence), previous, dataDigest, entryTag);
export const next = (key) => mac(key, 'next');
export const headMessage = (head) => encode('head', head);

/** Link 0. `predecessor` is the head that the device goes on from, if it was enrolled again. */
export const genesis = ({ chain, study, deviceKey, predecessor = ZERO, secretCommitment, escrow }) =>
  hash('genesis', chain, u32(study), deviceKey, predecessor, secretCommitment, hash('escrow', escrow));

/** What the device signs so that the chain takes its key from this server and no other. */
export const keyProofMessage = ({
  chain, study, server, deviceKey, predecessor, secretCommitment, escrow, auditorEpoch, auditorKey, participant,
}) =>
  encode(
    'key-proof', chain, u32(study), server, deviceKey, predecessor === undefined ? Buffer.alloc(0) : u32(predecessor),
    secretCommitment, hash('escrow', escrow), u32(auditorEpoch), auditorKey, participant,
  );

/** Says to which key a device seals its data, or that it seals them to nobody. */
export const participantDigest = (key = Buffer.alloc(0)) => hash('participant', key);

/** The auditor's key of the presets' studies. */
const AUDITOR_KEY = Buffer.from('3b78cd0744759f346d3d0fbd72cbaff865109c1aa5e7f43e514c47563fabb23e', 'hex');

// DER around a raw Ed25519 key: all that Node asks for beyond the 32 bytes.
const privateKey = (seed) =>
  createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' });
const publicKey = (raw) =>
  createPublicKey({ key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]), format: 'der', type: 'spki' });

export const verifyEd25519 = (key, message, signature) => verify(null, message, publicKey(key), signature);

/** A patient's device: its keys, its secret, and how far its hashchain has come. */
export class Device {
  #signer = privateKey(randomBytes(32));
  #ratchet = randomBytes(32);
  #head;

  constructor() {
    this.key = createPublicKey(this.#signer).export({ format: 'der', type: 'spki' }).subarray(-32);
    this.secretCommitment = hash('secret', this.#ratchet);
    this.escrow = randomBytes(81); // stands for the secret, sealed to the study's auditor
    this.length = 0;
  }

  get head() {
    return this.#head;
  }

  /** Computes link 0, which the chain computes for itself when the device is enrolled. */
  begin(chain, study) {
    this.#head = genesis({ chain, study, deviceKey: this.key, secretCommitment: this.secretCommitment, escrow: this.escrow });
    return this.#head;
  }

  /** Agrees to be enrolled in a study of this chain by the server with this account. */
  keyProof(chain, study, server) {
    const { key: deviceKey, secretCommitment, escrow } = this;
    const message = keyProofMessage({
      chain, study, server, deviceKey, secretCommitment, escrow,
      auditorEpoch: 0, auditorKey: AUDITOR_KEY, participant: participantDigest(),
    });
    return sign(null, message, this.#signer);
  }

  /** Seals one entry to the chain; its key is forgotten. */
  append(envelope) {
    const dataDigest = digest(envelope);
    this.length += 1;
    const entryTag = tag(this.#ratchet, this.length, this.#head, dataDigest);
    this.#head = link(this.length, this.#head, dataDigest, entryTag);
    this.#ratchet = next(this.#ratchet);
    return { digest: dataDigest, tag: entryTag };
  }

  /** Appends the envelopes and returns them as a run, in the words of the chain. */
  run(device, envelopes) {
    const sequence = this.length + 1;
    const previous = hex(this.#head);
    const entries = envelopes.map((envelope) => this.append(envelope));
    return {
      device,
      sequence,
      previous,
      entries: entries.map((entry) => ({ digest: hex(entry.digest), tag: hex(entry.tag) })),
      signature: hex(this.sign(this.#head)),
    };
  }

  /** What a thief holds who copies everything off the phone. */
  copy() {
    const copy = new Device();
    copy.#signer = this.#signer;
    copy.#ratchet = this.#ratchet;
    copy.#head = this.#head;
    return Object.assign(copy, this);
  }

  sign(head) {
    return sign(null, headMessage(head), this.#signer);
  }
}

/** As polkadot-js wants bytes: a raw Uint8Array would be read as length-prefixed. */
export const hex = (bytes) => `0x${Buffer.from(bytes).toString('hex')}`;

/**
 * Checks a whole chain as an auditor does who holds envelopes and secret. Returns nothing when it holds, otherwise the
 * layer that caught it. In this order: `link` (anyone can check it), `digest` (who has the envelopes), `tag` (who has
 * the secret), `signature` (anyone).
 */
export function refusal(device, secret, { entries, head, signature }) {
  let previous = genesis(device);
  for (const [position, entry] of entries.entries()) {
    const follows = Number(entry.sequence) === position + 1 && entry.previous.equals(previous);
    if (!follows || !link(entry.sequence, previous, entry.digest, entry.tag).equals(entry.hash)) return 'link';
    previous = entry.hash;
  }
  if (!previous.equals(head)) return 'link';
  if (!entries.every((entry) => digest(entry.envelope).equals(entry.digest))) return 'digest';
  let key = secret;
  for (const entry of entries) {
    if (!tag(key, entry.sequence, entry.previous, entry.digest).equals(entry.tag)) return 'tag';
    key = next(key);
  }
  return verifyEd25519(device.deviceKey, headMessage(head), signature) ? undefined : 'signature';
}
