// SPDX-License-Identifier: Apache-2.0

//! Audits of a real chain, as a monitor makes them: with the program, from a node and relays' exports.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{data_digest, DeviceId, Native, StudyId};
use mhealth_api::{ErasureOrder, Hash, Key, SignatureBytes};
use mhealth_auditor::audit::Erasure;
use mhealth_chain_client::calls;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;
use serde_json::Value;

use support::Trial;

trait Audited {
    fn audit(&self, study: u32, export: &Path) -> Audit;
    fn audit_with(&self, study: u32, export: &Path, more: &[&str]) -> Audit;
}

impl Audited for Trial {
    fn audit(&self, study: u32, export: &Path) -> Audit {
        let (key, genesis) = (self.auditor_key_file(), self.genesis());
        let key = key.to_str().unwrap();
        self.audit_with(
            study,
            export,
            &["--genesis", &genesis, "--auditor-key", key],
        )
    }

    fn audit_with(&self, study: u32, export: &Path, more: &[&str]) -> Audit {
        let (json, html) = (
            self.directory.path().join("a.json"),
            self.directory.path().join("a.html"),
        );
        let names_a_node = more.iter().any(|option| option.starts_with("--node="));
        let node = (!names_a_node).then(|| format!("--node={}", self.node.url()));
        let output = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"))
            .args(["audit", "--study", &study.to_string()])
            .args(node)
            .arg(format!("--export=dave={}", export.display()))
            .arg(self.other_export())
            // Blocks are made on demand here, and there is no finality that could be proved.
            .args((!more.contains(&"--auditor")).then_some("--auditor=a monitor"))
            .args(["--trust-node", "--json"])
            .arg(&json)
            .arg("--html")
            .arg(&html)
            .args(more)
            .env_remove("MHEALTH_AUDITOR_KEY")
            .output()
            .unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let html = read(&html);
        Audit {
            json: serde_json::from_str(&read(&json)).unwrap_or(Value::Null),
            html,
            output,
        }
    }
}

#[derive(Debug)]
struct Audit {
    output: Output,
    json: Value,
    html: String,
}

impl Audit {
    fn status(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.output.stdout);
        text.lines().last().unwrap_or_default().to_string()
    }

    fn expect(&self, status: i32, words: &[&str]) {
        let line = self.last_line();
        let errors = String::from_utf8_lossy(&self.output.stderr);
        assert_eq!(self.status(), status, "{line}\n{errors}\n{}", self.json);
        for word in words {
            assert!(
                line.split(' ').any(|pair| pair == *word),
                "{word} in {line}\n{}",
                self.json
            );
        }
    }
}

