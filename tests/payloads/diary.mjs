// SPDX-License-Identifier: Apache-2.0
//
// Prints the nights that the diary (sdk/typescript/example) makes of some mornings, one JSON document a line, where TZ says that this
// machine is.

import { MEDIA_TYPE, nightOf } from '../../sdk/typescript/example/dist/night.js';

const USUAL = { bed: '22:30', tried: '22:45', latency: 20, awakenings: 2, awake: 15, woke: '06:30', rose: '07:00', quality: 3 };
const at = (month, day, hour, minute) => new Date(2026, month - 1, day, hour, minute);

const MORNINGS = [
  [{}, at(11, 30, 8, 0)],
  [{ awakenings: 0, awake: 0, latency: 0 }, at(11, 30, 8, 0)],
  // Nobody slept: the episode has no length.
  [{ tried: '23:00', latency: 450, awakenings: 0, awake: 0 }, at(11, 30, 8, 0)],
  // Awake all the while.
  [{ latency: 0, awake: 465, awakenings: 30 }, at(11, 30, 8, 0)],
  [{ bed: '00:10', tried: '00:20' }, at(11, 30, 8, 0)],
  [{ bed: '13:00', quality: 1 }, at(11, 30, 8, 0)],
  // Written late in the evening, and after midnight.
  [{}, at(11, 30, 23, 50)],
  [{}, at(12, 1, 0, 30)],
  // The nights in which summer time begins and ends.
  [{}, at(3, 29, 8, 0)],
  [{ bed: '01:30', tried: '01:45' }, at(3, 29, 8, 0)],
  [{}, at(10, 25, 8, 0)],
  [{ bed: '01:30', tried: '02:30' }, at(10, 25, 8, 0)],
];

for (const [changed, written] of MORNINGS) {
  const night = nightOf({ ...USUAL, ...changed }, 'P-17', written);
  if (night === undefined) throw new Error(`no night: ${JSON.stringify(changed)}, ${written}`);
  console.log(JSON.stringify({ media_type: MEDIA_TYPE, night }));
}
