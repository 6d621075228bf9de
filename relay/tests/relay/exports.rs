// SPDX-License-Identifier: Apache-2.0

//! What a relay shows to auditors, and that its account answers for it.

use hashchain::encoding::Sha256;
use hashchain::{Native, StudyId};
use mhealth_api::{ClosingLine, ExportClosing, ExportedRun, Hash, CLOSING_PREFIX};
use mhealth_chain_client::{is_statement_of, Account};

use mhealth_testing::phone::record;

use mhealth_testing::node;

use crate::world::{answer, on_both_databases, with_envelopes, Kind, World, NIGHT, PATIENCE};

on_both_databases! {
    every_answer_ends_with_a_line_that_the_relays_account_signed
    a_long_export_comes_in_answers_that_follow_each_other
    an_auditor_gets_the_studies_of_the_credential_and_no_others
    wrong_credentials_are_logged_counted_and_slowed_for_their_address_alone
}

/// An answer whose closing line holds: its runs, and what was signed.
pub(crate) async fn export(
    world: &World,
    credential: &str,
    after: u64,
) -> (Vec<ExportedRun>, ExportClosing) {
    let path = format!("/v1/export?study={}&after={after}", world.study);
    let answer = world.get_as(&path, credential).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let start = answer.body.rfind(CLOSING_PREFIX).expect("a closing line");
    let (lines, closing) = answer.body.split_at(start);
    let ClosingLine { closing } = serde_json::from_str(closing).unwrap();
    let account = Account::from_secret_uri("//Dave").unwrap().public_key();
    assert_eq!(closing.account.0, account);
    let (statement, signature) = (closing.statement(), closing.signature.0);
    assert!(is_statement_of(&account, &statement, &signature));
    assert_eq!(closing.lines, Hash(Native::sha256(lines.as_bytes())));
    assert_eq!((closing.study, closing.after), (world.study, after));
    assert_eq!(closing.chain, world.genesis());
    let read = |line: &str| serde_json::from_str::<ExportedRun>(line).unwrap();
    let runs: Vec<ExportedRun> = lines.lines().map(read).collect();
    let reached = runs.last().map_or(after, |run| run.cursor);
    assert_eq!(closing.reached, reached);
    (runs, closing)
}

async fn every_answer_ends_with_a_line_that_the_relays_account_signed(kind: Kind) {
    let world = World::start(kind).await;
    let credential = world.launch.add_auditor("eva").unwrap();
    let (runs, closing) = export(&world, &credential, 0).await;
    assert_eq!((runs.len(), closing.more), (0, false));

    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(3, NIGHT));
    let status = world.upload(&phone, &run).await;
    let settled = world.settled(status.run).await;
    let (runs, closing) = export(&world, &credential, 0).await;
    assert_eq!((runs.len(), closing.more), (1, false));
    // Its block is one of the chain's, and the receipt's or a later one.
    let number = closing.block.number;
    let hash = world.chain.block_hash(number).await.unwrap().unwrap();
    assert_eq!(closing.block.hash.0, hash.0);
    assert!(number >= settled.block.unwrap().number);

    // Of another study of this relay there is nothing, and it answers for that, too.
    let path = "/v1/export?study=1";
    let other = world.get_as(path, &credential).await;
    let ClosingLine { closing } = other.json();
    assert_eq!((closing.study, closing.reached), (StudyId(1), 0));
}

async fn a_long_export_comes_in_answers_that_follow_each_other(kind: Kind) {
    let world = World::start(kind).await;
    let credential = world.launch.add_auditor("eva").unwrap();
    let mut phone = world.phone(1).await;
    let night = "n".repeat(250_000);
    for _ in 0..7 {
        let run = record(&mut phone, 12, &night);
        let status = world.upload(&phone, &run).await;
        world.settled(status.run).await;
    }
    let (mut cursors, mut after) = (Vec::new(), 0);
    loop {
        let (runs, closing) = export(&world, &credential, after).await;
        assert!(!runs.is_empty());
        cursors.extend(runs.iter().map(|run| run.cursor));
        after = closing.reached;
        if !closing.more {
            break;
        }
    }
    assert_eq!(cursors.len(), 7);
    assert!(cursors.is_sorted());
}

