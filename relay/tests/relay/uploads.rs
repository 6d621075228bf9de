// SPDX-License-Identifier: Apache-2.0

//! What becomes of good runs, and of bad ones that are evidence.

use hashchain::{LinkHash, StudyId};
use mhealth_api::{
    BareRecord, Base64, DeviceOnChain, Policy, RegisteredEntry, RunState, RunStatus, StudyTerms,
};
use mhealth_chain_client::{calls, Account};
use mhealth_testing::node;

use crate::exports::export;
use crate::world::{on_both_databases, with_envelopes, Kind, World, NIGHT};

on_both_databases! {
    a_run_goes_from_its_upload_to_a_receipt_and_to_the_auditor
    runs_follow_each_other_without_waiting_for_the_chain
    a_gap_names_the_head_to_send_from
    what_another_relay_brought_counts_as_history
    a_fork_is_kept_as_evidence_and_shuts_the_device_out
    bare_records_are_chained_on_behalf_of_devices_where_that_is_wanted
    bare_records_are_refused_where_they_are_not_wanted
}

async fn a_run_goes_from_its_upload_to_a_receipt_and_to_the_auditor(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let run = with_envelopes(&phone.run_of(3, NIGHT));
    let answer = world.post("/v1/runs", &world.pass(&phone), &run).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let status: RunStatus = answer.json();
    assert_eq!((status.entries, status.head), (3, phone.head()));

    let settled = world.settled(status.run).await;
    assert_eq!(settled.state, RunState::Finalised, "{settled:?}");
    let block = settled.block.unwrap();
    let on_chain = world.chain.block_hash(block.number).await.unwrap().unwrap();
    assert_eq!(on_chain.0, block.hash.0);
    assert!(settled.extrinsic_index.is_some());
    assert_eq!(world.length(&phone).await, 3);

    // The same again is no second run.
    let again = world.post("/v1/runs", &world.pass(&phone), &run).await;
    assert_eq!(
        (again.status, again.json::<RunStatus>()),
        (200, settled.clone())
    );

    let heads = world.heads(phone.device()).await;
    assert_eq!(heads.relay, heads.chain.head);
    assert_eq!(heads.relay.hash, phone.head());
    let device: DeviceOnChain = world
        .get(&format!("/v1/devices/{}", phone.device()))
        .await
        .json();
    assert_eq!(
        (device.status.as_str(), device.chain.head.length),
        ("active", 3)
    );
    let by_key: DeviceOnChain = world.get(&format!("/v1/keys/{}", device.key)).await.json();
    assert_eq!(by_key, device);
    let path = format!("/v1/devices/{}/entries?from=2&count=5", phone.device());
    let entries: Vec<RegisteredEntry> = world.get(&path).await.json();
    assert_eq!((entries.len(), entries[0].sequence), (2, 2));
    assert_eq!(entries[1].hash, phone.head());
    let study: StudyTerms = world.get("/v1/studies/0").await.json();
    assert_eq!((study.policy, study.open), (Policy::DeviceSigned, true));

    let credential = world.launch.add_auditor("eva").unwrap();
    let (runs, closing) = export(&world, &credential, 0).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (&runs[0].status, &runs[0].entries),
        (&settled, &run.entries)
    );
    let reached = closing.reached;
    let (rest, closing) = export(&world, &credential, reached).await;
    assert_eq!(
        (rest.len(), closing.after, closing.reached),
        (0, reached, reached)
    );
    let of_study = "/v1/export?study=0";
    assert_eq!(
        world.get_as(of_study, "guess").await.code(),
        "invalid_credentials"
    );
    assert_eq!(world.get(of_study).await.code(), "missing_credentials");
    assert_eq!(
        world.get_as("/v1/export", &credential).await.code(),
        "invalid_parameter"
    );
    world.launch.run(&["auditor", "remove", "eva"]).unwrap();
    assert_eq!(
        world.get_as(of_study, &credential).await.code(),
        "invalid_credentials"
    );
}

async fn runs_follow_each_other_without_waiting_for_the_chain(kind: Kind) {
    let world =
        World::start_with(kind, node::Launch::consensus(), StudyId(0), |launch| launch).await;
    let mut phone = world.phone(1).await;
    let mut last = None;
    for _ in 0..20 {
        let run = with_envelopes(&phone.run_of(2, NIGHT));
        last = Some(world.upload(&phone, &run).await.run);
        assert_eq!(
            world.heads(phone.device()).await.relay.length,
            phone.length()
        );
    }
    let settled = world.settled(last.unwrap()).await;
    assert_eq!(settled.state, RunState::Finalised, "{settled:?}");
    assert_eq!(world.length(&phone).await, 40);
}

