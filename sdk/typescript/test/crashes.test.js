// SPDX-License-Identifier: Apache-2.0
//
// Pages that crash while they enrol, seal and send, at points that a seed chooses. Kills of programs are in `sdk/tests/test_kills.py`.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { CHROMIUM, browserIn, site, study, within } from './site.js';

const skip = CHROMIUM === undefined && 'chromium is not installed';
const KILLS = Number(process.env.KILLS ?? 10);
/** Of these, while it enrols: the seed has one before the server hears of the code's use, and one after. */
const ENROLLING = Math.max(2, Math.floor(KILLS / 10));
/** Nothing is final before so many pages have sent it. */
const OPENINGS = 3;
const PATIENCE = 60_000;
const profile = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
let served, browser, played;

before(async () => {
  if (skip) return;
  served = await site();
  played = await study(OPENINGS);
  browser = await browserIn(profile);
});

after(async () => {
  await browser?.close();
  served?.close();
  played?.close();
  rmSync(profile, { recursive: true, force: true });
});

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function chances(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How many requests came, to addresses that begin with this path. */
async function met(path = '') {
  const { met } = await played.report();
  return Object.entries(met).reduce((sum, [address, times]) => sum + (address.startsWith(path) ? times : 0), 0);
}

async function opened() {
  const page = await browser.newPage();
  await page.goto(`${served.url}/blank`);
  // The browser gives back a little later what a crashed page had.
  await page.waitForFunction('navigator.locks.query().then(({ held }) => held.length === 0)');
  return page;
}

/** A page that enrols, seals one night after the other from this one on, and sends. `reported` are those that it says it has sealed. */
async function sealing(from) {
  const page = await opened();
  const reported = [];
  await page.exposeFunction('reported', (night) => reported.push(night));
  const session = await browser.newCDPSession(page);
  const crashed = new Promise((resolve) => page.once('crash', resolve));
  let ended;
  const running = within(
    page,
    async (library, { url, code, from }) => {
      const phone = await library.openPhone({ name: 'crashing', trustRelays: true });
      if ((await phone.status()).device === null) await phone.enrol(url, code);
      const send = () => phone.sync({ deadline: 300 }).catch(() => {});
      // What is there already, first; then what is sealed, beside it.
      await send();
      void (async () => {
        for (;;) await send().then(() => new Promise((resolve) => setTimeout(resolve, 20)));
      })();
      for (let night = from; ; night += 1) {
        await phone.seal(`night ${night}`, 'application/json', JSON.stringify({ night }));
        await globalThis.reported(night);
      }
    },
    { url: played.url, code: played.code, from },
  ).catch((error) => (ended = error));

  /** Waits until something holds. The page must not end before. */
  const until = async (holds) => {
    const late = Date.now() + PATIENCE;
    while (!(await holds())) {
      if (ended !== undefined) throw ended;
      assert.ok(Date.now() < late, `${reported.length} nights, and nothing more comes`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };

  /** Lets the page crash some milliseconds later. Gives what it has reported. */
  const crash = async (moment) => {
    await pause(moment);
    if (ended !== undefined) throw ended;
    session.send('Page.crash').catch(() => {});
    await crashed;
    await running;
    await page.close().catch(() => {});
    return reported;
  };
  return { reported, until, crash };
}

/** How many nights the phone has after a crash, and what becomes of the last of them when it is sealed again. */
async function found() {
  const page = await opened();
  const status = await within(page, async (library) => {
    const phone = await library.openPhone({ name: 'crashing', trustRelays: true });
    const { sealed } = await phone.status();
    const again = await phone.seal(`night ${sealed}`, 'application/json', JSON.stringify({ night: sealed }));
    await phone.close();
    return { sealed, again };
  });
  await page.close();
  return status;
}

test('what a page sealed is there after it crashed, once each, and is sent again with the same bytes', { skip }, async () => {
  const chance = chances(23);
  const between = (least, most) => least + Math.floor(chance() * (most - least + 1));
  const moment = () => 5 * chance();

  // Somewhere between what the server hears and what the page hears of it.
  await played.play('withholding');
  for (let kill = 0; kill < ENROLLING; kill += 1) {
    const path = chance() < 0.5 ? '/v1/code' : '/v1/enrol';
    const before = await met(path);
    const page = await sealing(1);
    await page.until(async () => (await met(path)) > before);
    assert.deepEqual(await page.crash(moment()), []);
  }
  await played.play('well');

  let sealed = 0;
  for (let kill = ENROLLING; kill < KILLS; kill += 1) {
    const page = await sealing(sealed + 1);
    const nights = between(1, 4);
    await page.until(() => page.reported.length >= nights);
    // In the middle of the next one, wherever that is; or of what it sends meanwhile.
    if (chance() < 0.5) {
      const enough = (await met()) + between(1, 8);
      await page.until(async () => (await met()) >= enough);
    }
    const reported = await page.crash(moment());
    const { sealed: there, again } = await found();
    assert.deepEqual(reported, Array.from(reported, (_, place) => sealed + 1 + place), 'none twice, none left out');
    assert.ok(there >= reported.at(-1), 'lost');
    assert.ok(there <= reported.at(-1) + 1, `${there} are sealed of ${reported.at(-1)}`);
    assert.deepEqual(again, { sequence: there, outcome: 'before' }, 'doubled');
    sealed = there;
  }

  const { devices, enrolments, again, runs, faults } = await played.report();
  assert.deepEqual({ devices, enrolments, faults }, { devices: 1, enrolments: 1, faults: [] });
  assert.ok(again > 0);
  assert.ok((await met('/v1/enrol')) > 1);
  console.log(
    `${KILLS} crashes, ${ENROLLING} of them while enrolling: 0 lost, 0 doubled of ${sealed}; ` +
      `${again} of ${runs} runs and the enrolment were sent again, with the same bytes`,
  );
});
