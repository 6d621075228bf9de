// SPDX-License-Identifier: Apache-2.0
//
// The sleep diary before a study's real servers, for `tests/tests/sdk/`: `diary.js FOLDER AUTHENTICATION-SERVER CODE`, with `CHROMIUM=PORT` for the
// port of the page. Somebody takes part, writes about a night without a connection, and has one again. Prints in the last line, as JSON, what the
// page said; or, where nobody is let in, the code and the sentence of that.

import { join } from 'node:path';

import { browserIn, forenoon, site } from './site.js';

/** A page whose attempt failed comes again after a minute. */
const PATIENCE = 180_000;
const ANSWERS = { bed: '22:30', tried: '22:45', latency: '20', awakenings: '2', awake: '15', woke: '06:30', rose: '06:45' };

const [folder, server, code] = process.argv.slice(2);

const visible = (page, selector) => page.locator(selector).waitFor({ state: 'visible' });
const entries = async (page) => (await page.textContent('#entries')).trim();
const connected = (page, yes) => page.context().setOffline(!yes);

/** Takes part. Gives why not, if so. */
async function refused(page, address) {
  const paper = new URLSearchParams({ server, code, participant: 'P-17' });
  await page.goto(`${address}/example/#${paper}`);
  await visible(page, '#enrol');
  await page.click('#enrolment button:not([type])');
  await page.locator('#enrol[hidden], #message[data-code]').first().waitFor({ state: 'attached' });
  const message = page.locator('#message[data-code]');
  if ((await message.count()) === 0) return undefined;
  return { refused: await message.getAttribute('data-code'), sentence: await message.textContent() };
}

/** Opens the page once more without a connection, and writes about a night. Gives what the page says of it then. */
async function written(page) {
  await page.evaluate('navigator.serviceWorker.ready.then(() => true)');
  await connected(page, false);
  await page.reload();
  await visible(page, '#morning');
  for (const [id, answer] of Object.entries(ANSWERS)) await page.fill(`#${id}`, answer);
  await page.check('input[name=quality][value="4"]');
  await page.click('#diary button');
  await page.getByText('Saved on this device.').waitFor();
  await page.getByText('One night waits on this device.').waitFor();
  return { offline: await entries(page), safeOffline: await page.isVisible('#safe') };
}

/** Has a connection again. Gives what the page says when everything is registered. */
async function registered(page) {
  await connected(page, true);
  await visible(page, '#safe');
  if (process.env.PICTURES !== undefined) {
    await page.screenshot({ path: join(process.env.PICTURES, 'sleep-diary-safe.png'), fullPage: true });
  }
  return { safe: await page.textContent('#safe'), online: await entries(page) };
}

const served = await site(Number(process.env.CHROMIUM));
const browser = await browserIn(folder, { locale: 'en-GB', timezoneId: forenoon(), viewport: { width: 420, height: 900 } });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const said = (await refused(page, served.url)) ?? { ...(await written(page)), ...(await registered(page)) };
  console.log(JSON.stringify(said));
} finally {
  await browser.close();
  served.close();
}
