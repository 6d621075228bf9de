// SPDX-License-Identifier: Apache-2.0

import {
  PhoneCore,
  ProofReaderCore,
  Words,
  adviceSentence,
  checkChain as checkChainCore,
  errorSentence,
  hashParts as hashPartsCore,
} from './wasm/mhealth.js';
import type { Host } from './wasm/mhealth.js';
import { HostFault } from './fault.js';
import { FetchTransport } from './host.js';
import type { Keystore, PhoneStore, Transport, Write } from './host.js';

/** A language that participants are spoken to in. Other tags of BCP 47 (`de-AT`) are understood; English is spoken otherwise. */
export type Language = 'en' | 'de' | 'ja' | (string & {});

/** What the person who holds the phone should do. */
export type Advice =
  | 'nothing' | 'wait' | 'enrol' | 'ask_for_code' | 'connect' | 'set_clock' | 'make_room' | 'unlock' | 'close_other' | 'update_app'
  | 'enrol_anew' | 'hand_over' | 'handed_over' | 'tell_study';

/** How a phone stands, for a screen. Times are in seconds since 1970 by the phone's clock. */
export interface PhoneStatus {
  /** The phone's key on the chain in hexadecimal digits; null before it began to enrol. */
  key: string | null;
  study: number | null;
  /** The number that the chain gave the phone; null before it is enrolled. */
  device: number | null;
  /** Entries sealed. All of them are safe on this phone. */
  sealed: number;
  /** Of these, entries that the chain is proved to have. */
  finalised: number;
  /** Of these, entries that are still to be sent or proved. */
  queued: number;
  /** Entries of devices that this phone had before, which were stopped: nobody sends them any more. They stay on this phone. */
  left_behind: number;
  /** The block in whose state the phone's entries were proved last. */
  proved_in: number | null;
  last_contact: number | null;
  next_try: number | null;
  /** Why the phone was stopped, if it was: `foreign_head`, `restored_backup`, … */
  stopped: string | null;
  /** Code of what went wrong when the phone last tried. */
  last_fault: string | null;
  advice: Advice;
}

/** What became of a record that was to be sealed. */
export interface SealedEntry {
  /** Its place among the phone's entries, from 1. */
  sequence: number;
  /** `before`: the same was sealed before. `differs`: this source was sealed before with other content, and nothing was sealed now. */
  outcome: 'new' | 'before' | 'differs';
}

/** How the phone stands to the chain after a sync. */
export interface PhoneStanding {
  state: 'level' | 'queued' | 'unenrolled' | 'frozen';
  queued: number;
  stopped: string | null;
}

/** Something did not work. What was sealed is kept. `code` is stable and the same in every language; the message is for developers. */
export class MHealthError extends Error {
  readonly code: string;
  /** With `device_frozen`: why the phone was stopped. */
  readonly reason: string | null;
  readonly advice: Advice;

  constructor({ code, reason, advice, detail }: { code: string; reason: string | null; advice: Advice; detail: string }) {
    super(`${code}: ${detail}`);
    this.name = 'MHealthError';
    this.code = code;
    this.reason = reason;
    this.advice = advice;
  }

  /** What a participant is told. */
  sentence(language: Language = 'en'): string {
    return errorSentence(this.reason ?? this.code, this.advice, language);
  }
}

/** What the library threw, as an error of this package. */
function ours(thrown: unknown): unknown {
  return typeof thrown === 'string' ? new MHealthError(JSON.parse(thrown)) : thrown;
}

function told<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw ours(thrown);
  }
}

/** Gives back the memory of a core, with the keys in it: at once, or when the calls have ended that are under way in it. */
function free(core: PhoneCore): void {
  try {
    core.free();
  } catch {
    // That is how it says that there are some, or that it was freed before.
  }
}

/** A payload in bytes. The library would take everything else that JavaScript can hand over for no bytes at all. */
function bytes(value: Uint8Array | string): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(value);
  if (!ArrayBuffer.isView(value)) throw new TypeError('a payload is a string or a Uint8Array');
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** How a phone goes about it. */
export interface PhoneChoices {
  /** How many relays are to hold each run; 1 if nothing is said. */
  copies?: number;
  /** Only for development chains without proofs: takes relays' words for proofs. */
  trustRelays?: boolean;
  /** Blocks that the consortium names, each `0x…@NUMBER`, over which proofs may lead where the chain's authorities were changed by force. */
  checkpoints?: string[];
  /**
   * Hash of the first block of the chain that the app is for, `0x…`. Codes of any other are refused (`another_chain`), and so is a phone that is
   * on another (`state_of_another_chain`). Without it: the chain that the code was made for.
   */
  chain?: string;
}

