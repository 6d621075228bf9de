// SPDX-License-Identifier: Apache-2.0
//
// One phone, for `tests/tests/sdk/`: `nights.js FOLDER AUTHENTICATION-SERVER CODE NIGHTS [SECONDS]`, on Node.js, or with `CHROMIUM=PORT` in a page
// that is served at this port, where the clock is ahead by `AHEAD` seconds. Prints its status as JSON in the last line.

import { inPage } from './site.js';
import { played } from './played.js';

const [folder, authentication, code, nights, seconds] = process.argv.slice(2);
const given = { authentication, code, nights: Number(nights), seconds: seconds && Number(seconds) };

async function onNode() {
  const { openPhone } = await import('../dist/node.js');
  const phone = await openPhone(folder, { copies: 2 });
  const status = await played(phone, given);
  await phone.close();
  return status;
}

function inChromium(port) {
  const work = async ({ ahead, ...given }) => {
    const { now } = Date;
    Date.now = () => now() + ahead;
    const { openPhone } = await import('/dist/browser.js');
    const { played } = await import('/test/played.js');
    return played(await openPhone({ copies: 2 }), given);
  };
  return inPage(folder, port, work, { ...given, ahead: Number(process.env.AHEAD ?? 0) * 1000 });
}

const port = process.env.CHROMIUM;
console.log(JSON.stringify(await (port === undefined ? onNode() : inChromium(Number(port)))));
