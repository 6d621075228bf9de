// SPDX-License-Identifier: Apache-2.0
//
// For programs on Node.js: files, fetch.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { initSync } from './wasm/mhealth.js';
import { FileKeystore, FileStore } from './files.js';
import { Phone } from './phone.js';
import type { PhoneChoices } from './phone.js';

export * from './common.js';
export { FileKeystore, FileStore } from './files.js';

initSync({ module: readFileSync(new URL('./wasm/mhealth_bg.wasm', import.meta.url)) });

/** The phone of a folder: the store in `phone`, the key in `phone.key`. Keep the key out of backups. */
export async function openPhone(folder: string, options: PhoneChoices = {}): Promise<Phone> {
  return Phone.open({
    store: new FileStore(join(folder, 'phone')),
    keystore: new FileKeystore(join(folder, 'phone.key')),
    ...options,
  });
}
