// SPDX-License-Identifier: Apache-2.0

//! Whether any transaction takes more than it is charged, in the shapes that somebody would choose who wants blocks to take long.
//!
//! Each shape stands alone in a block of its own, in the runtime as nodes run it. What the block takes, with its storage root,
//! is compared with what it is charged, both without what an empty block takes and is charged.

mod batches;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{ensure, Result};
use codec::Encode;
use hashchain::testing::Phone;
use mhealth_runtime::{Runtime, RuntimeCall};
use pallet_client_hashchain::{Call, LastTrusted, SuspensionReason};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sp_core::H256;
use sp_keyring::Sr25519Keyring::{
    self, AliceStash, Bob, BobStash, CharlieStash, DaveStash, Eve, Ferdie, One, Two,
};

use self::batches::{mix, Shape, SHAPES};
use crate::direct::{Alone, Direct};
use crate::extrinsic::Signer;
use crate::report::replace_between;
use crate::workload::{Phones, PARTICIPANT};
use crate::{say, PAPER, SIGNED};

/// How many times its charge a transaction may take.
const MOST: f64 = 2.0;
/// Devices of each study, of whom each plays one shape.
const DEVICES: u32 = 40_000;
/// How often a shape is measured, each time with other devices. The middle one counts.
const TIMES: usize = 3;
/// Calls of one kind in a block. An authentication server may change the status of 256 devices an hour.
const CALLS: usize = 24;
/// What the chain stores of a device's escrow at most.
const LONGEST_ESCROW: usize = 128;
/// Where the table stands in the page that it is published in.
const MARKS: [&str; 2] = [
    "<!-- scripts/bench --shapes -->",
    "<!-- /scripts/bench --shapes -->",
];

/// Measures all shapes, and so many random mixes of them; prints the table and puts it into the documentation.
pub(crate) fn run(seed: u64, mixes: usize, folder: &Path, publish: Option<&Path>) -> Result<()> {
    let mut direct = Direct::new(folder)?;
    say(format_args!("enrolling {DEVICES} devices in each study\n"));
    let mut stage = Stage::new(&mut direct, seed)?;
    let mut worst: f64 = 0.0;
    let mut table =
        String::from("| shape | runs | bytes of them | took, µs | charged, µs | took of its charge |\n|---|---|---|---|---|---|\n");
    let mut note = |name: &str, row: Row| {
        let line = row.line(name);
        say(format_args!("{line}"));
        table.push_str(&line);
        worst = worst.max(row.ratio());
    };
    for (name, make) in SHAPES {
        let rows = (0..TIMES).map(|_| {
            let shape = make(&mut stage);
            stage.measure(&mut direct, shape)
        });
        note(name, middle(rows.collect::<Result<_>>()?));
    }
    crate::direct::rest()?;
    for (name, row) in stage.offices(&mut direct)? {
        note(name, row);
    }
    let mut mixed: Option<Row> = None;
    for number in 0..mixes as u64 {
        let mut play = || {
            let shape = mix(&mut stage, &mut StdRng::seed_from_u64(seed + number));
            stage.measure(&mut direct, shape)
        };
        let mut row = play()?;
        if row.ratio() > 1.0 {
            // Most often something else had the processor.
            row = middle(vec![row, play()?, play()?]);
        }
        if mixed
            .as_ref()
            .is_none_or(|worst| worst.ratio() < row.ratio())
        {
            mixed = Some(row);
        }
    }
    if let Some(row) = mixed {
        note(&format!("the worst of {mixes} random mixes"), row);
    }
    if let Some(docs) = publish {
        replace_between(&docs.join("performance/growth.md"), MARKS, &table)?;
    }
    say(format_args!(
        "shapes={} mixes={mixes} seed={seed} worst={worst:.2}\n",
        SHAPES.len() + 1
    ));
    ensure!(
        worst <= MOST,
        "a transaction takes {worst:.2} times what it is charged"
    );
    Ok(())
}

/// What one measurement gave.
struct Row {
    runs: usize,
    bytes: usize,
    alone: Alone,
    empty: Alone,
}

