// SPDX-License-Identifier: Apache-2.0
//
// The vectors that come out the same in every language, for Node.js and for a page in Chromium.

const bytes = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

function encodingHolds({ hashParts }, test) {
  const made = hashParts(test.label, test.parts.map(bytes));
  const same = made.encoding === test.encoding && made.hash === test.hash;
  return same === (test.result === 'valid');
}

function chainHolds({ checkChain, MHealthError }, { device, secret }, test) {
  const { chain, study, deviceKey: device_key, predecessor, escrow } = device;
  const { entries, head, signature } = test;
  try {
    const count = checkChain({ origin: { chain, study, device_key, predecessor, escrow, secret }, entries, head, signature });
    return test.result === 'valid' && count === entries.length;
  } catch (error) {
    if (!(error instanceof MHealthError)) throw error;
    return test.result === 'invalid' && error.code === `wrong_${test.caughtBy}`;
  }
}

function stepHolds({ MHealthError }, reader, step) {
  try {
    const shown = reader.check(bytes(step.proof));
    const members = ['block', 'set', 'length', 'head', 'key'];
    return step.shown !== undefined && members.every((name) => shown[name] === step.shown[name]);
  } catch (error) {
    if (!(error instanceof MHealthError)) throw error;
    return error.code === step.refused;
  }
}

/** One claim a case, in the order of the files. */
export function cases(library, chains, proofs) {
  const ofChains = chains.testGroups.flatMap((group) =>
    group.tests.map((test) => (group.type === 'Encoding' ? encodingHolds(library, test) : chainHolds(library, group, test))),
  );
  const ofProofs = proofs.chains.flatMap(({ genesis, device, steps }) => {
    const reader = new library.ProofReader(bytes(genesis), device);
    return steps.map((step) => stepHolds(library, reader, step));
  });
  return [...ofChains, ...ofProofs];
}

/** How many cases hold, after it was made sure that all do and that a false one of each kind is seen. */
export function judged(library, chains, proofs) {
  const outcomes = cases(library, chains, proofs);
  const expected = chains.numberOfTests + proofs.chains.reduce((sum, { steps }) => sum + steps.length, 0);
  if (outcomes.length !== expected || outcomes.includes(false)) throw new Error(`${outcomes.indexOf(false)} of ${outcomes.length}`);
  const falsified = [
    ...chains.testGroups.map((_, kind) => {
      const false_ = structuredClone(chains);
      const test = false_.testGroups[kind].tests[0];
      test.result = test.result === 'valid' ? 'invalid' : 'valid';
      return cases(library, false_, { chains: [] });
    }),
    ...proofs.chains.map((_, kind) => {
      const false_ = structuredClone(proofs);
      false_.chains[kind].steps.find(({ shown }) => shown !== undefined).shown.length += 1;
      return cases(library, { testGroups: [] }, false_);
    }),
  ];
  for (const outcomes of falsified) {
    if (outcomes.filter((held) => !held).length !== 1) throw new Error('a false case was not seen');
  }
  return expected;
}