#[tokio::test]
async fn an_honest_study_is_right_and_every_lack_and_every_change_has_its_own_exit_status() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phones = vec![
        trial.enrol(StudyId(0), 1, None).await,
        trial.enrol(StudyId(0), 2, None).await,
    ];
    for night in 0..3 {
        for phone in &mut phones {
            let parcel = record(phone, 2, &format!("night {night}"));
            trial.bring(StudyId(0), &parcel).await;
        }
    }
    let export = trial.export().await;
    let audit = trial.audit(0, &export);
    audit.expect(
        0,
        &[
            "audit=right",
            "devices=2",
            "entries=12",
            "valid=12",
            "findings=0",
        ],
    );
    assert_eq!(audit.json["schema"], "mhealth-audit/1");
    assert_eq!(audit.json["devices"][1]["entries"][5]["verdict"], "valid");
    assert_eq!(audit.json["summary"]["verdicts"]["valid"], 12);
    assert!(audit.html.contains("Everything was checked, and is right."));
    for elsewhere in ["<script", "http://", "https://", "url("] {
        assert!(!audit.html.contains(elsewhere), "{elsewhere}");
    }

    // Without the key, with another one, on another chain, of another study, without a node.
    trial
        .audit_with(0, &export, &[])
        .expect(2, &["audit=not_covered", "not_covered=12"]);
    let other = trial.file("other.key", "ab".repeat(32));
    let other = ["--auditor-key", other.to_str().unwrap()];
    trial
        .audit_with(0, &export, &other)
        .expect(3, &["error=wrong_auditor_key"]);
    let garbage = trial.file("garbage.key", "not a key");
    let garbage = ["--auditor-key", garbage.to_str().unwrap()];
    trial
        .audit_with(0, &export, &garbage)
        .expect(3, &["error=bad_input"]);
    let seen = trial.file("seen.key", "ab".repeat(32));
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&seen, everybody).unwrap();
    let seen = ["--auditor-key", seen.to_str().unwrap()];
    trial
        .audit_with(0, &export, &seen)
        .expect(3, &["error=file_readable_by_others"]);
    trial
        .audit_with(0, &export, &["--relay=far=http://relay.example"])
        .expect(3, &["error=relay_without_tls"]);
    trial
        .audit_with(0, &export, &["--node=ws://node.example:9944"])
        .expect(3, &["error=chain_unreadable"]);
    let genesis = format!("0x{}", "11".repeat(32));
    trial
        .audit_with(0, &export, &["--genesis", &genesis])
        .expect(3, &["error=chain_unreadable"]);
    trial.audit(9, &export).expect(3, &["error=no_such_study"]);
    assert_eq!(trial.audit_with(0, &export, &["--nonsense"]).status(), 3);

    // An audit that was cut short goes on from what it kept, and from nobody else's.
    let kept = trial.directory.path().join("kept");
    let key = trial.auditor_key_file();
    let more = [
        "--keep",
        kept.to_str().unwrap(),
        "--auditor-key",
        key.to_str().unwrap(),
    ];
    for _ in 0..2 {
        trial.audit_with(0, &export, &more).expect(0, &["valid=12"]);
    }
    let night = record(&mut phones[0], 1, "a later night");
    trial.bring(StudyId(0), &night).await;
    trial
        .audit_with(0, &trial.export().await, &more)
        .expect(0, &["valid=13"]);
    let foreign = trial.audit_with(1, &trial.export().await, &more);
    foreign.expect(3, &["error=foreign_file"]);
    let line = trial.lines.pop().unwrap();
    let without = trial.export().await;
    trial
        .audit(0, &without)
        .expect(1, &["missing=1", "valid=12"]);
    trial.lines.push(line);
    let export = trial.export().await;

    // Half an export, nonsense in it, a foreign device in it, one altered byte.
    let whole = std::fs::read(&export).unwrap();
    let half = trial.file("half", &whole[..whole.len() - 10]);
    trial.audit(0, &half).expect(2, &["audit=not_covered"]);
    let nonsense = trial.file("nonsense", [&whole[..], b"<html>500</html>\n"].concat());
    trial.audit(0, &nonsense).expect(2, &["valid=13"]);
    let last = trial.lines.len() - 1;
    trial.lines[last].status.device = DeviceId(77);
    trial
        .audit(0, &trial.export().await)
        .expect(2, &["audit=not_covered"]);
    trial.lines[last].status.device = phones[0].device();
    trial.lines[2].entries[1].envelope.0[40] ^= 1;
    let audit = trial.audit(0, &trial.export().await);
    audit.expect(1, &["audit=wrong", "altered=1", "valid=12"]);
    assert_eq!(
        audit.json["devices"][0]["findings"][0]["ground"],
        "envelope_differs"
    );
    trial.lines[2].entries[1].envelope.0[40] ^= 1;

    // A relay that lost a run.
    let lost = trial.lines.remove(0);
    trial
        .audit(0, &trial.export().await)
        .expect(1, &["missing=2", "valid=11"]);
    trial.lines.insert(0, lost);
}

