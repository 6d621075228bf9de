// SPDX-License-Identifier: Apache-2.0

/** Seals nights of a kilobyte, without a store. Gives how many milliseconds each took, for Node.js and for a page. */
export async function timed({ Phone }, { authentication, code, nights }) {
  const store = { open: async () => [], apply: async () => {}, close: async () => {} };
  const keystore = { wrap: async (secret) => secret, unwrap: async (wrapped) => wrapped };
  const phone = await Phone.open({ store, keystore });
  // The server never enrols. What it says of the code is enough to seal.
  await phone.enrol(authentication, code, { deadline: 2000 }).catch(() => {});
  const notes = 'x'.repeat(1000);
  const times = [];
  for (let night = 1; night <= nights; night += 1) {
    const payload = JSON.stringify({ night, notes });
    const begun = performance.now();
    await phone.seal(`night ${night}`, 'application/json', payload);
    times.push(performance.now() - begun);
  }
  await phone.close();
  return times;
}
