// SPDX-License-Identifier: Apache-2.0

//! What one entry costs a device: envelope, digest, tag, link, ratchet, durable write, erased key.
//!
//! `durable` is what a phone does: one entry, one transaction, synced to disk before it is handed on, and the
//! write-ahead log truncated so that the spent key is gone. `durable group of 64` is what the simulator does. `memory`
//! is the same without a disk: the difference is what durability costs. The disk is that of cargo's target directory;
//! put that where you want to measure.

use std::{path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput};
use hashchain::{OpeningKey, SealingKey};
use mhealth_device_host::{
    payload::{
        Minutes, Modality, Night, PartOfDay, Participant, SleepEpisode, TimeFrame, TimeInBed,
        TimeInterval, Uuid, MEDIA_TYPE,
    },
    Device, Recipient, Record, Store, SystemClock, Terms,
};
use rand::{rngs::StdRng, SeedableRng};
use time::macros::{date, datetime};

const GROUP: u64 = 64;

fn terms() -> Terms {
    let auditor_key = OpeningKey::from_bytes(&[7; 32]).sealing_key().0;
    Terms {
        chain: [1; 32],
        study: hashchain::StudyId(0),
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

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    seal(&mut criterion);
    criterion.final_summary();
}
