// SPDX-License-Identifier: Apache-2.0

//! What a relay shows to auditors, and that its account answers for it.

use hashchain::encoding::Sha256;
use hashchain::{Native, StudyId};
use mhealth_api::{ClosingLine, ExportClosing, ExportedRun, Hash, CLOSING_PREFIX};
use mhealth_chain_client::{is_statement_of, Account};

use mhealth_testing::phone::record;

use crate::world::{on_both_databases, with_envelopes, Kind, World, NIGHT};

on_both_databases! {
    every_answer_ends_with_a_line_that_the_relays_account_signed
    a_long_export_comes_in_answers_that_follow_each_other
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
    let credential = world.launch.run(&["auditor", "add", "eva"]).unwrap();
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
    let credential = world.launch.run(&["auditor", "add", "eva"]).unwrap();
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
