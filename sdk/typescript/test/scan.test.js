// SPDX-License-Identifier: Apache-2.0
//
// The diary's camera, in a Chromium that makes up a picture. Which QR code is in it is played: on Linux Chromium has nothing that finds any.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { CHROMIUM, privateBrowser, site } from './site.js';

const skip = CHROMIUM === undefined && 'chromium is not installed';
const PAPER = { server: 'https://auth.example.org', code: '58N2M-AHA58-N2MAH-A58N2-H7P8X-P5PQ0-5DZ7W-RVA2G', participant: 'P-17' };
const NOTHING = { server: '', code: '', participant: '' };
const ADDRESS = `https://diary.example.org/#${new URLSearchParams(PAPER)}`;
let served, browser;

before(async () => {
  if (skip) return;
  served = await site();
  browser = await privateBrowser('--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream');
});

after(async () => {
  await browser?.close();
  served?.close();
});

/**
 * The diary in a window of its own. Its detector finds what stands in `seen`, after it has looked `looked` times; `streams` are what the
 * camera gave.
 */
async function diary({ detector = true, camera = true } = {}) {
  const page = await browser.newPage({ locale: 'en-GB' });
  await page.addInitScript(
    ({ detector, camera }) => {
      Object.assign(globalThis, { streams: [], looked: 0 });
      const { mediaDevices } = navigator;
      const opened = mediaDevices?.getUserMedia.bind(mediaDevices);
      if (opened !== undefined) {
        mediaDevices.getUserMedia = async (wanted) => {
          if (!camera) throw new DOMException('the person said no', 'NotAllowedError');
          const stream = await opened(wanted);
          streams.push(stream);
          return stream;
        };
      }
      delete globalThis.BarcodeDetector;
      if (!detector) return;
      globalThis.BarcodeDetector = class {
        constructor({ formats }) {
          if (!formats.includes('qr_code')) throw new TypeError('it is not asked for QR codes');
        }

        async detect(view) {
          // As a real one: there has to be a picture.
          if (view.srcObject === null || view.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) {
            throw new DOMException('there is no picture', 'InvalidStateError');
          }
          globalThis.looked += 1;
          return globalThis.seen === undefined ? [] : [{ rawValue: globalThis.seen }];
        }
      };
    },
    { detector, camera },
  );
  await page.goto(`${served.url}/example/`);
  await page.locator('#enrol').waitFor();
  return page;
}

/** Lets the page scan until it has looked more than once, and found nothing. */
async function scanning(page) {
  await page.click('#scan');
  await page.locator('#camera').waitFor();
  const before = await page.evaluate('looked');
  await page.waitForFunction((before) => globalThis.looked > before + 1, before);
}

/** Holds something before the camera. */
async function shown(page, text) {
  await page.evaluate((text) => (globalThis.seen = text), text);
  await page.locator('#camera').waitFor({ state: 'hidden' });
}

/** What stands in the form. */
async function form(page) {
  const values = Object.keys(NOTHING).map(async (id) => [id, await page.inputValue(`#${id}`)]);
  return Object.fromEntries(await Promise.all(values));
}

/** What has become of each picture that the camera gave. */
const cameras = (page) => page.evaluate('streams.flatMap((stream) => stream.getTracks().map(({ readyState }) => readyState))');
const message = (page) => page.textContent('#message');
const focused = (page) => page.evaluate('document.activeElement.id');

test('the picture of a paper fills the form in, and the camera is let go of', { skip }, async () => {
  const page = await diary();
  await scanning(page);
  assert.deepEqual([await form(page), await cameras(page)], [NOTHING, ['live']]);
  await shown(page, ADDRESS);
  assert.deepEqual([await form(page), await cameras(page)], [PAPER, ['ended']]);
  assert.deepEqual([await message(page), await focused(page)], ['', 'code']);
  await page.close();
});

test('a picture that is no paper changes nothing, and the next one is looked at', { skip }, async () => {
  const page = await diary();
  const codeless = 'https://diary.example.org/#server=https://auth.example.org&participant=P-17';
  for (const foreign of ['https://example.org/', codeless, 'WIFI:S:home;;']) {
    await page.evaluate('delete globalThis.seen');
    await scanning(page);
    await shown(page, foreign);
    assert.equal(await message(page), "This picture is not one of your study's papers.");
    assert.deepEqual(await form(page), NOTHING);
  }
  await page.evaluate('delete globalThis.seen');
  await scanning(page);
  await shown(page, ADDRESS);
  assert.deepEqual(await form(page), PAPER);
  assert.deepEqual(await cameras(page), ['ended', 'ended', 'ended', 'ended']);
  await page.close();
});

test('whoever stops the camera goes on at the button that began it', { skip }, async () => {
  const page = await diary();
  await scanning(page);
  await page.press('#stop', 'Enter');
  await page.locator('#camera').waitFor({ state: 'hidden' });
  assert.deepEqual([await form(page), await cameras(page)], [NOTHING, ['ended']]);
  assert.deepEqual([await message(page), await focused(page)], ['', 'scan']);
  await page.close();
});

test('the camera is opened once, however often it is asked for', { skip }, async () => {
  const page = await diary();
  await page.dblclick('#scan');
  await scanning(page);
  await shown(page, ADDRESS);
  assert.deepEqual([await form(page), await cameras(page), await message(page)], [PAPER, ['ended'], '']);
  await page.close();
});

test('a browser that finds no codes, and a person who lends no camera, are led to the form', { skip }, async () => {
  for (const lacking of [{ detector: false }, { camera: false }]) {
    const page = await diary(lacking);
    await page.click('#scan');
    await page.locator('#message', { hasText: 'This browser cannot scan pictures. Please type the code.' }).waitFor();
    await page.locator('#camera').waitFor({ state: 'hidden' });
    assert.deepEqual([await form(page), await cameras(page)], [NOTHING, []]);
    await page.close();
  }
});
