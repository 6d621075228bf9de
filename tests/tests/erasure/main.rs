// SPDX-License-Identifier: Apache-2.0

//! A participant who wants out: from the destroyed key to the last relay's files and the receipt on the chain.

mod plain;
mod site;

use hashchain::DeviceId;
use mhealth_api::{DeviceStatus, ErasureOrder, ExportedRun, Key};
use mhealth_chain_client::{create_private, Account};
use mhealth_testing::audit;
use mhealth_testing::member::Member;
use mhealth_testing::process::Program;
use mhealth_testing::servers;

use site::{data_command, last_line, succeeds, text, Site};

/// Bytes of an envelope by which it is looked for.
const PIECE: usize = 24;

/// How many pieces of these envelopes there are somewhere in it.
fn pieces(envelopes: &[Vec<u8>], files: &[u8]) -> usize {
    let pieces = envelopes
        .iter()
        .flat_map(|envelope| envelope[33..].chunks_exact(PIECE));
    let wanted: std::collections::HashSet<&[u8]> = pieces.collect();
    files
        .windows(PIECE)
        .filter(|window| wanted.contains(window))
        .count()
}

fn envelopes(runs: &[ExportedRun], of: impl Fn(DeviceId) -> bool) -> Vec<Vec<u8>> {
    let runs = runs.iter().filter(|run| of(run.status.device));
    let entries = runs.flat_map(|run| &run.entries);
    entries.map(|entry| entry.envelope.0.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_participant_is_in_no_relays_files_and_the_evidence_stays() {
    let mut site = Site::start().await;
    let (participant, view) = site.participant().await;
    let device = view.device;
    let auditors =
        [&site.dave, &site.eve].map(|(launch, _)| launch.add_auditor("eva").expect("added"));
    let add = ["eraser", "add", "max", "--study", "0"];
    let erasers = [&site.dave, &site.eve].map(|(launch, _)| launch.run(&add).expect("added"));
    let before = site.shown(&site.dave.1, &auditors[0]);
    let (own, others) = (
        envelopes(&before, |of| of == device),
        envelopes(&before, |of| of != device),
    );
    assert!(
        own.len() >= 4 && others.len() >= 8,
        "{} {}",
        own.len(),
        others.len()
    );
    for relay in ["dave", "eve"] {
        let files = site.files(relay);
        assert!(pieces(&own, &files) > own.len(), "{relay}");
    }
    let old_copy = site.folder.path().join("old-copy.db").display().to_string();
    site.dave
        .0
        .run(&["backup", &old_copy])
        .expect("it is copied");
    let right = site.audit(&auditors).await;
    assert!(right.alarms().is_empty(), "{:?}", right.alarms());

    // Bad input: nothing is destroyed where nothing could be signed, said or sent.
    let number = device.to_string();
    let named = ["--device", &number];
    let refused = site.erase(&participant, &named, &erasers);
    assert!(
        text(&refused).contains("error[bad_input]"),
        "{}",
        text(&refused)
    );
    // The chain says which devices there are.
    let record = ["--record", "request 7"];
    let unknown = site.erase("nobody", &record, &erasers);
    assert!(
        text(&unknown).contains("error[no_such_participant]"),
        "{}",
        text(&unknown)
    );
    let mut plain = data_command(&["erase", &participant, "--record=x"], &site.keys());
    plain
        .args(["--relay=far=http://relay.example", "--device", &number])
        .env("MHEALTH_RELAY_CREDENTIAL", "x");
    let plain = plain.output().expect("it starts");
    assert!(
        text(&plain).contains("error[relay_without_tls]"),
        "{}",
        text(&plain)
    );
    assert_eq!(site.participant().await.0, participant, "the key is there");

    // One relay is away: the rest is done, and the receipt waits.
    site.eve.1.stop().expect("it stops");
    let account = site.folder.path().join("sponsor.key");
    let mut file = create_private(&account).expect("a file");
    std::io::Write::write_all(&mut file, b"//Bob").expect("written");
    let account = account.display().to_string();
    let first = [&record[..], &["--account-file", &account]].concat();
    let begun = site.erase(&participant, &first, &erasers);
    assert_eq!(begun.status.code(), Some(2), "{}", text(&begun));
    for said in [
        "nothing is left there",
        "eve: open: it is away (relay_away)",
        "not written to the chain before",
        "done=false error=erasure_open",
    ] {
        assert!(text(&begun).contains(said), "{said} in {}", text(&begun));
    }
    assert_ne!(site.participant().await.0, participant, "the key is gone");
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    assert_eq!(chain.erasure(device).await.expect("read"), None);
    site.eve.1.start_again().expect("it starts again");
    site.eve.1.wait_until_ready().expect("it is ready");

    // The same command goes on; first without the sponsor's account.
    let asked = site.erase(&participant, &[], &erasers);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked));
    let ask = "mhealth study erase --order FILE";
    assert!(text(&asked).contains(ask), "{}", text(&asked));
    // Somebody who is not the sponsor writes nothing, and suspends nobody.
    let printed = String::from_utf8_lossy(&asked.stdout);
    let order = printed.lines().find(|line| line.starts_with('{'));
    let file = site.folder.path().join("order.json");
    std::fs::write(&file, order.expect("it is printed")).expect("written");
    let file = file.display().to_string();
    let server = Member::new(&site.node.url(), "//Charlie", site.folder.path());
    let refused = server
        .expect("written")
        .does(&["study", "erase", "--order", &file]);
    let refused = refused.expect("it answers");
    assert_eq!(refused, Err("only_the_sponsor".to_owned()));
    let charlie = site.folder.path().join("charlie.key");
    let mut file = create_private(&charlie).expect("a file");
    std::io::Write::write_all(&mut file, b"//Charlie").expect("written");
    let charlie = ["--account-file", charlie.to_str().expect("text")];
    let stranger = site.erase(&participant, &charlie, &erasers);
    assert_eq!(stranger.status.code(), Some(2), "{}", text(&stranger));
    assert!(
        text(&stranger).contains("(refused_by_chain)"),
        "{}",
        text(&stranger)
    );
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    let view = chain.device(device).await.expect("read");
    assert_eq!(view.expect("enrolled").status, DeviceStatus::Active);
    // Nor is anything written before all relays of the study were asked, which the chain has.
    let (credential, node) = (&erasers[0], site.node.url());
    let mut one = data_command(&["erase", &participant], &site.keys());
    one.arg(format!("--relay=dave={}", site.dave.1.url()))
        .args(["--node", &node, "--account-file", &account])
        .env("MHEALTH_RELAY_CREDENTIAL_DAVE", credential);
    let one = one.output().expect("it starts");
    assert_eq!(one.status.code(), Some(2), "{}", text(&one));
    assert!(text(&one).contains("(relays_not_named)"), "{}", text(&one));
    assert_eq!(chain.erasure(device).await.expect("read"), None);
    // What is done by now is not undone by a node that is away.
    let nowhere = ["--node", "ws://127.0.0.1:1"];
    let away = site.erase_by(&nowhere, &participant, &[], &erasers);
    assert_eq!(away.status.code(), Some(2), "{}", text(&away));
    for said in ["The receipt: open: ", "(chain_unreadable)"] {
        assert!(text(&away).contains(said), "{}", text(&away));
    }
    let done = site.erase(&participant, &["--account-file", &account], &erasers);
    let said = last_line(&succeeds(&done));
    let receipt = said.rsplit("receipt=").next().expect("it is said");
    assert!(said.starts_with("done=true"), "{said}");
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    let written = chain
        .erasure(device)
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(mhealth_api::Hash(written.receipt).to_string(), receipt);
    let bob = Account::from_secret_uri("//Bob").expect("well known");
    assert_eq!(written.submitter, bob.id());
    // And once more, when nothing is left to be done.
    assert_eq!(
        last_line(&succeeds(&site.erase(&participant, &[], &erasers))),
        {
            let (begin, end) = said.split_once("envelopes=").expect("it is said");
            let rest = end.split_once(' ').expect("more").1;
            format!("{begin}envelopes=0 {rest}")
        }
    );
    let orders = std::fs::read_to_string(site.keys().join("orders.ndjson")).expect("kept");
    let order: serde_json::Value = serde_json::from_str(orders.trim()).expect("one line");
    let order: ErasureOrder = serde_json::from_value(order["order"].clone()).expect("an order");
    assert_eq!(order.receipt().to_string(), receipt);

    // Nothing of it is in a file or a dump; what is others' is.
    for relay in ["dave", "eve"] {
        let files = site.files(relay);
        assert_eq!(pieces(&own, &files), 0, "{relay}");
        assert!(pieces(&others, &files) > others.len(), "{relay}");
    }
    // The audit says so, and everything else is as it was.
    let report = site.audit(&auditors).await;
    let verdicts = |report: &audit::Report, is: fn(DeviceId, DeviceId) -> bool| -> Vec<String> {
        let devices = report.devices.iter().filter(|of| is(of.device, device));
        let entries = devices.flat_map(|device| &device.entries);
        entries.map(|entry| entry.verdict.clone()).collect()
    };
    let erased = verdicts(&report, |one, device| one == device);
    assert_eq!(erased, vec!["erased"; own.len()]);
    let valid = verdicts(&report, |one, device| one != device);
    assert_eq!(valid, vec!["valid"; others.len()]);
    assert!(report
        .devices
        .iter()
        .all(|device| device.findings.is_empty()));
    // Evidence of the whole study can be made, with the envelopes of the others, and verified.
    let evidence = site.folder.path().join("evidence").display().to_string();
    let genesis = format!("{:?}", site.chain.genesis_hash());
    let saved = site.folder.path().join("eve.ndjson");
    std::fs::write(&saved, site.exported(&site.eve.1, &auditors[1])).expect("saved");
    let saved = format!("--export=eve={}", saved.display());
    for arguments in [
        vec![
            "prove",
            "--study",
            "0",
            "--out",
            &evidence,
            "--node",
            &site.node.url(),
            &saved,
        ],
        vec!["verify", &evidence, "--genesis", &genesis],
    ] {
        let mut auditor = Program::Auditor.command().expect("it is built");
        succeeds(&auditor.args(arguments).output().expect("it starts"));
    }

    // A new dataset has nothing of the participant, and all of the others.
    let dave = site.folder.path().join("dave.ndjson");
    std::fs::write(&dave, site.exported(&site.dave.1, &auditors[0])).expect("saved");
    let dave = format!("--export=dave={}", dave.display());
    let dataset = site.folder.path().join("dataset");
    let mut export = data_command(&["export", &dave, &saved], &site.keys());
    export
        .arg("--audit")
        .arg(site.folder.path().join("audit.json"))
        .args(["--evidence", &evidence, "--genesis", &genesis, "--out"])
        .arg(&dataset);
    let said = last_line(&succeeds(&export.output().expect("it starts")));
    let figures = format!(" rows={} current=", others.len());
    assert!(said.contains(&figures), "{said}");
    let left_out = format!(" left_out={} ", own.len());
    assert!(said.contains(&left_out), "{said}");
    let mut names = vec![dataset];
    while let Some(path) = names.pop() {
        if path.is_dir() {
            let files = std::fs::read_dir(&path).expect("it is there");
            names.extend(files.map(|file| file.expect("a file").path()));
            continue;
        }
        let bytes = std::fs::read(&path).expect("it is read");
        assert!(
            !bytes
                .windows(participant.len())
                .any(|window| window == participant.as_bytes()),
            "{}",
            path.display()
        );
    }

    // A relay that puts an old copy in place holds it again, and is named.
    site.dave.1.stop().expect("it stops");
    let restored = servers::sqlite_in(site.folder.path(), "restored.db");
    let launch = site.dave.0.clone().env("MHEALTH_DATABASE", &restored);
    launch.run(&["restore", &old_copy]).expect("restored");
    site.dave.1.start_again_as(launch).expect("it starts");
    site.dave.1.wait_until_ready().expect("it is ready");
    let report = site.audit(&auditors).await;
    let findings: Vec<_> = report.devices.iter().flat_map(|of| &of.findings).collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].ground, "held_after_erasure");
    let dave = Account::from_secret_uri("//Dave").expect("well known");
    let parties: Vec<_> = findings[0]
        .parties
        .iter()
        .map(|party| party.account)
        .collect();
    assert_eq!(parties, [Some(Key(dave.public_key()))]);
    // The order, given once more, sets it right.
    succeeds(&site.erase(&participant, &[], &erasers));
    let report = site.audit(&auditors).await;
    assert!(report
        .devices
        .iter()
        .all(|device| device.findings.is_empty()));

    // The next one, and a device that is another's: with the chain it is refused.
    let (second, view) = site.participant().await;
    let own = view.device.to_string();
    let mut numbers = (0..3).map(DeviceId);
    let others = numbers.find(|number| *number != device && *number != view.device);
    let others = others.expect("three phones").to_string();
    let named = [
        "--record",
        "request 8",
        "--device",
        &own,
        "--device",
        &others,
    ];
    let refused = site.erase(&second, &named, &erasers);
    let said = text(&refused);
    assert!(said.contains("error[device_of_another]"), "{said}");
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert_eq!(site.participant().await.0, second, "the key is there");
    // Without it, and in a folder that no export has told whose the devices are, the key is gone, and no relay takes the order, until
    // the device is withdrawn.
    std::fs::remove_file(site.keys().join("devices.ndjson")).expect("it is there");
    let stuck = site.erase_by(&[], &second, &named, &erasers);
    assert_eq!(stuck.status.code(), Some(2), "{}", text(&stuck));
    let wrong = ["--account-file", &account, "--wrong-device"];
    let stuck = site.erase(&second, &wrong[..2], &erasers);
    assert_eq!(stuck.status.code(), Some(2), "{}", text(&stuck));
    for said in [
        "it refused (other_participant)",
        "(device_of_another). Withdraw it",
    ] {
        assert!(text(&stuck).contains(said), "{said} in {}", text(&stuck));
    }
    let refused = site.erase(&second, &[&wrong[..], &[own.as_str()]].concat(), &erasers);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    let done = site.erase(
        &second,
        &[&wrong[..], &[others.as_str()]].concat(),
        &erasers,
    );
    let said = last_line(&succeeds(&done));
    assert!(said.contains(" devices=1 relays=2 "), "{said}");
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    let written = chain.erasure(view.device).await.expect("read");
    assert!(written.is_some());
}
