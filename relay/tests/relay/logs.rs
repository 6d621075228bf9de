// SPDX-License-Identifier: Apache-2.0

//! What went through the relay does not stand in its log.

use hashchain::StudyId;
use mhealth_api::{RunState, RunUpload};
use mhealth_testing::{node, secrets::Secrets};

use crate::world::{on_both_databases, pass, with_envelopes, Kind, World, NIGHT};

on_both_databases! {
    the_most_talkative_log_names_no_envelope_token_or_credential
}

async fn the_most_talkative_log_names_no_envelope_token_or_credential(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.log");
    let mut world = World::start_with(kind, node::Launch::instant(), StudyId(0), |launch| {
        launch.env("RUST_LOG", "trace").log_to(&file)
    })
    .await;
    let mut phone = world.phone(1).await;
    let credential = world.launch.add_auditor("eva").unwrap();
    let good = with_envelopes(&phone.run_of(2, NIGHT));
    let token = world.pass(&phone);
    let mut tokens = vec![token.token.clone()];
    let stored = world.post("/v1/runs", &token, &good).await;
    assert_eq!(stored.status, 202);
    let run = stored.json::<mhealth_api::RunStatus>().run;
    assert_eq!(world.settled(run).await.state, RunState::Finalised);
    // What is wrong says more than what is right.
    let mut forged: RunUpload = good.clone();
    forged.signature = None;
    world.post("/v1/runs", &token, &forged).await;
    let mut broken = serde_json::to_string(&good).unwrap();
    broken.truncate(broken.len() - 5);
    world.post_text("/v1/runs", Some(&token), broken).await;
    let wrong = format!("{}AAAA", &token.token[..token.token.len() - 4]);
    world
        .post("/v1/runs", &pass(&phone, wrong.clone()), &good)
        .await;
    tokens.push(wrong);
    let export = world.get_as("/v1/export?study=0", &credential).await;
    assert_eq!(export.body.lines().count(), 2);
    world.get_as("/v1/export?study=0", &credential[1..]).await;
    world.relay.stop().unwrap();

    let log = std::fs::read_to_string(&file).unwrap();
    for said in ["TRACE", "an export begins", "/v1/runs"] {
        assert!(log.contains(said), "{said} is not in the log");
    }
    let mut secrets = Secrets::default();
    secrets.add_text("an envelope", NIGHT);
    secrets.add("a credential", &credential[1..]);
    secrets.add("the account", "//Dave");
    for token in &tokens {
        secrets.add_token(token);
    }
    secrets.add_password(&world.database);
    secrets.assert_absent_from(&log);
}
