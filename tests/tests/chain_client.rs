// SPDX-License-Identifier: Apache-2.0

//! The chain client against a real node.

mod support;

use futures::future::join_all;
use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_api::{DeviceStatus, Policy, Refusal};
use mhealth_chain_client::{
    calls, Account, ChainClient, ChainEvent, ConflictsView, Error, Follower, H256,
};
use mhealth_testing::node::Launch;
use mhealth_testing::phone;
use support::{finalised_within, Setting, STUDY};

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_enrolled_and_registers_entries_itself_and_by_a_relay() {
    let setting = Setting::instant().await;
    let chain = &setting.chain;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let enrolled = chain
        .device(phone.device())
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(enrolled.key, phone.public_key());
    assert_eq!((enrolled.genesis, enrolled.length), (phone.head(), 0));
    assert_eq!(enrolled.status, DeviceStatus::Active);

    let own = calls::submit(phone.run(3));
    let outcome = chain
        .submitter(phone::account(&phone))
        .submit_and_wait(own)
        .await
        .expect("registered");
    let length = 3;
    let recorded = ChainEvent::RunRecorded {
        device: phone.device(),
        length,
        head: phone.head(),
        first_index: 0,
        entries: 3,
    };
    assert_eq!(outcome.events, [recorded]);
    let by_relay = calls::submit(phone.run(2));
    setting
        .relay()
        .submit_and_wait(by_relay)
        .await
        .expect("registered");

    let head = chain
        .head(phone.device())
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(
        (head.hash, head.length, head.latest),
        (phone.head(), 5, Some(4))
    );
    let entries = chain.entries(phone.device(), 1, 10).await.expect("read");
    assert_eq!(entries.len(), 5);
    assert_eq!(entries[4].hash, phone.head());
    assert_eq!(chain.journal(0, 10).await.expect("read"), entries);
    assert_eq!(chain.journal_length().await.expect("read"), 5);
    let key = phone.public_key();
    assert_eq!(
        chain.device_by_key(key).await.expect("read"),
        Some(phone.device())
    );
    assert!(chain
        .has_role(&phone::account(&phone).id())
        .await
        .expect("read"));
    let study = chain
        .study(STUDY)
        .await
        .expect("read")
        .expect("it is there");
    assert!(study.policy == Policy::DeviceSigned && study.open);

    // What was true at an earlier block can still be read there.
    let before = chain
        .at(outcome.block_hash)
        .await
        .expect("the block is known");
    let head = before
        .head(phone.device())
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(head.length, length);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_reads_as_none() {
    let setting = Setting::instant().await;
    let chain = &setting.chain;
    let nobody = DeviceId(7);
    assert_eq!(chain.device(nobody).await.expect("read"), None);
    assert_eq!(chain.head(nobody).await.expect("read"), None);
    assert_eq!(chain.device_by_key([7; 32]).await.expect("read"), None);
    assert_eq!(chain.study(StudyId(7)).await.expect("read"), None);
    assert_eq!(chain.entries(nobody, 1, 10).await.expect("read"), []);
    let conflicts = chain.conflicts(nobody).await.expect("read");
    assert_eq!(conflicts, ConflictsView::default());
    let unknown = chain
        .at(H256::repeat_byte(9))
        .await
        .err()
        .expect("no such block");
    assert_eq!(unknown.code(), "unknown_block", "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_reports_every_run_and_keeps_the_evidence_of_a_fork() {
    let setting = Setting::instant().await;
    let chain = &setting.chain;
    let office = setting.office();
    let mut good = phone::enrol(&office, STUDY, 1).await.expect("enrolled");
    let mut forked = phone::enrol(&office, STUDY, 2).await.expect("enrolled");
    let mut gappy = phone::enrol(&office, STUDY, 3).await.expect("enrolled");
    let relay = setting.relay();

    // The forked phone was restored from a backup: it signs a second first entry.
    let mut restored = forked.copy();
    let first = forked.run(1);
    relay
        .submit_and_wait(calls::submit(first.clone()))
        .await
        .expect("registered");
    let rival = restored.run_of(1, "another night");
    let _lost = gappy.run(1);
    let runs = vec![good.run(2), first, gappy.run(1), rival];
    let outcome = relay
        .submit_and_wait(calls::submit_batch(runs))
        .await
        .expect("worked off");

    let refused: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| match event {
            ChainEvent::RunRefused {
                position, reason, ..
            } => Some((*position, reason.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(2, Refusal::Gap), (3, Refusal::Fork)]);
    let totals = outcome.events.iter().find_map(|event| match event {
        ChainEvent::BatchProcessed {
            recorded,
            already_recorded,
            refused,
            entries,
            ..
        } => Some((*recorded, *already_recorded, *refused, *entries)),
        _ => None,
    });
    assert_eq!(totals, Some((1, 1, 2, 2)));

    let conflicts = chain.conflicts(forked.device()).await.expect("read");
    assert_eq!((conflicts.stored.len(), conflicts.not_stored), (1, 0));
    let conflicts = conflicts.stored;
    assert_eq!((conflicts[0].sequence, conflicts[0].signed), (1, true));
    assert_eq!(conflicts[0].recorded, forked.head());
    assert_eq!(conflicts[0].rival, restored.head());
    let state = chain
        .device(forked.device())
        .await
        .expect("read")
        .map(|device| device.status);
    assert_eq!(state, Some(DeviceStatus::Suspended));
    let head = chain
        .head(good.device())
        .await
        .expect("read")
        .map(|head| head.hash);
    assert_eq!(head, Some(good.head()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_has_the_pallets_name_and_words() {
    let setting = Setting::instant().await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let _lost = phone.run(1);
    let gap = calls::submit(phone.run(1));
    let outcome = setting
        .relay()
        .submit(gap)
        .await
        .expect("taken")
        .finalised()
        .await;
    let error = outcome.expect("included").succeeded().expect_err("refused");
    assert!(
        matches!(&error, Error::Dispatch(refusal) if refusal.name() == "ClientHashchain.Gap"),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("Entries before this run are missing."),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_another_previous_is_refused_over_plain_json_rpc_and_changes_nothing() {
    let setting = Setting::instant().await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let first = calls::submit(phone.run(2));
    setting
        .relay()
        .submit_and_wait(first)
        .await
        .expect("registered");

    let elsewhere = LinkHash([0x66; 32]);
    let forged = phone.astray(elsewhere).run(1);
    assert_eq!((forged.first_sequence, forged.previous), (3, elsewhere));
    let relay = setting.relay_account();
    let nonce = setting.chain.next_nonce(&relay.id()).await.expect("read");
    let signed = setting
        .chain
        .sign(&relay, &calls::submit(forged), nonce, 64)
        .await
        .expect("signed");
    let plain = setting.plain_json_rpc().await;
    let before = plain.storage_of(&["ClientHashchain", "Studies"]).await;
    let next = setting.chain.finalised().await.expect("read").number + 1;
    plain
        .submit(&signed.bytes)
        .await
        .expect("the pool takes it: only the pallet can tell");

    let block = Follower::next(&mut setting.chain.follow_from(next))
        .await
        .expect("a block");
    let effects = block
        .extrinsics
        .iter()
        .filter_map(|extrinsic| extrinsic.effect.as_ref());
    let refusals: Vec<_> = effects
        .filter_map(|effect| effect.result.as_ref().err())
        .collect();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].name(), "ClientHashchain.PreviousIsNotHead");
    let after = plain.storage_of(&["ClientHashchain", "Studies"]).await;
    assert!(!before.is_empty());
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_refused() {
    let setting = Setting::instant().await;
    let genesis = setting.chain.genesis_hash();
    let url = setting.node.url();
    ChainClient::connect_expecting(&url, genesis)
        .await
        .expect("it is this chain");
    let expected = H256::repeat_byte(1);
    let error = ChainClient::connect_expecting(&url, expected)
        .await
        .expect_err("another chain");
    assert_eq!(error.code(), "wrong_chain");
    let text = error.to_string();
    assert!(text.contains(&format!("{genesis:#x}")), "{text}");
    assert!(text.contains(&format!("{expected:#x}")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_a_role_is_turned_away_in_the_pool() {
    let setting = Setting::instant().await;
    let stranger = Account::from_secret_uri("//Ferdie").expect("it is well known");
    assert!(!setting.chain.has_role(&stranger.id()).await.expect("read"));
    let call = phone::enrolment(&setting.office(), STUDY, 1);
    let submitter = setting.chain.submitter(stranger.clone());
    let error = submitter.submit(call.clone()).await.expect_err("no role");
    assert_eq!(error.code(), "no_role", "{error}");
    let signed = setting
        .chain
        .sign(&stranger, &call, 0, 64)
        .await
        .expect("signed");
    let answer = setting
        .plain_json_rpc()
        .await
        .submit(&signed.bytes)
        .await
        .expect_err("no role");
    assert!(
        answer.contains("1010") && answer.contains("101"),
        "{answer}"
    );
    let unknown_device = Account::device(&[9; 32]);
    let error = setting
        .chain
        .submitter(unknown_device)
        .submit(call)
        .await
        .expect_err("no role");
    assert_eq!(error.code(), "no_role", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_counts_from_the_block_that_gave_it_to_the_block_that_took_it() {
    let setting = Setting::instant().await;
    let sponsor = setting.submitter("//Bob");
    let ferdie = Account::from_secret_uri("//Ferdie").expect("it is well known");
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let grant = calls::add_relay(STUDY, ferdie.id());
    sponsor.submit_and_wait(grant).await.expect("granted");
    let relay = setting.chain.submitter(ferdie.clone());
    relay
        .submit_and_wait(calls::submit(phone.run(1)))
        .await
        .expect("registered");
    let removal = calls::remove_relay(STUDY, ferdie.id());
    sponsor.submit_and_wait(removal).await.expect("taken away");
    let error = relay
        .submit(calls::submit(phone.run(1)))
        .await
        .expect_err("no role");
    assert_eq!(error.code(), "no_role", "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_submissions_of_one_account_get_dense_nonces_and_are_all_finalised() {
    const TASKS: u8 = 40;
    let setting = Setting::instant().await;
    let office = setting.office();
    let tasks = (1..=TASKS).map(|seed| {
        let office = office.clone();
        tokio::spawn(async move {
            let submission = office
                .submit(phone::enrolment(&office, STUDY, seed))
                .await?;
            let nonce = submission.nonce();
            let outcome = submission.finalised().await?.succeeded()?;
            Ok::<_, mhealth_chain_client::Error>((nonce, outcome.block_number))
        })
    });
    let mut nonces: Vec<_> = join_all(tasks)
        .await
        .into_iter()
        .map(|task| task.expect("no panic").expect("enrolled").0)
        .collect();
    nonces.sort_unstable();
    assert_eq!(nonces, (0..u64::from(TASKS)).collect::<Vec<_>>());
    let last = setting
        .chain
        .device(DeviceId(u32::from(TASKS) - 1))
        .await
        .expect("read");
    assert!(last.is_some());
    let next = setting
        .chain
        .next_nonce(&office.account())
        .await
        .expect("read");
    assert_eq!(next, u64::from(TASKS));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_real_consensus_a_run_is_finalised() {
    let setting = Setting::start(Launch::consensus()).await;
    let mut phone = phone::enrol(&setting.office(), STUDY, 1)
        .await
        .expect("enrolled");
    let run = calls::submit(phone.run(4));
    let outcome = setting
        .chain
        .submitter(phone::account(&phone))
        .submit_and_wait(run)
        .await
        .expect("registered");
    let finalised = setting.chain.finalised().await.expect("read");
    assert!(outcome.block_number <= finalised.number);
    finalised_within(&setting.chain, outcome.block_number, outcome.block_hash).await;
}
