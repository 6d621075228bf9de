// SPDX-License-Identifier: Apache-2.0

import { HostFault } from './fault.js';
import type { Keystore, PhoneStore, Write } from './host.js';

const VALUES = 'values';
const KEYS = 'keys';

/** A store in a database of this origin. One tab at a time has it, by a Web Lock: in another one it is `state_in_use`. */
export class IndexedDbStore implements PhoneStore {
  #name: string;
  #database: IDBDatabase | undefined;
  #release: (() => void) | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  async open(): Promise<[Uint8Array, Uint8Array][]> {
    if (this.#release === undefined) this.#release = await alone(`mhealth-chain ${this.#name}`);
    this.#database ??= await opened(`${this.#name} values`, VALUES);
    const values = this.#database.transaction(VALUES).objectStore(VALUES);
    const [keys, stored] = await Promise.all([answered(values.getAllKeys()), answered(values.getAll())]);
    return keys.map((key, at) => [new Uint8Array(key as ArrayBuffer), stored[at] as Uint8Array]);
  }

  async apply(writes: Write[]): Promise<void> {
    if (this.#database === undefined) throw new HostFault('failed', 'the store is closed');
    // Resolves only when the disk has it: `relaxed`, which is the default of some browsers, would lose entries in a power cut.
    const transaction = this.#database.transaction(VALUES, 'readwrite', { durability: 'strict' });
    const values = transaction.objectStore(VALUES);
    for (const [key, value] of writes) {
      if (value === undefined) values.delete(key as Uint8Array<ArrayBuffer>);
      else values.put(value, key as Uint8Array<ArrayBuffer>);
    }
    await completed(transaction);
  }

  async close(): Promise<void> {
    this.#database?.close();
    this.#database = undefined;
    this.#release?.();
    this.#release = undefined;
  }
}

/** A key of WebCrypto that cannot be taken out of this browser's profile: pages get it to use, never to read. */
export class WebCryptoKeystore implements Keystore {
  #name: string;

  constructor(name: string) {
    this.#name = `${name} keys`;
  }

  async wrap(secret: Uint8Array): Promise<Uint8Array> {
    const database = await opened(this.#name, KEYS);
    try {
      const key = (await this.#key(database)) ?? (await this.#made(database));
      const iv = crypto.getRandomValues(new Uint8Array(12));
      const wrapped = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, secret as Uint8Array<ArrayBuffer>);
      return new Uint8Array([...iv, ...new Uint8Array(wrapped)]);
    } finally {
      database.close();
    }
  }

  async unwrap(wrapped: Uint8Array): Promise<Uint8Array> {
    const database = await opened(this.#name, KEYS);
    try {
      const key = await this.#key(database);
      if (key === undefined) throw new HostFault('foreign', 'this browser has no such key');
      const [iv, sealed] = [wrapped.slice(0, 12), wrapped.slice(12)];
      const secret = await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed).catch(() => {
        throw new HostFault('foreign', 'another key wrapped it');
      });
      return new Uint8Array(secret);
    } finally {
      database.close();
    }
  }

  async #key(database: IDBDatabase): Promise<CryptoKey | undefined> {
    return answered(database.transaction(KEYS).objectStore(KEYS).get('key'));
  }

  async #made(database: IDBDatabase): Promise<CryptoKey> {
    const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt']);
    const transaction = database.transaction(KEYS, 'readwrite', { durability: 'strict' });
    transaction.objectStore(KEYS).put(key, 'key');
    await completed(transaction);
    return key;
  }
}

/**
 * Whether this browser promises to keep what the page stores until the person deletes it. One that does not may throw the store away when
 * the disk fills up, and does so when a private window is closed; a page cannot know that its window is private. Tell the person before a
 * code is used.
 */
export async function persisted(): Promise<boolean> {
  try {
    return await navigator.storage.persisted();
  } catch {
    // Where pages may keep nothing, there is nobody to ask.
    return false;
  }
}

/** Asks the browser for that promise. Gives whether there is one now. Some ask the person first, who need not answer: let nothing wait for it. */
export async function persist(): Promise<boolean> {
  try {
    return await navigator.storage.persist();
  } catch {
    return false;
  }
}

/** Takes a lock as long as this page lives, or until it is released. */
function alone(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (lock === null) return reject(new HostFault('in_use', 'another tab has it'));
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}

function opened(name: string, store: string): Promise<IDBDatabase> {
  if (typeof indexedDB === 'undefined') return Promise.reject(new HostFault('failed', 'this browser gives pages no storage'));
  const request = indexedDB.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(store);
  return answered(request);
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(storage(request.error));
  });
}

function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(storage(transaction.error));
  });
}

function storage(error: DOMException | null): HostFault {
  return new HostFault(error?.name === 'QuotaExceededError' ? 'full' : 'failed', `${error?.name}: ${error?.message}`);
}
