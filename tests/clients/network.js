// SPDX-License-Identifier: Apache-2.0
//
// Four validators of the preset `local` on this machine, or one of `dev`, and light clients of their chains.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createClient } from 'polkadot-api';
import { getSmProvider } from 'polkadot-api/sm-provider';
import { start } from 'smoldot';

import { exportedSpecification, launch, startNode } from '../polkadot-js/node.js';

const VALIDATORS = ['alice', 'bob', 'charlie', 'dave'];

/** The answer of a node to one request by HTTP. Rejects with the error that the node names. */
export async function ask(endpoint, method, ...params) {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(endpoint.replace(/^ws/, 'http'), { method: 'POST', headers, body }).catch((error) => {
    throw new Error(`${method} at ${endpoint}: ${error.cause ?? error}`);
  });
  const { result, error } = await response.json();
  if (error) throw Object.assign(new Error(error.message), error);
  return result;
}

/** The one of a node's addresses that is of this kind. */
function reachedBy(kind, addresses) {
  const address = addresses.find((each) => each.includes(kind));
  if (!address) throw new Error(`the node has no address with ${kind}: ${addresses}`);
  return address;
}

/** What makes the specification of a chain for light clients: raw, with the addresses of nodes to begin at. */
async function specifications(chain) {
  const raw = await exportedSpecification(chain, '--raw');
  return (bootNodes) => JSON.stringify({ ...raw, bootNodes });
}

/**
 * Starts them. `nodes` have an endpoint and `stop` each; `specification` is for light clients: the raw one, with all four as
 * nodes to begin at, over WebSocket. `overWebRtc` is the same with their addresses for WebRTC.
 */
export async function startNetwork() {
  const folder = await mkdtemp(join(tmpdir(), 'mhealth-network-'));
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const webSocket = [];
    const webRtc = [];
    for (const [index, name] of VALIDATORS.entries()) {
      const known = webSocket.flatMap((address) => ['--bootnodes', address]);
      const node = await launch(
        '--chain', 'local', '--validator', `--${name}`, '--base-path', join(folder, name), '--no-mdns',
        '--node-key', (index + 1).toString(16).padStart(64, '0'), '--listen-addr', '/ip4/127.0.0.1/tcp/0/ws',
        '--listen-addr', '/ip4/127.0.0.1/udp/0/webrtc-direct', '--runtime-cache', join(folder, 'runtime'), ...known,
      );
      nodes.push(node);
      const listens = await ask(node.endpoint, 'system_localListenAddresses');
      webSocket.push(reachedBy('/ws/', listens));
      webRtc.push(reachedBy('/webrtc-direct/certhash/', listens));
    }
    const beginningAt = await specifications('local');
    return { nodes, specification: beginningAt(webSocket), overWebRtc: beginningAt(webRtc), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A light client that begins with the first block, and what it logged. */
export async function startLightClient(specification) {
  const log = [];
  const smoldot = start({ maxLogLevel: 3, logCallback: (_, target, message) => log.push(`${target}: ${message}`) });
  const chain = await smoldot.addChain({ chainSpec: specification });
  const client = createClient(getSmProvider(() => chain));
  const stop = async () => {
    client.destroy();
    await smoldot.terminate();
  };
  return { client, log, stop };
}

/** Starts a development chain of one node, and a light client of it. */
export async function startDevelopment(...options) {
  const node = await startNode('--no-mdns', '--listen-addr', '/ip4/127.0.0.1/tcp/0/ws', ...options);
  try {
    const address = reachedBy('/ws/', await ask(node.endpoint, 'system_localListenAddresses'));
    const beginningAt = await specifications('dev');
    const light = await startLightClient(beginningAt([address]));
    const stop = async () => {
      await light.stop();
      await node.stop();
    };
    return { node, client: light.client, stop };
  } catch (error) {
    await node.stop();
    throw error;
  }
}

/** The first final block that this one asks for. */
export function finalised(client, wanted, patience = 120_000) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no such block within ${patience} ms`)), patience);
    const done = (settle, value) => {
      clearTimeout(timer);
      subscription.unsubscribe();
      settle(value);
    };
    const subscription = client.finalizedBlock$.subscribe({
      // Not within `subscribe` itself, which has not returned yet.
      next: (block) => wanted(block) && queueMicrotask(() => done(resolve, block)),
      error: (error) => queueMicrotask(() => done(reject, error)),
    });
  });
}
