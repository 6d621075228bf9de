// SPDX-License-Identifier: Apache-2.0

//! The keys to which phones seal: their secrets to the auditor of their epoch, their data to the participant.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use hashchain::{OpeningKey, StudyId};
use mhealth_chain_client::calls;
use mhealth_testing::enrolment::SealedTo;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::{enrol_sealed_to, record};

use support::Trial;

const STUDY: StudyId = StudyId(0);

fn audit(trial: &Trial, export: &Path, more: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"))
        .args(["audit", "--node", &trial.node.url(), "--study", "0"])
        .arg(format!("--export=dave={}", export.display()))
        .arg(trial.other_export())
        // Blocks are made on demand here, and there is no finality that could be proved.
        .args(["--trust-node", "--genesis", &trial.genesis()])
        .arg("--json")
        .arg(trial.directory.path().join("keys.json"))
        .args(more)
        .env_remove("MHEALTH_AUDITOR_KEY")
        .output()
        .expect("the auditor starts");
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (status.code().expect("it ends by itself"), said)
}

/// What the report says, as text.
fn report(trial: &Trial) -> String {
    let file = trial.directory.path().join("keys.json");
    let report = std::fs::read_to_string(file).expect("it is written");
    report.replace(": ", ":")
}

fn digits(key: &[u8; 32]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn every_device_is_judged_with_the_auditor_key_of_its_epoch() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let mut first = trial.enrol(STUDY, 1, None).await;
    let later = OpeningKey::from_bytes(&[42; 32]);
    let public = later.sealing_key();
    let set = calls::set_auditor_key(STUDY, public.0);
    trial.sponsor.submit_and_wait(set).await.expect("it is set");
    let to = SealedTo {
        auditor: public,
        auditor_epoch: 1,
        participant: None,
    };
    let mut second = enrol_sealed_to(&to, &trial.office, STUDY, 2)
        .await
        .expect("it is enrolled");
    // The phone that was there goes on.
    for phone in [&mut first, &mut second] {
        let parcel = record(phone, 2, "a night");
        trial.bring(STUDY, &parcel).await;
    }
    // One that was told another key than the chain has of this epoch is not enrolled.
    let other = SealedTo {
        auditor: OpeningKey::from_bytes(&[43; 32]).sealing_key(),
        ..to
    };
    let refused = enrol_sealed_to(&other, &trial.office, STUDY, 3).await;
    let refused = format!("{:?}", refused.err().expect("it is refused"));
    assert!(refused.contains("KeyProofFails"), "{refused}");

    let export = trial.export().await;
    let (old, new) = (trial.auditor_key_file(), digits(later.expose()));
    let new = trial.file("later.key", new);
    let [old, new] = [&old, &new].map(|path| path.to_str().expect("its name is ASCII"));
    let both = audit(
        &trial,
        &export,
        &["--auditor-key", old, "--auditor-key", new],
    );
    assert_eq!(both.0, 0, "{}", both.1);
    assert!(both.1.contains("valid=4"), "{}", both.1);
    for (given, epoch, lacking) in [(new, 0, trial_key()), (old, 1, digits(&public.0))] {
        let (status, said) = audit(&trial, &export, &["--auditor-key", given]);
        assert_eq!(status, 2, "{said}");
        assert!(
            said.contains("valid=2") && said.contains("not_covered=2"),
            "{said}"
        );
        let report = report(&trial);
        assert!(report.contains("no_key_of_epoch"), "{report}");
        assert!(report.contains(&format!("\"epoch\":{epoch}")), "{report}");
        assert!(report.contains(&lacking), "{report}");
    }
}

/// The public half of the development auditor's key.
fn trial_key() -> String {
    digits(&SealedTo::development().auditor.0)
}

#[tokio::test]
async fn a_device_that_seals_to_another_key_than_the_holders_list_has_is_found() {
    let mut trial = Trial::begin(Launch::instant()).await;
    let key = |seed: u8| OpeningKey::from_bytes(&[seed; 32]).sealing_key().0;
    let (own, thiefs) = (key(7), key(8));
    for (seed, participant) in [(1, Some(own)), (2, Some(thiefs)), (3, None)] {
        let to = SealedTo {
            participant,
            ..SealedTo::development()
        };
        let mut phone = enrol_sealed_to(&to, &trial.office, STUDY, seed)
            .await
            .expect("it is enrolled");
        let parcel = record(&mut phone, 1, "a night");
        trial.bring(STUDY, &parcel).await;
    }
    let export = trial.export().await;
    let auditor = trial.auditor_key_file();
    let auditor = auditor.to_str().expect("its name is ASCII");
    let with = |list: &str| {
        let list = trial.file("participants", list);
        let list = list.to_str().expect("its name is ASCII");
        audit(
            &trial,
            &export,
            &["--auditor-key", auditor, "--participants", list],
        )
    };
    let (status, said) = with(&format!(
        "P-1 {}\nP-2 0x{}\n",
        digits(&own),
        digits(&key(9))
    ));
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("valid=3") && said.contains("findings=2"),
        "{said}"
    );
    let text = report(&trial);
    assert!(text.contains("another_participant_key"), "{text}");
    assert!(text.contains("authentication_server"), "{text}");
    // By number: each device has its own.
    let (status, said) = with(&format!("1 {}\n0 {}", digits(&own), digits(&thiefs)));
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("findings=3"), "{said}");
    // Without a list nobody looks, and nobody says so.
    let (status, said) = audit(&trial, &export, &["--auditor-key", auditor]);
    assert_eq!(status, 0, "{said}");
    for bad in ["P-1", "P-1 00", &format!("P-1 {}", "00".repeat(32))] {
        let (status, said) = with(bad);
        assert_eq!(status, 3, "{said}");
        assert!(
            said.contains("error=bad_input") && said.contains("line 1"),
            "{said}"
        );
    }
}
