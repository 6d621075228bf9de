// SPDX-License-Identifier: Apache-2.0

//! What one entry costs a device: envelope, digest, tag, link, ratchet, durable write, erased key.
//!
//! `durable` is what a phone does: one entry, one transaction, synced to disk before it is handed on, and the
//! write-ahead log truncated so that the spent key is gone. `durable group of 64` is what the simulator does. `memory`
//! is the same without a disk: the difference is what durability costs. The disk is that of cargo's target directory;
//! put that where you want to measure.
//!
//! `seal` is a device of a state file, `phone` the phone that an app holds: its secrets are wrapped, and its store is bytes by key.

use std::{
    cell::RefCell, collections::BTreeMap, ops::Bound, path::Path, sync::Arc, thread, time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput};
use futures::{channel::oneshot, executor::block_on};
use hashchain::{OpeningKey, SealingKey, StudyId};
use mhealth_api::{CodeTerms, EnrolmentCode, Hash, Key, Policy};
use mhealth_device_host::host::{
    Answer, Host, PhoneStore, Request, StoreFault, Stored, Transport, TransportFault, Write,
};
use mhealth_device_host::{
    payload::{
        Minutes, Modality, Night, PartOfDay, Participant, SleepEpisode, TimeFrame, TimeInBed,
        TimeInterval, Uuid, MEDIA_TYPE,
    },
    Change, Device, FileKeystore, Options, Phone, PhoneFile, Recipient, Record, Sealed, Store,
    SystemClock, SystemEntropy, Terms,
};
use rand::{rngs::StdRng, SeedableRng};
use time::macros::{date, datetime};

const GROUP: u64 = 64;

/// Where nobody listens: [`Office`] answers.
const OFFICE: &str = "https://auth.example.org";

fn terms() -> Terms {
    let auditor_key = OpeningKey::from_bytes(&[7; 32]).sealing_key().0;
    Terms {
        chain: [1; 32],
        study: StudyId(0),
        auditor_key,
        auditor_epoch: 0,
    }
}

/// A payload as the simulator makes it of one row: about 1.1 kB.
fn payload(rng: &mut StdRng) -> Vec<u8> {
    let frame = TimeFrame {
        time_interval: TimeInterval::PartOfDay {
            date: date!(2016 - 04 - 12),
            part_of_day: PartOfDay::Night,
        },
    };
    let sleep_episode = SleepEpisode {
        total_sleep_time: Some(Minutes::new(327)),
        ..SleepEpisode::within(frame.clone())
    };
    let time_in_bed = TimeInBed {
        time_in_bed: Minutes::new(346),
        effective_time_frame: frame,
        is_main_sleep: None,
    };
    let (written, sensed) = (datetime!(2016-04-12 12:00 UTC), Modality::Sensed);
    let night = Night {
        participant: Participant("P-0011223344556677".into()),
        night: date!(2016 - 04 - 12),
        sleep_records: Some(1),
        sleep_episode: sleep_episode.into_data_point(Uuid::random(rng), written, sensed, vec![]),
        time_in_bed: time_in_bed.into_data_point(Uuid::random(rng), written, sensed, vec![]),
        diary: None,
    };
    night.to_json()
}

fn seal_once(
    store: &Store,
    device: &Device<'_>,
    number: u64,
    payload: &[u8],
    to: Recipient<'_>,
    rng: &mut StdRng,
) {
    let source = number.to_string();
    let record = Record {
        source: &source,
        media_type: MEDIA_TYPE,
        payload,
    };
    let group = store.group().expect("a group");
    group.seal(device.id(), &record, to, rng).expect("sealed");
    group.commit().expect("durable");
}