async fn a_gap_names_the_head_to_send_from(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let first = with_envelopes(&phone.run_of(2, NIGHT));
    let second = with_envelopes(&phone.run_of(2, NIGHT));
    let answer = world.post("/v1/runs", &world.pass(&phone), &second).await;
    let problem = answer.problem();
    assert_eq!(
        (problem.code.as_str(), problem.head.unwrap().length),
        ("gap", 0)
    );
    world.upload(&phone, &first).await;
    let status = world.upload(&phone, &second).await;
    assert_eq!(world.settled(status.run).await.state, RunState::Finalised);
}

async fn what_another_relay_brought_counts_as_history(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let first = phone.run_of(2, NIGHT);
    let other = world
        .chain
        .submitter(Account::from_secret_uri("//Eve").unwrap());
    other
        .submit_and_wait(calls::submit_batch(vec![first.clone()]))
        .await
        .unwrap();
    let second = with_envelopes(&phone.run_of(1, NIGHT));
    let status = world.upload(&phone, &second).await;
    assert_eq!(world.settled(status.run).await.state, RunState::Finalised);
    // The first one comes here, too, as in Figure 1c: confirmed, by no extrinsic of this relay.
    let status = world.upload(&phone, &with_envelopes(&first)).await;
    let settled = world.settled(status.run).await;
    assert_eq!(
        (settled.state, settled.extrinsic_index),
        (RunState::Finalised, None)
    );
}

async fn a_fork_is_kept_as_evidence_and_shuts_the_device_out(kind: Kind) {
    let world = World::start(kind).await;
    let mut phone = world.phone(1).await;
    let mut copy = phone.copy();
    let honest = with_envelopes(&phone.run_of(2, NIGHT));
    let honest = world.upload(&phone, &honest).await;
    world.settled(honest.run).await;
    copy.run_of(1, NIGHT);
    let mut thief = copy.astray(LinkHash([5; 32]));
    let rival = with_envelopes(&thief.run_of(2, NIGHT));
    let rival = world.upload(&phone, &rival).await;
    let settled = world.settled(rival.run).await;
    assert_eq!(settled.state, RunState::Conflicting, "{settled:?}");
    assert!(settled.reason.is_some());
    let credential = world.launch.add_auditor("eva").unwrap();
    let (runs, _) = export(&world, &credential, 0).await;
    assert_eq!(runs.len(), 2);
    // The chain has suspended the device, which the relay learns from the block.
    let next = with_envelopes(&phone.run_of(1, NIGHT));
    let answer = world.post("/v1/runs", &world.pass(&phone), &next).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "device_suspended")
    );
    // What was stored before is answered all the same.
    assert_eq!(world.status(honest.run).await.state, RunState::Finalised);
}

async fn bare_records_are_chained_on_behalf_of_devices_where_that_is_wanted(kind: Kind) {
    // Study 1 of a development chain asks for no signatures.
    let world = World::start_with(kind, node::Launch::instant(), StudyId(1), |launch| {
        launch.arg("--chain-for-devices")
    })
    .await;
    let phone = world.phone(1).await;
    let token = world.pass(&phone);
    let record = |sequence, data: &str| BareRecord {
        device: phone.device(),
        sequence,
        envelope: Base64(data.as_bytes().to_vec()),
    };
    let mut last = None;
    for sequence in 1..=5 {
        let answer = world
            .post("/v1/records", &token, &record(sequence, "a night"))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
        last = Some(answer.json::<RunStatus>());
    }
    let last = last.unwrap();
    assert_eq!(last.sequence, 5);
    assert_eq!(world.settled(last.run).await.state, RunState::Finalised);
    assert_eq!(world.length(&phone).await, 5);
    let again = world
        .post("/v1/records", &token, &record(5, "a night"))
        .await;
    assert_eq!(
        (again.status, again.json::<RunStatus>().run),
        (200, last.run)
    );
    let other = world
        .post("/v1/records", &token, &record(5, "another night"))
        .await;
    assert_eq!(other.code(), "invalid_state");
}

async fn bare_records_are_refused_where_they_are_not_wanted(kind: Kind) {
    let world = World::start(kind).await;
    let phone = world.phone(1).await;
    let record = BareRecord {
        device: phone.device(),
        sequence: 1,
        envelope: Base64(vec![1, 2, 3]),
    };
    let answer = world
        .post("/v1/records", &world.pass(&phone), &record)
        .await;
    assert_eq!(answer.code(), "not_chained_here");
}
