// SPDX-License-Identifier: Apache-2.0
//
// Runs in a browser: smoldot, connected to validators by WebSocket, reads a device's head.

import { createClient } from 'polkadot-api';
import { getSmProvider } from 'polkadot-api/sm-provider';
import { concatMap, filter, firstValueFrom } from 'rxjs';
import { start } from 'smoldot';

const report = (content) => fetch('/report', { method: 'POST', body: JSON.stringify(content) });

try {
  const { specification, device, length } = await (await fetch('/task.json')).json();
  const smoldot = start({ maxLogLevel: 2 });
  const chain = await smoldot.addChain({ chainSpec: specification });
  const client = createClient(getSmProvider(() => chain));
  // It begins with an old block, and comes to the present one.
  const known = ({ hash }) => client.getUnsafeApi().apis.HashchainApi.head(device, { at: hash });
  const found = client.finalizedBlock$.pipe(
    concatMap(async (block) => ({ block, head: await known(block) })),
    filter(({ head }) => head && Number(head.length) >= length),
  );
  const { block, head } = await firstValueFrom(found);
  await report({ hash: block.hash, block: block.number, head: head.hash });
} catch (error) {
  await report({ error: String(error?.stack ?? error) });
}
