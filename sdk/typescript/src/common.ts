// SPDX-License-Identifier: Apache-2.0

export { HostFault } from './fault.js';
export { FetchTransport } from './host.js';
export type { Keystore, PhoneStore, Transport, Write } from './host.js';
export { MHealthError, Phone, ProofReader, Texts, checkChain, hashParts } from './phone.js';
export type { Advice, Chain, Language, PhoneChoices, PhoneParts, PhoneStanding, PhoneStatus, ProvedHead, SealedEntry } from './phone.js';
export type { HttpAnswer, HttpRequest } from './wasm/mhealth.js';
