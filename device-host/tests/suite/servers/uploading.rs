// SPDX-License-Identifier: Apache-2.0

//! Runs on their way to relays that misbehave.

use axum::http::StatusCode;
use mhealth_api::{Code, DeviceStatus, Head};

use super::{fakes::Trouble, impatience, through, Trial};

#[tokio::test]
async fn everything_that_was_sealed_is_finalised_and_held_by_a_relay() {
    let trial = Trial::with_relays(1).await;
    trial.relays[0].set().slowness = 2;
    trial.seal(0..25);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
    trial.assert_held_by(&[0]);
}

#[tokio::test]
async fn what_is_sent_again_is_sent_with_identical_bytes() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    trial.relays[0].trouble([
        Trouble::LostAnswer,
        Trouble::Refused(Code::Overloaded, Some(0)),
        Trouble::Refused(Code::TooManyRequests, Some(0)),
        Trouble::Refused(Code::StorageUnavailable, None),
        Trouble::Refused(Code::Internal, None),
    ]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
    let bodies = trial.relays[0].received("/v1/runs");
    assert_eq!(bodies.len(), 6);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn a_relay_that_asks_to_be_left_alone_is_left_alone() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    let mut settings = trial.settings(1);
    settings.device.patience.longest_wait = std::time::Duration::from_secs(5);
    trial.relays[0].trouble([Trouble::Refused(Code::Overloaded, Some(1))]);
    let begun = std::time::Instant::now();
    assert_eq!(trial.upload_through(&through(settings)).await, Ok(vec![]));
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_is_left_alone_for_as_long_as_it_asks_beyond_the_usual_wait() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    trial.relays[0].trouble([Trouble::Refused(Code::Overloaded, Some(2))]);
    let begun = std::time::Instant::now();
    assert!(trial.settings(1).device.patience.longest_wait < std::time::Duration::from_secs(1));
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_asks_for_more_than_the_devices_patience_is_not_asked_again() {
    for code in [
        Code::Overloaded,
        Code::DeviceBytesUsed,
        Code::DeviceQueueFull,
    ] {
        let trial = Trial::with_relays(1).await;
        trial.seal(0..2);
        trial.relays[0].trouble([Trouble::Refused(code, Some(3_000))]);
        let begun = std::time::Instant::now();
        let mut settings = trial.settings(1);
        settings.device.patience.give_up = std::time::Duration::from_secs(20);
        let uploaded = trial.upload_through(&through(settings)).await;
        assert_eq!(uploaded, Err(code.as_str().into()));
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        assert_eq!(trial.relays[0].received("/v1/runs").len(), 1);
        assert_eq!(trial.phone().record().expect("a record").queued(), 2);
    }
}

#[tokio::test]
async fn another_relay_stands_in_for_one_that_is_away_busy_or_nonsense() {
    for trouble in [
        Trouble::LostRequest,
        Trouble::LostAnswer,
        Trouble::Refused(Code::Overloaded, Some(30)),
        Trouble::Refused(Code::UnknownIssuer, None),
        Trouble::Nonsense(StatusCode::OK),
        Trouble::Nonsense(StatusCode::NOT_FOUND),
        Trouble::Nonsense(StatusCode::BAD_GATEWAY),
        Trouble::OtherReceipt,
    ] {
        let trial = Trial::with_relays(2).await;
        trial.seal(0..4);
        let shown = format!("{trouble:?}");
        trial.relays[0].trouble(vec![trouble; 4]);
        assert_eq!(trial.upload(1).await, Ok(vec![]), "{shown}");
        trial.assert_level();
        trial.assert_held_by(&[1]);
    }
}

#[tokio::test]
async fn when_no_relay_helps_everything_stays_queued_and_the_reason_is_named() {
    for (trouble, code) in [
        (Trouble::LostRequest, "server_unreachable"),
        (Trouble::Refused(Code::Overloaded, None), "overloaded"),
        (
            Trouble::Refused(Code::WrongAudience, None),
            "wrong_audience",
        ),
        (Trouble::Nonsense(StatusCode::OK), "nonsense_answer"),
        (Trouble::OtherReceipt, "receipt_mismatch"),
    ] {
        let trial = Trial::with_relays(1).await;
        trial.seal(0..3);
        trial.relays[0].trouble(vec![trouble; 1_000]);
        let mut settings = trial.settings(1);
        settings.device.patience = impatience();
        assert_eq!(
            trial.upload_through(&through(settings)).await,
            Err(code.into())
        );
        assert_eq!(trial.phone().record().expect("a record").queued(), 3);
        trial.relays[0].set().troubles.clear();
        assert_eq!(trial.upload(1).await, Ok(vec![]));
        trial.assert_level();
    }
}

#[tokio::test]
async fn a_run_that_the_relay_accepted_and_lost_is_sent_again() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..4);
    trial.relays[0].trouble([Trouble::None, Trouble::Forgets]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_loses_everything_is_not_turned_to_again() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..4);
    trial.relays[0].trouble(vec![Trouble::Forgets; 100]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
    trial.assert_held_by(&[1]);
}

