// SPDX-License-Identifier: Apache-2.0
//
// Seals some nights and sends them until it is killed, for `sdk/tests/test_kills.py`: `sealing.js FOLDER AUTHENTICATION-SERVER CODE`. Says first
// how many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.

import { writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { openPhone } from '../dist/node.js';

const NIGHTS = 8;

const [folder, authentication, code] = process.argv.slice(2);
const phone = await openPhone(folder, { trustRelays: true });
const seal = (night) => phone.seal(`night ${night}`, 'application/json', JSON.stringify({ night }));

async function send() {
  for (;;) {
    // Nothing is final before it was sent by several programs.
    await phone.sync({ deadline: 500 }).catch(() => {});
    await pause(20);
  }
}

if ((await phone.status()).device === null) await phone.enrol(authentication, code);
const found = (await phone.status()).sealed;
writeSync(1, `${found} ${found === 0 ? 'new' : (await seal(found)).outcome}\n`);
void send();
for (let night = found + 1; night <= found + NIGHTS; night += 1) writeSync(1, `${(await seal(night)).sequence}\n`);
