// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as socketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { FetchTransport, FileKeystore, FileStore, HostFault, MHealthError, Phone, openPhone } from '../dist/node.js';
import { PhoneCore } from '../dist/wasm/mhealth.js';
import { hurried } from './hurried.js';
import { office, study } from './site.js';

const root = mkdtempSync(join(tmpdir(), 'mhealth-chain-'));
after(() => rmSync(root, { recursive: true }));
let folders = 0;
const folder = () => join(root, `${(folders += 1)}`);
const bytes = (...values) => Uint8Array.from(values);
/** A code as staff hand them out, and what a server says that does not know it. */
const CODE = '58N2M-AHA58-N2MAH-A58N2-H7P8X-P5PQ0-5DZ7W-RVA2G';
const UNKNOWN_CODE = JSON.stringify({
  type: 'urn:mhealth-chain:problem:unknown_code', title: '', status: 404, detail: '', code: 'unknown_code',
});

async function stored(path) {
  const store = new FileStore(path);
  try {
    return await store.open();
  } finally {
    await store.close();
  }
}

test('a store keeps what was applied', async () => {
  const path = folder();
  const store = new FileStore(path);
  assert.deepEqual(await store.open(), []);
  await store.apply([[bytes(255), bytes(3)], [bytes(1), bytes(1)], [bytes(1, 0), bytes(2)]]);
  await store.apply([[bytes(255), undefined], [bytes(1), bytes(4)]]);
  await store.close();
  assert.deepEqual(await stored(path), [[bytes(1), bytes(4)], [bytes(1, 0), bytes(2)]]);
});

test('a journal that is whole is finished, and one that is torn is not', async () => {
  const [path, other] = [folder(), folder()];
  const stopped = new FileStore(other);
  await stopped.open();
  // What is there after the journal and before the values: stopped by a folder in the way of a value.
  mkdirSync(join(other, 'values', '01', 'in-the-way'), { recursive: true });
  await assert.rejects(stopped.apply([[bytes(1), bytes(2)], [bytes(2), undefined]]));
  await stopped.close();
  const journal = readFileSync(join(other, 'journal'));

  const store = new FileStore(path);
  await store.open();
  await store.apply([[bytes(1), bytes(1)], [bytes(2), bytes(1)]]);
  await store.close();
  writeFileSync(join(path, 'journal'), journal.subarray(0, -1));
  assert.equal((await stored(path)).length, 2);
  writeFileSync(join(path, 'journal'), journal);
  assert.deepEqual(await stored(path), [[bytes(1), bytes(2)]]);
});

test('what failed half-way is finished before anything else is written', async () => {
  const path = folder();
  const store = new FileStore(path);
  await store.open();
  const inTheWay = join(path, 'values', '02');
  mkdirSync(join(inTheWay, 'folder'), { recursive: true });
  await assert.rejects(store.apply([[bytes(1), bytes(2)], [bytes(2), bytes(2)]]), { fault: 'failed' });
  // The journal is the only place that has the second value: nothing is written over it.
  await assert.rejects(store.apply([[bytes(3), bytes(3)]]), { fault: 'failed' });
  await assert.rejects(store.open(), { fault: 'failed' });
  rmSync(inTheWay, { recursive: true });
  assert.deepEqual(await store.open(), [[bytes(1), bytes(2)], [bytes(2), bytes(2)]]);
  await store.apply([[bytes(3), bytes(3)]]);
  await store.close();
  assert.equal((await stored(path)).length, 3);
});

test('a second phone on the same folder is refused', async () => {
  const path = folder();
  const phone = await openPhone(path);
  await assert.rejects(openPhone(path), { name: 'MHealthError', code: 'state_in_use' });
  await phone.close();
  await (await openPhone(path)).close();
});

const LINUX = process.platform === 'linux';

/** What another process is told that wants the folder. */
function asked(path, command = []) {
  const program = `import { FileStore } from ${JSON.stringify(new URL('../dist/node.js', import.meta.url).href)};
    await new FileStore(${JSON.stringify(path)}).open().then(() => console.log('open'), ({ fault }) => console.log(fault));`;
  const [first, ...rest] = [...command, process.execPath, '--input-type=module', '--eval', program];
  return execFileSync(first, rest, { encoding: 'utf8' }).trim();
}

