// SPDX-License-Identifier: Apache-2.0
//
// For web pages: IndexedDB, Web Locks, WebCrypto, fetch.

import load from './wasm/mhealth.js';

export * from './common.js';
export { IndexedDbStore, WebCryptoKeystore, persist, persisted } from './indexeddb.js';
import { IndexedDbStore, WebCryptoKeystore } from './indexeddb.js';
import { Phone } from './phone.js';
import type { PhoneChoices } from './phone.js';

let loaded: Promise<unknown> | undefined;

/** Loads the library. Before anything else; once is enough. `address` is for pages that serve the Wasm file elsewhere. */
export async function ready(address: string | URL = new URL('./wasm/mhealth_bg.wasm', import.meta.url)): Promise<void> {
  await (loaded ??= load({ module_or_path: address }));
}

/** The phone of this page's origin and profile. `options` as for `Phone.open`. */
export async function openPhone(options: { name?: string } & PhoneChoices = {}): Promise<Phone> {
  await ready();
  const { name = 'mhealth-chain', ...others } = options;
  return Phone.open({ store: new IndexedDbStore(name), keystore: new WebCryptoKeystore(name), ...others });
}
