// SPDX-License-Identifier: Apache-2.0
//
// A browser without a window that opens a page of ours, in which smoldot is a light client.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const PATIENCE = 180_000;
const HTML = '<!doctype html><meta charset="utf-8"><title>light</title><script type="module" src="/page.js"></script>';

/**
 * What the page reports of the head of a device, once that has so many entries; `task` is
 * `{ specification, options, device, length }`, with options of smoldot. Undefined, and the test skipped, on a machine without
 * the browser.
 */
export async function inBrowser(t, task) {
  const browser = ['chromium', 'chromium-browser', 'google-chrome'].find(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
  if (!browser) {
    t.skip('there is no chromium');
    return undefined;
  }
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('page.js', import.meta.url))],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'error',
  });
  const files = {
    '/': ['text/html', HTML],
    '/page.js': ['text/javascript', bundle.outputFiles[0].text],
    // The page gives up first, because it can say how far it came.
    '/task.json': ['application/json', JSON.stringify({ ...task, patience: PATIENCE - 20_000 })],
  };
  const folder = await mkdtemp(join(tmpdir(), 'mhealth-browser-'));
  let child, server;
  try {
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('the page reported nothing')), PATIENCE);
      server = createServer(async (request, response) => {
        if (request.method === 'POST') {
          let text = '';
          for await (const part of request) text += part;
          response.end();
          clearTimeout(timer);
          const report = JSON.parse(text);
          if (report.error) reject(new Error(report.error));
          else resolve(report);
          return;
        }
        const [type, content] = files[request.url] ?? [];
        response.writeHead(type ? 200 : 404, { 'Content-Type': type ?? 'text/plain' });
        response.end(content);
      });
      server.listen(0, '127.0.0.1', () => {
        const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${folder}`];
        child = spawn(browser, [...options, `http://127.0.0.1:${server.address().port}/`], { stdio: 'ignore' });
        child.once('error', reject);
      });
    });
  } finally {
    if (child) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill();
      await ended;
    }
    server?.closeAllConnections();
    server?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
