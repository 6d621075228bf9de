// SPDX-License-Identifier: Apache-2.0
//
// What polkadot-js Apps would show of this chain, in a terminal:
//
//     npm run tour -- ws://127.0.0.1:9944

import { catalogue, PALLETS, runtimeCalls } from './catalogue.js';
import { connect } from './chain.js';

const [endpoint] = process.argv.slice(2);
if (!endpoint?.startsWith('ws')) {
  console.error('usage: npm run tour -- ws://HOST:PORT');
  process.exit(2);
}

const api = await connect(endpoint).catch((error) => {
  console.error(`no chain at ${endpoint}: ${error.message}`);
  process.exit(1);
});
try {
  explain();
  await show();
} finally {
  await api.disconnect();
}

/** What there is, in the chain's own words. */
function explain() {
  const items = catalogue(api);
  for (const section of PALLETS) {
    const own = items.filter((item) => item.section === section);
    console.log(`\n## ${section}`);
    for (const kind of ['constant', 'storage', 'call', 'event', 'error']) {
      console.log(`\n${kind}`);
      for (const { name, fields, docs } of own.filter((item) => item.kind === kind)) {
        const list = fields.map((field) => `${field.name}: ${field.typeName}`).join(', ');
        console.log(`  ${name}${fields.length > 0 ? `(${list})` : ''}\n      ${docs}`);
      }
    }
  }
  console.log('\n## hashchainApi (Developer → Runtime calls)\n');
  for (const { name, params, type, docs } of runtimeCalls(api)) {
    console.log(`  ${name}(${params.join(', ')}) → ${type}\n      ${docs}`);
  }
}

/** What stands on it now. */
async function show() {
  const [chain, hash] = await Promise.all([api.rpc.system.chain(), api.rpc.chain.getFinalizedHead()]);
  const at = await api.at(hash);
  const { number } = await api.rpc.chain.getHeader(hash);
  console.log(`\n## ${chain}, block ${number}, final\n`);

  const studies = (await at.query.studies.nextStudyId()).toNumber();
  for (let id = 0; id < studies; id += 1) {
    const study = (await at.call.hashchainApi.study(id)).unwrap();
    const policy = study.deviceSigned.isTrue ? 'every run signed by its device' : 'hashchain only';
    console.log(`  study ${id} “${study.title.toUtf8()}”, sponsor ${study.sponsor}, ${policy}`);
  }
  const [devices, entries] = await Promise.all([
    at.query.clientHashchain.nextDeviceId(),
    at.query.clientHashchain.journalLength(),
  ]);
  console.log(`  ${devices} devices, ${entries} entries`);
  for (let id = 0; id < Math.min(devices.toNumber(), 10); id += 1) {
    const device = (await at.call.hashchainApi.device(id)).unwrap();
    const conflicts = await at.call.hashchainApi.conflicts(id);
    console.log(`  device ${id}: ${device.length} entries, head ${device.head}, ${device.state}, conflicts: ${conflicts.stored.length}`);
  }
}
