// SPDX-License-Identifier: Apache-2.0

//! Audits of a trial with two relays, as a monitor makes them with the program, and what their reports say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hashchain::StudyId;
use mhealth_api::{ExportedRun, Key};
use mhealth_chain_client::Account;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::{record, Phone};
use serde_json::{json, Value};

use super::Trial;

/// The study.
pub(crate) const STUDY: StudyId = StudyId(0);

/// The public key of a development account.
pub(crate) fn account(name: &str) -> Key {
    Key(Account::from_secret_uri(name).unwrap().public_key())
}

/// A command that audits the study, with the auditor's key.
pub(crate) fn command(trial: &Trial, more: &[String]) -> (Command, PathBuf) {
    let json = trial.directory.path().join("a.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"));
    command
        .args(["audit", "--study=0", "--node", &trial.node.url()])
        .args(["--genesis", &trial.genesis()])
        // Blocks are made on demand here, and there is no finality that could be proved.
        .args(["--trust-node", "--html=/dev/null", "--json"])
        .arg(&json)
        .arg("--auditor-key")
        .arg(trial.auditor_key_file())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    (command, json)
}

/// The exit status, the last line, and the report.
pub(crate) fn audit(trial: &Trial, more: &[String]) -> (Option<i32>, String, Value) {
    let (mut command, json) = command(trial, more);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default().to_string();
    let report = std::fs::read(json).unwrap_or_default();
    let report = serde_json::from_slice(&report).unwrap_or(Value::Null);
    (output.status.code(), last, report)
}

/// The option that gives an audit a saved export.
pub(crate) fn export(name: &str, file: &Path) -> String {
    format!("--export={name}={}", file.display())
}

/// Ground and parties of everything that was found about the first device.
pub(crate) fn found(report: &Value) -> Vec<(String, Value)> {
    let findings = report["devices"][0]["findings"].as_array().unwrap();
    let found = findings.iter().map(|finding| {
        let ground = finding["ground"].as_str().unwrap().to_string();
        (ground, finding["parties"].clone())
    });
    found.collect()
}

/// The parties of a finding that names a relay alone.
pub(crate) fn relay(name: &str) -> Value {
    json!([{ "party": "relay", "account": account(name) }])
}

/// Two runs of a phone through Dave and one through Eve, and what each of them holds.
pub(crate) async fn trial() -> (Trial, Vec<ExportedRun>, Vec<ExportedRun>) {
    let (trial, _, of_dave, of_eve) = trial_of_a_phone().await;
    (trial, of_dave, of_eve)
}

/// The same, and the phone.
pub(crate) async fn trial_of_a_phone() -> (Trial, Phone, Vec<ExportedRun>, Vec<ExportedRun>) {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(STUDY, 31, None).await;
    for night in ["one", "two"] {
        let parcel = record(&mut phone, 2, night);
        trial.bring(STUDY, &parcel).await;
    }
    let of_dave = std::mem::take(&mut trial.lines);
    let eve = Account::from_secret_uri("//Eve").unwrap();
    trial.relay = trial.chain.submitter(eve);
    let parcel = record(&mut phone, 1, "three");
    trial.bring(STUDY, &parcel).await;
    let of_eve = std::mem::take(&mut trial.lines);
    (trial, phone, of_dave, of_eve)
}