impl Row {
    fn took(&self) -> f64 {
        (self.alone.seconds - self.empty.seconds).max(0.0)
    }

    fn charged(&self) -> f64 {
        self.alone.charged_seconds - self.empty.charged_seconds
    }

    fn ratio(&self) -> f64 {
        self.took() / self.charged()
    }

    fn line(&self, name: &str) -> String {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            line,
            "| {name} | {} | {} | {:.0} | {:.0} | {:.2} |",
            self.runs,
            self.bytes,
            self.took() * 1e6,
            self.charged() * 1e6,
            self.ratio(),
        );
        line
    }
}

/// The devices that are left, and chance.
struct Stage {
    paper: Vec<Phone>,
    signed: Vec<Phone>,
    rng: StdRng,
}

impl Stage {
    fn new(direct: &mut Direct, seed: u64) -> Result<Self> {
        let chain = direct.genesis();
        let mut enrolled = |study, first| -> Result<Vec<Phone>> {
            let phones = Phones::new(chain, study, first, DEVICES);
            direct.enrol(study, &phones)?;
            Ok(phones.each().collect())
        };
        Ok(Self {
            paper: enrolled(PAPER, 0)?,
            signed: enrolled(SIGNED, DEVICES)?,
            rng: StdRng::seed_from_u64(seed),
        })
    }

    /// So many devices that play nothing else, their heads on as many pages as there are, or close together.
    fn take(&mut self, signed: bool, count: usize, apart: bool) -> Vec<Phone> {
        let phones = match signed {
            true => &mut self.signed,
            false => &mut self.paper,
        };
        let step = match apart {
            true => (phones.len() / count).max(1),
            false => 1,
        };
        // From behind, so that the places of those that stay do not change.
        let places: Vec<usize> = (0..count)
            .map(|place| phones.len() - 1 - place * step)
            .collect();
        places
            .into_iter()
            .map(|place| phones.remove(place))
            .collect()
    }

    /// One device that plays nothing else.
    fn one(&mut self, signed: bool) -> Phone {
        self.take(signed, 1, false).remove(0)
    }

    fn measure(&mut self, direct: &mut Direct, shape: Shape) -> Result<Row> {
        for batch in &shape.before {
            let transaction = direct.batch(&encoded(batch));
            direct.alone(vec![transaction])?;
        }
        let batch = encoded(&shape.measured);
        let row = alone(direct, batch.len(), |direct| vec![direct.batch(&batch)])?;
        Ok(Row {
            runs: shape.measured.len(),
            ..row
        })
    }

    /// The calls of offices, many of a kind in a block: each with its name and what it takes, the middle of its measurements.
    fn offices(&mut self, direct: &mut Direct) -> Result<Vec<(&'static str, Row)>> {
        let mut sponsor = Signer::new(Bob, direct.genesis());
        let mut rows: BTreeMap<&'static str, Vec<Row>> = BTreeMap::new();
        for _ in 0..TIMES {
            let mut devices = || -> Vec<u32> {
                let phones = self.take(false, CALLS, true);
                phones.iter().map(|phone| phone.device().0).collect()
            };
            let (devices, others) = (devices(), devices());
            let (reason, last_trusted) = (SuspensionReason::Lost, LastTrusted::Latest);
            let of_each = |devices: &[u32], call: &dyn Fn(u32) -> Call<Runtime>| -> Vec<_> {
                let calls = devices.iter().map(|device| call(*device));
                calls.map(RuntimeCall::ClientHashchain).collect()
            };
            let suspend = of_each(&devices, &|device| Call::suspend { device, reason });
            let resume = of_each(&devices, &|device| Call::resume { device });
            let retire = |device| Call::retire {
                device,
                last_trusted,
            };
            let veto = of_each(&devices, &|device| Call::veto_retirement { device });
            let enrol = (0..CALLS).map(|_| enrolment(direct, &self.rng.random()));
            let enrol: Vec<_> = enrol.map(RuntimeCall::ClientHashchain).collect();
            for (name, by_sponsor, calls) in [
                ("enrol with the longest escrow", false, enrol),
                ("suspend", false, suspend),
                ("resume", false, resume),
                ("retire, by a server", false, of_each(&devices, &retire)),
                ("veto a retirement", true, veto),
                ("retire, by the sponsor", true, of_each(&others, &retire)),
            ] {
                let bytes = calls.iter().map(Encode::encoded_size).sum();
                let row = alone(direct, bytes, |direct| {
                    let calls = calls.iter();
                    match by_sponsor {
                        true => calls.map(|call| sponsor.call(call)).collect(),
                        false => calls.map(|call| direct.office_call(call)).collect(),
                    }
                })?;
                rows.entry(name).or_default().push(row);
            }
        }
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|(name, rows)| (name, middle(rows)))
            .collect();
        rows.push(("rotate, again and again", rotations(direct)?));
        Ok(rows)
    }
}