fn seal(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let mut rng = StdRng::seed_from_u64(1);
    let payload = payload(&mut rng);
    let participant: SealingKey = OpeningKey::from_bytes(&[9; 32]).sealing_key();
    let sealed = Recipient::Participant(&participant);
    let clock = Arc::new(SystemClock);
    let on_disk = |name: &str, rng: &mut StdRng| {
        Store::create(&folder.path().join(name), &terms(), clock.clone(), rng).expect("a store")
    };
    let owner = Participant("P-0011223344556677".into());

    let mut group = criterion.benchmark_group("seal");
    group.throughput(Throughput::Elements(1));
    for (name, to) in [("plain", Recipient::Anybody), ("hpke", sealed)] {
        let in_memory = Store::in_memory(&terms(), clock.clone(), &mut rng).expect("a store");
        let device = Device::of(&in_memory, &owner, &mut rng).expect("a device");
        let mut number = 0;
        group.bench_function(format!("{name}/memory"), |bencher| {
            bencher.iter(|| {
                number += 1;
                seal_once(&in_memory, &device, number, &payload, to, &mut rng);
            });
        });
        let durable = on_disk(&format!("{name}.db"), &mut rng);
        let device = Device::of(&durable, &owner, &mut rng).expect("a device");
        let mut number = 0;
        group.bench_function(format!("{name}/durable"), |bencher| {
            bencher.iter(|| {
                number += 1;
                seal_once(&durable, &device, number, &payload, to, &mut rng);
            });
        });
    }
    group.throughput(Throughput::Elements(GROUP));
    let grouped = on_disk("grouped.db", &mut rng);
    let device = Device::of(&grouped, &owner, &mut rng).expect("a device");
    let mut number = 0;
    group.bench_function(format!("hpke/durable group of {GROUP}"), |bencher| {
        bencher.iter_batched(
            || {
                number += GROUP;
                (number..number + GROUP)
                    .map(|n| n.to_string())
                    .collect::<Vec<_>>()
            },
            |sources| {
                let open = grouped.group().expect("a group");
                for source in &sources {
                    let record = Record {
                        source,
                        media_type: MEDIA_TYPE,
                        payload: &payload,
                    };
                    open.seal(device.id(), &record, sealed, &mut rng)
                        .expect("sealed");
                }
                open.commit().expect("durable");
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// An authentication server that says what a code is for, and nothing more: a phone can seal then.
struct Office(CodeTerms);

impl Transport for Office {
    async fn send(&self, request: Request) -> Result<Answer, TransportFault> {
        if !request.url.ends_with("/v1/code") {
            return Err(TransportFault::Untrusted("it never enrols".into()));
        }
        let told = serde_json::to_vec(&self.0).expect("it always serialises");
        Ok(Answer {
            status: 200,
            headers: Vec::new(),
            body: told.into(),
        })
    }

    /// Deadlines end, too: a bench that has met something new fails, and does not stand still.
    async fn sleep(&self, time: Duration) {
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            thread::sleep(time);
            end.send(())
        });
        ended.await.expect("the thread ends");
    }
}

/// A store that is gone with the program.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<Vec<u8>, Vec<u8>>>);

impl PhoneStore for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreFault> {
        Ok(self.0.borrow().get(key).cloned())
    }

    fn scan(&self, from: &[u8], until: &[u8], most: usize) -> Result<Vec<Stored>, StoreFault> {
        if from >= until {
            return Ok(Vec::new());
        }
        let values = self.0.borrow();
        let range = (Bound::Included(from), Bound::Excluded(until));
        let found = values.range::<[u8], _>(range).take(most);
        Ok(found
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, writes: &[Write]) -> Result<(), StoreFault> {
        let mut values = self.0.borrow_mut();
        for write in writes {
            match write {
                Write::Put { key, value } => values.insert(key.clone(), value.clone()),
                Write::Delete { key } => values.remove(key),
            };
        }
        Ok(())
    }
}

/// A phone that has entered a code for data that are sealed to this key, or to nobody.
fn opened<S: PhoneStore>(store: S, keystore: &FileKeystore, key: Option<Key>) -> Phone<S, Office> {
    let of = terms();
    let chain = Hash(of.chain);
    let host = Host {
        store,
        transport: Office(CodeTerms {
            chain,
            issuer: OFFICE.into(),
            server: Key([2; 32]),
            study: of.study,
            policy: Policy::DeviceSigned,
            auditor_key: Key(of.auditor_key),
            auditor_epoch: of.auditor_epoch,
            participant_key: key,
            predecessor: None,
            expires_at: 4_000_000_000,
        }),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let code = EnrolmentCode::new(&[3; 13], &chain, key.as_ref()).reveal();
    block_on(async {
        let phone = Phone::open(host, keystore, Options::default()).await;
        let phone = phone.expect("opened");
        let enrolled = phone.enrol(OFFICE, &code, Duration::from_secs(60)).await;
        enrolled.expect_err("nobody enrols it");
        phone
    })
}

fn seal_next<S: PhoneStore>(phone: &Phone<S, Office>, number: u64, payload: &[u8]) {
    let source = number.to_string();
    let record = Record {
        source: &source,
        media_type: MEDIA_TYPE,
        payload,
    };
    let sealed = phone.seal(&record, Change::Refuse).expect("sealed");
    assert!(matches!(sealed, Sealed::New(_)));
}

fn phone(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a folder");
    let keystore = FileKeystore::open_or_create(&folder.path().join("phone.key"));
    let keystore = keystore.expect("a key store");
    let payload = payload(&mut StdRng::seed_from_u64(1));
    let participant = Key(OpeningKey::from_bytes(&[9; 32]).sealing_key().0);

    let mut group = criterion.benchmark_group("phone");
    group.throughput(Throughput::Elements(1));
    for (name, key) in [("plain", None), ("hpke", Some(participant))] {
        let in_memory = opened(Memory::default(), &keystore, key);
        let mut number = 0;
        group.bench_function(format!("{name}/memory"), |bencher| {
            bencher.iter(|| {
                number += 1;
                seal_next(&in_memory, number, &payload);
            });
        });
        let file = PhoneFile::open_or_create(&folder.path().join(format!("{name}.db")));
        let part = file.and_then(|file| file.phone(1)).expect("a file");
        let durable = opened(part, &keystore, key);
        let mut number = 0;
        group.bench_function(format!("{name}/durable"), |bencher| {
            bencher.iter(|| {
                number += 1;
                seal_next(&durable, number, &payload);
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    seal(&mut criterion);
    phone(&mut criterion);
    criterion.final_summary();
}
