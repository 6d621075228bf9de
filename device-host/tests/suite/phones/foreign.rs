// SPDX-License-Identifier: Apache-2.0

//! A head that is proved not to be a phone's own stops the phone, whatever relays keep to themselves.

use std::time::Duration;

use hashchain::DeviceId;
use mhealth_device_host::{FreezeReason, Standing};

use super::{seal, Desk, LONG};
use crate::support::fakes::Entries;

/// All that a relay may do instead of showing how the chain goes on.
const USELESS: [Entries; 5] = [
    Entries::FarAway,
    Entries::First,
    Entries::None,
    Entries::Refused,
    Entries::Silence,
];

const RESTORED: Standing = Standing::Frozen(FreezeReason::RestoredBackup);
const FOREIGN: Standing = Standing::Frozen(FreezeReason::ForeignHead);

#[tokio::test]
async fn a_phone_stops_though_no_relay_shows_how_the_chain_goes_on() {
    for shown in USELESS {
        let mut desk = Desk::new().await;
        let phone = desk.restored().await;
        desk.relay.set().entries = shown;
        let before = desk.relay.set().requests;
        let standing = phone.sync(Duration::from_secs(4)).await;
        assert_eq!(standing.expect("it is proved"), FOREIGN, "{shown:?}");
        let asked = desk.relay.set().requests - before;
        assert!(asked < 10, "{shown:?}: {asked} requests");
        let error = seal(&phone, "night 4").expect_err("stopped");
        assert_eq!(error.code(), "device_frozen", "{shown:?}");
        // It asks again, and is no worse off for it.
        let standing = phone.sync(Duration::from_secs(4)).await;
        assert_eq!(standing.expect("stopped"), FOREIGN, "{shown:?}");

        // Somebody shows it in the end.
        drop(phone);
        desk.relay.set().entries = Entries::Registered;
        let phone = desk.open().await.expect("opened");
        assert_eq!(phone.sync(LONG).await.expect("shown"), RESTORED);
        let status = phone.status().expect("read");
        assert_eq!(status.stopped, Some(FreezeReason::RestoredBackup));
        assert_eq!(status.advice.code(), "enrol_anew", "{shown:?}");
    }
}

#[tokio::test]
async fn another_relay_shows_what_the_first_one_does_not() {
    for shown in USELESS {
        let mut desk = Desk::new().await;
        let phone = desk.restored().await;
        let _other = desk.add_relay().await;
        desk.relay.set().entries = shown;
        let standing = phone.sync(Duration::from_secs(9)).await;
        assert_eq!(standing.expect("it is proved"), RESTORED, "{shown:?}");
    }
}

#[tokio::test]
async fn a_phone_that_is_stopped_for_entries_of_somebody_else_stays_so_for_that_reason() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    desk.world.forge(DeviceId(0));
    desk.world.forge(DeviceId(0));
    for relay_is_down in [false, false, true] {
        desk.relay.set().down = relay_is_down;
        let standing = phone.sync(Duration::from_secs(4)).await;
        assert_eq!(standing.expect("compared"), FOREIGN);
    }
}
