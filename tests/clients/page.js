// SPDX-License-Identifier: Apache-2.0
//
// Runs in a browser: smoldot, connected to validators by WebSocket, reads a device's head.

import { createClient } from 'polkadot-api';
import { getSmProvider } from 'polkadot-api/sm-provider';
import { exhaustMap, filter, firstValueFrom } from 'rxjs';
import { start } from 'smoldot';

const report = (content) => fetch('/report', { method: 'POST', body: JSON.stringify(content) });

try {
  const { specification, device, length } = await (await fetch('/task.json')).json();
  const smoldot = start({ maxLogLevel: 2 });
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
  );
  const { block, head } = await firstValueFrom(found);
  await report({ hash: block.hash, block: block.number, head: head.hash });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
