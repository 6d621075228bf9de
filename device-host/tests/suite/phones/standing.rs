// SPDX-License-Identifier: Apache-2.0

//! What stops a phone, and what comes after.

use std::time::Duration;

use hashchain::DeviceId;
use mhealth_api::{Code, DeviceStatus};
use mhealth_device_host::{FreezeReason, Standing};

use super::{seal, Desk, LONG};
use crate::support::{
    fakes::{Fake, Trouble},
    world::code,
};

const RETIRED: Standing = Standing::Frozen(FreezeReason::Retired);

#[tokio::test]
async fn a_restored_copy_stops_and_the_phone_begins_anew_with_another_code() {
    let mut desk = Desk::new().await;
    let phone = desk.restored().await;
    let standing = phone.sync(LONG).await.expect("compared");
    assert_eq!(standing, Standing::Frozen(FreezeReason::RestoredBackup));
    let status = phone.status().expect("read");
    assert_eq!(status.stopped, Some(FreezeReason::RestoredBackup));
    assert_eq!(status.advice.code(), "enrol_anew");
    assert_eq!(
        seal(&phone, "night 4").expect_err("stopped").code(),
        "device_frozen"
    );

    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    seal(&phone, "night 4").expect("sealed");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (3, 1));
}

#[tokio::test]
async fn a_foreign_head_stops_a_phone_whose_queue_can_still_be_taken_out() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    desk.world.forge(DeviceId(0));
    let standing = phone.sync(LONG).await.expect("compared");
    assert_eq!(standing, Standing::Frozen(FreezeReason::ForeignHead));
    assert_eq!(phone.status().expect("read").advice.code(), "tell_study");
    let runs = phone.export_queue().expect("read");
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].entries.len(), 1);
}

#[tokio::test]
async fn a_lying_relay_stops_nobody() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    phone.sync(LONG).await.expect("sent");
    desk.relay.forge(|proof| {
        let mut bytes = proof.to_bytes();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes
    });
    seal(&phone, "night 2").expect("sealed");
    let error = phone.sync(Duration::from_millis(500)).await;
    let error = error.expect_err("nobody proves anything");
    assert_eq!(
        phone.status().expect("read").stopped,
        None,
        "{}",
        error.code()
    );
    desk.relay.set().forger = None;
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
}

#[tokio::test]
async fn a_phone_that_the_chain_has_retired_stops_and_goes_on_with_another_code() {
    for started_again in [false, true] {
        let desk = Desk::new().await;
        let mut phone = desk.enrolled().await;
        seal(&phone, "night 1").expect("sealed");
        phone.sync(LONG).await.expect("sent");
        seal(&phone, "night 2").expect("sealed");
        desk.world.state().devices[0].status = DeviceStatus::Retired;
        if started_again {
            // It gets no token any more. Relays that it remembers prove why.
            drop(phone);
            phone = desk.open().await.expect("opened");
        }
        assert_eq!(phone.sync(LONG).await.expect("compared"), RETIRED);
        let status = phone.status().expect("read");
        assert_eq!(status.stopped, Some(FreezeReason::Retired));
        assert_eq!((status.finalised, status.advice.code()), (1, "enrol_anew"));
        assert_eq!(phone.export_queue().expect("read").len(), 1);

        desk.succeed(DeviceId(0), "SECOND");
        assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
        seal(&phone, "night 3").expect("sealed");
        assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
        assert_eq!((desk.on_chain(0), desk.on_chain(1)), (1, 1));
    }
}

#[tokio::test]
async fn a_retirement_stops_a_phone_when_it_comes_due_and_not_before() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    phone.sync(LONG).await.expect("sent");
    {
        // Nobody writes down that it holds from this block on.
        let mut state = desk.world.state();
        let due = state.block as u32 + 5;
        state.devices[0].status = DeviceStatus::Suspended;
        state.retires_at.insert(DeviceId(0), due);
    }
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    desk.world.state().block += 5;
    assert_eq!(phone.sync(LONG).await.expect("compared"), RETIRED);
}

#[tokio::test]
async fn a_servers_word_that_a_phone_is_retired_stops_nobody() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    phone.sync(LONG).await.expect("level");
    drop(phone);
    let phone = desk.open().await.expect("opened");
    desk.office
        .trouble([Trouble::Refused(Code::DeviceRetired, None)]);
    let refused = phone.sync(LONG).await.expect_err("no token");
    assert_eq!(
        (refused.code(), refused.advice().code()),
        ("retirement_not_proved", "tell_study")
    );
    assert_eq!(phone.status().expect("read").stopped, None);
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
}

/// The study has other relays from now on.
async fn replace_relays(desk: &Desk) -> Fake {
    let relay = Fake::relay(&desk.world).await;
    desk.office.set().relays = vec![relay.address.clone()];
    desk.relay.set().down = true;
    relay
}