/// What the study has on file of an erasure, with the holder's signed order.
fn erasure(trial: &Trial, device: DeviceId) -> Erasure {
    let holder = SigningKey::from_bytes(&[7; 32]);
    let record = "request 7".to_owned();
    let mut order = ErasureOrder {
        chain: Hash(trial.chain.genesis_hash().0),
        study: StudyId(0),
        participant: Hash([1; 32]),
        devices: vec![device],
        erased_at: 1_790_000_000,
        record: ErasureOrder::record_of(&record),
        holder: Key(holder.verifying_key().to_bytes()),
        signature: SignatureBytes([0; 64]),
    };
    order.signature = SignatureBytes(holder.sign(&order.statement()).to_bytes());
    Erasure {
        device,
        erased_at: "2026-09-21T14:13:20Z".into(),
        record,
        order: Some(order),
    }
}

#[tokio::test]
async fn only_a_receipt_on_the_chain_makes_entries_erased() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phones = vec![
        trial.enrol(StudyId(0), 1, None).await,
        trial.enrol(StudyId(0), 2, None).await,
    ];
    for phone in &mut phones {
        let parcel = record(phone, 3, "a night");
        trial.bring(StudyId(0), &parcel).await;
    }
    let whole = trial.lines.clone();
    for entry in &mut trial.lines[0].entries {
        entry.envelope.0.clear();
    }
    let device = phones[0].device();
    let on_file = erasure(&trial, device);
    let receipt = on_file.order.as_ref().unwrap().receipt();
    let file = trial.file("erasures", serde_json::to_string(&on_file).unwrap() + "\n");
    let key = trial.auditor_key_file();
    let genesis = trial.genesis();
    let file = file.display().to_string();
    let key = key.display().to_string();
    let bare = ["--genesis", &genesis, "--auditor-key", &key];
    let with_file = [&bare[..], &["--erasures", &file]].concat();
    let export = trial.export().await;

    // A relay that shows runs without data, of which nobody knows anything, lost them.
    let audit = trial.audit_with(0, &export, &bare);
    audit.expect(1, &["missing=3", "erased=0", "valid=3"]);
    let finding = &audit.json["devices"][0]["findings"][0];
    assert_eq!(finding["ground"], "emptied_without_receipt");
    assert_eq!(finding["parties"][0]["party"], "relay");
    // What the study has on file accuses nobody, and excuses nobody.
    let audit = trial.audit_with(0, &export, &with_file);
    audit.expect(2, &["not_covered=3", "erased=0", "valid=3"]);
    assert!(audit.html.contains("Not erased: "));

    // The sponsor writes the receipt.
    let suspend = calls::suspend(device, mhealth_chain_client::SuspensionReason::Withdrawn);
    for call in [suspend, calls::erase(device, receipt.0)] {
        let done = trial.sponsor.submit_and_wait(call).await.unwrap();
        done.succeeded().unwrap();
    }
    let export = trial.export().await;
    let audit = trial.audit_with(0, &export, &with_file);
    audit.expect(0, &["erased=3", "valid=3", "findings=0"]);
    assert!(audit.html.contains("request 7"), "{}", audit.html);
    let said = &audit.json["devices"][0]["erasure"];
    assert_eq!(said["receipt"]["receipt"], receipt.to_string());
    assert_eq!(said["record"]["record"], "request 7");
    // Without the file, or with another text in it, the receipt stands, and nothing says why.
    let other = Erasure {
        record: "request 8".into(),
        ..on_file
    };
    let other = trial.file("others", serde_json::to_string(&other).unwrap());
    let other = other.display().to_string();
    for more in [bare.to_vec(), [&bare[..], &["--erasures", &other]].concat()] {
        let audit = trial.audit_with(0, &export, &more);
        audit.expect(0, &["erased=3", "valid=3"]);
        assert!(audit.json["devices"][0]["erasure"]["record"].is_null());
    }

    // A relay that holds the data after all, and one that shows nothing of the run.
    let emptied = std::mem::replace(&mut trial.lines, whole);
    let holding = trial.export().await;
    // Without the order nobody can tell whether the relay was told to erase anything.
    let audit = trial.audit_with(0, &holding, &bare);
    audit.expect(1, &["erased=3", "valid=3", "findings=1"]);
    let finding = &audit.json["devices"][0]["findings"][0];
    assert_eq!(finding["ground"], "receipt_without_order");
    let bob = mhealth_chain_client::Account::from_secret_uri("//Bob").unwrap();
    let sponsor = Key(bob.public_key()).to_string();
    assert_eq!(finding["parties"][0]["party"], "relay");
    assert_eq!(finding["parties"][1]["account"], sponsor);
    let audit = trial.audit_with(0, &holding, &with_file);
    audit.expect(1, &["erased=3", "valid=3", "findings=1"]);
    let finding = &audit.json["devices"][0]["findings"][0];
    assert_eq!(finding["ground"], "held_after_erasure");
    assert_eq!(finding["sequences"], serde_json::json!([[1, 3]]));
    let dave = mhealth_chain_client::Account::from_secret_uri("//Dave").unwrap();
    let account = Key(dave.public_key()).to_string();
    assert_eq!(finding["parties"][0]["account"], account);
    trial.lines = emptied;
    trial.lines.remove(0);
    let audit = trial.audit_with(0, &trial.export().await, &with_file);
    audit.expect(1, &["erased=0", "missing=3", "valid=3"]);
}

