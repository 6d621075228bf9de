// SPDX-License-Identifier: Apache-2.0
//
// Writes down which files the example's page consists of, with the hash of each, for its worker (`example/worker.js`). Whoever serves the page
// serves these bytes.

import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = 'example';
const VERSION = 'dist/version.js';
/** Parts of the package for programs, and for compilers. */
const OTHERS = /^dist\/lib\/(node|files)\.js$|\.d\.ts$/;

const below = (folder) => readdirSync(join(ROOT, folder), { recursive: true }).map((name) => `${folder}/${name.replaceAll('\\', '/')}`);
const loaded = [...below('texts'), ...below('dist')].filter((name) => /\.(ftl|js|wasm)$/.test(name) && !OTHERS.test(name) && name !== VERSION);
const digest = (name) => createHash('sha256').update(readFileSync(join(ROOT, name))).digest('hex');

const files = { './': digest('index.html') };
for (const name of ['style.css', ...loaded.sort()]) files[name] = digest(name);
const name = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 16);
writeFileSync(join(ROOT, VERSION), `self.version = ${JSON.stringify({ name, files }, null, 2)};\n`);
