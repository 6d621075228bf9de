// SPDX-License-Identifier: Apache-2.0

//! A cohort's files, and what the program says about them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hashchain::DeviceId;
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::Node;

/// Until then something that must happen has to have happened.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cohort's files.
pub(crate) struct Cohort {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    /// For chains that make their blocks without GRANDPA.
    pub(crate) trusts_words: bool,
}

/// What the program printed, and how it ended.
pub(crate) struct Report {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cohort {
    pub(crate) fn at(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Cohort {
            folder,
            url: url.to_string(),
            trusts_words: true,
        }
    }

    pub(crate) fn of(node: &Node) -> Self {
        Cohort::at(&node.url())
    }

    /// On a chain with GRANDPA: the cohort goes by proofs.
    pub(crate) fn proving(node: &Node) -> Self {
        Cohort {
            trusts_words: false,
            ..Cohort::of(node)
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn command(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let this = std::env::current_exe().expect("this program has a path");
        let beside = this
            .ancestors()
            .nth(2)
            .expect("target/release/deps")
            .join("mhealth-device");
        let program = std::env::var_os("MHEALTH_DEVICE_BIN").map_or(beside, PathBuf::from);
        assert!(
            program.is_file(),
            "run cargo build --release --workspace first"
        );
        let mut command = Command::new(program);
        command
            .arg(subcommand)
            .arg("--state")
            .arg(self.state())
            .args(arguments)
            .env_remove("RUST_LOG")
            .env_remove("MHEALTH_ENROL_WITH")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if matches!(subcommand, "status" | "export-queue") {
            return command;
        }
        command.args(["--node", &self.url]);
        if self.trusts_words {
            command.arg("--trust-relays");
        }
        command
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command("simulate", arguments)
            .spawn()
            .expect("it starts")
    }

    pub(crate) fn run(&self, subcommand: &str, arguments: &[&str]) -> Report {
        Report::of(
            self.command(subcommand, arguments)
                .output()
                .expect("it starts"),
        )
    }

    pub(crate) fn simulate(&self, arguments: &[&str]) -> Report {
        self.run("simulate", arguments)
    }

    /// Device number on chain, length and head of each device, as `status` prints them.
    pub(crate) fn heads(&self) -> Vec<(DeviceId, u64, String)> {
        let status = self.run("status", &[]);
        assert_eq!(status.status, Some(0), "{}", status.stderr);
        let lines = status.stdout.lines().filter(|line| line.contains("head="));
        lines
            .map(|line| {
                let values = values(line);
                let number = values["device"].parse().expect("it is enrolled");
                (
                    number,
                    values["sequence"].parse().expect("a number"),
                    values["head"].clone(),
                )
            })
            .collect()
    }
}

impl Report {
    pub(crate) fn of(output: Output) -> Self {
        Report {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub(crate) fn last_line(&self) -> &str {
        self.stdout
            .trim_end()
            .lines()
            .next_back()
            .unwrap_or_default()
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        let values = values(self.last_line());
        values
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{self}"))
    }

    /// It ended with this status and named this error.
    pub(crate) fn assert_failed(&self, status: i32, code: &str) {
        let named = self.stderr.contains(&format!("error[{code}]"));
        assert!(
            self.status == Some(status) && named,
            "expected {status} and {code}: {self}"
        );
        assert!(!self.stderr.contains("panicked"), "{self}");
    }

    pub(crate) fn assert_complete(&self) {
        assert_eq!(self.status, Some(0), "{self}");
        assert_eq!(self.number("finalised"), self.number("entries"), "{self}");
        assert_eq!(self.number("refused"), 0, "{self}");
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "status {:?}\n{}\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

fn values(line: &str) -> BTreeMap<&str, String> {
    let pairs = line
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key, value.to_string())).collect()
}

/// The chain has exactly the entries that the devices sealed, no more and no fewer.
pub(crate) async fn assert_equal(cohort: &Cohort, chain: &ChainClient) {
    let mut entries = 0;
    for (number, length, head) in cohort.heads() {
        let on_chain = chain
            .head(number)
            .await
            .expect("read")
            .expect("it is enrolled");
        assert_eq!((on_chain.length, on_chain.hash.to_string()), (length, head));
        entries += length;
    }
    assert_eq!(chain.journal_length().await.expect("read"), entries);
    let check = cohort.run("check", &[]);
    assert_eq!(check.status, Some(0), "{check}");
    assert_eq!(check.number("level"), check.number("devices"));
}

/// Waits until the chain has registered this many entries.
pub(crate) async fn entries_on_chain(chain: &ChainClient, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    while chain.journal_length().await.expect("the node answers") < wanted {
        assert!(
            Instant::now() < deadline,
            "the chain never had {wanted} entries"
        );
        tokio::task::yield_now().await;
    }
}
