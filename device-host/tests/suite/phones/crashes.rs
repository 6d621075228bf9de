// SPDX-License-Identifier: Apache-2.0

//! A phone that is killed at any write, cut off at any await, or has no room, loses and doubles nothing.

use std::{
    collections::BTreeMap,
    future::{poll_fn, Future},
    pin::pin,
    task::Poll,
};

use mhealth_api::RunUpload;
use mhealth_device_host::{Sealed, Standing};

use super::{memory::Death, seal, Desk, LONG};
use crate::support::proofs::authority;

const NIGHTS: [&str; 3] = ["night 1", "night 2", "night 3"];

/// All that a phone does in its first days; whatever fails is left where it is.
async fn live(desk: &Desk) {
    let Ok(phone) = desk.open().await else {
        return;
    };
    let _ = desk.enrol(&phone, "CODE").await;
    for night in NIGHTS {
        let _ = seal(&phone, night);
        let _ = phone.sync(LONG).await;
        if desk.memory.is_dead() {
            return;
        }
    }
}

/// What was sent twice is the same twice.
fn assert_identical(desk: &Desk) {
    let mut sent: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for body in desk.relay.received("/v1/runs") {
        let run: RunUpload = serde_json::from_slice(&body).expect("an upload");
        let before = sent.entry(run.sequence).or_insert_with(|| body.to_vec());
        assert_eq!(*before, body, "another run of entry {}", run.sequence);
    }
    let mut enrolments = desk.office.received("/v1/enrol");
    enrolments.dedup();
    assert_eq!(
        enrolments.len(),
        1,
        "the enrolment was sent with other bytes"
    );
}

#[tokio::test]
async fn a_phone_that_is_killed_at_any_write_loses_and_doubles_nothing() {
    let mut deaths = 0;
    for place in 0.. {
        let mut survived = true;
        for death in [Death::Before(place), Death::After(place)] {
            let mut desk = Desk::new().await;
            desk.memory = desk.memory.revived(Some(death));
            live(&desk).await;
            if desk.memory.is_dead() {
                (survived, deaths) = (false, deaths + 1);
            }
            desk.memory = desk.memory.revived(None);
            live(&desk).await;
            let phone = desk.open().await.expect("it is whole");
            let status = phone.status().expect("read");
            assert_eq!((status.sealed, status.finalised), (3, 3), "{death:?}");
            assert_eq!((desk.on_chain(0), desk.on_chain(1)), (3, 0), "{death:?}");
            assert_identical(&desk);
        }
        if survived {
            break;
        }
    }
    eprintln!("{deaths} deaths");
    assert!(deaths > 20);
}

#[tokio::test]
async fn a_phone_whose_sync_is_dropped_at_any_await_goes_on() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    let mut whole = 0;
    for polls in 1..60 {
        let source = format!("night {polls}");
        assert!(matches!(seal(&phone, &source), Ok(Sealed::New(_))));
        {
            let mut sync = pin!(phone.sync(LONG));
            let mut left = polls;
            let cut = poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(None);
                }
                left -= 1;
                sync.as_mut().poll(context).map(Some)
            });
            whole += u32::from(cut.await.is_some());
        }
        assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
        assert_eq!(desk.on_chain(0), polls);
    }
    assert!(whole > 0, "no sync was long enough to be cut at its end");
    assert_identical(&desk);
}

#[tokio::test]
async fn a_phone_without_room_says_so_and_seals_when_there_is_some() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    desk.memory.is_full(true);
    let error = seal(&phone, "night 1").expect_err("no room");
    assert_eq!(
        (error.code(), error.advice().code()),
        ("state_disk_full", "make_room")
    );
    desk.memory.is_full(false);
    assert!(matches!(seal(&phone, "night 1"), Ok(Sealed::New(_))));
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    assert_eq!(desk.on_chain(0), 1);
}

#[tokio::test]
async fn authorities_that_were_proved_without_room_are_kept_when_there_is_some() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    desk.world.hand_over();
    let newest = authority(1, 0).verifying_key().to_bytes();
    desk.memory.is_full(true);
    let error = phone.sync(LONG).await.expect_err("no room");
    assert_eq!(error.code(), "state_disk_full");
    desk.memory.is_full(false);
    assert!(!desk.memory.holds(&newest));
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    assert!(desk.memory.holds(&newest));
}
