// SPDX-License-Identifier: Apache-2.0

//! Getting everything finalised through lost requests, lost answers, restarts and refusals.

use std::collections::HashMap;

use hashchain::DeviceId;
use mhealth_api::Refusal;
use mhealth_device_host::{
    fleet::{enrol_all, upload_all, Refused},
    Device, Store, SyncError,
};
use proptest::prelude::*;

use crate::{
    assert_verifies, device,
    fake::{FakeChain, Trouble},
    seal, store_at, store_in_memory,
};

async fn register(store: &Store, chain: &FakeChain) -> Result<Vec<Refused>, SyncError> {
    let mut refused = enrol_all(store, chain, |_| ()).await?;
    refused.extend(upload_all(store, chain, 4, |_| ()).await?);
    Ok(refused)
}

/// The chain has exactly what the device sealed, in order, and the device knows.
fn assert_level(phone: &Device<'_>, store: &Store, chain: &FakeChain) {
    let record = phone.record().expect("a record");
    assert_eq!((record.confirmed, record.queued()), (record.length, 0));
    let own = store
        .entries(phone.id(), 1, record.length)
        .expect("entries");
    let own: Vec<_> = own
        .iter()
        .map(|entry| (entry.sequence, entry.hash))
        .collect();
    let on_chain = chain.entries_of(record.key);
    let on_chain: Vec<_> = on_chain
        .iter()
        .map(|entry| (entry.sequence, entry.hash))
        .collect();
    assert_eq!(own, on_chain);
    assert_verifies(store, phone.id());
}

#[tokio::test]
async fn everything_that_was_sealed_gets_finalised() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phones: Vec<_> = (0..300)
        .map(|n| device(&store, &format!("P-{}", "x".repeat(n))))
        .collect();
    for phone in &phones {
        for night in 0..phone.record().expect("a record").participant.0.len() % 7 {
            seal(phone, &format!("night {night}"));
        }
    }
    let mut told = 0;
    enrol_all(&store, &chain, |_| ()).await.expect("enrolled");
    let refused = upload_all(&store, &chain, 3, |entries| told += entries).await;
    assert_eq!(refused.expect("uploaded"), []);
    phones
        .iter()
        .for_each(|phone| assert_level(phone, &store, &chain));
    let totals = store.totals().expect("totals");
    assert_eq!((totals.finalised, told), (totals.entries, totals.entries));
}

#[tokio::test]
async fn a_device_that_the_chain_knows_already_is_found_again_and_not_enrolled_twice() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    chain.state().troubles.push_back(Trouble::LostAnswer);
    assert!(register(&store, &chain).await.is_err());
    assert_eq!(phone.record().expect("a record").number, None);
    assert_eq!(register(&store, &chain).await.expect("registered"), []);
    assert_eq!(phone.record().expect("a record").number, Some(DeviceId(0)));
}

#[tokio::test]
async fn a_retry_sends_identical_bytes() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    for night in 0..6 {
        seal(&phone, &format!("night {night}"));
    }
    enrol_all(&store, &chain, |_| ()).await.expect("enrolled");
    let formed = phone.runs(4).expect("runs");
    chain.state().troubles.push_back(Trouble::LostRequest);
    let fault = upload_all(&store, &chain, 4, |_| ())
        .await
        .expect_err("lost");
    assert_eq!(fault.code(), "node_unreachable");
    seal(&phone, "one more in between");
    upload_all(&store, &chain, 4, |_| ())
        .await
        .expect("uploaded");
    let formed: Vec<_> = formed.iter().map(|run| run.run(DeviceId(0))).collect();
    assert_eq!(chain.state().received[..2], formed[..]);
    assert_level(&phone, &store, &chain);
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_not_sent_again() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let phone = device(&store, "P-1");
    seal(&phone, "monday");
    enrol_all(&store, &chain, |_| ()).await.expect("enrolled");
    chain.state().troubles.push_back(Trouble::LostAnswer);
    assert!(upload_all(&store, &chain, 4, |_| ()).await.is_err());
    upload_all(&store, &chain, 4, |_| ())
        .await
        .expect("compared");
    assert_eq!(chain.state().received.len(), 1);
    assert_level(&phone, &store, &chain);
}

