// SPDX-License-Identifier: Apache-2.0

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { open, mkdir, readFile, readdir, realpath, rename, rm } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { Server } from 'node:net';
import { dirname, join, relative, resolve } from 'node:path';

import { HostFault } from './fault.js';
import type { Keystore, PhoneStore, Write } from './host.js';

const CHECKSUM = 32;
const KEY = /^([0-9a-f]{2}){1,64}$/;
const SOCKET = /^[0-9a-f]{12}(\.new)?$/;

/**
 * A store in a folder: one file a value, named by its key. A list of writes goes to the file `journal` first, and is durable when it is there
 * with its checksum; then the values are written, then the journal is emptied. Killed at any point, the next one finishes what is in the
 * journal, or finds it torn and nothing done. After a write that failed nothing is written before the store was opened anew, which does the
 * same. A second store on the same folder is refused: `state_in_use`.
 */
export class FileStore implements PhoneStore {
  #folder: string;
  #release: Release | undefined;
  /** Whether the values are what the journal says. Not so before the store was opened, nor after a write that failed. */
  #sound = false;
  /** What is under way. One thing is done after the other, and letting go is one of them. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(folder: string) {
    this.#folder = resolve(folder);
  }

  async open(): Promise<[Uint8Array, Uint8Array][]> {
    return this.#inTurn(async () => {
      this.#sound = false;
      await mkdir(this.#path('values'), { recursive: true, mode: 0o700 });
      this.#release ??= await alone(await realpath(this.#folder));
      const left = unframed(await readFile(this.#path('journal')).catch(absent));
      if (left !== undefined) await this.#finish(left);
      const names = await readdir(this.#path('values'));
      const values = await Promise.all(
        names.sort().map(async (name): Promise<[Uint8Array, Uint8Array]> => {
          if (!KEY.test(name)) throw new HostFault('damaged', 'a file is among the values that is none');
          return [Uint8Array.from(Buffer.from(name, 'hex')), Uint8Array.from(await readFile(this.#path('values', name)))];
        }),
      );
      this.#sound = true;
      return values;
    });
  }

  async apply(writes: Write[]): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#release === undefined) throw new HostFault('failed', 'the store is closed');
      if (!this.#sound) throw new HostFault('failed', 'a write failed: the store has to be opened anew');
      // Whatever fails from here on, what stands in the journal decides, and comes before everything else.
      this.#sound = false;
      await write(this.#path('journal'), framed(writes));
      await synchronise(this.#folder);
      await this.#finish(writes);
      this.#sound = true;
    });
  }

  /** Lets go of the folder, once what is being written is written. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#release?.();
      this.#release = undefined;
    });
  }

  async #finish(writes: Write[]): Promise<void> {
    for (const [key, value] of writes) {
      const file = this.#path('values', Buffer.from(key).toString('hex'));
      if (value === undefined) {
        await rm(file, { force: true });
      } else {
        await write(this.#path('begun'), value);
        await rename(this.#path('begun'), file);
      }
    }
    await synchronise(this.#path('values'));
    await write(this.#path('journal'), new Uint8Array());
  }

  #path(...names: string[]): string {
    return join(this.#folder, ...names);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work).catch((error: unknown) => {
      if (error instanceof HostFault) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      throw new HostFault(code === 'ENOSPC' || code === 'EDQUOT' ? 'full' : 'failed', message);
    });
    this.#turn = done.catch(() => {});
    return done;
  }
}

/** A key in a file that only its owner reads. Keep it out of backups: a store that is restored without it cannot be opened. */
export class FileKeystore implements Keystore {
  #file: string;

  constructor(file: string) {
    this.#file = resolve(file);
  }

