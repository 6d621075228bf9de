// SPDX-License-Identifier: Apache-2.0
//
// Seals one night after the other until it is killed, for `sdk/tests/test_kills.py`: `sealing.js FOLDER AUTHENTICATION-SERVER CODE`. Says first
// how many it found, and what becomes of the last of them when it is sealed again; then each that it sealed.

import { writeSync } from 'node:fs';

import { openPhone } from '../dist/node.js';

const [folder, authentication, code] = process.argv.slice(2);
const phone = await openPhone(folder);
const seal = (night) => phone.seal(`night ${night}`, 'application/json', JSON.stringify({ night }));
// The server never enrols; the phone knows its study after that.
if ((await phone.status()).study === null) await phone.enrol(authentication, code, { deadline: 1000 }).catch(() => {});
let night = (await phone.status()).sealed;
writeSync(1, `${night} ${night === 0 ? 'new' : (await seal(night)).outcome}\n`);
for (;;) {
  night += 1;
  writeSync(1, `${(await seal(night)).sequence}\n`);
}