#[tokio::test]
async fn a_gap_is_filled_from_the_head_that_the_relay_names() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..6);
    // The relay answers 202 to the first run, and has forgotten it when the second one comes.
    trial.relays[0].trouble([Trouble::Forgets]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
    let bodies = trial.relays[0].received("/v1/runs");
    assert_eq!(bodies.len(), 5, "first, second with its gap, and all three");
    assert_eq!((&bodies[0], &bodies[1]), (&bodies[2], &bodies[3]));
}

#[tokio::test]
async fn a_refusal_by_the_relay_keeps_the_entries_queued() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..6);
    trial.relays[0].trouble([Trouble::None, Trouble::Refused(Code::StudyClosed, None)]);
    let refused = trial.upload(1).await.expect("answered");
    assert_eq!((refused.len(), refused[0].sequence), (1, 3));
    assert_eq!(refused[0].refusal.code, "study_closed");
    let record = trial.phone().record().expect("a record");
    assert_eq!(
        (record.confirmed, record.queued()),
        (2, 4),
        "what was before it is finalised"
    );
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_refusal_by_the_chain_keeps_the_entries_queued() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    trial.relays[0].set().slowness = 1;
    let servers = trial.servers(1);
    let refused = {
        let upload = trial.upload_through(&servers);
        let suspend = async {
            // After the relay has accepted it.
            while trial.relays[0].set().runs.is_empty() {
                tokio::task::yield_now().await;
            }
            trial.world.state().devices[0].status = DeviceStatus::Suspended;
        };
        tokio::join!(upload, suspend).0.expect("answered")
    };
    assert_eq!(refused[0].refusal.code, "device_suspended");
    assert_eq!(trial.phone().record().expect("a record").queued(), 2);
    trial.world.state().devices[0].status = DeviceStatus::Active;
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn each_run_reaches_as_many_relays_as_are_wanted() {
    let trial = Trial::with_relays(3).await;
    trial.seal(0..9);
    assert_eq!(trial.upload(2).await, Ok(vec![]));
    trial.assert_level();
    trial.assert_held_by(&[0, 1]);
    assert!(trial.relays[2].received("/v1/runs").is_empty());
    assert_eq!(trial.store.runs_short_of_copies().expect("counted"), 0);
}

#[tokio::test]
async fn a_copy_that_could_not_be_delivered_is_delivered_later_and_nothing_waits_for_it() {
    let trial = Trial::with_relays(2).await;
    let mut settings = trial.settings(2);
    settings.device.patience = impatience();
    let servers = through(settings);
    trial.relays[1].set().down = true;
    for nights in [0..4, 4..40, 40..43] {
        trial.seal(nights);
        assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
        trial.assert_level();
        trial.assert_held_by(&[0]);
    }
    assert_eq!(
        trial.store.runs_short_of_copies().expect("counted"),
        2 + 18 + 2
    );

    trial.relays[1].set().down = false;
    let before = trial.relays[0].received("/v1/runs").len();
    while trial.store.runs_short_of_copies().expect("counted") > 0 {
        assert_eq!(trial.upload(2).await, Ok(vec![]));
    }
    trial.assert_held_by(&[0, 1]);
    assert_eq!(
        trial.relays[0].received("/v1/runs").len(),
        before,
        "who has it is not asked again"
    );
}

#[tokio::test]
async fn too_few_relays_for_the_copies_are_named_before_anything_is_sent() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..1);
    assert_eq!(trial.upload(2).await, Err("too_few_relays".into()));
    assert!(trial.relays[0].received("/v1/runs").is_empty());
}

#[tokio::test]
async fn what_another_relay_registered_while_the_answer_was_lost_is_found() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..2);
    let mut settings = trial.settings(1);
    settings.device.patience = impatience();
    settings.device.relays.truncate(1);
    // The first relay takes the run, and goes away before anybody learns of it.
    trial.relays[0].trouble(vec![Trouble::LostAnswer; 100]);
    assert!(trial.upload_through(&through(settings)).await.is_err());
    let run = trial.relays[0]
        .set()
        .runs
        .values()
        .next()
        .expect("it took it")
        .0
        .clone();
    trial
        .world
        .state()
        .register(&run)
        .expect("it is the device's own");
    trial.relays[0].set().down = true;
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    assert!(
        trial.relays[1].received("/v1/runs").is_empty(),
        "it stands registered"
    );
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_has_not_seen_what_is_finalised_is_waited_for() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.seal(2..4);
    let mut behind = mhealth_api::Problem::new(Code::Gap);
    behind.head = Some(Head {
        length: 0,
        hash: trial.world.state().devices[0].genesis,
    });
    trial.relays[0].set().gaps = vec![behind.clone(), behind];
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_gap_after_the_last_possible_entry_is_a_refusal_and_no_overflow() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    let mut nonsense = mhealth_api::Problem::new(Code::Gap);
    nonsense.head = Some(Head {
        length: u64::MAX,
        hash: trial.world.state().devices[0].genesis,
    });
    trial.relays[0].set().gaps = vec![nonsense];
    let refused = trial.upload(1).await.expect("answered");
    assert_eq!(refused[0].refusal.code, "gap");
    assert_eq!(trial.phone().record().expect("a record").queued(), 2);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}
