// SPDX-License-Identifier: Apache-2.0
//
// polkadot-js against a development chain that seals each transaction at once.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { catalogue, docs as docsOf, enums, runtimeCalls } from './catalogue.js';
import { accounts, connect, enrol, enrolment, errorText, night, STUDY, submit } from './chain.js';
import { Device, hex } from './hashchain.js';
import { startNode } from './node.js';

describe('polkadot-js on a development chain', () => {
  let node, api, roles;

  before(async () => {
    node = await startNode('--sealing', 'instant');
    api = await connect(node.endpoint);
    roles = accounts();
  });

  after(async () => {
    await api?.disconnect();
    await node?.stop();
  });

  const head = async (device) => (await api.call.hashchainApi.head(device.id)).unwrap();

  test('every storage item, call, event, error and constant is explained in words', () => {
    const items = catalogue(api);
    for (const kind of ['storage', 'call', 'event', 'error', 'constant']) {
      assert.ok(items.some((item) => item.kind === kind), `no ${kind} at all`);
    }
    const silent = items.filter((item) => !/^[\p{Lu}\d].{10,}\.$/su.test(item.docs));
    assert.deepEqual(silent.map(({ kind, section, name, docs }) => `${kind} ${section}.${name}: ${docs}`), []);
  });

  test('every field of a call and an event has a name, every event field a sentence', () => {
    const fields = catalogue(api).flatMap(({ kind, section, name, fields }) =>
      fields.map((field) => ({ ...field, kind, path: `${kind} ${section}.${name}.${field.name ?? '?'}` })),
    );
    assert.deepEqual(fields.filter(({ name }) => !name).map(({ path }) => path), []);
    assert.deepEqual(fields.filter(({ kind, docs }) => kind === 'event' && !docs).map(({ path }) => path), []);
  });

  test('every type of ours can be built, encoded and decoded', () => {
    for (const { kind, section, name, types } of catalogue(api)) {
      for (const id of types) {
        const type = api.registry.createLookupType(id);
        const bytes = api.createType(type).toU8a();
        assert.deepEqual(api.createType(type, bytes).toU8a(), bytes, `${kind} ${section}.${name}: ${type}`);
      }
    }
  });

  /** The bytes of the first value of each type. */
  const firstValues = (types) =>
    types.flatMap((id) => [...api.createType(api.registry.createLookupType(id)).toU8a()]);

  test('every error is found again by its two numbers, with its sentence', () => {
    const errors = catalogue(api).filter(({ kind }) => kind === 'error');
    for (const { section, name, docs, index } of errors) {
      const [pallet, error] = index;
      const dispatchError = api.createType('DispatchError', { Module: { index: pallet, error: [error, 0, 0, 0] } });
      assert.equal(errorText(api, dispatchError), `${section}.${name}: ${docs}`);
    }
  });

  test('every event is decoded from its bytes', () => {
    const events = catalogue(api).filter(({ kind }) => kind === 'event');
    for (const { section, name, docs, fields, types, index } of events) {
      const bytes = Uint8Array.from([...index, ...firstValues(types)]);
      const event = api.createType('Event', bytes);
      assert.deepEqual(
        [event.section, event.method, event.data.length, event.toU8a()],
        [section, name, fields.length, bytes],
      );
      assert.ok(api.events[section][name].is(event), name);
      assert.equal(docsOf(event.meta), docs);
    }
  });

  test('every enum of ours is encoded and decoded in each of its variants', () => {
    const all = enums(api);
    for (const name of ['RefusalReason', 'SuspensionReason', 'StoredStatus', 'LastTrusted', 'StudyPolicy', 'StudyStatus']) {
      assert.ok(all.some((each) => each.name.endsWith(`::${name}`)), `no enum ${name}`);
    }
    for (const { name, type, variants } of all) {
      assert.deepEqual(api.createType(type).defKeys.toSorted(), variants.map((each) => each.name).toSorted(), name);
      for (const variant of variants) {
        const bytes = Uint8Array.from([variant.index, ...firstValues(variant.types)]);
        const value = api.createType(type, bytes);
        assert.deepEqual([value.type, value.toU8a()], [variant.name, bytes], name);
        const built = api.createType(type, { [variant.name]: value.inner });
        assert.deepEqual(built.toU8a(), bytes, `${name}::${variant.name}`);
      }
    }
  });

  test('every function of the runtime API is explained and its answer has a type', () => {
    const calls = runtimeCalls(api);
    for (const name of ['device', 'deviceByKey', 'head', 'entries', 'journal', 'conflicts', 'study', 'hasRole']) {
      assert.ok(calls.some((call) => call.name === name), `no function ${name}`);
    }
    for (const { name, docs, type } of calls) {
      assert.match(docs, /\.$/, `${name}: ${docs}`);
      assert.ok(type, name);
    }
  });

  test('the preset has a ready study, readable without knowing its storage', async () => {
    const study = (await api.call.hashchainApi.study(STUDY)).unwrap();
    assert.equal(study.sponsor.toString(), roles.sponsor.address);
    assert.ok(study.deviceSigned.isTrue);
    assert.ok(study.title.toUtf8().length > 0);
    for (const [role, expected] of [['relay', true], ['authenticationServer', true], ['nobody', false]]) {
      assert.equal((await api.call.hashchainApi.hasRole(roles[role].address)).isTrue, expected, role);
    }
  });

  test('the chain computes the same link 0 as this implementation', async () => {
    const { device, event } = await enrol(api, roles.authenticationServer);
    assert.equal(event.data.genesis.toHex(), hex(device.head));
    assert.equal((await head(device)).hash_.toHex(), hex(device.head));
    assert.equal((await api.call.hashchainApi.deviceByKey(hex(device.key))).unwrap().toNumber(), device.id);
  });

  test('a relay registers runs of several devices in one batch, link for link as computed here', async () => {
    const devices = [];
    for (let count = 0; count < 3; count += 1) devices.push((await enrol(api, roles.authenticationServer)).device);
    const runs = devices.map((device) => device.run(device.id, [night(400), night(410), night(395)]));

    const result = await submit(api.tx.clientHashchain.submitBatch(runs), roles.relay);
    assert.equal(result.dispatchError, undefined);
    const { data } = result.findRecord('clientHashchain', 'BatchProcessed').event;
    assert.deepEqual([data.recorded.toNumber(), data.refused.toNumber(), data.entries_.toNumber()], [3, 0, 9]);

    for (const [position, device] of devices.entries()) {
      const stored = await head(device);
      assert.equal(stored.hash_.toHex(), hex(device.head));
      assert.equal(stored.length.toNumber(), 3);
      const page = await api.call.hashchainApi.entries(device.id, 1, 10, null);
      assert.ok(page.next.isNone, 'there are no more');
      const entries = [...page.entries_].reverse(); // the chain answers newest first
      assert.deepEqual(
        entries.map((entry) => [entry.sequence.toNumber(), entry.digest.toHex()]),
        runs[position].entries.map((entry, index) => [index + 1, entry.digest]),
      );
      assert.equal(entries.at(-1).hash_.toHex(), hex(device.head));
    }
    const first = data.firstIndex;
    const journal = await api.call.hashchainApi.journal(first, 9);
    assert.deepEqual(journal.map((entry) => entry.device.toNumber()), devices.flatMap(({ id }) => [id, id, id]));
  });

  test('a run that is sent again succeeds without a change', async () => {
    const { device } = await enrol(api, roles.authenticationServer);
    const run = device.run(device.id, [night(400)]);
    await submit(api.tx.clientHashchain.submit(run), roles.relay);

    const again = await submit(api.tx.clientHashchain.submit(run), roles.relay);
    assert.equal(again.dispatchError, undefined);
    assert.ok(again.findRecord('clientHashchain', 'RunAlreadyRecorded'));
    assert.equal((await head(device)).length.toNumber(), 1);
  });

  test('a run that does not follow the head is refused with a sentence, and nothing changes', async (t) => {
    const { device } = await enrol(api, roles.authenticationServer);
    const copy = device.copy(); // a backup that will be restored after the device went on
    await submit(api.tx.clientHashchain.submit(device.run(device.id, [night(400)])), roles.relay);
    const before = (await head(device)).toHex();
    copy.run(device.id, [night(410)]);

    const result = await submit(api.tx.clientHashchain.submit(copy.run(device.id, [night(420)])), roles.relay);
    const text = errorText(api, result.dispatchError);
    t.diagnostic(`a user reads: ${text}`);
    assert.match(text, /^clientHashchain\.PreviousIsNotHead: .+\.$/);
    assert.equal((await head(device)).toHex(), before);
  });

  test('every reason to refuse a run has an error of the same name', () => {
    const errors = catalogue(api).filter(({ kind, section }) => kind === 'error' && section === 'clientHashchain');
    const reasons = api.createType('PalletClientHashchainRefusalReason').defKeys;
    assert.ok(reasons.length > 10);
    for (const reason of reasons) assert.ok(errors.some(({ name }) => name === reason), reason);
  });

  test('in a batch a refused run is named with its reason and the others are registered', async () => {
    const { device } = await enrol(api, roles.authenticationServer);
    const { device: other } = await enrol(api, roles.authenticationServer);
    const altered = device.run(device.id, [night(400)]);
    altered.entries[0].digest = hex(Buffer.alloc(32, 1)); // Figure 4: a relay puts other data in
    const runs = [altered, other.run(other.id, [night(380)])];

    const result = await submit(api.tx.clientHashchain.submitBatch(runs), roles.relay);
    const { data } = result.findRecord('clientHashchain', 'RunRefused').event;
    assert.equal(data.position.toNumber(), 0);
    assert.equal(data.device.toNumber(), device.id);
    assert.equal(data.reason.type, 'BadSignature');
    assert.equal((await head(device)).length.toNumber(), 0);
    assert.equal((await head(other)).length.toNumber(), 1);
  });

  test('two signed histories of one device are kept as evidence, and the device is suspended', async () => {
    const { device } = await enrol(api, roles.authenticationServer);
    const copy = device.copy(); // Figure 6: key and secret stolen
    const genuine = device.run(device.id, [night(400)]);
    const rival = copy.run(device.id, [night(90)]);
    await submit(api.tx.clientHashchain.submitBatch([genuine]), roles.relay);
    const result = await submit(api.tx.clientHashchain.submitBatch([rival]), roles.relay);

    assert.equal(result.findRecord('clientHashchain', 'RunRefused').event.data.reason.type, 'Fork');
    const { stored: [conflict], notStored } = await api.call.hashchainApi.conflicts(device.id);
    assert.equal(notStored.toNumber(), 0);
    assert.equal(conflict.recorded.toHex(), hex(device.head));
    assert.equal(conflict.rival.toHex(), hex(copy.head));
    assert.ok(conflict.signed.isTrue);
    assert.equal(conflict.submitter.toString(), roles.relay.address);
    assert.ok((await api.call.hashchainApi.device(device.id)).unwrap().state.isSuspended);
  });

  test('an account without a role is turned away before any block', async (t) => {
    const stranger = new Device();
    const call = enrolment(api, stranger, roles.nobody);
    await assert.rejects(submit(call, roles.nobody), (error) => {
      t.diagnostic(`a user reads: ${error.message}`);
      return /Custom error: 101/.test(error.message);
    });
  });

  test('a key is enrolled by no other server than the one that its device named', async (t) => {
    const device = new Device();
    const elsewhere = enrolment(api, device, roles.relay);
    const result = await submit(elsewhere, roles.authenticationServer);
    const text = errorText(api, result.dispatchError);
    t.diagnostic(`a user reads: ${text}`);
    assert.match(text, /^clientHashchain\.KeyProofFails: /);
  });

  test('a sponsor appoints a relay, which may then submit, and takes the role back', async () => {
    const { device } = await enrol(api, roles.authenticationServer);
    const added = await submit(api.tx.studies.addRelay(STUDY, roles.nobody.address), roles.sponsor);
    assert.ok(added.findRecord('studies', 'RelayAdded'));
    const result = await submit(api.tx.clientHashchain.submit(device.run(device.id, [night(400)])), roles.nobody);
    assert.equal(result.dispatchError, undefined);
    await submit(api.tx.studies.removeRelay(STUDY, roles.nobody.address), roles.sponsor);
    await assert.rejects(
      submit(api.tx.clientHashchain.submit(device.run(device.id, [night(400)])), roles.nobody),
      /Custom error: 101/,
    );
  });

  test('a server suspends a device and resumes it', async () => {
    const { device } = await enrol(api, roles.authenticationServer);
    for (const [call, event] of [
      [api.tx.clientHashchain.suspend(device.id, 'Lost'), 'DeviceSuspended'],
      [api.tx.clientHashchain.resume(device.id), 'DeviceResumed'],
    ]) {
      const result = await submit(call, roles.authenticationServer);
      assert.ok(result.findRecord('clientHashchain', event));
    }
  });

  test('a sponsor writes down that the data of a device were erased, and nobody resumes it', async (t) => {
    const { device } = await enrol(api, roles.authenticationServer);
    const receipt = hex(Buffer.alloc(32, 7));
    const call = api.tx.clientHashchain.erase(device.id, receipt);
    const tooEarly = await submit(call, roles.sponsor);
    t.diagnostic(`a user reads: ${errorText(api, tooEarly.dispatchError)}`);
    assert.match(errorText(api, tooEarly.dispatchError), /^clientHashchain\.StillActive: /);
    await submit(api.tx.clientHashchain.suspend(device.id, 'Withdrawn'), roles.authenticationServer);
    await assert.rejects(submit(call, roles.relay), /Custom error: 104/);
    const written = await submit(call, roles.sponsor);
    const { data } = written.findRecord('clientHashchain', 'DeviceErased').event;
    assert.deepEqual([data.device.toNumber(), data.receipt.toHex()], [device.id, receipt]);
    const stored = (await api.query.clientHashchain.erasures(device.id)).unwrap();
    assert.equal(stored.receipt.toHex(), receipt);
    assert.equal(stored.submitter.toString(), roles.sponsor.address);
    const resumed = await submit(api.tx.clientHashchain.resume(device.id), roles.sponsor);
    assert.match(errorText(api, resumed.dispatchError), /^clientHashchain\.DeviceErased: /);
  });

  test('a relay changes its account, and its sponsor removes it by the former one', async () => {
    await submit(api.tx.studies.addRelay(STUDY, roles.nobody.address), roles.sponsor);
    const rotated = await submit(api.tx.studies.rotate(STUDY, roles.another.address), roles.nobody);
    assert.ok(rotated.findRecord('studies', 'AccountRotated'));
    const { device } = await enrol(api, roles.authenticationServer);
    const run = device.run(device.id, [night(400)]);
    // Another relay brings it, too.
    for (const relay of [roles.another, roles.relay]) {
      const result = await submit(api.tx.clientHashchain.submit(run), relay);
      assert.equal(result.dispatchError, undefined);
    }
    const removed = await submit(api.tx.studies.removeRelay(STUDY, roles.nobody.address), roles.sponsor);
    assert.ok(removed.findRecord('studies', 'RelayRemoved'));
  });

  test('a call that is another role\'s is turned away before any block', async () => {
    await assert.rejects(submit(api.tx.studies.closeStudy(STUDY), roles.relay), /Custom error: 104/);
    await assert.rejects(submit(api.tx.system.remark('0x00'), roles.member), /Custom error: 104/);
  });

  test('a sponsor names another key of the auditor', async () => {
    const call = api.tx.studies.setAuditorKey(STUDY, `0x${'42'.repeat(32)}`);
    const named = await submit(call, roles.sponsor);
    assert.ok(named.findRecord('studies', 'AuditorKeySet'));
  });

  test('everything that stands in storage decodes', async () => {
    // What it takes several members and validators to leave there.
    const others = [
      'consortium.UrgentVotes',
      'consortium.KeyChanges',
      'consortium.SessionKeyChanges',
      'accountability.Offences',
    ];
    const empty = [];
    for (const { section, name } of catalogue(api).filter(({ kind }) => kind === 'storage')) {
      const item = api.query[section][name[0].toLowerCase() + name.slice(1)];
      const isMap = item.creator.meta.type.isMap;
      const values = isMap ? (await item.entries()).map(([, value]) => value) : [await item()];
      if (values.length === 0 && !others.includes(`${section}.${name}`)) empty.push(`${section}.${name}`);
      for (const value of values) assert.doesNotThrow(() => value.toHuman());
    }
    assert.deepEqual(empty, [], 'the tests above left something in every map');
  });

  test('the tour shows every item with its sentence, and what stands on the chain', async () => {
    const tour = fileURLToPath(new URL('tour.js', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [tour, node.endpoint]);
    for (const { name, docs } of catalogue(api)) assert.ok(stdout.includes(name) && stdout.includes(docs), name);
    assert.match(stdout, /study 0 “.+”/);
    assert.match(stdout, /device 1: 3 entries/);
  });
});
