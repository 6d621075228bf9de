// SPDX-License-Identifier: Apache-2.0

//! Batches of runs in the shapes that somebody would choose who wants blocks to take long.

use hashchain::testing::Phone;
use hashchain::{DataDigest, DeviceId, LinkHash, RunEntry, Tag, MAX_RUN_LENGTH};
use pallet_client_hashchain::run_checks::GROUP;
use pallet_client_hashchain::MAX_BATCH_LENGTH;
use rand::rngs::StdRng;
use rand::Rng;

use super::Stage;

/// Runs of a batch in which every run has a device of its own.
const WIDE: usize = 512;
/// Runs of the longest batch.
const LONGEST: usize = MAX_BATCH_LENGTH as usize;
/// Bytes of runs that a transaction holds beside its frame.
const ROOM: usize = 2_000_000;

/// A transaction to measure, after those that make the state for it.
pub(super) struct Shape {
    pub(super) before: Vec<Vec<hashchain::Run>>,
    pub(super) measured: Vec<hashchain::Run>,
}

/// What makes a shape.
pub(super) type Maker = fn(&mut Stage) -> Shape;

/// The shapes with names.
pub(super) const SHAPES: [(&str, Maker); 18] = [
    ("512 runs, each head on a page of its own", spread),
    (
        "512 signed runs, each head on a page of its own",
        spread_signed,
    ),
    ("the longest runs that a transaction holds", longest_runs),
    ("the same after a wrong link", longest_rivals),
    ("1,024 runs of one device, one after the other", one_device),
    (
        "1,024 retries, each as far back as the batch's own entries go",
        retries_within,
    ),
    ("1,024 rivals of the batch's own entries", rivals_within),
    ("1,024 retries, each entry on a page of its own", retries),
    ("1,024 gaps", gaps),
    ("1,024 runs of devices that do not exist", strangers),
    ("512 unsigned rivals", rivals),
    ("512 signed rivals, each suspends its device", forks),
    ("512 signed rivals of suspended devices", forks_again),
    ("1,024 signatures, the last one wrong", one_wrong),
    (
        "1,024 signatures, one wrong in each group",
        one_wrong_in_each,
    ),
    ("512 odd signatures", odd),
    ("a run in each of 256 studies", scattered),
    ("1,024 gaps of another study's devices", foreign),
];

fn measured(runs: impl IntoIterator<Item = hashchain::Run>) -> Shape {
    after(Vec::new(), runs)
}

fn after(
    before: Vec<Vec<hashchain::Run>>,
    runs: impl IntoIterator<Item = hashchain::Run>,
) -> Shape {
    Shape {
        before,
        measured: runs.into_iter().collect(),
    }
}

fn unsigned(run: hashchain::Run) -> hashchain::Run {
    hashchain::Run {
        signature: None,
        ..run
    }
}

fn spread(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(false, WIDE, true);
    measured(phones.iter_mut().map(|phone| unsigned(phone.run(1))))
}

fn spread_signed(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(true, WIDE, true);
    measured(phones.iter_mut().map(|phone| phone.run(1)))
}

/// How many of the longest runs a transaction holds.
fn longest() -> usize {
    ROOM / (MAX_RUN_LENGTH * RunEntry::LENGTH + 64)
}

fn longest_runs(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(false, longest(), true);
    measured(
        phones
            .iter_mut()
            .map(|phone| unsigned(phone.run(MAX_RUN_LENGTH))),
    )
}

fn longest_rivals(stage: &mut Stage) -> Shape {
    let phones = stage.take(false, longest(), true);
    let astray = |phone: &Phone| unsigned(phone.astray(LinkHash([7; 32])).run(MAX_RUN_LENGTH));
    measured(phones.iter().map(astray))
}

fn one_device(stage: &mut Stage) -> Shape {
    let mut phone = stage.one(false);
    measured((0..LONGEST).map(|_| unsigned(phone.run(1))))
}

/// New entries as many as leave room for the rest of a batch.
fn many(phone: &mut Phone) -> Vec<hashchain::Run> {
    (0..96)
        .map(|_| unsigned(phone.run(MAX_RUN_LENGTH)))
        .collect()
}

fn retries_within(stage: &mut Stage) -> Shape {
    let mut phone = stage.one(false);
    let first = unsigned(phone.run(1));
    let new = many(&mut phone);
    let again = std::iter::repeat_n(first.clone(), LONGEST - new.len() - 1);
    measured([first].into_iter().chain(new).chain(again))
}

fn rivals_within(stage: &mut Stage) -> Shape {
    let mut phone = stage.one(false);
    let before = phone.copy();
    let new = many(&mut phone);
    let rivals =
        (0..LONGEST - new.len()).map(|_| unsigned(before.copy().run_of(1, "another night")));
    let rivals: Vec<_> = rivals.collect();
    measured(new.into_iter().chain(rivals))
}

/// Retries whose walks go over pages that other devices have filled between.
fn retries(stage: &mut Stage) -> Shape {
    let mut phone = stage.one(false);
    let mut others = stage.take(false, 16, false);
    let first = unsigned(phone.run(1));
    let mut before = vec![vec![first.clone()]];
    for _ in 0..8 {
        let mut batch = Vec::new();
        for _ in 0..6 {
            for other in &mut others {
                batch.push(unsigned(other.run(MAX_RUN_LENGTH)));
                batch.push(unsigned(phone.run(1)));
            }
        }
        before.push(batch);
    }
    after(before, std::iter::repeat_n(first, LONGEST))
}

