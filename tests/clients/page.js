// SPDX-License-Identifier: Apache-2.0
//
// Runs in a browser: smoldot, connected to validators by WebSocket, reads a device's head.

import { createClient } from 'polkadot-api';
import { getSmProvider } from 'polkadot-api/sm-provider';
import { start } from 'smoldot';

const report = (content) => fetch('/report', { method: 'POST', body: JSON.stringify(content) });

try {
  const { specification, device } = await (await fetch('/task.json')).json();
  const smoldot = start({ maxLogLevel: 2 });
  const chain = await smoldot.addChain({ chainSpec: specification });
  const client = createClient(getSmProvider(() => chain));
  const { hash, number } = await client.getFinalizedBlock();
  const head = await client.getUnsafeApi().apis.HashchainApi.head(device, { at: hash });
  await report({ hash, block: number, head: head.hash });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
