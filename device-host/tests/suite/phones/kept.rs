// SPDX-License-Identifier: Apache-2.0

//! A server that says that a device cannot be enrolled may be wrong, or lie. What was sealed with the device is not given up for that.

use hashchain::{DeviceId, OpeningKey};
use mhealth_api::{Code, Key};
use mhealth_device_host::Standing;

use super::{
    enrolling::{cut_off, is_used, reconnect},
    memory::Memory,
    seal, Desk, TestPhone, LONG,
};
use crate::support::{fakes::Trouble, world::code};

/// A phone that has sealed a night, whose device the chain has, and which was told neither that nor of any relay.
async fn enrolled_unheard(desk: &Desk) -> TestPhone<Memory> {
    let phone = desk.open_impatient().await;
    cut_off(desk, Trouble::LostAnswer);
    desk.enrol(&phone, "CODE").await.expect_err("no answer");
    reconnect(desk);
    assert!(is_used(desk, "CODE"));
    seal(&phone, "night 1").expect("it knows its study");
    phone
}

/// The same of one that was told its number, and knows a relay that proves nothing.
async fn enrolled_unproved(desk: &Desk) -> TestPhone<Memory> {
    let phone = desk.open_impatient().await;
    desk.relay.set().proves_nothing = true;
    let refused = desk.enrol(&phone, "CODE").await;
    assert_eq!(refused, Err("proof_unavailable".into()));
    seal(&phone, "night 1").expect("it knows its study");
    phone
}

/// The night is on the chain, as an entry of the one device that there is.
fn assert_registered(desk: &Desk, phone: &TestPhone<Memory>) {
    let status = phone.status().expect("read");
    assert_eq!((status.device, status.finalised), (Some(DeviceId(0)), 1));
    assert_eq!((status.left_behind, status.stopped), (0, None));
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (1, 0));
}

#[tokio::test]
async fn a_device_stays_when_its_server_says_that_its_key_is_in_use() {
    let desk = Desk::new().await;
    let phone = enrolled_unheard(&desk).await;
    let before = phone.status().expect("read");
    let claim = desk.world.state().codes[&*code("CODE").reveal()].clone();
    desk.world.forget(&code("CODE"));
    for _ in 0..2 {
        let refused = phone.sync(LONG).await.expect_err("not redeemed");
        assert_eq!(refused.code(), "key_in_use");
        let refused = desk.enrol(&phone, "CODE").await;
        assert_eq!(refused, Err("key_in_use".into()));
    }
    let status = phone.status().expect("read");
    assert_eq!((status.key, status.sealed), (before.key, 1));
    assert_eq!((status.left_behind, status.stopped), (0, None));
    assert_eq!(status.advice.code(), "tell_study");

    // The server remembers.
    let remembered = code("CODE").reveal().to_string();
    desk.world.state().codes.insert(remembered, claim);
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_registered(&desk, &phone);
}

#[tokio::test]
async fn a_relay_proves_the_device_that_its_server_refuses() {
    for refusal in [Code::KeyInUse, Code::OtherAuditorEpoch, Code::UnknownCode] {
        let desk = Desk::new().await;
        let phone = enrolled_unproved(&desk).await;
        match refusal {
            Code::KeyInUse => desk.world.forget(&code("CODE")),
            Code::OtherAuditorEpoch => {
                let auditor = OpeningKey::from_bytes(&[0x17; 32]).sealing_key().0;
                desk.world.state().auditor = Some((Key(auditor), 1));
            }
            _ => desk.world.state().codes.clear(),
        }
        let refused = phone.sync(LONG).await.expect_err("nobody proves it yet");
        assert_eq!(refused.code(), refusal.as_str());
        desk.relay.set().proves_nothing = false;
        assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
        assert_registered(&desk, &phone);
    }
}

#[tokio::test]
async fn a_device_that_a_relay_proves_uses_no_other_code() {
    let desk = Desk::new().await;
    let phone = enrolled_unproved(&desk).await;
    desk.world.forget(&code("CODE"));
    desk.relay.set().proves_nothing = false;
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("already_enrolled".into()));
    assert!(!is_used(&desk, "SECOND"));
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_registered(&desk, &phone);
}

#[tokio::test]
async fn a_device_whose_number_was_told_stays_until_somebody_proves_what_became_of_it() {
    let desk = Desk::new().await;
    let phone = enrolled_unproved(&desk).await;
    desk.world.forget(&code("CODE"));
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("key_in_use".into()));
    let status = phone.status().expect("read");
    assert_eq!((status.sealed, status.left_behind), (1, 0));
    desk.relay.set().proves_nothing = false;
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_registered(&desk, &phone);
}

#[tokio::test]
async fn a_device_that_nobody_proves_makes_room_for_another_code_and_keeps_its_night() {
    let desk = Desk::new().await;
    let phone = enrolled_unheard(&desk).await;
    desk.world.forget(&code("CODE"));
    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    let status = phone.status().expect("read");
    assert_eq!((status.sealed, status.left_behind), (0, 1));
    assert_eq!(phone.export_unenrolled().expect("read").len(), 1);
}

#[tokio::test]
async fn a_phone_that_was_interrupted_as_it_took_another_code_goes_on_with_it() {
    // After four requests the phone has kept the second code: it is told what both are for, and the first one is refused.
    for (requests, by_sync) in (1..=7).map(|it| (it, false)).chain([(4, true), (5, true)]) {
        let desk = Desk::new().await;
        let phone = enrolled_unheard(&desk).await;
        desk.world.forget(&code("CODE"));
        let broken = vec![Trouble::LostRequest; 1_000];
        desk.office
            .trouble(vec![Trouble::None; requests].into_iter().chain(broken));
        let _ = desk.enrol(&phone, "SECOND").await;
        drop(phone);
        reconnect(&desk);

        let phone = desk.open_impatient().await;
        if by_sync {
            let synced = phone.sync(LONG).await;
            assert_eq!(synced.expect("enrolled"), Standing::Level, "{requests}");
        } else {
            assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1), "{requests}");
        }
        assert!(is_used(&desk, "SECOND"));
        let status = phone.status().expect("read");
        assert_eq!((status.device, status.sealed), (Some(DeviceId(1)), 0));
        assert_eq!(status.left_behind, 1);
        assert_eq!(phone.export_unenrolled().expect("read").len(), 1);
    }
}
