// SPDX-License-Identifier: Apache-2.0
//
// The package in Chromium: vectors, storage, keys, tabs, deadlines. Pages that crash are in `crashes.test.js`.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { CHROMIUM, browserIn, office, site, study, within } from './site.js';

const skip = CHROMIUM === undefined && 'chromium is not installed';
const profile = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
let served, browser, authentication;

before(async () => {
  if (skip) return;
  served = await site();
  authentication = await office();
  browser = await browserIn(profile);
});

after(async () => {
  await browser?.close();
  served?.close();
  authentication?.close();
  rmSync(profile, { recursive: true, force: true });
});

async function page() {
  const opened = await browser.newPage();
  await opened.goto(`${served.url}/blank`);
  return opened;
}

test('every case comes out as it says in a page, and false ones do not', { skip }, async () => {
  const file = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url)));
  const opened = await page();
  const held = await within(
    opened,
    async (library, [chains, proofs]) => (await import('/test/cases.js')).judged(library, chains, proofs),
    [file('hashchain/tests/vectors/hashchain-v1.json'), file('evidence/tests/vectors/head-proofs-v1.json')],
  );
  assert.ok(held > 0);
  console.log(`vectors: ${held} cases hold in Chromium`);
  await opened.close();
});

test('a second tab is refused until the first one is closed', { skip }, async () => {
  const [first, second] = [await page(), await page()];
  const open = (library) => library.openPhone({ name: 'tabs' }).then(() => 'open', (error) => error.code);
  assert.equal(await within(first, open), 'open');
  assert.equal(await within(second, open), 'state_in_use');
  await first.close();
  // The browser gives the lock back a little later.
  await second.waitForFunction('navigator.locks.query().then(({ held }) => held.length === 0)');
  assert.equal(await within(second, open), 'open');
  await second.close();
});

test('a store without its key says so', { skip }, async () => {
  const opened = await page();
  const codes = await within(opened, async (library) => {
    await (await library.openPhone({ name: 'copied' })).close();
    await new Promise((resolve) => (indexedDB.deleteDatabase('copied keys').onsuccess = resolve));
    return library.openPhone({ name: 'copied' }).then(() => 'open', (error) => [error.code, error.sentence('de')]);
  });
  assert.equal(codes[0], 'wrong_keystore');
  assert.match(codes[1], /Studienteam/);
  await opened.close();
});

test('the key cannot be taken out of the browser', { skip }, async () => {
  const opened = await page();
  const taken = await within(opened, async (library) => {
    await (await library.openPhone({ name: 'kept' })).close();
    const database = await new Promise((resolve) => {
      const request = indexedDB.open('kept keys');
      request.onsuccess = () => resolve(request.result);
    });
    const key = await new Promise((resolve) => {
      const request = database.transaction('keys').objectStore('keys').get('key');
      request.onsuccess = () => resolve(request.result);
    });
    return crypto.subtle.exportKey('raw', key).then(() => 'taken', (error) => error.name);
  });
  assert.equal(taken, 'InvalidAccessError');
  await opened.close();
});