fn gaps(stage: &mut Stage) -> Shape {
    let phone = stage.one(false);
    let gap = unsigned(phone.resumed_at(phone.head(), 9).run(1));
    measured(std::iter::repeat_n(gap, LONGEST))
}

fn strangers(_: &mut Stage) -> Shape {
    let run = |place: usize| hashchain::Run {
        device: DeviceId(u32::MAX - place as u32),
        first_sequence: 1,
        previous: LinkHash([1; 32]),
        entries: vec![RunEntry {
            digest: DataDigest([2; 32]),
            tag: Tag([3; 32]),
        }],
        signature: None,
    };
    measured((0..LONGEST).map(run))
}

/// Devices that have registered an entry, and as many rivals of it.
fn rivals_of(stage: &mut Stage, signed: bool) -> (Vec<hashchain::Run>, Vec<hashchain::Run>) {
    let phones = stage.take(signed, WIDE, true);
    let bring = |run: hashchain::Run| match signed {
        true => run,
        false => unsigned(run),
    };
    let own = phones
        .iter()
        .map(|phone| bring(phone.copy().run(1)))
        .collect();
    let rivals = phones
        .iter()
        .map(|phone| bring(phone.copy().run_of(1, "another night")));
    (own, rivals.collect())
}

fn rivals(stage: &mut Stage) -> Shape {
    let (own, rivals) = rivals_of(stage, false);
    after(vec![own], rivals)
}

fn forks(stage: &mut Stage) -> Shape {
    let (own, rivals) = rivals_of(stage, true);
    after(vec![own], rivals)
}

fn forks_again(stage: &mut Stage) -> Shape {
    let phones = stage.take(true, WIDE, true);
    let all = |data: &str| -> Vec<_> {
        phones
            .iter()
            .map(|phone| phone.copy().run_of(1, data))
            .collect()
    };
    let mut before = vec![all("a night")];
    before.extend((0..12).map(|rival| all(&format!("rival {rival}"))));
    after(before, all("one more"))
}

fn one_wrong(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(true, LONGEST, true);
    let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1)).collect();
    if let Some(signature) = runs.last_mut().and_then(|run| run.signature.as_mut()) {
        signature[40] ^= 1;
    }
    measured(runs)
}

/// Every one of them is checked by itself, too.
fn one_wrong_in_each(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(true, LONGEST, true);
    let mut runs: Vec<_> = phones.iter_mut().map(|phone| phone.run(1)).collect();
    for group in runs.chunks_mut(GROUP) {
        if let Some(signature) = group.first_mut().and_then(|run| run.signature.as_mut()) {
            signature[40] ^= 1;
        }
    }
    measured(runs)
}

/// What each of many studies has counted is read and written.
fn scattered(stage: &mut Stage) -> Shape {
    let phones = stage.scattered.iter_mut().filter_map(Vec::pop);
    measured(phones.map(|mut phone| unsigned(phone.run(1))))
}

/// The account might be one of the devices.
fn foreign(stage: &mut Stage) -> Shape {
    let gap = |phone: &Phone| unsigned(phone.resumed_at(phone.head(), 9).run(1));
    let gaps: Vec<_> = stage.foreign.iter().map(gap).collect();
    measured(gaps.into_iter().cycle().take(LONGEST))
}

fn odd(stage: &mut Stage) -> Shape {
    let mut phones = stage.take(true, WIDE, true);
    measured(phones.iter_mut().map(|phone| {
        let run = phone.run(1);
        phone.sign_oddly(run)
    }))
}

/// Runs of a few devices in which everything occurs that the other shapes are made of.
pub(super) fn mix(stage: &mut Stage, rng: &mut StdRng) -> Shape {
    let signed = rng.random_bool(0.5);
    let count = rng.random_range(1..64);
    let apart = rng.random_bool(0.5);
    let mut phones = stage.take(signed, count, apart);
    let fresh: Vec<Phone> = phones.iter().map(Phone::copy).collect();
    let mut brought = Vec::new();
    let mut some = |rng: &mut StdRng, runs: usize| {
        let mut batch: Vec<hashchain::Run> = Vec::new();
        let mut bytes = 0;
        while batch.len() < runs && bytes < ROOM {
            let place = rng.random_range(0..phones.len());
            let phone = &mut phones[place];
            let entries = match rng.random_bool(0.1) {
                true => rng.random_range(1..=MAX_RUN_LENGTH),
                false => rng.random_range(1..4),
            };
            let run = match rng.random_range(0..10) {
                0..=3 => phone.run(entries),
                4 if !brought.is_empty() => {
                    let known: &hashchain::Run = &brought[rng.random_range(0..brought.len())];
                    known.clone()
                }
                5 => fresh[place].copy().run_of(entries, "another night"),
                6 => phone.astray(LinkHash([7; 32])).run(entries),
                7 => phone
                    .resumed_at(phone.head(), phone.length() + 9)
                    .run(entries),
                8 => {
                    let run = phone.run(entries);
                    phone.sign_oddly(run)
                }
                _ => {
                    let mut run = phone.copy().run(entries);
                    if let Some(signature) = &mut run.signature {
                        signature[40] ^= 1;
                    }
                    run
                }
            };
            let run = match signed || rng.random_bool(0.1) {
                true => run,
                false => unsigned(run),
            };
            bytes += run.entries.len() * RunEntry::LENGTH + 128;
            brought.push(run.clone());
            batch.push(run);
        }
        batch
    };
    let before = 0..rng.random_range(0..3);
    let before = before.map(|_| some(rng, 256)).collect();
    let runs = rng.random_range(1..=LONGEST);
    let runs = some(rng, runs);
    after(before, runs)
}
