// SPDX-License-Identifier: Apache-2.0
//
// Runs the tests with Node.js 22 or newer, which polkadot-api needs: this one, or the one that npm brought as a package.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const own = Number(process.versions.node.split('.')[0]) >= 22;
const packaged = fileURLToPath(new URL(`node_modules/node-${process.platform}-${process.arch}/bin/node`, import.meta.url));
if (!own && !existsSync(packaged)) {
  console.error(`Node.js 22 or newer is needed; this is ${process.version}, and there is no package of it for this machine`);
  process.exit(77);
}
const files = process.argv.slice(2);
// smoldot leaves timers behind when it is terminated, and they would keep the program for minutes.
const options = ['--test', '--test-reporter=spec', '--test-force-exit', ...files];
const { status } = spawnSync(own ? process.execPath : packaged, options, { stdio: 'inherit' });
process.exit(status ?? 1);