/// An account that gives its roles to another, which does the same, and so on.
fn rotations(direct: &mut Direct) -> Result<Row> {
    let accounts = [
        Eve,
        Ferdie,
        One,
        Two,
        AliceStash,
        BobStash,
        CharlieStash,
        DaveStash,
    ];
    let rotate = |pair: &[Sr25519Keyring], direct: &Direct| {
        let call = RuntimeCall::Studies(pallet_studies::Call::rotate {
            study: PAPER.0,
            successor: pair[1].to_account_id(),
        });
        Signer::new(pair[0], direct.genesis()).call(&call)
    };
    alone(direct, 0, |direct| {
        accounts
            .windows(2)
            .map(|pair| rotate(pair, direct))
            .collect()
    })
}

/// What transactions take that are made when all before them are in blocks.
fn alone(
    direct: &mut Direct,
    bytes: usize,
    make: impl FnOnce(&mut Direct) -> Vec<Vec<u8>>,
) -> Result<Row> {
    let empty = direct.alone(Vec::new())?;
    let transactions = make(direct);
    Ok(Row {
        runs: 0,
        bytes,
        alone: direct.alone(transactions)?,
        empty,
    })
}

/// The one in the middle, by how much of its charge it took.
fn middle(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    rows.swap_remove(rows.len() / 2)
}

fn enrolment(direct: &Direct, seed: &[u8; 32]) -> Call<Runtime> {
    let (key, secret) = hashchain::testing::keys(seed);
    let escrow = vec![9; LONGEST_ESCROW];
    let commitment = hashchain::secret_commitment::<hashchain::Native>(&secret);
    let device_key = key.verifying_key().to_bytes();
    let message = hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &direct.genesis(),
        study: PAPER,
        server: direct.office().as_ref(),
        device_key: &device_key,
        predecessor: None,
        secret_commitment: &commitment,
        escrow_commitment: &hashchain::escrow_commitment::<hashchain::Native>(&escrow),
        auditor_epoch: 0,
        auditor_key: &mhealth_runtime::genesis::DEVELOPMENT_AUDITOR_KEY,
        participant: &PARTICIPANT,
    });
    Call::enrol {
        study: PAPER.0,
        key: device_key,
        secret_commitment: H256(commitment),
        escrow: escrow.try_into().expect("as long as may be; qed"),
        auditor_epoch: 0,
        participant: H256(PARTICIPANT),
        predecessor: None,
        key_proof: ed25519_dalek::Signer::sign(&key, &message).to_bytes(),
    }
}

/// Runs as a transaction brings them.
fn encoded(runs: &[hashchain::Run]) -> Vec<u8> {
    let runs: Vec<_> = runs.iter().map(on_chain).collect();
    runs.encode()
}

fn on_chain(run: &hashchain::Run) -> pallet_client_hashchain::Run {
    let entries = run
        .entries
        .iter()
        .map(|entry| pallet_client_hashchain::RunEntry {
            digest: H256(entry.digest.0),
            tag: H256(entry.tag.0),
        });
    pallet_client_hashchain::Run {
        device: run.device.0,
        sequence: run.first_sequence,
        previous: H256(run.previous.0),
        entries: entries
            .collect::<Vec<_>>()
            .try_into()
            .expect("no longer than runs are; qed"),
        signature: run.signature,
    }
}
