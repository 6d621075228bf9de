// SPDX-License-Identifier: Apache-2.0
//
// Runs in a browser: smoldot, connected to validators by WebSocket or by WebRTC, reads a device's head.

import { createClient } from 'polkadot-api';
import { getSmProvider } from 'polkadot-api/sm-provider';
import { exhaustMap, filter, firstValueFrom, timeout } from 'rxjs';
import { start } from 'smoldot';

const report = (content) => fetch('/report', { method: 'POST', body: JSON.stringify(content) });

// How often the page connected, and by what: counted at the browser's own classes, so that no option of smoldot is believed.
const opened = { WebSocket: 0, RTCPeerConnection: 0 };
for (const name of Object.keys(opened)) {
  globalThis[name] = class extends globalThis[name] {
    constructor(...parameters) {
      super(...parameters);
      opened[name] += 1;
    }
  };
}

// The end of smoldot's log, in which every connection is a line of `network`.
const log = [];
const logCallback = (level, target, message) => {
  if (level > 3 && target !== 'network') return;
  log.push(`${target}: ${message}`);
  if (log.length > 100) log.shift();
};

try {
  const { specification, options, device, length, patience } = await (await fetch('/task.json')).json();
  const smoldot = start({ ...options, maxLogLevel: 4, logCallback });
  const chain = await smoldot.addChain({ chainSpec: specification });
  const client = createClient(getSmProvider(() => chain));
  // It begins with an old block, and comes to the present one in leaps. Blocks that come meanwhile are left out, and one of which
  // smoldot has let go before it answered counts for nothing.
  const known = ({ hash }) => client.getUnsafeApi().apis.HashchainApi.head(device, { at: hash });
  const unlessLetGo = (error) => {
    if (error?.name !== 'BlockNotPinnedError') throw error;
  };
  const found = client.finalizedBlock$.pipe(
    exhaustMap(async (block) => ({ block, head: await known(block).catch(unlessLetGo) })),
    filter(({ head }) => head && Number(head.length) >= length),
    timeout({ first: patience }),
  );
  const { block, head } = await firstValueFrom(found);
  await report({ hash: block.hash, block: block.number, head: head.hash, opened });
} catch (error) {
  // The stack of an error of rxjs leaves its message out.
  await report({ error: [error, error?.stack, JSON.stringify(opened), ...log].join('\n') });
}
