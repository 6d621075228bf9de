// SPDX-License-Identifier: Apache-2.0

import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** The binary that `scripts/test` built; `MHEALTH_NODE` names another. */
export function binary() {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const target = process.env.CARGO_TARGET_DIR ?? join(cache, 'mhealth-chain', 'target');
  const path = process.env.MHEALTH_NODE ?? join(target, 'release', 'mhealth-node');
  if (!existsSync(path)) throw new Error(`no node at ${path}: cargo build --release --workspace`);
  return path;
}

/** The specification of a chain. With the option `--raw` as nodes keep it. */
export async function exportedSpecification(chain, ...options) {
  const exported = await promisify(execFile)(
    binary(), ['export-chain-spec', '--chain', chain, ...options], { maxBuffer: 64 << 20 },
  );
  return JSON.parse(exported.stdout);
}

/**
 * Starts a development chain in a temporary folder on ports that the system chooses.
 * Resolves to its WebSocket endpoint, read from the log, and `stop`.
 */
export const startNode = (...options) => launch('--dev', '--port', '0', ...options);

/** The same for a node of any chain. */
export function launch(...options) {
  const child = spawn(binary(), ['--rpc-port', '0', '--no-prometheus', ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  process.once('exit', () => child.kill('SIGKILL'));

  return new Promise((resolve, reject) => {
    const log = [];
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (log.length < 200) log.push(line);
      const address = line.match(/JSON-RPC server: addr=(127\.0\.0\.1:\d+)/)?.[1];
      if (address) resolve({ endpoint: `ws://${address}`, stop });
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the node ended with status ${code}:\n${log.join('\n')}`)));
  });
}
