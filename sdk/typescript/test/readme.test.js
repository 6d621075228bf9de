// SPDX-License-Identifier: Apache-2.0
//
// The README's page, made by somebody who has nothing but the README and does what it says. Its program for Node.js is followed in
// `tests/tests/sdk/readme.rs`, with a real chain.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { CHROMIUM, privateBrowser, study } from './site.js';

const skip = CHROMIUM === undefined && 'chromium is not installed';
const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const PROJECT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

/** The README's blocks, each with its language and with what is said before it. */
const BLOCKS = [...README.matchAll(/(.*?)^```(\w+)\n(.*?)^```$/gms)].map(([, before, language, text]) => ({ before, language, text }));

/** A reader's shell: nothing in it is from the tests' own `npm`. */
const SHELL = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))),
  npm_config_audit: 'false',
  PYTHONUNBUFFERED: '1',
};

/** A text with what each reader has of their own. All of that has to stand in it. */
function filled(text, own) {
  return own.reduce((text, [mark, mine]) => {
    assert.ok(text.includes(mark), `${mark} is not in ${text}`);
    return text.replaceAll(mark, mine);
  }, text);
}

test('who has nothing but the README has a first entry of a page registered, without a bundler', { skip }, async (context) => {
  const played = await study();
  context.after(() => played.close());
  const room = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
  context.after(() => rmSync(room, { recursive: true, force: true }));
  const folder = join(room, 'diary');
  mkdirSync(folder);

  const install = BLOCKS.find(({ text }) => text.startsWith('npm '));
  const [page, serve, said] = BLOCKS.slice(BLOCKS.findIndex(({ language }) => language === 'html'));
  assert.deepEqual([install, page, serve, said].map(({ language }) => language), ['sh', 'html', 'sh', 'text']);

  const commands = filled(install.text, [['/path/to/mhealth-chain', PROJECT]]);
  execFileSync('bash', ['-e', '-c', commands], { cwd: folder, env: SHELL, stdio: ['ignore', 'ignore', 'inherit'] });
  const [, name] = /`([\w.]+)`:\n*$/.exec(page.before);
  const own = [
    ['https://auth.example.org', played.url],
    ['XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX', played.code],
    // As the README has it for chains without proofs.
    ['openPhone()', 'openPhone({ trustRelays: true })'],
  ];
  writeFileSync(join(folder, name), filled(page.text, own));

  // On any port that is free. It says which.
  const command = `exec ${filled(serve.text, [[' 8000', ' 0']])}`;
  const server = spawn('bash', ['-c', command], { cwd: folder, env: SHELL, stdio: ['ignore', 'pipe', 'ignore'] });
  context.after(() => server.kill());
  const [line] = await once(server.stdout, 'data', { signal: AbortSignal.timeout(20_000) });
  const [, port] = / port (\d+) /.exec(line);
  const [, address] = /Open <(.*?)>/.exec(said.before);

  const browser = await privateBrowser();
  context.after(() => browser.close());
  const opened = await browser.newPage();
  await opened.goto(filled(address, [[':8000', `:${port}`]]));
  await opened.waitForFunction("document.body.textContent.trim() !== ''");
  assert.equal((await opened.textContent('body')).trim(), said.text.trim());
  const { devices, final, faults } = await played.report();
  assert.deepEqual({ devices, final, faults }, { devices: 1, final: 1, faults: [] });
});