#[tokio::test]
async fn a_phone_asks_where_relays_are_when_none_that_it_knows_answers() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    phone.sync(LONG).await.expect("level");
    let relay = replace_relays(&desk).await;
    seal(&phone, "night 1").expect("sealed");
    let short = Duration::from_millis(500);
    phone.sync(short).await.expect_err("nobody answers");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!(relay.received("/v1/runs").len(), 1);

    // The server away, too: those that are known may be back.
    relay.set().down = true;
    seal(&phone, "night 2").expect("sealed");
    phone.sync(short).await.expect_err("nobody answers");
    desk.office.set().down = true;
    relay.set().down = false;
    let standing = phone.sync(Duration::from_secs(6)).await;
    assert_eq!(standing.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 2);
}

#[tokio::test]
async fn a_phone_that_is_cut_off_asks_where_relays_are_once_until_it_has_tried_one() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    phone.sync(LONG).await.expect("level");
    seal(&phone, "night 1").expect("sealed");
    let asked = || desk.office.received("/v1/token").len();
    let before = asked();
    // The only relay there is wants to be left alone for longer than these calls take.
    let rest = Trouble::Refused(Code::Overloaded, Some(600));
    desk.relay.trouble([rest]);
    for times in [0, 1, 1, 1] {
        let short = Duration::from_millis(500);
        phone.sync(short).await.expect_err("it is left alone");
        assert_eq!(asked() - before, times);
    }
}

#[tokio::test]
async fn a_retired_phone_whose_relays_are_gone_is_told_who_proves_it() {
    for started_again in [false, true] {
        let desk = Desk::new().await;
        let mut phone = desk.enrolled().await;
        phone.sync(LONG).await.expect("level");
        seal(&phone, "night 1").expect("sealed");
        let _relay = replace_relays(&desk).await;
        desk.world.state().devices[0].status = DeviceStatus::Retired;
        match started_again {
            true => {
                drop(phone);
                phone = desk.open().await.expect("opened");
            }
            false => {
                let short = Duration::from_millis(500);
                phone.sync(short).await.expect_err("nobody answers");
            }
        }
        assert_eq!(phone.sync(LONG).await.expect("compared"), RETIRED);
        let status = phone.status().expect("read");
        assert_eq!((status.queued, status.advice.code()), (1, "enrol_anew"));
        desk.succeed(DeviceId(0), "SECOND");
        assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    }
}

#[tokio::test]
async fn a_retirement_that_nobody_proves_is_told_as_somebodys_word() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    phone.sync(LONG).await.expect("level");
    seal(&phone, "night 1").expect("sealed");
    drop(phone);
    desk.world.state().devices[0].status = DeviceStatus::Retired;
    desk.succeed(DeviceId(0), "SECOND");
    let relay = replace_relays(&desk).await;
    relay.set().down = true;

    // It has more patience with relays than a call has time.
    let phone = desk.open().await.expect("opened");
    let second = code("SECOND").reveal();
    let short = Duration::from_secs(3);
    let synced = phone.sync(short).await.expect_err("no proof");
    let enrolled = phone.enrol(&desk.office.address, &second, short).await;
    for refused in [synced, enrolled.expect_err("no proof")] {
        assert_eq!(refused.code(), "retirement_not_proved");
        assert!(refused.may_pass());
    }
    let status = phone.status().expect("read");
    assert_eq!(status.last_fault.as_deref(), Some("retirement_not_proved"));
    assert_eq!((status.stopped, status.queued), (None, 1));
    assert_eq!(status.advice.code(), "tell_study");
    assert!(status.next_try.is_some());
    seal(&phone, "night 2").expect("it was not stopped");

    relay.set().down = false;
    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    assert_eq!(phone.status().expect("read").left_behind, 2);
}

#[tokio::test]
async fn what_a_stopped_device_had_not_sent_is_not_forgotten_after_a_new_enrolment() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    for night in ["night 1", "night 2"] {
        seal(&phone, night).expect("sealed");
    }
    desk.world.forge(DeviceId(0));
    phone.sync(LONG).await.expect("compared");
    let status = phone.status().expect("read");
    assert_eq!((status.queued, status.left_behind), (2, 0));

    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    seal(&phone, "night 3").expect("sealed");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    let status = phone.status().expect("read");
    assert_eq!((status.queued, status.left_behind), (0, 2));
    assert_eq!((status.stopped, status.advice.code()), (None, "hand_over"));

    // A new entry brings nothing new to hand over.
    assert_eq!(phone.export_queue().expect("read").len(), 1);
    for _ in 0..2 {
        let status = phone.status().expect("read");
        let told = (status.left_behind, status.advice.code());
        assert_eq!(told, (2, "handed_over"));
        phone.sync(LONG).await.expect("level");
    }
    seal(&phone, "night 4").expect("sealed");
    desk.relay.set().down = true;
    let short = Duration::from_millis(300);
    phone.sync(short).await.expect_err("nobody answers");
    assert_eq!(phone.status().expect("read").advice.code(), "wait");
    desk.relay.set().down = false;
    phone.sync(LONG).await.expect("level");
    assert_eq!(phone.status().expect("read").advice.code(), "handed_over");
    drop(phone);
    let phone = desk.open().await.expect("opened");
    assert_eq!(phone.status().expect("read").left_behind, 2);
}
