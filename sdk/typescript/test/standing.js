// SPDX-License-Identifier: Apache-2.0
//
// Loaded before a program, this lets every phone do what it is asked, and stand as the variable STANDING says.

import { Phone } from '../dist/node.js';

const { status } = Phone.prototype;
const standing = JSON.parse(process.env.STANDING);
Object.assign(Phone.prototype, {
  enrol: async () => 1,
  seal: async () => ({ sequence: 1, outcome: 'new' }),
  sync: async () => ({ state: 'level', queued: 0, stopped: null }),
  async status() {
    return { ...(await status.call(this)), ...standing };
  },
});
