// SPDX-License-Identifier: Apache-2.0

//! A sync is back in time, and others can go on beside it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mhealth_device_host::{host::PhoneStore, servers::Patience, HttpTransport, Phone, Standing};

use super::{seal, Desk, LONG};
use crate::support::{fakes::Trouble, trial::patience};

#[tokio::test]
async fn a_sync_is_back_by_its_deadline_and_a_later_one_finishes() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    desk.relay.set().slowness = u32::MAX;
    let begun = Instant::now();
    let error = phone
        .sync(Duration::from_millis(300))
        .await
        .expect_err("no time");
    assert!(
        begun.elapsed() < Duration::from_millis(800),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(error.code(), "deadline");
    let status = phone.status().expect("read");
    assert_eq!((status.queued, status.advice.code()), (1, "wait"));
    assert_eq!(status.last_fault.as_deref(), Some("deadline"));
    assert!(status.next_try > status.last_contact && status.last_contact.is_some());

    desk.relay.set().slowness = 0;
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    let status = phone.status().expect("read");
    assert_eq!((status.queued, status.advice.code()), (0, "nothing"));
    assert_eq!((status.next_try, status.last_fault), (None, None));
    assert!(status.proved_in.is_some());
}

/// How long a phone expects its first run to take.
fn expectations() -> [Patience; 2] {
    let usual_finality = Patience::default().usual_finality;
    let usual = Patience {
        usual_finality,
        ..patience()
    };
    [patience(), usual]
}

#[tokio::test]
async fn a_relay_that_keeps_runs_back_costs_a_share_of_a_sync_and_no_more() {
    for expectation in expectations() {
        let desk = Desk::new().await;
        let _other = desk.add_relay().await;
        drop(desk.enrolled().await);
        let phone = desk.open_that_waits(expectation).await;
        desk.relay.set().slowness = u32::MAX;
        for night in ["night 1", "night 2"] {
            seal(&phone, night).expect("sealed");
            let (begun, deadline) = (Instant::now(), Duration::from_secs(6));
            let standing = phone.sync(deadline).await.expect("another has it");
            assert_eq!(standing, Standing::Level);
            assert!(begun.elapsed() < deadline * 3 / 4, "{:?}", begun.elapsed());
            // The second time others come first.
            assert_eq!(desk.relay.received("/v1/runs").len(), 1);
        }
    }
}

#[tokio::test]
async fn a_sync_shorter_than_a_run_usually_takes_asks_what_became_of_it() {
    for expectation in expectations() {
        let desk = Desk::new().await;
        drop(desk.enrolled().await);
        let phone = desk.open_that_waits(expectation).await;
        seal(&phone, "night 1").expect("sealed");
        let standing = phone.sync(Duration::from_millis(1_500)).await;
        assert_eq!(standing.expect("asked in time"), Standing::Level);
    }
}

#[tokio::test]
async fn a_relay_that_is_slow_and_alone_is_waited_for() {
    let desk = Desk::new().await;
    let other = desk.add_relay().await;
    let phone = desk.enrolled().await;
    other.set().down = true;
    seal(&phone, "night 1").expect("sealed");
    // A third of the call is over by then.
    desk.relay.set().final_from = Some(Instant::now() + Duration::from_secs(5));
    let standing = phone.sync(Duration::from_secs(12)).await;
    assert_eq!(standing.expect("level"), Standing::Level);
    assert_eq!(desk.relay.received("/v1/runs").len(), 1);
}

#[tokio::test]
async fn who_had_a_run_when_the_time_was_over_is_turned_to_last_next_time() {
    for ended_from_outside in [false, true] {
        let desk = Desk::new().await;
        let _other = desk.add_relay().await;
        let phone = desk.enrolled().await;
        desk.relay.trouble(vec![Trouble::Silence; 100]);
        seal(&phone, "night 1").expect("sealed");
        let short = Duration::from_secs(3);
        match ended_from_outside {
            true => {
                let sync = tokio::time::timeout(short, phone.sync(LONG));
                assert!(sync.await.is_err(), "it had time");
            }
            false => {
                let error = phone.sync(short).await.expect_err("no time");
                assert_eq!(error.code(), "deadline");
            }
        }
        // Whatever is not in the store is forgotten.
        drop(phone);
        let phone = desk.open().await.expect("opened");
        let standing = phone.sync(Duration::from_secs(10)).await;
        assert_eq!(standing.expect("level"), Standing::Level);
        assert_eq!(desk.relay.received("/v1/runs").len(), 1);
    }
}

#[tokio::test]
async fn a_phone_seals_while_it_sends_and_two_syncs_take_turns() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    let beside = async {
        tokio::task::yield_now().await;
        seal(&phone, "night 2").expect("sealed");
        phone.sync(LONG).await
    };
    let (first, second) = tokio::join!(phone.sync(LONG), beside);
    first.expect("sent");
    assert_eq!(second.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 2);
}

#[tokio::test]
async fn a_server_that_is_away_is_told_from_a_wrong_code() {
    let desk = Desk::new().await;
    let phone = desk.open().await.expect("opened");
    assert_eq!(phone.status().expect("read").advice.code(), "enrol");
    assert_eq!(
        seal(&phone, "night 1").expect_err("no study").code(),
        "not_enrolled"
    );
    for (code, expected) in [("nonsense", "malformed_code"), ("", "malformed_code")] {
        let error = phone
            .enrol(&desk.office.address, code, LONG)
            .await
            .expect_err("no code");
        assert_eq!(
            (error.code(), error.advice().code()),
            (expected, "ask_for_code")
        );
    }
    for address in ["auth.example.org", "http://auth.example.org"] {
        let error = phone
            .enrol(address, "", LONG)
            .await
            .expect_err("no address");
        assert_eq!(error.advice().code(), "ask_for_code", "{}", error.code());
    }
    assert_eq!(
        desk.enrol(&phone, "OTHER").await,
        Err("unknown_code".into())
    );
    assert_eq!(phone.status().expect("read").advice.code(), "ask_for_code");
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
}

#[tokio::test]
async fn a_phone_that_was_killed_while_it_enrolled_finishes_with_its_next_sync() {
    let desk = Desk::new().await;
    let phone = desk.open().await.expect("opened");
    desk.relay.set().knows_nobody = true;
    let code = crate::support::trial::code("CODE").reveal().to_string();
    let short = Duration::from_secs(2);
    let _ = phone.enrol(&desk.office.address, &code, short).await;
    seal(&phone, "night 1").expect("it knows its study");
    drop(phone);
    desk.relay.set().knows_nobody = false;
    let phone = desk.open().await.expect("opened");
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    assert_eq!(desk.on_chain(0), 1);
}

/// What bindings ask of it.
#[test]
fn a_phone_can_be_shared_between_threads_if_its_host_can() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send + 'static>(_: impl FnOnce(&'static T)) {}
    type Shared = Phone<Arc<dyn PhoneStore + Send + Sync>, HttpTransport>;
    fn goes_to_another_thread<F: Send>(_: F) {}
    shared::<Shared>();
    sent::<Shared>(|phone| goes_to_another_thread(phone.sync(LONG)));
}