/** What a phone is opened with. */
export interface PhoneParts extends PhoneChoices {
  store: PhoneStore;
  keystore: Keystore;
  transport?: Transport;
}

/** A phone. Calls may be made while others are under way. */
export class Phone {
  #parts: PhoneParts;
  #core: PhoneCore;
  /** Set once the store failed: memory is ahead of it then, and the next call begins with what is stored. */
  #stale = false;
  #reopening: Promise<PhoneCore> | undefined;
  /** Ends when everything is written that was to be written so far. */
  #written: Promise<unknown> = Promise.resolve();
  /** Calls that are under way, and what ends each of their pauses. */
  #calls = 0;
  #pauses = new Set<() => void>();
  #closed = false;

  private constructor(parts: PhoneParts, core: PhoneCore) {
    this.#parts = parts;
    this.#core = core;
  }

  /** Opens the phone in a store, or makes the store ready for one. Nobody is asked but the key store. */
  static async open(parts: PhoneParts): Promise<Phone> {
    const phone = new Phone(parts, undefined as unknown as PhoneCore);
    phone.#core = await phone.#opened();
    return phone;
  }

  /**
   * Enrols with a code, at the authentication server of this address. Gives the phone's number on the chain. After a failure the same call
   * goes on where it was. Times are in milliseconds.
   */
  enrol(authentication: string, code: string, { deadline = 60_000 } = {}): Promise<number> {
    return this.#asked((core) => core.enrol(authentication, code, deadline));
  }

