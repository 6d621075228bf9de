// SPDX-License-Identifier: Apache-2.0

//! The program's files in a folder of their own.
#![allow(dead_code)] // Each test program takes what it needs.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
};

use hashchain::Envelope;
use mhealth_device_host::{Store, SystemClock};

pub(crate) const HEADER: &str = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed";
pub(crate) const GENESIS: [u8; 32] = [0x9e; 32];

/// The program's files in a folder of their own.
pub(crate) struct Desk(tempfile::TempDir);

impl Desk {
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state.db")
    }

    pub(crate) fn simulate(&self, nights: &str, options: &[&str]) -> Output {
        self.simulate_on(&GENESIS, nights, options)
    }

    pub(crate) fn simulate_on(&self, genesis: &[u8; 32], nights: &str, options: &[&str]) -> Output {
        let file = self.path("nights.csv");
        fs::write(&file, nights).expect("written");
        self.offline(genesis)
            .arg("--csv")
            .arg(file)
            .args(options)
            .output()
            .expect("started")
    }

    /// `simulate`, which only seals.
    pub(crate) fn offline(&self, genesis: &[u8; 32]) -> Command {
        let auditor = hashchain::OpeningKey::from_bytes(&[0x41; 32]).sealing_key();
        let mut command = self.program("simulate");
        command
            .args(["--offline", "--genesis", &hex::encode(genesis)])
            .args(["--auditor-key", &hex::encode(auditor.0)]);
        command
    }

    /// Takes the nights of a file of `tests/data`, in plain envelopes.
    pub(crate) fn take(&self, data: &str, options: &[&str]) -> Output {
        let kind = match data.ends_with(".csv") {
            true => "--csv",
            false => "--omh",
        };
        self.offline(&GENESIS)
            .args(["--envelope", "plain", kind])
            .arg(PathBuf::from("tests/data").join(data))
            .args(options)
            .output()
            .expect("started")
    }

    /// Media type and payload of every entry, device by device.
    pub(crate) fn payloads(&self) -> Vec<Vec<(String, serde_json::Value)>> {
        let store = Store::open(&self.state(), Arc::new(SystemClock)).expect("opened");
        let devices = store.devices().expect("read");
        let payload = |id, sequence| {
            let envelope = store.envelope(id, sequence).expect("read").expect("there");
            let Ok(Envelope::Plain { content, .. }) = Envelope::parse(&envelope) else {
                panic!("a plain envelope");
            };
            let json = serde_json::from_slice(content.payload()).expect("JSON");
            (content.media_type().to_owned(), json)
        };
        devices
            .iter()
            .map(|device| {
                (1..=device.length)
                    .map(|at| payload(device.id, at))
                    .collect()
            })
            .collect()
    }

    pub(crate) fn program(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-device"));
        command
            .arg(subcommand)
            .arg("--state")
            .arg(self.state())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// All files but the nights, byte for byte.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(self.0.path()).expect("listed");
        let paths = files.map(|file| file.expect("listed").path());
        paths
            .filter(|path| path.extension().is_none_or(|end| end != "csv"))
            .map(|path| (path.clone(), fs::read(path).expect("read")))
            .collect()
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program ended with this status and named this error.
pub(crate) fn assert_failed(output: &Output, status: i32, code: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{code}: {said}");
    assert!(said.contains(&format!("error[{code}]: ")), "{code}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

/// The last line of what the program printed.
pub(crate) fn last_line(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout.lines().last().unwrap_or_default().to_owned()
}
