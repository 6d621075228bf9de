// SPDX-License-Identifier: Apache-2.0

//! Runs the program in a folder of its own, with servers, and reads what it said.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
};

use mhealth_api::{ExportedRun, RunState};

use crate::support::{fakes::Fake, world::World};

/// A folder for state files, and servers.
pub(super) struct Site {
    folder: tempfile::TempDir,
    pub(super) world: World,
    pub(super) office: Fake,
    pub(super) relays: [Fake; 2],
}

/// The run of a line, as it would have gone to the chain.
fn sent(line: &ExportedRun) -> hashchain::Run {
    hashchain::Run {
        device: line.status.device,
        first_sequence: line.status.sequence,
        previous: line.previous,
        entries: line.entries.iter().map(hashchain::RunEntry::from).collect(),
        signature: line.signature.map(|signature| signature.0),
    }
}

/// What the program printed, and how it ended.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) status: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Site {
    pub(super) async fn open() -> Self {
        let world = World::with_codes(&["CODE-1", "CODE-2"]);
        let relays = [Fake::relay(&world).await, Fake::relay(&world).await];
        let office = Fake::office(&world).await;
        office.set().relays = relays.iter().map(|r| r.address.clone()).collect();
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            world,
            office,
            relays,
        }
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    pub(super) async fn run(&self, arguments: &[&str]) -> Report {
        self.run_with(arguments, &[], "").await
    }

    /// Runs the program with secrets in its environment and something on its standard input.
    pub(super) async fn run_with(
        &self,
        arguments: &[&str],
        secrets: &[(&str, &str)],
        input: &str,
    ) -> Report {
        let stdin = self.folder.path().join("input");
        std::fs::write(&stdin, input).expect("written");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mhealth-device"));
        command
            .args(arguments)
            .arg("--state")
            .arg(self.state())
            .env_remove("MHEALTH_ADMIN")
            .env_remove("MHEALTH_CODE")
            .env_remove("RUST_LOG")
            .envs(secrets.iter().copied())
            .stdin(Stdio::from(std::fs::File::open(&stdin).expect("opened")))
            .kill_on_drop(true);
        Report::of(command.output().await.expect("it starts"))
    }

    /// What a stopped phone still holds goes to the auditor, whole, and stays on the phone.
    pub(super) async fn take_out_what_is_left(&self, entries: usize) {
        let file = self.folder.path().join("phone.ndjson");
        let out = format!("--out={}", file.display());
        let export = ["export-queue", &out];
        let taken = self.run(&export).await.succeeded();
        let told = format!("{entries} entries were taken out");
        assert!(taken.stdout.contains(&told), "{taken:?}");
        let status = self.run(&["status"]).await.succeeded();
        let told = format!("{entries} entries of stopped devices are not registered");
        assert!(status.stdout.contains(&told), "{status:?}");
        let left = entries.to_string();
        assert_eq!(taken.values()["entries"], left);
        assert_eq!(taken.values()["left_out"], "0");
        let text = std::fs::read_to_string(&file).expect("written");
        let runs: Vec<ExportedRun> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of an export"))
            .collect();
        let mut verifier = None;
        let mut taken = 0;
        for run in &runs {
            let links: Vec<_> = sent(run).links().collect();
            assert!(verifier.is_none_or(|head| head == run.previous));
            assert_eq!(run.status.head, sent(run).last_link());
            assert_eq!(run.status.state, RunState::Pending);
            verifier = Some(run.status.head);
            taken += links.len();
            let key = self.world.state().devices[0].key;
            let message = hashchain::head_message(&run.status.head);
            let signature = run.signature.expect("the device signs");
            assert!(hashchain::is_strictly_signed(
                &key.0,
                &message,
                &signature.0
            ));
            for entry in &run.entries {
                let digest = hashchain::data_digest::<hashchain::Native>(&entry.envelope.0);
                assert_eq!(digest, entry.digest);
            }
        }
        assert_eq!(taken, entries);
        // A file that is there is not written over.
        self.run(&export).await.failed(2, "unwritable_output");
    }

    pub(super) fn auth(&self) -> String {
        format!("--auth={}", self.office.address)
    }

    pub(super) fn relay(&self, number: usize) -> String {
        format!("--relay={}", self.relays[number].address)
    }
}

impl Report {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The pairs of the last line.
    pub(super) fn values(&self) -> BTreeMap<&str, &str> {
        let last = self
            .stdout
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default();
        last.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect()
    }

    pub(super) fn succeeded(self) -> Self {
        assert_eq!(self.status, Some(0), "{self:?}");
        self
    }

    pub(super) fn failed(self, status: i32, code: &str) -> Self {
        let named = self.stderr.contains(&format!("error[{code}]"));
        assert!(
            self.status == Some(status) && named,
            "expected {status} and {code}: {self:?}"
        );
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }

    /// It ended with this status, whatever it said.
    pub(super) fn failed_quietly(self, status: i32) {
        assert_eq!(self.status, Some(status), "{self:?}");
    }
}