#[tokio::test]
async fn what_is_older_than_the_studys_rule_may_be_gone() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(StudyId(0), 1, None).await;
    let parcel = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &parcel).await;
    for entry in &mut trial.lines[0].entries {
        entry.envelope.0.clear();
    }
    let export = trial.export().await;
    let key = trial.auditor_key_file().display().to_string();
    let genesis = trial.genesis();
    // The entries are of today.
    let audit = |days: &str| {
        let more = [
            "--genesis",
            &genesis,
            "--auditor-key",
            &key,
            "--retention-days",
            days,
        ];
        trial.audit_with(0, &export, &more)
    };
    audit("1").expect(1, &["missing=2", "erased=0"]);
    audit("0").expect(0, &["missing=0", "erased=2"]);
}

#[tokio::test]
async fn a_thief_with_key_and_secret_is_found_the_device_replaced_and_both_chains_audited() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(StudyId(0), 3, None).await;
    let parcel = record(&mut phone, 3, "a night");
    trial.bring(StudyId(0), &parcel).await;
    let mut thief = phone.copy();
    let stolen = record(&mut thief, 1, "the thief's");
    trial.bring(StudyId(0), &stolen).await;
    let genuine = record(&mut phone, 1, "the phone's");
    trial.bring(StudyId(0), &genuine).await;
    let audit = trial.audit(0, &trial.export().await);
    audit.expect(1, &["valid=3", "disputed=2", "conflicts=1"]);
    let device = &audit.json["devices"][0];
    assert_eq!(device["trusted_to"], 3);
    assert_eq!(device["findings"][0]["ground"], "two_histories_by_secret");
    assert_eq!(device["conflicts"][0]["rival_by"], "secret");

    // The study retires the device at the entry that the audit names, and enrols another in its place.
    let entries = trial.chain.entries(phone.device(), 3, 1).await.unwrap();
    let last = mhealth_chain_client::LastTrusted::Entry(entries[0].index);
    trial
        .sponsor
        .submit_and_wait(calls::retire(phone.device(), last))
        .await
        .unwrap();
    let mut replacement = trial.enrol(StudyId(0), 4, Some(phone.device())).await;
    let parcel = record(&mut replacement, 2, "a night");
    trial.bring(StudyId(0), &parcel).await;
    let audit = trial.audit(0, &trial.export().await);
    audit.expect(1, &["valid=5", "disputed=2"]);
    assert_eq!(audit.json["devices"][1]["outcome"], "right");
    assert_eq!(audit.json["devices"][1]["predecessor"], phone.device().0);
    assert!(audit.html.contains("enrolled anew"));
}

