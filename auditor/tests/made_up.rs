// SPDX-License-Identifier: Apache-2.0

//! Evidence from an export that shows much more than the chain registered.

mod support;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use hashchain::StudyId;
use mhealth_auditor::evidence::{verify, Evidence};
use mhealth_testing::audit::watch;
use mhealth_testing::export::lines;
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;

use support::Trial;

/// Most MiB of memory that `prove` has, whatever an export shows.
const MOST_MEMORY: u64 = 200;
/// What does not end by then does not end.
const PATIENCE: Duration = Duration::from_secs(120);
/// Runs that were made up, and bytes of each of their envelopes: 300 MB in all.
const RUNS: u64 = 1_000;
const ENVELOPE: usize = 150_000;

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_that_nobody_registered_take_no_memory() {
    let mut trial = Trial::begin(Launch::consensus()).await;
    let mut phone = trial.enrol(StudyId(0), 41, None).await;
    let parcel = record(&mut phone, 2, "a night");
    trial.bring(StudyId(0), &parcel).await;

    let export = trial.directory.path().join("made-up.ndjson");
    let mut file = BufWriter::new(File::create(&export).unwrap());
    file.write_all(lines(&trial.lines).as_bytes()).unwrap();
    for number in 1..=RUNS {
        let mut run = trial.lines[0].clone();
        run.cursor += number;
        for (entry, place) in run.entries.iter_mut().zip(0_u64..) {
            let mut envelope = vec![0; ENVELOPE];
            envelope[..8].copy_from_slice(&number.to_le_bytes());
            envelope[8..16].copy_from_slice(&place.to_le_bytes());
            entry.envelope.0 = envelope;
        }
        serde_json::to_writer(&mut file, &run).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
    drop(file);

    let out = trial.directory.path().join("study.evidence");
    let deadline = Instant::now() + PATIENCE;
    loop {
        // It is its owner's alone, whatever the shell says.
        let mut prove = Command::new("sh");
        prove
            .args(["-c", r#"umask 000; exec "$0" "$@""#])
            .arg(env!("CARGO_BIN_EXE_mhealth-auditor"))
            .args(["prove", "--study", "0", "--node", &trial.node.url()])
            .args(["--genesis", &trial.genesis()])
            .arg(format!("--export=dave={}", export.display()))
            .arg("--out")
            .arg(&out);
        let ended = watch(prove, PATIENCE).unwrap();
        let (peak, said) = (ended.memory, ended.said);
        assert!(peak > 0 && peak < MOST_MEMORY, "{peak} MiB: {said}");
        // Finality is what is waited for; the node has no call that waits for a proof of it.
        if said.contains(" entries=2 ") {
            assert_eq!(ended.status, Some(0), "{said}");
            break;
        }
        assert!(Instant::now() < deadline, "{said}");
    }
    let mode = std::fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let evidence = Evidence::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    let claims = verify(&evidence, trial.chain.genesis_hash().0, &[]).unwrap();
    assert_eq!(claims.study, Some(StudyId(0)));
    assert!(claims.devices.iter().all(|device| device.envelopes));
}
