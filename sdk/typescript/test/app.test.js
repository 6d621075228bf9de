// SPDX-License-Identifier: Apache-2.0
//
// The sleep diary in Chromium, as a person uses it: by keyboard, without a connection, in three languages.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { CHROMIUM, browserIn, forenoon, office, privateBrowser, site, study } from './site.js';

const skip = CHROMIUM === undefined && 'chromium is not installed';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const profile = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
let served, browser, page, authentication;

before(async () => {
  if (skip) return;
  served = await site();
  authentication = await office();
  browser = await browserIn(profile, { locale: 'en-GB', timezoneId: forenoon(), viewport: { width: 420, height: 900 } });
  page = await browser.newPage();
});

after(async () => {
  await browser?.close();
  served?.close();
  authentication?.close();
  rmSync(profile, { recursive: true, force: true });
});

const visible = (selector) => page.locator(selector).waitFor({ state: 'visible' });

/** What axe-core finds that keeps people out. */
async function serious(shown = page) {
  await shown.evaluate(AXE);
  const { violations } = await shown.evaluate('axe.run()');
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
}

/** Types a time. The browser's own language decides whether it asks for a.m. or p.m. */
async function typeTime(id, time) {
  const [hour, minute] = time.split(':');
  const half = `${Number(hour) % 12 || 12}`.padStart(2, '0');
  await page.keyboard.type(`${half}${minute}${Number(hour) < 12 ? 'A' : 'P'}`);
  if ((await page.inputValue(`#${id}`)) === time) return;
  for (const _ of 'hm') await page.keyboard.press('ArrowLeft');
  await page.keyboard.type(`${hour}${minute}`);
}

/** Lets the page's phone stand as the changes say, from now on. None: as it does. */
async function standing(changes, shown = page) {
  await shown.evaluate(async (changes) => {
    const { Phone } = await import('/example/dist/lib/phone.js');
    const real = (Phone.real ??= Phone.prototype.status);
    Phone.prototype.status = async function () {
      return { ...(await real.call(this)), ...changes };
    };
    dispatchEvent(new Event('offline'));
  }, changes);
}

/** A picture for the documents, where the caller asks for it. */
async function picture(name) {
  if (process.env.PICTURES !== undefined) await page.screenshot({ path: join(process.env.PICTURES, `${name}.png`), fullPage: true });
}

test('who opens the address on the paper has it filled in, and the code leaves the address', { skip }, async () => {
  const { url, code } = authentication;
  const fragment = new URLSearchParams({ server: url, code, participant: 'P-17' });
  await page.goto(`${served.url}/example/#${fragment}`);
  await visible('#enrol');
  assert.equal(await page.inputValue('#code'), code);
  assert.equal(new URL(page.url()).hash, '');
  assert.deepEqual(await serious(), []);
  await picture('sleep-diary-enrol');
});

test('every text is there in three languages, and changes with a choice', { skip }, async () => {
  const titles = [];
  for (const language of ['de', 'ja', 'en']) {
    await page.selectOption('#language', language);
    await page.locator(`html[lang=${language}]`).waitFor();
    titles.push(await page.textContent('#enrol-title'));
    const empty = await page.$$eval('[data-say]', (elements) => elements.filter(({ textContent }) => textContent === '').length);
    assert.equal(empty, 0);
    assert.deepEqual(await serious(), []);
  }
  assert.equal(new Set(titles).size, 3);
});

test('a code that is none is explained, and the screen reader is told', { skip }, async () => {
  const code = await page.inputValue('#code');
  await page.fill('#code', 'ABCDE');
  await page.press('#code', 'Enter');
  await page.locator('#message[data-code=malformed_code]').waitFor();
  assert.match(await page.textContent('#message[role=status][aria-live=assertive]'), /not a complete code/);
  // Whoever is led to the field hears what is wrong with it, until it is changed.
  assert.equal(await page.evaluate('document.activeElement.id'), 'code');
  await page.locator('#code[aria-invalid=true][aria-describedby~=message]').waitFor();
  assert.deepEqual(await serious(), []);
  await page.fill('#code', code);
  await page.locator('#code:not([aria-invalid]):not([aria-describedby~=message])').waitFor();
});

