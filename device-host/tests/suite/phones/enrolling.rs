// SPDX-License-Identifier: Apache-2.0

//! What becomes of codes.

use hashchain::DeviceId;
use mhealth_device_host::Standing;

use super::{seal, Desk, LONG};

#[tokio::test]
async fn a_phone_is_enrolled_when_that_is_proved_and_not_before() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    desk.relay.set().proves_nothing = true;
    let refused = desk.enrol(&phone, "CODE").await;
    assert_eq!(refused, Err("proof_unavailable".into()));
    let status = phone.status().expect("read");
    assert_eq!((status.device, status.advice.code()), (None, "wait"));
    desk.relay.set().proves_nothing = false;
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    let device = phone.status().expect("read").device;
    assert_eq!(device, Some(DeviceId(0)));
}

#[tokio::test]
async fn a_number_that_a_server_made_up_is_forgotten_and_the_code_redeemed_again() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    desk.office.set().says_number = Some(DeviceId(99));
    let refused = desk.enrol(&phone, "CODE").await;
    assert_eq!(refused, Err("unknown_device".into()));
    assert_eq!(phone.status().expect("read").device, None);
    seal(&phone, "night 1").expect("it knows its study");

    desk.office.set().says_number = None;
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    let device = phone.status().expect("read").device;
    assert_eq!((device, desk.on_chain(0)), (Some(DeviceId(0)), 1));
}