test('a second process is refused, in another network, too, and gets the folder when the first has closed it', async (t) => {
  const path = folder();
  const store = new FileStore(path);
  await store.open();
  assert.equal(asked(path), 'in_use');
  const elsewhere = ['unshare', '--map-root-user', '--net'];
  if (spawnSync(elsewhere[0], [...elsewhere.slice(1), 'true']).status === 0) assert.equal(asked(path, elsewhere), 'in_use');
  else t.diagnostic('this machine gives no networks of their own');
  await store.close();
  assert.equal(asked(path), 'open');
});

test('nobody who cannot write into a folder keeps it from being opened', { skip: !LINUX && 'there are no such names here' }, async () => {
  const path = folder();
  mkdirSync(path);
  const name = createHash('sha256').update(realpathSync(path)).digest('hex').slice(0, 32);
  const stranger = socketServer().listen(`\0mhealth-chain-${name}`);
  await once(stranger, 'listening');
  assert.deepEqual(await stored(path), []);
  stranger.close();
});

test('of many who want a folder that a killed process had, one at most gets it', async () => {
  const path = folder();
  const program = `import { FileStore } from ${JSON.stringify(new URL('../dist/node.js', import.meta.url).href)};
    await new FileStore(${JSON.stringify(path)}).open();
    console.log('open');
    setInterval(() => {}, 1000);`;
  const killed = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(killed.stdout, 'data');
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  const stores = Array.from({ length: 6 }, () => new FileStore(path));
  const opened = await Promise.allSettled(stores.map((store) => store.open()));
  assert.ok(opened.filter(({ status }) => status === 'fulfilled').length <= 1);
  for (const { reason } of opened.filter(({ status }) => status === 'rejected')) assert.equal(reason.fault, 'in_use');
  await Promise.all(stores.map((store) => store.close()));
  assert.deepEqual(await stored(path), []);
  assert.deepEqual(readdirSync(join(path, 'sockets')), []);
});

test('a folder with a long path is taken like others', { skip: !LINUX && 'there are no such names here' }, async () => {
  const path = join(folder(), 'x'.repeat(120));
  const store = new FileStore(path);
  await store.open();
  await assert.rejects(new FileStore(path).open(), { fault: 'in_use' });
  await store.close();
  assert.deepEqual(await stored(path), []);
});

test('a folder is let go of after what is written in it, and not before', async () => {
  const path = folder();
  const store = new FileStore(path);
  await store.open();
  const applied = store.apply([[bytes(1), bytes(1)], [bytes(2), bytes(2)]]);
  await store.close();
  assert.equal(readFileSync(join(path, 'journal')).length, 0);
  assert.deepEqual(readdirSync(join(path, 'values')).sort(), ['01', '02']);
  await applied;
  await assert.rejects(store.apply([[bytes(3), bytes(3)]]), { fault: 'failed' });
});

test('a phone lets go of its store after what it writes, and stays closed', async () => {
  const told = [];
  let held = Promise.resolve();
  const store = {
    open: async () => [],
    apply: async () => {
      told.push('begun');
      await held;
      told.push('written');
    },
    close: async () => told.push('closed'),
  };
  const phone = await Phone.open({ store, keystore: { wrap: async (secret) => secret, unwrap: async (wrapped) => wrapped } });
  told.length = 0;
  let release;
  held = new Promise((resolve) => (release = resolve));
  const synced = phone.sync({ deadline: 1000 }).catch(() => {});
  while (told.length === 0) await new Promise(setImmediate);
  const closed = phone.close();
  for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  assert.deepEqual(told, ['begun']);
  release();
  await closed;
  await synced;
  assert.deepEqual(told, ['begun', 'written', 'closed']);
  await assert.rejects(phone.status(), /the phone is closed/);
});