test('a person enrols and writes a night with the keyboard alone', { skip }, async () => {
  await page.focus('#enrolment button:not([type])');
  await page.keyboard.press('Enter');
  // Pressed once, and not lost.
  await page.locator('#enrolment button[aria-disabled=true]:focus').waitFor();
  // The server never enrols, and knows the study: that is enough to begin the diary.
  await visible('#morning');
  const answers = { bed: '22:30', tried: '22:45', latency: '20', awakenings: '2', awake: '15', woke: '06:30', rose: '06:45' };
  await page.focus('#bed');
  for (const [id, answer] of Object.entries(answers)) {
    while ((await page.evaluate('document.activeElement.id')) !== id) await page.keyboard.press('Tab');
    await (answer.includes(':') ? typeTime(id, answer) : page.keyboard.type(answer));
    assert.equal(await page.inputValue(`#${id}`), answer);
  }
  while ((await page.evaluate('document.activeElement.name')) !== 'quality') await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByText('Saved on this device.').waitFor();
  await page.locator('[role=status]', { hasText: 'One night waits on this device' }).waitFor();
  assert.deepEqual(await serious(), []);
  await page.focus('#code');
  await standing({ device: 7 });
  await page.locator('#enrol').waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate('document.activeElement.id'), 'morning-title');
  await picture('sleep-diary');
  await standing({});
});

test('the same night is saved once, and another answer only when it is asked for again', { skip }, async () => {
  const message = (text) => page.locator('#message', { hasText: text }).waitFor();
  await page.click('#diary button');
  // The night's identifiers and its time differ; what was answered does not.
  await message('This was saved before.');
  await page.fill('#latency', '25');
  await page.click('#diary button');
  await message('You wrote about this night before, in other words.');
  await page.getByText('One night waits on this device').waitFor();
  await page.click('#diary button');
  await message('Saved on this device.');
  await page.getByText('2 nights wait on this device').waitFor();
});

test('as long as there is no device another code can be typed, and what is wrong with it is told', { skip }, async () => {
  await page.reload();
  await visible('#morning');
  await visible('#enrol');
  assert.equal(await page.inputValue('#server'), authentication.url);
  await page.fill('#code', 'ABCDE');
  await page.fill('#participant', 'P-18');
  await page.press('#code', 'Enter');
  await page.locator('#message[data-code=malformed_code]').waitFor();
  assert.equal(await page.evaluate("localStorage.getItem('participant')"), 'P-17');
  await standing({ device: 7 });
  await page.locator('#enrol').waitFor({ state: 'hidden' });
});

test('a device that was stopped says why, asks for a code, and keeps what it has for the study team', { skip }, async () => {
  await standing({ device: 7, queued: 1, proved_in: 12, finalised: 0, stopped: 'foreign_head', advice: 'tell_study', last_fault: null });
  await page.locator('#advice', { hasText: 'Somebody else may have written in your name' }).waitFor();
  await page.locator('#entries', { hasText: 'This device was stopped.' }).waitFor();
  await visible('#enrol');
  await visible('#export');
  for (const hidden of ['#morning', '#send', '#safe']) await page.locator(hidden).waitFor({ state: 'hidden' });
  assert.deepEqual(await serious(), []);
  await page.press('#code', 'Enter');
  await page.locator('#message[data-code=malformed_code]').waitFor();
  await standing({ device: 7, queued: 0, proved_in: 12, stopped: 'foreign_head', advice: 'tell_study' });
  await page.locator('#export').waitFor({ state: 'hidden' });
  assert.ok(await page.isHidden('#safe'));
  await page.reload();
  await visible('#morning');
});

test('what a device left behind is told and can be saved for the study team, and nothing is called safe', { skip }, async () => {
  const stands = (changes) => standing({ device: 7, queued: 0, proved_in: 12, stopped: null, last_fault: null, ...changes });
  await stands({ left_behind: 2, advice: 'hand_over' });
  await page.locator('#entries', { hasText: '2 nights from before this device was enrolled anew were not registered.' }).waitFor();
  await page.locator('#advice', { hasText: 'Please give them to your study team.' }).waitFor();
  await visible('#export');
  await visible('#morning');
  assert.ok(await page.isHidden('#safe'));
  assert.deepEqual(await serious(), []);
  // They stay on the device after they were saved, and may be saved again.
  await stands({ left_behind: 2, advice: 'handed_over' });
  await page.locator('#advice', { hasText: 'Please make sure that your study team has them.' }).waitFor();
  assert.ok(await page.isVisible('#export'));
  assert.ok(await page.isHidden('#safe'));
  await stands({ left_behind: 0, advice: 'nothing' });
  await page.locator('#advice:empty').waitFor({ state: 'attached' });
  await visible('#safe');
  await page.locator('#export').waitFor({ state: 'hidden' });
  await page.reload();
  await visible('#morning');
});

test('a page that stays open names the night that it would save', { skip }, async () => {
  const [label, tomorrow] = await page.evaluate(() => {
    const Real = Date;
    globalThis.Date = class extends Real {
      constructor(...given) {
        super(...(given.length === 0 ? [Real.now() + 24 * 3600 * 1000] : given));
      }
    };
    document.getElementById('rose').value = '';
    document.dispatchEvent(new Event('visibilitychange'));
    return [document.getElementById('night').textContent, new Intl.DateTimeFormat('en-GB', { dateStyle: 'full' }).format(new Date())];
  });
  assert.ok(label.includes(tomorrow), label);
  await page.reload();
  await visible('#morning');
});