async fn an_auditor_gets_the_studies_of_the_credential_and_no_others(kind: Kind) {
    let world = World::start(kind).await;
    let (credential, own) = {
        let add = |name, study| {
            world
                .launch
                .run(&["auditor", "add", name, "--study", study])
        };
        (
            add("monitor-1", "1,2").unwrap(),
            add("monitor-0", "0").unwrap(),
        )
    };
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    world.upload(&phone, &run).await;
    assert_eq!(export(&world, &own, 0).await.0.len(), 1);

    let foreign = world.get_as("/v1/export?study=0", &credential).await;
    assert_eq!((foreign.status, &*foreign.code()), (403, "not_allowed"));
    assert!(foreign.problem().detail.contains("study 0"), "{foreign:?}");
    for study in [1, 2] {
        let path = format!("/v1/export?study={study}");
        assert_eq!(world.get_as(&path, &credential).await.status, 200);
        let foreign = world.get_as(&path, &own).await;
        assert_eq!((foreign.status, &*foreign.code()), (403, "not_allowed"));
    }
    // Another study by the operator's word, and no other way.
    let list = || world.launch.run(&["auditor", "list"]).unwrap();
    assert!(
        list().contains("monitor-1 study=1,2 may=export since="),
        "{}",
        list()
    );
    let grant = ["auditor", "grant", "monitor-1", "--study", "0"];
    assert_eq!(world.launch.run(&grant).unwrap(), "changed monitor-1");
    assert_eq!(export(&world, &credential, 0).await.0.len(), 1);
    let rotated = world
        .launch
        .run(&["auditor", "rotate", "monitor-1"])
        .unwrap();
    assert_eq!(export(&world, &rotated, 0).await.0.len(), 1);
    let foreign = world.get_as("/v1/export?study=1", &rotated).await;
    assert_eq!(foreign.code(), "not_allowed");
}

async fn wrong_credentials_are_logged_counted_and_slowed_for_their_address_alone(kind: Kind) {
    // Behind a proxy, which names the client's address.
    let world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch
            .arg("--behind-tls-proxy")
            .arg("--address=http://127.0.0.1:1")
            .arg("--wrong-credentials=3")
    })
    .await;
    let credential = world.launch.add_auditor("eva").unwrap();
    let ask = async |address: &str, credential: &str| {
        let request = world.http.get(world.url("/v1/export?study=0"));
        let request = request.header("x-forwarded-for", address);
        answer(request.bearer_auth(credential)).await
    };
    for _ in 0..4 {
        let wrong = ask("192.0.2.1", "mhealth-auditor-hunter2").await;
        assert_eq!(wrong.code(), "invalid_credentials");
    }
    let slowed = ask("192.0.2.1", "mhealth-auditor-hunter2").await;
    assert_eq!((slowed.status, &*slowed.code()), (429, "too_many_requests"));
    assert_eq!(slowed.retry_after, Some(1));
    assert_eq!(ask("192.0.2.2", &credential).await.status, 200);
    let line = world
        .relay
        .wait_for_log("a credential that nobody has")
        .unwrap();
    assert!(line.contains("192.0.2.1"), "{line}");
    assert!(!world.relay.log().contains("hunter2"));
    let metrics = world.get("/metrics").await.body;
    assert!(
        metrics.contains("mhealth_failed_credentials_total 4"),
        "{metrics}"
    );
    // And the address gets in again when its time is over.
    let deadline = std::time::Instant::now() + PATIENCE;
    while ask("192.0.2.1", &credential).await.status != 200 {
        assert!(std::time::Instant::now() < deadline);
    }
}