test('a program whose calls are over ends, whatever the deadlines were, whether it closed its phone or not', () => {
  for (const last of ['await phone.close();', '']) {
    const path = folder();
    // The server refuses at once; the deadline is much later.
    const program = `import { FileKeystore, FileStore, Phone } from ${JSON.stringify(new URL('../dist/node.js', import.meta.url).href)};
      const body = new TextEncoder().encode(${JSON.stringify(UNKNOWN_CODE)});
      const transport = { send: async () => ({ status: 404, headers: [], body }) };
      const store = new FileStore(${JSON.stringify(join(path, 'phone'))});
      const phone = await Phone.open({ store, keystore: new FileKeystore(${JSON.stringify(join(path, 'key'))}), transport });
      await phone.enrol('https://auth.example.org', ${JSON.stringify(CODE)}, { deadline: 60_000 }).catch((error) => console.log(error.code));
      ${last}`;
    const said = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { timeout: 20_000, encoding: 'utf8' });
    assert.equal(said, 'unknown_code\n');
  }
});

test('a phone that is closed while it sends leaves its folder to the next one', async () => {
  const path = folder();
  const { url, code, close } = await office();
  try {
    const phone = await openPhone(path);
    await phone.enrol(url, code, { deadline: 2000 }).catch(() => {});
    const nights = Array.from({ length: 5 }, (_, night) => phone.seal(`night ${night}`, 'application/json', JSON.stringify({ night })));
    const settled = Promise.allSettled(nights);
    const synced = phone.sync({ deadline: 60_000 }).then(() => 'synchronised', () => 'ended');
    await nights[0];
    await phone.close();
    const next = await openPhone(path);
    const sealed = (await settled).filter(({ status }) => status === 'fulfilled').length;
    assert.ok(sealed > 0);
    assert.ok((await next.status()).sealed >= sealed, 'lost');
    assert.equal(await synced, 'ended');
    await next.seal('another night', 'application/json', '{}');
    await next.close();
    await (await openPhone(path)).close();
  } finally {
    close();
  }
});

test('only the key that wrapped unwraps', async () => {
  const [file, other] = [join(folder(), 'key'), join(folder(), 'key')];
  const wrapped = await new FileKeystore(file).wrap(new Uint8Array(32).fill(7));
  assert.deepEqual(await new FileKeystore(file).unwrap(wrapped), new Uint8Array(32).fill(7));
  await assert.rejects(new FileKeystore(other).unwrap(wrapped), { fault: 'foreign' });
  await new FileKeystore(other).wrap(new Uint8Array(32));
  await assert.rejects(new FileKeystore(other).unwrap(wrapped), { fault: 'foreign' });
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a phone whose store was copied without its key says so, in three languages', async () => {
  const path = folder();
  await (await openPhone(path)).close();
  rmSync(join(path, 'phone.key'));
  const error = await openPhone(path).then(() => assert.fail('it opened'), (error) => error);
  assert.ok(error instanceof MHealthError);
  assert.equal(error.code, 'wrong_keystore');
  assert.equal(new Set(['en', 'de-AT', 'ja'].map((language) => error.sentence(language))).size, 3);
});

test('a phone that was stopped says why, in three languages', async () => {
  const phone = await openPhone(folder());
  const status = await phone.status();
  // The sync that stops a phone succeeds: there is no fault.
  const said = (stopped, language) => {
    phone.status = async () => ({ ...status, stopped, advice: 'tell_study', last_fault: null });
    return phone.advice(language);
  };
  const unknown = await said('another_reason');
  assert.match(unknown, /the word another_reason\./);
  const reasons = ['foreign_head', 'restored_backup', 'other_enrolment', 'another_participant_key', 'device_retired', 'never_enrolled'];
  for (const reason of reasons) {
    const sentences = new Set([await said(reason, 'en'), await said(reason, 'de'), await said(reason, 'ja')]);
    assert.equal(sentences.size, 3);
    assert.ok(!sentences.has(unknown));
  }
  await phone.close();
});

test('the example says that data are safe when all of them are proved, and at no other time', () => {
  const safe = { queued: 0, finalised: 1, stopped: null, proved_in: 12, advice: 'nothing' };
  const program = [fileURLToPath(new URL('../example/first-entry.js', import.meta.url)), folder(), 'https://auth.example.org', 'code'];
  const said = (changed) => {
    const env = { ...process.env, STANDING: JSON.stringify({ ...safe, ...changed }) };
    return execFileSync(process.execPath, ['--import', new URL('standing.js', import.meta.url).href, ...program], { env, encoding: 'utf8' });
  };
  assert.match(said({}), /^Your data is safe: registered in block 12, proved\. Entries: 1\.$/m);
  const left = { left_behind: 1, advice: 'hand_over' };
  for (const changed of [{ queued: 1, advice: 'wait' }, left, { stopped: 'foreign_head', advice: 'tell_study' }, { proved_in: null }]) {
    assert.doesNotMatch(said(changed), /safe/);
  }
});