test('without a connection the page opens, and what was written is there', { skip }, async () => {
  await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
  await page.reload();
  await visible('#morning');
  await browser.setOffline(true);
  await page.reload();
  await visible('#morning');
  await page.getByText('There is no connection. You can write all the same.').waitFor();
  await page.getByText('2 nights wait on this device').waitFor();
  await browser.setOffline(false);
});

test('a browser that keeps nothing for pages, and one that asks the person first, are explained', { skip }, async () => {
  const denied = await browser.newPage();
  await denied.addInitScript(() => {
    const refused = () => {
      throw new DOMException('denied', 'SecurityError');
    };
    for (const name of ['localStorage', 'indexedDB']) Object.defineProperty(globalThis, name, { get: refused });
    navigator.locks.request = async () => refused();
    // A question to the person that nobody answers.
    navigator.storage.persist = () => new Promise(() => {});
  });
  await denied.goto(`${served.url}/example/`);
  await denied.locator('#message[data-code=state_unreadable]').waitFor();
  // There is nowhere to put a code in.
  assert.ok(await denied.isHidden('#enrol'));
  await denied.close();
});

test('in a private window the person is told that it forgets, before a code is used, in three languages', { skip }, async (context) => {
  const [played, hidden] = [await study(), await privateBrowser()];
  context.after(() => played.close());
  context.after(() => hidden.close());
  const opened = await hidden.newPage({ locale: 'en-GB' });
  const fragment = new URLSearchParams({ server: played.url, code: played.code, participant: 'P-17' });
  await opened.goto(`${served.url}/example/#${fragment}`);
  await opened.locator('#enrol').waitFor();
  const said = [];
  for (const language of ['de', 'ja', 'en']) {
    await opened.selectOption('#language', language);
    await opened.locator(`html[lang=${language}]`).waitFor();
    assert.ok(await opened.isVisible('[role=status] > #unkept'));
    said.push(await opened.textContent('#unkept'));
  }
  assert.match(said[2], /If this is a private window, all of it is lost when you close it/);
  assert.equal(new Set(said).size, 3);
  assert.deepEqual(await serious(opened), []);
  // Whoever closes it now has lost nothing: no server was asked.
  assert.deepEqual((await played.report()).met, {});

  // What is registered is not lost with a window.
  const level = { study: 0, device: 7, sealed: 1, finalised: 1, queued: 0, left_behind: 0, stopped: null, last_fault: null, advice: 'nothing' };
  await standing({ ...level, queued: 1, proved_in: 12 }, opened);
  await opened.locator('#entries', { hasText: 'One night waits on this device.' }).waitFor();
  assert.ok(await opened.isVisible('#unkept'));
  await standing({ ...level, proved_in: 12 }, opened);
  await opened.locator('#safe').waitFor();
  assert.ok(await opened.isHidden('#unkept'));
});

test('a browser that promises to keep the diary, or does when it is asked, is not said to forget it', { skip }, async (context) => {
  const hidden = await privateBrowser();
  context.after(() => hidden.close());
  for (const [before, asked] of [[true, true], [false, true], [false, false]]) {
    const opened = await hidden.newPage();
    await opened.addInitScript(([before, asked]) => {
      navigator.storage.persisted = async () => before;
      // The answer comes when the form is there already.
      navigator.storage.persist = () => new Promise((resolve) => (globalThis.answer = () => resolve(asked)));
    }, [before, asked]);
    await opened.goto(`${served.url}/example/`);
    await opened.locator('#enrol').waitFor();
    assert.equal(await opened.isVisible('#unkept'), !before);
    // As it must not stay, so that it is the answer that puts it right.
    await opened.evaluate((asked) => {
      document.getElementById('unkept').hidden = !asked;
      globalThis.answer();
    }, asked);
    await opened.locator('#unkept').waitFor({ state: asked ? 'hidden' : 'visible' });
    await opened.close();
  }
});

test('a page that does not arrive as a whole says so', { skip }, async () => {
  const torn = await browser.newPage();
  await torn.addInitScript(() => {
    const { fetch } = globalThis;
    globalThis.fetch = (address, ...rest) => (`${address}`.endsWith('.wasm') ? Promise.reject(new TypeError('failed')) : fetch(address, ...rest));
  });
  await torn.goto(`${served.url}/example/`);
  await torn.getByText('This page does not work here.').waitFor();
  await torn.close();
});

test('a second tab says that the diary is open in another one', { skip }, async () => {
  const second = await browser.newPage();
  await second.goto(`${served.url}/example/`);
  await second.locator('#message[data-code=state_in_use]').waitFor();
  await second.close();
});
