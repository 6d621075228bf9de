// SPDX-License-Identifier: Apache-2.0

//! How many entries one core judges in a second, against the bare SHA-256 of the same messages.
//!
//! `cargo bench --workspace --bench judge`. Everything lies in memory: what reading chain and exports takes, the bench `audit`
//! measures.

// What it measures is what it prints.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use hashchain::encoding::encode;
use hashchain::{
    escrow_commitment, genesis, seal_escrow, secret_commitment, DeviceId, Enrolment, Native,
    OpeningKey, Secret, Sha256, StudyId,
};
use mhealth_api::{DeviceStatus, ExportedRun, RunState};
use mhealth_auditor::case::{
    BroughtRun, Case, DeviceRecord, Fate, HeldRun, RegisteredEntry, RelayStore, SecretAccess,
};
use mhealth_auditor::export::Holder;
use mhealth_auditor::{judge, Outcome, ON_ITS_WAY};
use mhealth_testing::phone::{exported, record, Phone};
use rand::rngs::StdRng;
use rand::SeedableRng;

const ENTRIES: u64 = 1_008;
/// What a night's record takes; sealed, it is 600 bytes.
const DATA: usize = 535;
const RELAY: [u8; 32] = [0xd0; 32];
const DEVICE: DeviceId = DeviceId(1);
const STUDY: StudyId = StudyId(0);
const CHAIN: [u8; 32] = [7; 32];
/// Each figure is the best of passes that take as long as this.
const TIME: Duration = Duration::from_secs(3);

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    for run_length in [1, 16] {
        for (device_signed, every_signature) in [(false, false), (true, false), (true, true)] {
            let (mut case, exported, messages) = device(run_length, device_signed);
            case.every_signature = every_signature;
            assert_eq!(judge(&case).outcome(), Outcome::Right);
            let judged = fastest(|| {
                black_box(judge(black_box(&case)));
            });
            let key = case.record.key;
            let taken = fastest(|| {
                for run in &exported {
                    black_box(HeldRun::from_export(black_box(run), &key, None));
                }
            });
            let raw = fastest(|| {
                for message in &messages {
                    black_box(Native::sha256(black_box(message)));
                }
            });
            let rate = |time: Duration| ENTRIES as f64 / time.as_secs_f64();
            println!(
                "run_length={run_length} device_signed={device_signed} every_signature={every_signature} entries_per_s={:.0} judge_only={:.0} raw_sha256={:.0} ratio={:.2}",
                rate(judged + taken),
                rate(judged),
                rate(raw),
                raw.as_secs_f64() / (judged + taken).as_secs_f64()
            );
        }
    }
}

/// The shortest of many passes.
fn fastest(mut pass: impl FnMut()) -> Duration {
    let began = Instant::now();
    let mut best = Duration::MAX;
    while began.elapsed() < TIME {
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed());
    }
    best
}

/// An honest device's case, its runs as the relay exports them, and all that must be hashed to check them.
fn device(run_length: usize, device_signed: bool) -> (Case, Vec<ExportedRun>, Vec<Vec<u8>>) {
    let mut rng = StdRng::seed_from_u64(4);
    let auditor = OpeningKey::from_bytes(&[11; 32]);
    let secret = Secret::from_bytes(&[12; 32]);
    let key = SigningKey::from_bytes(&[13; 32]);
    let public = key.verifying_key().to_bytes();
    let escrow = seal_escrow(&auditor.sealing_key(), &public, &secret, &mut rng).unwrap();
    let commitment = secret_commitment::<Native>(&secret);
    let genesis = genesis::<Native>(&Enrolment {
        chain: &CHAIN,
        study: STUDY,
        device_key: &public,
        predecessor: None,
        secret_commitment: &commitment,
        escrow_commitment: &escrow_commitment::<Native>(&escrow),
    });
    let mut phone = Phone::new(key, DEVICE, genesis, &secret);
    let (mut registered, mut brought, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    let mut messages = Vec::new();
    while phone.length() < ENTRIES {
        let mut upload = record(&mut phone, run_length, &"x".repeat(DATA));
        if !device_signed {
            upload.signature = None;
        }
        let run = upload.run();
        for (entry, sent) in run.links().zip(&upload.entries) {
            let position = entry.sequence.to_be_bytes();
            let (before, digest) = (&entry.previous.0[..], &entry.digest.0[..]);
            messages.extend([
                encode("link", &[&position, before, digest, &entry.tag.0]),
                encode("tag", &[&position, before, digest]),
                encode("next", &[]),
                encode("data", &[&sent.envelope.0]),
            ]);
            registered.push(RegisteredEntry {
                sequence: entry.sequence,
                digest: entry.digest,
                link: entry.hash,
            });
        }
        let cursor = exports.len() as u64 + 1;
        exports.push(exported(&upload, cursor, STUDY, RunState::Finalised));
        brought.push(BroughtRun {
            block: cursor + 1,
            extrinsic: 1,
            submitter: RELAY,
            fate: Fate::Registered,
            run,
        });
    }
    let case = Case {
        chain: CHAIN,
        device_signed,
        record: DeviceRecord {
            device: DEVICE,
            study: STUDY,
            key: public,
            secret_commitment: commitment,
            escrow,
            auditor_epoch: 0,
            participant: [5; 32],
            genesis,
            length: phone.length(),
            head: phone.head(),
            status: DeviceStatus::Active,
            predecessor: None,
            successor: None,
            trusted_length: None,
            enrolled_at: 1,
        },
        registered,
        brought,
        blocks_complete: true,
        conflicts: Vec::new(),
        conflicts_not_stored: 0,
        relays: vec![RELAY],
        appointed: vec![RELAY],
        stores: vec![RelayStore {
            name: "dave".into(),
            holder: Holder::Relay,
            account: Some(RELAY),
            complete: true,
            block: Some(u64::MAX),
            runs: exports
                .iter()
                .map(|run| HeldRun::from_export(run, &public, None))
                .collect(),
        }],
        secret: SecretAccess::Opened(secret),
        participant_key_fits: None,
        erased: Default::default(),
        block: 10,
        patience: ON_ITS_WAY,
        every_signature: false,
    };
    (case, exports, messages)
}
