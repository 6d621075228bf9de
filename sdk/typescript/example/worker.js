// SPDX-License-Identifier: Apache-2.0
//
// Keeps the page for when there is no connection. The diary itself is in the phone's store, which this never touches.

// Which files the page consists of, with the hash of each, and a name for all of them together: `stamp.js` writes that down when the page is
// built. A browser that finds another list has found a new version.
importScripts('dist/version.js');
const { name: VERSION, files: FILES } = self.version;
const OURS = 'sleep-diary-';
const KEPT = OURS + VERSION;

addEventListener('install', (event) => event.waitUntil(fill()));

/** Keeps all files of this version or none: the library and its bindings only fit each other. */
async function fill() {
  const answers = await Promise.all(Object.entries(FILES).map(([path, digest]) => fetched(path, digest)));
  const cache = await caches.open(KEPT);
  await Promise.all(answers.map(([path, answer]) => cache.put(path, answer)));
}

/** A file of this version. Any other one is from before or after it, while a new one is put in its place: the browser comes again. */
async function fetched(path, digest) {
  const answer = await fetch(path, { cache: 'no-store' });
  const bytes = await answer.clone().arrayBuffer();
  const found = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (!answer.ok || found !== digest) throw new Error(`${path} is not of this version`);
  return [path, answer];
}

// The page asks for this when it is opened and nothing is typed yet.
addEventListener('message', ({ data }) => {
  if (data === 'take over') skipWaiting();
});

addEventListener('activate', (event) => event.waitUntil(tidy()));

async function tidy() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(OURS) && name !== KEPT).map((name) => caches.delete(name)));
  await clients.claim();
}

// What is kept comes first: a connection that is bad must not keep the page from opening. Servers of a study are other origins.
addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin) return;
  event.respondWith(kept(request));
});

async function kept(request) {
  const cache = await caches.open(KEPT);
  return (await cache.match(request, { ignoreSearch: true })) ?? fetch(request);
}
