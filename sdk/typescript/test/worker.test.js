// SPDX-License-Identifier: Apache-2.0
//
// The diary's worker, in a world that consists of what it asks for.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createContext, runInContext } from 'node:vm';

const ORIGIN = 'https://diary.example.org';
const EXAMPLE = new URL('../example/', import.meta.url);
const file = (path) => readFileSync(new URL(path === './' ? 'index.html' : path, EXAMPLE));
const path = (request) => new URL(request.url ?? request, `${ORIGIN}/example/`).pathname.replace('/example/', '') || './';

/** A worker. `network` answers what it fetches. */
function started(network) {
  const [heard, caches, claimed] = [{}, new Map(), []];
  const cache = (name) => {
    if (!caches.has(name)) caches.set(name, new Map());
    const kept = caches.get(name);
    return { put: async (request, answer) => void kept.set(path(request), answer), match: async (request) => kept.get(path(request))?.clone() };
  };
  const context = createContext({
    URL, Response, Uint8Array, crypto,
    location: new URL(`${ORIGIN}/example/worker.js`),
    addEventListener: (kind, listener) => (heard[kind] = listener),
    importScripts: (script) => runInContext(file(script).toString(), context),
    fetch: async (request) => network(path(request)),
    caches: { open: async (name) => cache(name), keys: async () => [...caches.keys()], delete: async (name) => caches.delete(name) },
    clients: { claim: async () => claimed.push(true) },
    skipWaiting: () => claimed.push('take over'),
  });
  context.self = context;
  runInContext(file('worker.js').toString(), context);
  /** What comes of an event that waits for something. */
  const told = async (kind, event = {}) => {
    let done;
    heard[kind]({ ...event, waitUntil: (work) => (done = work), respondWith: (work) => (done = work) });
    return done;
  };
  return { told, caches, claimed, version: context.version };
}

const served = (name) => new Response(file(name));

test('a version is kept as a whole, and opens without a network', async () => {
  let connected = true;
  const worker = started((name) => {
    if (!connected) throw new TypeError('there is no network');
    return served(name);
  });
  const names = Object.keys(worker.version.files);
  for (const name of ['./', 'style.css', 'texts/ja.ftl', 'dist/app.js', 'dist/lib/browser.js', 'dist/lib/wasm/mhealth_bg.wasm']) {
    assert.ok(names.includes(name), name);
  }
  for (const name of ['dist/version.js', 'dist/lib/node.js', 'dist/lib/browser.d.ts']) assert.ok(!names.includes(name), name);
  await worker.told('install');
  connected = false;
  for (const name of names) {
    const request = { method: 'GET', url: `${ORIGIN}/example/${name === './' ? '?from=home' : name}` };
    const answer = await worker.told('fetch', { request });
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), file(name), name);
  }
});

test('of a version that does not arrive as a whole nothing is kept', async () => {
  const lost = started((name) => {
    if (name.endsWith('.wasm')) throw new TypeError('the connection was lost');
    return served(name);
  });
  await assert.rejects(lost.told('install'));
  const mixed = started((name) => (name === 'dist/lib/phone.js' ? new Response('// of another version') : served(name)));
  await assert.rejects(mixed.told('install'), /dist\/lib\/phone\.js is not of this version/);
  for (const { caches } of [lost, mixed]) assert.equal([...caches.values()].reduce((sum, kept) => sum + kept.size, 0), 0);
});

test('a version takes over when the page lets it, and only then forgets the ones before it', async () => {
  const worker = started(served);
  worker.caches.set('sleep-diary-before', new Map());
  worker.caches.set('of another page', new Map());
  await worker.told('install');
  assert.deepEqual([worker.claimed.length, worker.caches.size], [0, 3]);
  await worker.told('message', { data: 'take over' });
  assert.deepEqual(worker.claimed, ['take over']);
  await worker.told('activate');
  assert.deepEqual([...worker.caches.keys()].sort(), ['of another page', `sleep-diary-${worker.version.name}`]);
});