test('a code that is none is named, and nothing is sent', async () => {
  const asked = [];
  const transport = { send: async (request) => asked.push(request) };
  const path = folder();
  const phone = await Phone.open({ store: new FileStore(path), keystore: new FileKeystore(join(path, 'key')), transport });
  await assert.rejects(phone.enrol('https://auth.example.org', 'no code'), { code: 'malformed_code' });
  assert.equal((await phone.status()).advice, 'enrol');
  assert.deepEqual(asked, []);
  await phone.close();
});

test('what is no payload is sealed under no other meaning', async () => {
  const phone = await openPhone(folder());
  for (const wrong of [412, [1, 2], new ArrayBuffer(8), null, {}]) {
    await assert.rejects(phone.seal('night', 'application/json', wrong), TypeError);
    await assert.rejects(phone.seal('night', 'application/json', '{}', { content: wrong }), TypeError);
  }
  await assert.rejects(phone.seal('night', 'application/json', new Uint8Array(8)), { code: 'not_enrolled' });
  await phone.close();
});

test('who has time without an end waits for the answer', async () => {
  const path = folder();
  const transport = { send: async () => ({ status: 404, headers: [], body: new TextEncoder().encode(UNKNOWN_CODE) }) };
  const phone = await Phone.open({ store: new FileStore(path), keystore: new FileKeystore(join(path, 'key')), transport });
  await assert.rejects(phone.enrol('https://auth.example.org', CODE, { deadline: Infinity }), { code: 'unknown_code' });
  await phone.close();
});

test('what the library keeps of a phone is freed with it, and the secret that was wrapped is wiped', async () => {
  const path = folder();
  const freed = [];
  const { free } = PhoneCore.prototype;
  PhoneCore.prototype.free = function () {
    freed.push(this);
    free.call(this);
  };
  try {
    const files = new FileKeystore(join(path, 'key'));
    const secrets = [];
    const keystore = {
      wrap: (secret) => {
        secrets.push(secret);
        return files.wrap(secret);
      },
      unwrap: (wrapped) => files.unwrap(wrapped),
    };
    const store = new FileStore(path);
    let full = false;
    const apply = store.apply.bind(store);
    store.apply = (writes) => (full ? Promise.reject(Object.assign(new Error('full'), { fault: 'full' })) : apply(writes));
    const phone = await Phone.open({ store, keystore });
    assert.deepEqual(secrets, [new Uint8Array(32)]);
    full = true;
    await assert.rejects(phone.sync({ deadline: 1000 }), { code: 'state_disk_full' });
    full = false;
    assert.equal((await phone.status()).sealed, 0);
    assert.equal(freed.length, 1, 'the one before its store was opened anew');
    await phone.close();
    assert.equal(new Set(freed).size, 2);
  } finally {
    PhoneCore.prototype.free = free;
  }
});

test('a store that was full once goes on with what it has', async () => {
  const path = folder();
  const store = new FileStore(path);
  let full = true;
  const apply = store.apply.bind(store);
  store.apply = (writes) => (full ? Promise.reject(Object.assign(new Error('full'), { fault: 'full' })) : apply(writes));
  const parts = { store, keystore: new FileKeystore(join(path, 'key')) };
  await assert.rejects(Phone.open(parts), { code: 'state_disk_full', advice: 'make_room' });
  full = false;
  const phone = await Phone.open(parts);
  assert.equal((await phone.status()).sealed, 0);
  await phone.close();
});

test('a phone that may keep nothing says so', async () => {
  const path = folder();
  writeFileSync(path, '');
  await assert.rejects(openPhone(path), { code: 'state_unreadable', advice: 'tell_study' });
});

