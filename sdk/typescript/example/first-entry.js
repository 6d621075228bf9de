// SPDX-License-Identifier: Apache-2.0
//
// Registers a first entry: `node first-entry.js FOLDER AUTHENTICATION-SERVER CODE [--trust-relays]`.

import { MHealthError, openPhone } from 'mhealth-chain/node';

const [folder, authentication, code, trust] = process.argv.slice(2);
try {
  const phone = await openPhone(folder, { trustRelays: trust === '--trust-relays' });
  await phone.enrol(authentication, code);
  const night = new Date().toISOString().slice(0, 10);
  await phone.seal(`night-${night}`, 'application/json', JSON.stringify({ night, minutes_asleep: 412 }));
  await phone.sync();
  const { queued, left_behind: left, stopped, proved_in: block, finalised } = await phone.status();
  // Data are safe when all of them are proved, and at no other time.
  const safe = queued === 0 && left === 0 && stopped === null && block !== null;
  console.log(safe ? `Your data is safe: registered in block ${block}, proved. Entries: ${finalised}.` : await phone.advice());
  await phone.close();
} catch (error) {
  console.error(error instanceof MHealthError ? error.sentence() : error);
  process.exitCode = 1;
}