  async wrap(secret: Uint8Array): Promise<Uint8Array> {
    const key = (await this.#key()) ?? (await this.#made());
    const iv = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', key, iv);
    key.fill(0);
    return Uint8Array.from(Buffer.concat([iv, cipher.update(secret), cipher.final(), cipher.getAuthTag()]));
  }

  async unwrap(wrapped: Uint8Array): Promise<Uint8Array> {
    const key = await this.#key();
    if (key === undefined || wrapped.length < 28) throw new HostFault('foreign', 'it was wrapped elsewhere');
    const decipher = createDecipheriv('aes-256-gcm', key, wrapped.subarray(0, 12));
    key.fill(0);
    decipher.setAuthTag(wrapped.subarray(-16));
    const secret = decipher.update(wrapped.subarray(12, -16));
    try {
      // Nothing but the check is left: the cipher has no blocks to be filled.
      decipher.final();
      return Uint8Array.from(secret);
    } catch {
      throw new HostFault('foreign', 'another key wrapped it');
    } finally {
      secret.fill(0);
    }
  }

  async #key(): Promise<Buffer | undefined> {
    const key = await readFile(this.#file).catch(absent);
    // Written by somebody else, or not to its end.
    if (key !== undefined && key.length !== 32) throw new HostFault('foreign', 'the file has no key');
    return key;
  }

  /** A new key, durable before anything is wrapped with it. */
  async #made(): Promise<Buffer> {
    const key = randomBytes(32);
    const folder = dirname(this.#file);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await write(`${this.#file}.begun`, key);
    await rename(`${this.#file}.begun`, this.#file);
    await synchronise(folder);
    return key;
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'ENOENT') return undefined;
  throw error;
}

/** Writes a file that only its owner reads, and waits until it is on the disk. */
async function write(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Waits until the names in a folder are on the disk. */
async function synchronise(folder: string): Promise<void> {
  if (process.platform === 'win32') return; // It has no such thing.
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function framed(writes: Write[]): Uint8Array {
  const parts = [number(writes.length)];
  for (const [key, value] of writes) {
    parts.push(number(key.length), Buffer.from(key), number(value === undefined ? -1 : value.length));
    if (value !== undefined) parts.push(Buffer.from(value));
  }
  const content = Buffer.concat(parts);
  return Buffer.concat([checksum(content), content]);
}

/** Nothing when the journal is empty or was not written to its end: then nothing of it was done. */
function unframed(bytes: Buffer | undefined): Write[] | undefined {
  if (bytes === undefined || bytes.length < CHECKSUM) return undefined;
  const content = bytes.subarray(CHECKSUM);
  if (!checksum(content).equals(bytes.subarray(0, CHECKSUM))) return undefined;
  let at = 0;
  const next = () => content.readInt32BE((at += 4) - 4);
  const piece = (length: number) => content.subarray(at, (at += length));
  return Array.from({ length: next() }, (): Write => {
    const key = piece(next());
    const length = next();
    return [key, length < 0 ? undefined : piece(length)];
  });
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function checksum(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** Lets go of a folder. */
type Release = () => Promise<void>;

/**
 * Takes a folder for this store, until it lets go or its process ends. Node.js cannot lock files, but nobody answers at a socket whose process has
 * ended, however it ended. Each who wants the folder listens at a socket of its own in it, then looks at all others there, and has the folder if
 * nobody answers: of two who come at the same time at least one sees the other. Whoever sees the folder on this machine sees its sockets, in
 * whichever network it is; Windows has pipes of the whole machine instead.
 */
async function alone(folder: string): Promise<Release> {
  if (process.platform === 'win32') {
    const name = createHash('sha256').update(folder).digest('hex').slice(0, 32);
    const server = await listening(`\\\\.\\pipe\\mhealth-chain-${name}`);
    return async () => void server.close();
  }
  const sockets = join(folder, 'sockets');
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  const handle = await open(sockets, 'r');
  try {
    const address = (name: string) => addressOf(join(sockets, name), `/proc/self/fd/${handle.fd}/${name}`);
    for (let pause = 30; ; pause *= 2) {
      const release = await taken(sockets, address);
      if (release !== undefined) return release;
      if (pause > 120) throw new HostFault('in_use', 'another program has it');
      // Two who saw each other do not come back at the same time.
      await new Promise((resolve) => setTimeout(resolve, Math.random() * pause));
    }
  } finally {
    await handle.close();
  }
}

/** An address has some hundred bytes, and is cut off there without a word. Linux has a short name for every folder that is open. */
function addressOf(file: string, short: string): string {
  const names = [file, process.platform === 'linux' ? short : relative(process.cwd(), file)];
  const address = names.find((name) => Buffer.byteLength(name) <= 100);
  if (address === undefined) throw new HostFault('failed', 'the path of the folder is too long for a socket');
  return address;
}

/** Nothing when somebody else has the folder or wants it. */
async function taken(sockets: string, address: (name: string) => string): Promise<Release | undefined> {
  const name = randomBytes(6).toString('hex');
  const server = await listening(address(`${name}.new`));
  const release = async () => {
    await rm(join(sockets, name), { force: true });
    server.close();
  };
  try {
    // By this name others see it, and now it answers.
    await rename(join(sockets, `${name}.new`), join(sockets, name));
    for (const other of await readdir(sockets)) {
      if (other === name || !SOCKET.test(other)) continue;
      if (!(await answers(address(other)))) {
        await rm(join(sockets, other), { force: true });
      } else if (!other.endsWith('.new')) {
        await release();
        return undefined;
      }
    }
    return release;
  } catch (error) {
    await release();
    // Somebody looked at it before it answered, and took it for one that was left behind.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function listening(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((stranger) => stranger.destroy());
    server.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new HostFault('in_use', 'another program has it') : error);
    });
    // Workers of a cluster share what they listen at, unless they ask for it alone.
    server.listen({ path: address, exclusive: true }, () => {
      server.unref();
      resolve(server);
    });
  });
}

/** Whether somebody listens there. Whatever else may be wrong is taken for an answer. */
function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = connect(address, () => {
      asked.destroy();
      resolve(true);
    });
    asked.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'));
  });
}
