// SPDX-License-Identifier: Apache-2.0
//
// What tests stand on: the package's folder as a site, browsers, an authentication server that never enrols, and a study that is played.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.wasm': 'application/wasm',
  '.ftl': 'text/plain; charset=utf-8', '.json': 'application/json',
};

export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** Serves the folder on this machine, on a free port if none is named; `/blank` is an empty page. */
export async function site(port = 0) {
  const server = createServer(async (request, answer) => {
    const path = normalize(new URL(request.url, 'http://site').pathname);
    if (path === '/blank') return answer.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>blank</title>');
    const file = join(ROOT, path.endsWith('/') ? `${path}index.html` : path);
    const body = await readFile(file).catch(() => undefined);
    if (body === undefined) return answer.writeHead(404).end();
    answer.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' }).end(body);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

/** A browser without a window whose profile is in a folder: what is stored there outlives it. */
export function browserIn(profile, options = {}) {
  return chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: ['--no-sandbox'], ...options });
}

/** A browser without a window, and without a profile: each of its pages is in a private window of its own. */
export function privateBrowser(...switches) {
  return chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', ...switches] });
}

/** Runs a function in a page of the folder, with the package as its first argument. */
export function within(page, work, argument) {
  return page.evaluate(
    `(async (argument) => {
      const library = await import('/dist/browser.js');
      await library.ready();
      return (${work})(library, argument);
    })(${JSON.stringify(argument)})`,
  );
}

/** A time zone in which it is between ten and eleven: whenever tests run, the person has risen not long ago. */
export function forenoon() {
  const ahead = ((10 - new Date().getUTCHours() + 36) % 24) - 12;
  return ahead === 0 ? 'UTC' : `Etc/GMT${ahead > 0 ? '-' : '+'}${Math.abs(ahead)}`;
}

/** Does some work in an empty page of the folder, which is served at this port, in a browser with this profile. Gives what the work does. */
export async function inPage(profile, port, work, given) {
  const served = await site(port);
  const browser = await browserIn(profile);
  try {
    const page = await browser.newPage();
    await page.goto(`${served.url}/blank`);
    return await page.evaluate(work, given);
  } finally {
    await browser.close();
    served.close();
  }
}

/** An authentication server that says what its code is for, and never enrols. */
export function office() {
  return played('office.py');
}

/**
 * A study without a chain: an authentication server and a relay that do as they are told. A run is final once a phone has offered it after
 * being opened so often.
 */
export async function study(openings = 1) {
  const { url, ...others } = await played('study.py', '--openings', `${openings}`);
  const asked = async (what, method) => (await fetch(`${url}/played/${what}`, { method })).json();
  return { url, ...others, play: (conduct) => asked(conduct, 'POST'), report: () => asked('report', 'GET') };
}

async function played(file, ...options) {
  const path = fileURLToPath(new URL(`../../tests/${file}`, import.meta.url));
  const program = spawn('python3', [path, ...options], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(program.stdout, 'data');
  return { ...JSON.parse(line), close: () => program.stdin.end() };
}
