// SPDX-License-Identifier: Apache-2.0

//! The real program, killed at random points while it seals.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use hashchain::{Envelope, OpeningKey, Verifier};
use mhealth_device_host::{payload::Night, store::DeviceRecord, Store, SystemClock};
use mhealth_simulator::cohort::participants::ParticipantKeys;
use rand::{rngs::StdRng, Rng, SeedableRng};

const GENESIS: [u8; 32] = [0x9e; 32];

fn auditor() -> OpeningKey {
    OpeningKey::from_bytes(&[0x41; 32])
}

/// A cohort's file of nights in a folder of its own, and the program's arguments.
struct Cohort {
    folder: tempfile::TempDir,
    nights: usize,
    duplicates: usize,
    envelope: &'static str,
    commit_every: u32,
}

impl Cohort {
    /// Nights of some people, in no order, some of them twice.
    fn new(
        people: u32,
        nights: u32,
        envelope: &'static str,
        commit_every: u32,
        rng: &mut StdRng,
    ) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mut rows = Vec::new();
        for person in 0..people {
            for night in 1..=nights {
                let asleep = rng.random_range(100..500);
                let day = format!("2016-{:02}-{:02}", 1 + night / 28, 1 + night % 28);
                rows.push(format!("70{person},{day},1,{asleep},{}", asleep + 30));
            }
        }
        let duplicates: Vec<String> = rows.iter().step_by(17).cloned().collect();
        let mut text = String::from("Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed\n");
        let (nights, twice) = (rows.len(), duplicates.len());
        rows.extend(duplicates);
        while !rows.is_empty() {
            text += &rows.swap_remove(rng.random_range(0..rows.len()));
            text.push('\n');
        }
        fs::write(folder.path().join("nights.csv"), text).expect("written");
        Self {
            folder,
            nights,
            duplicates: twice,
            envelope,
            commit_every,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_mhealth-device"))
            .args(["simulate", "--offline", "--envelope", self.envelope])
            .args(["--genesis", &hex::encode(GENESIS)])
            .args(["--auditor-key", &hex::encode(auditor().sealing_key().0)])
            .args(["--commit-every", &self.commit_every.to_string()])
            .arg("--csv")
            .arg(self.path("nights.csv"))
            .arg("--state")
            .arg(self.path("state.db"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started")
    }

    /// Starts the program and kills it after its files have changed this often, or lets it end before.
    fn kill_after(&self, changes: u32) -> bool {
        let mut child = self.start();
        let mut seen = 0;
        let mut before = self.sizes();
        loop {
            if child.try_wait().expect("asked").is_some() {
                return false;
            }
            let now = self.sizes();
            if now != before {
                (seen, before) = (seen + 1, now);
            }
            if seen >= changes {
                child.kill().expect("killed"); // SIGKILL on Unix.
                child.wait().expect("gone");
                return true;
            }
            std::thread::yield_now();
        }
    }

    fn sizes(&self) -> [u64; 3] {
        ["state.db", "state.db-wal", "state.db.participants"]
            .map(|name| fs::metadata(self.path(name)).map_or(0, |file| file.len()))
    }

    fn finish(&self) -> Output {
        self.start().wait_with_output().expect("ended")
    }

    fn store(&self) -> Option<Store> {
        open(&self.path("state.db"))
    }

    /// Every night of the file is in the store once, and every device's chain verifies from end to end.
    fn assert_whole(&self) {
        let store = self.store().expect("a store");
        let keys = ParticipantKeys::open(&self.path("state.db.participants")).expect("keys");
        let mut sources = HashMap::new();
        for device in store.devices().expect("devices") {
            let secret = hashchain::open_escrow(
                &auditor(),
                &device.key.0,
                &device.secret_commitment,
                &device.escrow,
            );
            let secret = secret.expect("it was escrowed");
            let mut verifier = Verifier::with_secret(device.genesis, &secret);
            for entry in store.entries(device.id, 1, device.length).expect("entries") {
                let envelope = store.envelope(device.id, entry.sequence);
                let envelope = envelope.expect("read").expect("it is there");
                verifier
                    .check(&entry, Some(&envelope))
                    .expect("the device's own entry");
                let night = night(&device, &keys, entry.sequence, &envelope);
                assert_eq!(night.participant, device.participant);
                *sources
                    .entry((night.participant.0, night.night))
                    .or_insert(0) += 1;
            }
            let coverage = verifier.finish(&device.head).expect("its head");
            assert_eq!(
                (coverage.tags, coverage.envelopes),
                (device.length, device.length)
            );
        }
        assert_eq!(sources.len(), self.nights, "no night is lost");
        assert!(
            sources.values().all(|times| *times == 1),
            "no night is doubled"
        );
    }
}

fn open(path: &Path) -> Option<Store> {
    match Store::open(path, Arc::new(SystemClock)) {
        Ok(store) => Some(store),
        // Killed before there was a file, or while it was being made.
        Err(error) if ["state_missing", "state_unfinished"].contains(&error.code()) => None,
        Err(error) => panic!("a killed program left a bad file: {error}"),
    }
}

fn night(device: &DeviceRecord, keys: &ParticipantKeys, sequence: u64, envelope: &[u8]) -> Night {
    match Envelope::parse(envelope).expect("an envelope") {
        Envelope::Plain { content, .. } => Night::from_json(content.payload()),
        Envelope::Sealed { .. } => {
            let key = keys
                .opening_key(&device.participant)
                .expect("a key that was made durable");
            let opened = hashchain::open_envelope(key, &device.key.0, sequence, envelope);
            Night::from_json(opened.expect("it opens").content().payload())
        }
    }
    .expect("a night")
}

/// What a device has sealed; it may only grow.
fn sealed(store: Option<Store>) -> HashMap<String, u64> {
    let devices = store.map_or(Vec::new(), |store| store.devices().expect("devices"));
    devices
        .into_iter()
        .map(|device| (device.key.to_string(), device.length))
        .collect()
}

fn kill_and_resume(seed: u64, cohort: Cohort, rng: &mut StdRng) {
    let mut kills = 0;
    let mut before = HashMap::new();
    for _ in 0..12 {
        kills += u32::from(cohort.kill_after(rng.random_range(0..40)));
        let now = sealed(cohort.store());
        for (device, length) in &before {
            assert!(
                now.get(device) >= Some(length),
                "seed {seed}: {device} lost entries"
            );
        }
        before = now;
    }
    let output = cohort.finish();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "seed {seed}: {stderr}");
    let expected = format!(
        "entries={} duplicates={} finalised=0 refused=0",
        cohort.nights, cohort.duplicates
    );
    let last = stdout.lines().last().unwrap_or_default();
    assert!(last.ends_with(&expected), "seed {seed}: {last}");
    cohort.assert_whole();
    assert!(kills > 0, "seed {seed}: it was never killed");
}

#[test]
fn a_program_that_is_killed_while_it_seals_loses_and_doubles_nothing() {
    let seed = rand::rng().random();
    let mut rng = StdRng::seed_from_u64(seed);
    // One entry at a time, as on a phone; a few; more than there are between two kills.
    for (envelope, commit_every) in [("plain", 1), ("hpke", 7), ("hpke", 1)] {
        let cohort = Cohort::new(5, 120, envelope, commit_every, &mut rng);
        kill_and_resume(seed, cohort, &mut rng);
    }
}

#[test]
fn a_second_time_changes_nothing() {
    let mut rng = StdRng::seed_from_u64(1);
    let cohort = Cohort::new(3, 10, "plain", 100, &mut rng);
    let first = cohort.finish();
    let state = fs::read(cohort.path("state.db")).expect("read");
    let second = cohort.finish();
    assert!(first.status.success() && second.status.success());
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(fs::read(cohort.path("state.db")).expect("read"), state);
}