  /**
   * Seals a record. It is durable when this resolves, and needs no connection. `source` names what was recorded, such as the night; the same
   * source with the same content is sealed once. With other content it is a correction if `correct`. `content` is what the source said, where
   * payloads that are made of it twice differ in identifiers and times.
   */
  async seal(
    source: string,
    mediaType: string,
    payload: Uint8Array | string,
    { content, correct = false }: { content?: Uint8Array | string; correct?: boolean } = {},
  ): Promise<SealedEntry> {
    const said = content === undefined ? undefined : bytes(content);
    const sealed = bytes(payload);
    return JSON.parse(await this.#asked((core) => core.seal(source, mediaType, sealed, said, correct)));
  }

  /** Sends what the chain lacks and has it proved. Code `deadline` when that takes longer; a later call goes on. */
  async sync({ deadline = 60_000 } = {}): Promise<PhoneStanding> {
    return JSON.parse(await this.#asked((core) => core.sync(deadline)));
  }

  /** How the phone stands, for a screen. Asks nobody. */
  async status(): Promise<PhoneStatus> {
    return JSON.parse(await this.#asked(async (core) => core.status()));
  }

  /** What the person should do now, as a sentence; of a phone that was stopped, also why. */
  async advice(language: Language = 'en'): Promise<string> {
    const { advice, last_fault: fault, stopped } = await this.status();
    return stopped === null ? adviceSentence(advice, fault ?? '', language) : errorSentence(stopped, advice, language);
  }

  /** What is left on a stopped phone, for the auditor: one JSON object a line. */
  exportQueue(): Promise<string> {
    return this.#asked((core) => core.exportQueue());
  }

  /** What was sealed with devices that could not be enrolled, for whoever holds the participants' keys: one JSON object a line. */
  exportUnenrolled(): Promise<string> {
    return this.#asked((core) => core.exportUnenrolled());
  }

  /** Lets go of the store, for good, once what is being written is written. Calls that are under way end with an error. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endPauses();
    await this.#reopening?.catch(() => {});
    await this.#written;
    await this.#parts.store.close();
    free(this.#core);
  }

  async #asked<T>(work: (core: PhoneCore) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('the phone is closed');
    this.#calls += 1;
    try {
      const core = await this.#sound();
      if (this.#closed) throw new Error('the phone is closed');
      return await work(core);
    } catch (thrown) {
      throw ours(thrown);
    } finally {
      this.#calls -= 1;
      // Nobody waits for these any more, and a program on Node.js would not end before they do.
      if (this.#calls === 0) this.#endPauses();
    }
  }

  /** The core, opened anew if its store failed; once for all who ask meanwhile. */
  async #sound(): Promise<PhoneCore> {
    if (!this.#stale) return this.#core;
    this.#reopening ??= this.#opened()
      .then((core) => {
        this.#stale = false;
        free(this.#core);
        return (this.#core = core);
      })
      .finally(() => (this.#reopening = undefined));
    return this.#reopening;
  }

  async #opened(): Promise<PhoneCore> {
    const { copies = 1, trustRelays = false, checkpoints = [], chain } = this.#parts;
    try {
      return await PhoneCore.open(this.#host(), copies, trustRelays, checkpoints, chain);
    } catch (thrown) {
      await this.#parts.store.close().catch(() => {});
      throw ours(thrown);
    }
  }

  #host(): Host {
    const { store, keystore, transport = new FetchTransport() } = this.#parts;
    // One after the other; after one that failed nothing is written any more.
    let written: Promise<void> = Promise.resolve();
    return {
      load: () => store.open(),
      apply: (writes: Write[]) => {
        if (this.#closed) return Promise.reject(new HostFault('failed', 'the phone is closed'));
        written = written.then(() => (writes.length === 0 ? undefined : store.apply(writes)));
        this.#written = written.catch(() => {});
        return written.catch((error: unknown) => {
          this.#stale = true;
          throw error;
        });
      },
      wrap: (secret) => keystore.wrap(secret),
      unwrap: (wrapped) => keystore.unwrap(wrapped),
      send: (request) => transport.send(request),
      sleep: (time) => this.#pause(time),
    };
  }

  /** Over when the time is, when no call is under way, or when the phone is closed: a program that is done does not wait for deadlines. */
  #pause(time: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#pauses.delete(end);
        resolve();
      };
      // Longer than this, timers fire at once.
      const timer = setTimeout(end, this.#closed ? 0 : Math.min(time, 2 ** 31 - 1));
      this.#pauses.add(end);
    });
  }

  #endPauses(): void {
    for (const end of this.#pauses) end();
  }
}

/** What a proof shows. */
export interface ProvedHead {
  block: number;
  set: number;
  length: number;
  head: string;
  key: string | null;
}

/** Reads proofs of one device's head, one after the other; believes nobody but the chain's authorities. */
export class ProofReader {
  #core: ProofReaderCore;

  /** `checkpoints` are blocks that its user trusts, as in the parts of a phone. */
  constructor(genesis: Uint8Array, device: number, checkpoints: string[] = []) {
    this.#core = told(() => new ProofReaderCore(genesis, device, checkpoints));
  }

  /**
   * What a proof shows. What is refused changes nothing of what the reader knows. Code `proof_on_the_way` when another one is needed, from
   * the present set on.
   */
  check(proof: Uint8Array): ProvedHead {
    return JSON.parse(told(() => this.#core.check(proof)));
  }

  /** The set of authorities that the next proof is to lead on from; null before the first proof. */
  set(): number | null {
    return this.#core.set() ?? null;
  }
}

/** A chain to be checked; bytes are hexadecimal digits. */
export interface Chain {
  origin: { chain: string; study: number; device_key: string; predecessor: string; escrow: string; secret: string };
  entries: { sequence: number; previous: string; envelope: string; digest: string; tag: string; hash: string }[];
  head: string;
  signature: string;
}

/** Checks a chain from its first entry to its head, with the secret and every envelope. Gives how many entries there are. */
export function checkChain(chain: Chain): number {
  return told(() => checkChainCore(JSON.stringify(chain)));
}

/** `enc` and `H` of docs/protocol/hashchain.md, section 2, in hexadecimal digits. */
export function hashParts(label: string, parts: Uint8Array[]): { encoding: string; hash: string } {
  return JSON.parse(hashPartsCore(label, parts));
}

/** An app's own texts, in a file of Fluent, said as this library says its own. */
export class Texts {
  #words: Words;

  constructor(language: Language, source: string) {
    this.#words = told(() => new Words(language, source));
  }

  /** A text with what stands in it. */
  say(name: string, values: Record<string, string | number> = {}): string {
    const strings = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]));
    const text = this.#words.say(name, JSON.stringify(strings));
    if (text === undefined) throw new Error(`there is no text ${name}, or something is missing in it`);
    return text;
  }
}