test('a page whose origin the server does not list is told from one without a connection', { skip }, async () => {
  // One that answers and lists nobody, and one that is not there.
  const [unlisting, gone] = [await site(), await site()];
  gone.close();
  const opened = await page();
  const told = await within(
    opened,
    async (library, { servers, code }) => {
      const phone = await library.openPhone({ name: 'unlisted' });
      const told = [];
      for (const server of servers) {
        const error = await phone.enrol(server, code, { deadline: 3000 }).catch((error) => error);
        told.push({ code: error.code, advice: error.advice, sentences: ['en', 'de', 'ja'].map((language) => error.sentence(language)) });
      }
      await phone.close();
      return told;
    },
    { servers: [unlisting.url, gone.url], code: authentication.code },
  );
  assert.deepEqual([told[0].code, told[0].advice], ['origin_not_allowed', 'tell_study']);
  assert.equal(new Set(told[0].sentences).size, 3);
  assert.match(told[0].sentences[0], /may not speak to the study's server/);
  assert.ok(['deadline', 'server_unreachable'].includes(told[1].code), told[1].code);
  unlisting.close();
  await opened.close();
});

test('a browser that lets a page keep nothing says so', { skip }, async () => {
  for (const way of ['none', 'at once', 'later']) {
    const opened = await page();
    const told = await within(
      opened,
      async (library, way) => {
        const denied = new DOMException('the person denied it', 'SecurityError');
        if (way === 'none') Object.defineProperty(globalThis, 'indexedDB', { value: undefined });
        IDBFactory.prototype.open = () => {
          if (way === 'at once') throw denied;
          const request = { error: denied };
          queueMicrotask(() => request.onerror());
          return request;
        };
        const error = await library.openPhone({ name: 'denied' }).then(() => 'open', (error) => error);
        return [error.code, error.sentence('en')];
      },
      way,
    );
    assert.equal(told[0], 'state_unreadable', way);
    assert.match(told[1], /private window/);
    await opened.close();
  }
});

test('a page without room loses nothing, and goes on when there is some', { skip }, async () => {
  const own = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
  const small = await browserIn(own);
  try {
    const opened = await small.newPage();
    const session = await small.newCDPSession(opened);
    // Before anything is stored: the browser remembers for a while how much room there was.
    await session.send('Storage.overrideQuotaForOrigin', { origin: served.url, quotaSize: 1_000_000 });
    await opened.goto(`${served.url}/blank`);
    const { url, code } = authentication;
    const filled = await within(
      opened,
      async (library, { url, code }) => {
        globalThis.phone = await library.openPhone({ name: 'small' });
        // Until it has heard what the code is for.
        for (let times = 0; times < 30 && (await phone.status()).study === null; times += 1) {
          await phone.enrol(url, code, { deadline: 1000 }).catch(() => {});
        }
        // Nothing that can be packed.
        const random = () => Array.from(crypto.getRandomValues(new Uint8Array(30_000)), (byte) => byte.toString(16).padStart(2, '0')).join('');
        globalThis.seal = (night) => phone.seal(`night ${night}`, 'application/json', random(), { content: `${night}` });
        for (let night = 1; night <= 60; night += 1) {
          const error = await seal(night).then(() => undefined, (error) => error);
          if (error !== undefined) return { night, code: error.code, advice: error.advice };
        }
        return 'it takes everything';
      },
      { url, code },
    );
    assert.deepEqual([filled.code, filled.advice], ['state_disk_full', 'make_room'], JSON.stringify(filled));
    await session.send('Storage.overrideQuotaForOrigin', { origin: served.url });
    const sealed = await within(opened, async (_, night) => [await seal(night), (await phone.status()).sealed], filled.night);
    assert.deepEqual(sealed, [{ sequence: filled.night, outcome: 'new' }, filled.night]);
  } finally {
    await small.close();
    rmSync(own, { recursive: true, force: true });
  }
});

test('a sync in a page is back in time whoever is away, and a later one finishes', { skip }, async (context) => {
  const played = await study();
  context.after(() => played.close());
  const opened = await page();
  await within(
    opened,
    async (library, { url, code }) => {
      globalThis.phone = await library.openPhone({ name: 'hurried', trustRelays: true });
      await phone.enrol(url, code);
    },
    { url: played.url, code: played.code },
  );
  for (const conduct of ['silent', 'slow', 'gone', 'away']) {
    await played.play(conduct);
    const took = await within(opened, async (_, conduct) => (await import('/test/hurried.js')).hurried(phone, conduct), conduct);
    assert.ok(took < 5500, `${conduct}: ${took} ms`);
    await played.play('well');
    assert.equal((await within(opened, () => phone.sync())).state, 'level', conduct);
  }
  const { final, faults } = await played.report();
  assert.deepEqual({ final, faults }, { final: 4, faults: [] });
  await opened.close();
});

test('sealing takes at most 5 ms in a page, without the store', { skip }, async () => {
  const opened = await page();
  const times = await within(
    opened,
    async (library, given) => (await import('/test/timed.js')).timed(library, given),
    { authentication: authentication.url, code: authentication.code, nights: 200 },
  );
  const took = times.reduce((sum, time) => sum + time, 0) / times.length;
  console.log(`a seal in Chromium takes ${took.toFixed(2)} ms`);
  assert.ok(took <= 5);
  await opened.close();
});
