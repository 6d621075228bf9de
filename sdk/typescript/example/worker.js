// SPDX-License-Identifier: Apache-2.0
//
// Keeps the page for when there is no connection. The diary itself is in the phone's store, which this never touches.

const KEPT = 'sleep-diary-1';
const FILES = [
  './', 'style.css', 'texts/en.ftl', 'texts/de.ftl', 'texts/ja.ftl', 'dist/app.js', 'dist/night.js', 'dist/paper.js', 'dist/lib/browser.js',
  'dist/lib/common.js', 'dist/lib/fault.js', 'dist/lib/host.js', 'dist/lib/indexeddb.js', 'dist/lib/phone.js', 'dist/lib/wasm/mhealth.js',
  'dist/lib/wasm/mhealth_bg.wasm',
];

addEventListener('install', (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)).then(() => skipWaiting()));
});

addEventListener('activate', (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => clients.claim()));
});

// From the network first, so that a new version is seen; from what is kept when there is none. Servers of a study are other origins.
addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== location.origin) return;
  event.respondWith(
    fetch(request)
      .then(async (answer) => {
        if (answer.ok) (await caches.open(KEPT)).put(request, answer.clone());
        return answer;
      })
      .catch(async () => (await caches.match(request, { ignoreSearch: true })) ?? Response.error()),
  );
});
