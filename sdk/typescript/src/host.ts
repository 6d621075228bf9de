// SPDX-License-Identifier: Apache-2.0
//
// What a phone stands on. The package has these for browsers and for Node.js; an app may bring its own.

import type { HttpAnswer, HttpRequest } from './wasm/mhealth.js';
import { HostFault } from './fault.js';

/** A write: a key, and what is stored under it from now on; nothing forgets the key. */
export type Write = [key: Uint8Array, value: Uint8Array | undefined];

/** Durable bytes by key. One phone at a time uses a store. */
export interface PhoneStore {
  /** Takes the store for this phone alone and gives everything that is stored. Rejects with `in_use` when somebody else has it. */
  open(): Promise<[Uint8Array, Uint8Array][]>;
  /** Does all of these writes or none, in their order; resolves when they are durable. Rejects with `full` when there is no room. */
  apply(writes: Write[]): Promise<void>;
  /** Lets go of the store. */
  close(): Promise<void>;
}

/** Wraps the key with which the secrets in the store are encrypted. What it wraps with must not leave this machine. */
export interface Keystore {
  /** Encrypts and authenticates 32 bytes. */
  wrap(secret: Uint8Array): Promise<Uint8Array>;
  /** Gives back what was wrapped. Rejects with `foreign` when it was wrapped elsewhere. */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>;
}

/** The way to servers. */
export interface Transport {
  /** Sends a request and waits for the whole answer, whatever its status. Headers and bodies carry credentials and codes: never log them. */
  send(request: HttpRequest): Promise<HttpAnswer>;
}

/** Requests by `fetch`: no redirects, no cookies, no cache. */
export class FetchTransport implements Transport {
  async send({ method, url, headers, body, patience, longestAnswer }: HttpRequest): Promise<HttpAnswer> {
    // Longer than this, timers fire at once. Node.js takes whole milliseconds only, and a share of a deadline is seldom whole.
    const signal = AbortSignal.timeout(Math.ceil(Math.min(patience, 2 ** 31 - 1)));
    const answer = await fetch(url, {
      method,
      headers,
      body: body === undefined ? null : (body as Uint8Array<ArrayBuffer>),
      signal,
      redirect: 'manual',
      credentials: 'omit',
      cache: 'no-store',
      referrerPolicy: 'no-referrer',
    }).catch(async (error: unknown) => {
      throw certificateFault(error) ?? (await originFault(error, url, signal)) ?? error;
    });
    if (answer.type === 'opaqueredirect') throw new HostFault('failed', 'the server redirects');
    return { status: answer.status, headers: [...answer.headers], body: await atMost(answer, longestAnswer) };
  }
}

/** Only Node.js says what is wrong with a certificate; a browser says nothing to a page. */
function certificateFault(error: unknown): HostFault | undefined {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  switch (cause?.code) {
    case 'CERT_NOT_YET_VALID':
      return new HostFault('not_valid_yet', cause.message);
    case 'CERT_HAS_EXPIRED':
      return new HostFault('expired', cause.message);
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return new HostFault('untrusted', cause.message);
    default:
      return undefined;
  }
}

/**
 * A browser does not tell a page whose origin the server does not list from one that has no connection. A server that answers the
 * browser, and nothing that the page may read, is there. It is asked twice, because a connection may be lost once.
 */
async function originFault(error: unknown, url: string, signal: AbortSignal): Promise<HostFault | undefined> {
  const { origin } = new URL(url);
  const page = globalThis.location?.origin;
  if (!(error instanceof TypeError) || page === undefined || page === origin) return undefined;
  const answers = (mode: RequestMode) =>
    fetch(url, { method: 'HEAD', mode, signal, credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' }).then(
      () => true,
      () => false,
    );
  if ((await answers('cors')) || !(await answers('no-cors'))) return undefined;
  return new HostFault('not_allowed', `${origin} does not list ${page}`);
}

async function atMost(answer: Response, longest: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = answer.body?.getReader();
  for (;;) {
    const piece = await reader?.read();
    if (piece === undefined || piece.done) break;
    length += piece.value.length;
    if (length > longest) {
      await reader?.cancel();
      throw new HostFault('too_long');
    }
    pieces.push(piece.value);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return body;
}
