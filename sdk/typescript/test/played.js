// SPDX-License-Identifier: Apache-2.0

const PATIENCE = 240_000;
// `tests/tests/sdk/phone.rs` knows it, too.
const DEADLINE = 60_000;
/** Syncs of a phone that is told for how long. */
const TRIES = 2;

/**
 * Enrols a phone, seals nights, and syncs until the chain has them all, or twice for so many seconds, whatever comes of it. Gives its status,
 * and how many seconds the longest sync took.
 */
export async function played(phone, { authentication, code, nights, seconds }) {
  const until = Date.now() + PATIENCE;
  const device = await phone.enrol(authentication, code);
  for (let night = 1; night <= nights; night += 1) {
    await phone.seal(`night ${night}`, 'application/json', JSON.stringify({ night }));
  }
  const deadline = seconds === undefined ? DEADLINE : seconds * 1000;
  let longest = 0;
  for (let tries = 0; seconds === undefined || tries < TRIES; tries += 1) {
    const begun = performance.now();
    try {
      const { state } = await phone.sync({ deadline });
      if (state === 'level' || state === 'frozen' || Date.now() > until) break;
    } catch (error) {
      console.error(`${error}`);
      if (Date.now() > until) throw error;
    } finally {
      longest = Math.max(longest, (performance.now() - begun) / 1000);
    }
  }
  const { sealed, finalised, proved_in: block, stopped, last_fault: fault } = await phone.status();
  return { device, sealed, finalised, block, stopped, fault, longest };
}