#[tokio::test]
async fn in_a_study_without_signatures_what_a_relay_altered_on_the_way_is_found() {
    let mut trial = Trial::begin(Launch::instant()).await;
    if trial.chain.study(StudyId(1)).await.unwrap().is_none() {
        panic!("the node under test has no study 1; build it anew");
    }
    let mut phone = trial.enrol(StudyId(1), 5, None).await;
    let parcel = record(&mut phone, 2, "a night");
    trial.bring(StudyId(1), &parcel).await;
    let mut altered = record(&mut phone, 1, "a bad night");
    let entry = &mut altered.entries[0];
    entry.envelope.0 = [&[1u8; 33][..], b"slept well", &[9; 32]].concat();
    entry.digest = data_digest::<Native>(&entry.envelope.0);
    trial.bring(StudyId(1), &altered).await;
    let audit = trial.audit(1, &trial.export().await);
    audit.expect(1, &["valid=2", "forged=1"]);
    let entry = &audit.json["devices"][0]["entries"][2];
    assert_eq!(entry["verdict"], "forged");
    assert_eq!(entry["parties"][0]["party"], "relay");
}

#[tokio::test]
async fn reports_are_signed_with_the_auditors_own_key_and_name_it() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut phone = trial.enrol(StudyId(0), 6, None).await;
    let parcel = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &parcel).await;
    let export = trial.export().await;
    let key = trial.directory.path().join("report.key");
    let auditor = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"));
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    let key = key.to_str().unwrap();
    let (made, said) = auditor(&["key", "new", key]);
    assert_eq!(made, Some(0), "{said}");
    let public = said.split([' ', '=']).nth(1).unwrap();
    let (genesis, opening) = (trial.genesis(), trial.auditor_key_file());
    let opening = opening.to_str().unwrap();
    let more = ["--genesis", &genesis, "--auditor-key", opening];
    let signing = [&more[..], &["--sign-with", key]].concat();
    let audit = trial.audit_with(0, &export, &signing);
    audit.expect(0, &["audit=right", "valid=2"]);
    assert_eq!(audit.json["audit"]["report_key"], public);
    assert!(audit.html.contains(public), "the page names its key");
    let verify = |name: &str| {
        let file = trial.directory.path().join(name);
        let file = file.to_str().unwrap().to_owned();
        auditor(&[
            "verify-report",
            &file,
            "--signed-by",
            public,
            "--genesis",
            &genesis,
            "--study",
            "0",
        ])
    };
    for name in ["a.json", "a.html"] {
        let (status, said) = verify(name);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("\"a monitor\""), "{said}");
        let file = trial.directory.path().join(name);
        let changed = std::fs::read_to_string(&file).unwrap().replace('1', "2");
        std::fs::write(&file, changed).unwrap();
        let (status, said) = verify(name);
        assert_eq!(status, Some(1));
        assert!(said.contains("error=report_changed"), "{said}");
    }
    // An audit that nobody signs leaves no signature of an earlier one behind.
    trial
        .audit_with(0, &export, &more)
        .expect(0, &["audit=right"]);
    assert_eq!(verify("a.json").0, Some(1));
    assert!(verify("a.json").1.contains("error=report_unsigned"));
    // The study's auditor key signs nothing, and a signer's name is one line: both are said before anything is read.
    let wrong = [&more[..], &["--sign-with", opening]].concat();
    trial
        .audit_with(0, &export, &wrong)
        .expect(3, &["error=not_a_report_key"]);
    for signer in ["a\nmonitor", "not named"] {
        let named = ["--auditor", signer, "--node=ws://node.example:9944"];
        let unfit = [&signing[..], &named].concat();
        let audit = trial.audit_with(0, &export, &unfit);
        audit.expect(3, &["error=bad_input"]);
    }
}