test('an app for another chain uses no code', async (context) => {
  const played = await study();
  context.after(() => played.close());
  const path = folder();
  const chain = (digits) => `0x${digits.repeat(32)}`;
  const other = await openPhone(path, { chain: chain('22'), trustRelays: true });
  await assert.rejects(other.enrol(played.url, played.code), { code: 'another_chain', advice: 'tell_study' });
  assert.equal((await other.status()).study, null);
  await other.close();
  await assert.rejects(openPhone(path, { chain: '22' }), { code: 'not_a_chain' });
  const phone = await openPhone(path, { chain: chain('11'), trustRelays: true });
  assert.equal(await phone.enrol(played.url, played.code), 0);
  await phone.close();
});

test('a phone without room loses nothing, and goes on when there is some', async (context) => {
  const played = await study();
  context.after(() => played.close());
  const path = folder();
  const store = new FileStore(path);
  const apply = store.apply.bind(store);
  const phone = await Phone.open({ store, keystore: new FileKeystore(`${path}.key`), trustRelays: true });
  await phone.enrol(played.url, played.code);
  const seal = (night) => phone.seal(night, 'application/json', '{}');
  await seal('night 1');
  store.apply = () => Promise.reject(new HostFault('full'));
  await assert.rejects(seal('night 2'), { code: 'state_disk_full', advice: 'make_room' });
  store.apply = apply;
  assert.deepEqual(await seal('night 2'), { sequence: 2, outcome: 'new' });
  assert.equal((await phone.sync()).state, 'level');
  assert.deepEqual((await played.report()).faults, []);
  await phone.close();
});

test('a sync is back in time whoever is away, and a later one finishes', async (context) => {
  const played = await study();
  context.after(() => played.close());
  const phone = await openPhone(folder(), { trustRelays: true });
  await phone.enrol(played.url, played.code);
  for (const conduct of ['silent', 'slow', 'gone', 'away']) {
    await played.play(conduct);
    const took = await hurried(phone, conduct);
    assert.ok(took < 5500, `${conduct}: ${took} ms`);
    await played.play('well');
    assert.equal((await phone.sync()).state, 'level', conduct);
  }
  await phone.close();
});

test('the example registers an entry, and ends', async (context) => {
  const played = await study();
  context.after(() => played.close());
  const example = fileURLToPath(new URL('../example/first-entry.js', import.meta.url));
  const given = [example, folder(), played.url, played.code, '--trust-relays'];
  const said = execFileSync(process.execPath, given, { timeout: 20_000, encoding: 'utf8' });
  // Relays' words are no proof, so that nothing is called safe.
  assert.equal(said, 'Everything is registered. There is nothing to do.\n');
  const { final, faults } = await played.report();
  assert.deepEqual({ final, faults }, { final: 1, faults: [] });
});

async function serving(listener, work) {
  const server = createServer(listener);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    return await work(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const request = (url, more) => ({ method: 'GET', url, headers: [], body: undefined, patience: 2000, longestAnswer: 100, ...more });

test('answers come as they are, and no redirect is followed', async () => {
  const listener = (asked, answer) => answer.writeHead(302, { location: '/elsewhere', 'dpop-nonce': 'n' }).end('abc');
  await serving(listener, async (url) => {
    const answer = await new FetchTransport().send(request(url));
    assert.equal(answer.status, 302);
    assert.equal(answer.body.length, 3);
    assert.ok(answer.headers.some(([name, value]) => name === 'dpop-nonce' && value === 'n'));
  });
});

test('an answer that is too long, and none at all', async () => {
  const transport = new FetchTransport();
  await serving((asked, answer) => answer.end('x'.repeat(101)), async (url) => {
    await assert.rejects(transport.send(request(url)), { fault: 'too_long' });
  });
  await serving(() => {}, async (url) => {
    // A share of what is left is seldom a whole number.
    await assert.rejects(transport.send(request(url, { patience: 200.25 })), { name: 'TimeoutError' });
  });
});

test('a certificate that is not valid at this time is told from one that is not trusted', async (context) => {
  const fetched = globalThis.fetch;
  context.after(() => (globalThis.fetch = fetched));
  for (const [code, fault] of [
    ['CERT_NOT_YET_VALID', 'not_valid_yet'],
    ['CERT_HAS_EXPIRED', 'expired'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'untrusted'],
  ]) {
    globalThis.fetch = () => Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: Object.assign(new Error(code), { code }) }));
    await assert.rejects(new FetchTransport().send(request('https://auth.example.org/')), { fault });
  }
});
