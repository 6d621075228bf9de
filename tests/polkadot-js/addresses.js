// SPDX-License-Identifier: Apache-2.0
//
// The offices of a chain as an address list for polkadot-js Apps, which then shows their names wherever it shows an account.
//
//     npm run addresses -- ws://127.0.0.1:9944

import { fileURLToPath } from 'node:url';

import { connect } from './chain.js';

/** Who has which office, as of the latest final block: names by address. */
export async function offices(api) {
  const at = await api.at(await api.rpc.chain.getFinalizedHead());
  const names = new Map();
  const add = (account, office) => {
    const address = account.toString();
    names.set(address, [...(names.get(address) ?? []), office]);
  };
  for (const member of await at.query.members.members()) add(member, 'member');
  for (const validator of await at.query.session.validators()) add(validator, 'validator');
  const studies = (await at.query.studies.nextStudyId()).toNumber();
  for (let study = 0; study < studies; study += 1) {
    const record = await at.call.hashchainApi.study(study);
    if (record.isNone) continue;
    add(record.unwrap().sponsor, `sponsor of study ${study}`);
    const accounts = async (map) => (await map.keys(study)).map(({ args: [, account] }) => account);
    for (const server of await accounts(at.query.studies.authenticationServers)) {
      add(server, `authentication server of study ${study}`);
    }
    for (const relay of await accounts(at.query.studies.relays)) add(relay, `relay of study ${study}`);
  }
  return new Map([...names].map(([address, list]) => [address, list.join(', ')]));
}

/** What to paste into the browser's console on the page of Apps. It adds to the address book what is not there yet. */
export async function script(api) {
  const entries = [...(await offices(api))].map(([address, name]) => {
    const key = `address:${api.createType('AccountId', address).toHex()}`;
    // With the chain's first block, so that Apps shows the name on this chain alone.
    const meta = { genesisHash: api.genesisHash.toHex(), name, tags: [] };
    return [key, { address, meta }];
  });
  const list = JSON.stringify(entries, undefined, 2);
  return `for (const [key, entry] of ${list}) {\n  if (!localStorage.getItem(key)) localStorage.setItem(key, JSON.stringify(entry));\n}\nlocation.reload();`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [endpoint] = process.argv.slice(2);
  if (!endpoint?.startsWith('ws')) {
    console.error('usage: npm run addresses -- ws://HOST:PORT');
    process.exit(2);
  }
  const api = await connect(endpoint);
  try {
    console.log(await script(api));
  } finally {
    await api.disconnect();
  }
}
