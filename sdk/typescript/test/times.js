// SPDX-License-Identifier: Apache-2.0
//
// One phone, for `sdk/tests/seal_times.py`: `times.js FOLDER AUTHENTICATION-SERVER CODE NIGHTS`, on Node.js, or with `CHROMIUM=PORT` in a page that
// is served at this port. Prints as JSON how many milliseconds each seal took.

import { inPage } from './site.js';
import { timed } from './timed.js';

const [folder, authentication, code, nights] = process.argv.slice(2);
const given = { authentication, code, nights: Number(nights) };

async function onNode() {
  return timed(await import('../dist/node.js'), given);
}

function inChromium(port) {
  const work = async (given) => {
    const library = await import('/dist/browser.js');
    await library.ready();
    const { timed } = await import('/test/timed.js');
    return timed(library, given);
  };
  return inPage(folder, port, work, given);
}

const port = process.env.CHROMIUM;
console.log(JSON.stringify(await (port === undefined ? onNode() : inChromium(Number(port)))));