#[tokio::test]
async fn a_refusal_stops_one_device_only_and_its_entries_stay_queued() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let (refused, fine) = (device(&store, "P-1"), device(&store, "P-2"));
    for phone in [&refused, &fine] {
        seal(phone, "monday");
        seal(phone, "tuesday");
    }
    let key = refused.record().expect("a record").key;
    for reason in [Refusal::DeviceSuspended, Refusal::PreviousIsNotHead] {
        chain.state().shut_out = Some((key, reason.clone()));
        let refusals = register(&store, &chain).await.expect("nothing is lost");
        assert_eq!(refusals.len(), 1);
        assert_eq!((refusals[0].device, refusals[0].sequence), (key, 1));
        assert_eq!(refusals[0].refusal.reason, Some(reason));
        assert_level(&fine, &store, &chain);
        assert_eq!(refused.record().expect("a record").queued(), 2);
        assert_eq!(store.totals().expect("totals").refused, 2);
    }
    // When the reason is gone the same entries go through.
    chain.state().shut_out = None;
    assert_eq!(register(&store, &chain).await.expect("registered"), []);
    assert_level(&refused, &store, &chain);
    assert_eq!(store.totals().expect("totals").refused, 0);
}

#[tokio::test]
async fn a_refused_enrolment_is_reported_and_the_others_go_on() {
    let (store, chain) = (store_in_memory(), FakeChain::new());
    let (unwelcome, fine) = (device(&store, "P-1"), device(&store, "P-2"));
    seal(&unwelcome, "monday");
    seal(&fine, "monday");
    let key = unwelcome.record().expect("a record").key;
    chain.state().unwelcome.push(key);
    let refusals = register(&store, &chain).await.expect("nothing is lost");
    assert_eq!(refusals.len(), 1);
    assert_eq!((refusals[0].device, refusals[0].sequence), (key, 0));
    assert_level(&fine, &store, &chain);
    assert_eq!(unwelcome.record().expect("a record").queued(), 1);
}

/// Something that happens to a phone.
#[derive(Clone, Debug)]
enum Happening {
    Seal {
        device: usize,
        night: u8,
    },
    Restart,
    Register {
        run_length: u32,
        troubles: Vec<Trouble>,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let trouble = prop_oneof![
        Just(Trouble::None),
        Just(Trouble::LostRequest),
        Just(Trouble::LostAnswer)
    ];
    prop_oneof![
        6 => (0..3usize, 0..20u8).prop_map(|(device, night)| Happening::Seal { device, night }),
        1 => Just(Happening::Restart),
        3 => (1..6u32, prop::collection::vec(trouble, 0..4))
            .prop_map(|(run_length, troubles)| Happening::Register { run_length, troubles }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_no_entry_is_lost_or_doubled(happenings in prop::collection::vec(happening(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("state.db");
            let chain = FakeChain::new();
            let mut store = store_at(&path);
            let mut sealed: HashMap<usize, Vec<u8>> = HashMap::new();
            for happening in happenings {
                match happening {
                    Happening::Seal { device: number, night } => {
                        seal(&device(&store, &format!("P-{number}")), &format!("night {night}"));
                        let nights = sealed.entry(number).or_default();
                        if !nights.contains(&night) {
                            nights.push(night);
                        }
                    }
                    Happening::Restart => {
                        drop(store);
                        store = store_at(&path);
                    }
                    Happening::Register { run_length, troubles } => {
                        chain.state().troubles = troubles.into();
                        if enrol_all(&store, &chain, |_| ()).await.is_ok() {
                            let _ = upload_all(&store, &chain, run_length, |_| ()).await;
                        }
                        chain.state().troubles.clear();
                    }
                }
            }
            prop_assert_eq!(register(&store, &chain).await.expect("no trouble any more"), []);
            for (number, nights) in sealed {
                let phone = device(&store, &format!("P-{number}"));
                prop_assert_eq!(phone.record().expect("a record").length, nights.len() as u64);
                assert_level(&phone, &store, &chain);
            }
            Ok(())
        })?;
    }
}
