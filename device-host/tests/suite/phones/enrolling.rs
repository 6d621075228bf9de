// SPDX-License-Identifier: Apache-2.0

//! What becomes of codes.

use std::sync::Arc;

use hashchain::{DeviceId, OpeningKey};
use mhealth_api::{Code, DeviceStatus, EnrolmentCode, Key};
use mhealth_device_host::{FreezeReason, Standing, SystemEntropy};

use super::{memory::Memory, open, seal, Desk, TestPhone, LONG};
use crate::support::{
    fakes::{Fake, Trouble},
    world::{code, code_for},
};

/// What the server was asked for is done or not, and nobody hears of it, once what the code is for was told twice.
pub(super) fn cut_off(desk: &Desk, trouble: Trouble) {
    let told = [Trouble::None, Trouble::None];
    desk.office
        .trouble(told.into_iter().chain(vec![trouble; 1_000]));
}

pub(super) fn reconnect(desk: &Desk) {
    desk.office.set().troubles.clear();
}

/// A phone whose code did not get to the server, and that has sealed a night since.
pub(super) async fn unredeemed(desk: &Desk) -> TestPhone<Memory> {
    let phone = desk.open_impatient().await;
    cut_off(desk, Trouble::LostRequest);
    desk.enrol(&phone, "CODE").await.expect_err("not redeemed");
    reconnect(desk);
    seal(&phone, "night 1").expect("it knows its study");
    phone
}

async fn enrol(
    desk: &Desk,
    phone: &TestPhone<Memory>,
    code: &EnrolmentCode,
) -> Result<u32, String> {
    let enrolled = phone
        .enrol(&desk.office.address, &code.reveal(), LONG)
        .await;
    let enrolled = enrolled.map(|number| number.0);
    enrolled.map_err(|error| error.code().to_owned())
}

pub(super) fn is_used(desk: &Desk, name: &str) -> bool {
    desk.world.state().codes[&*code(name).reveal()]
        .used_for
        .is_some()
}

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

#[tokio::test]
async fn a_code_that_another_phone_used_leaves_nothing_behind() {
    let desk = Desk::new().await;
    let _other = desk.enrolled().await;
    let memory = Memory::default();
    for _ in 0..2 {
        let phone = open(memory.clone(), &desk.keystore(), Arc::new(SystemEntropy)).await;
        let phone = phone.expect("opened");
        let refused = desk.enrol(&phone, "CODE").await;
        assert_eq!(refused, Err("code_used".into()));
        let status = phone.status().expect("read");
        assert_eq!((status.study, status.key), (None, None));
        assert_eq!(status.advice.code(), "ask_for_code");
        let error = seal(&phone, "night 1").expect_err("no study");
        assert_eq!(error.code(), "not_enrolled");
    }
    let phone = open(memory, &desk.keystore(), Arc::new(SystemEntropy)).await;
    let phone = phone.expect("opened");
    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    seal(&phone, "night 1").expect("sealed");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (0, 1));
}

#[tokio::test]
async fn a_phone_that_was_stopped_stays_so_when_the_next_code_is_of_no_use() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    seal(&phone, "night 1").expect("sealed");
    desk.world.forge(DeviceId(0));
    phone.sync(LONG).await.expect("compared");
    let keystore = desk.keystore();
    let other = open(Memory::default(), &keystore, Arc::new(SystemEntropy));
    let other = other.await.expect("opened");
    assert_eq!(desk.enrol(&other, "SECOND").await, Ok(1));
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("code_used".into()));
    let stopped = phone.status().expect("read").stopped;
    assert_eq!(stopped, Some(FreezeReason::ForeignHead));
    assert_eq!(phone.export_queue().expect("read").len(), 1);
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_tried_before_another_one() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    cut_off(&desk, Trouble::LostAnswer);
    let lost = desk.enrol(&phone, "CODE").await;
    assert_eq!(lost, Err("server_unreachable".into()));
    assert!(is_used(&desk, "CODE"));
    reconnect(&desk);
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("already_enrolled".into()));
    let status = phone.status().expect("read");
    assert_eq!(
        (status.device, status.advice.code()),
        (Some(DeviceId(0)), "wait")
    );
    assert!(!is_used(&desk, "SECOND"));
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
    assert_eq!(phone.status().expect("read").advice.code(), "nothing");
}

#[tokio::test]
async fn another_code_is_redeemed_when_the_one_before_is_of_no_use_and_keeps_the_nights() {
    let desk = Desk::new().await;
    let phone = unredeemed(&desk).await;
    let staff = desk.world.state().codes.remove(&*code("CODE").reveal());
    assert!(staff.is_some_and(|issued| issued.used_for.is_none()));
    let refused = phone.sync(LONG).await.expect_err("revoked");
    assert_eq!(refused.advice().code(), "ask_for_code");
    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(0));
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 1);
}

#[tokio::test]
async fn a_phone_whose_first_server_is_gone_is_enrolled_at_another_one() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    cut_off(&desk, Trouble::LostRequest);
    desk.enrol(&phone, "CODE").await.expect_err("not redeemed");
    desk.office.set().down = true;
    let office = Fake::office(&desk.world).await;
    office.set().relays = vec![desk.relay.address.clone()];
    let second = code("SECOND").reveal();
    let enrolled = phone.enrol(&office.address, &second, LONG).await;
    assert_eq!(enrolled.expect("enrolled"), DeviceId(0));
}

#[tokio::test]
async fn a_phone_that_was_retired_before_its_enrolment_was_proved_takes_the_next_code() {
    for (knows_relays, goes_on, nights) in [
        (false, true, 0),
        (false, true, 1),
        (false, false, 0),
        (false, false, 1),
        (true, true, 0),
        (true, true, 1),
        (true, false, 1),
    ] {
        let desk = Desk::new().await;
        let phone = desk.open_impatient().await;
        match knows_relays {
            // It got a token, with which relays are named, and no proof.
            true => desk.relay.set().proves_nothing = true,
            false => cut_off(&desk, Trouble::LostAnswer),
        }
        desk.enrol(&phone, "CODE").await.expect_err("not proved");
        assert!(is_used(&desk, "CODE"));
        for _ in 0..nights {
            seal(&phone, "night 1").expect("it knows its study");
        }
        drop(phone);
        reconnect(&desk);
        desk.relay.set().proves_nothing = false;
        desk.world.state().devices[0].status = DeviceStatus::Retired;
        if goes_on {
            desk.succeed(DeviceId(0), "SECOND");
        }
        if !knows_relays {
            // The server names nobody either who proves it.
            let told = [Trouble::None, Trouble::None, Trouble::None];
            let refused = Trouble::Refused(Code::DeviceRetired, None);
            desk.office.trouble(told.into_iter().chain([refused]));
        }

        let case = format!("{knows_relays}, {goes_on}, {nights}");
        let phone = desk.open_impatient().await;
        assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1), "{case}");
        seal(&phone, "night 2").expect("sealed");
        assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
        assert_eq!((desk.on_chain(0), desk.on_chain(1)), (0, 1), "{case}");
        // What was sealed before can be taken out.
        let status = phone.status().expect("read");
        assert_eq!((status.queued, status.left_behind), (0, nights), "{case}");
    }
}

#[tokio::test]
async fn a_night_is_not_given_up_for_the_code_of_another_device_when_nobody_proves_the_retirement()
{
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    cut_off(&desk, Trouble::LostAnswer);
    desk.enrol(&phone, "CODE").await.expect_err("not proved");
    seal(&phone, "night 1").expect("it knows its study");
    reconnect(&desk);
    let keystore = desk.keystore();
    let other = open(Memory::default(), &keystore, Arc::new(SystemEntropy));
    let other = other.await.expect("opened");
    desk.world.issue(&code("OTHER"), None);
    assert_eq!(desk.enrol(&other, "OTHER").await, Ok(1));

    desk.world.state().devices[0].status = DeviceStatus::Retired;
    desk.relay.set().proves_nothing = true;
    desk.succeed(DeviceId(1), "SECOND");
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("device_retired".into()));
    assert!(!is_used(&desk, "SECOND"));
    let status = phone.status().expect("read");
    assert_eq!((status.sealed, status.left_behind), (1, 0));
}

#[tokio::test]
async fn a_device_with_an_escrow_for_a_former_auditor_makes_room_for_another() {
    for nights in 0..2 {
        let desk = Desk::new().await;
        let phone = desk.open_impatient().await;
        cut_off(&desk, Trouble::LostRequest);
        desk.enrol(&phone, "CODE").await.expect_err("not redeemed");
        reconnect(&desk);
        for night in 0..nights {
            seal(&phone, &format!("night {night}")).expect("it knows its study");
        }
        let before = phone.status().expect("read").key;
        let auditor = OpeningKey::from_bytes(&[0x17; 32]).sealing_key().0;
        desk.world.state().auditor = Some((Key(auditor), 1));
        let mut code = "CODE";
        if nights > 0 {
            // What was sealed is not given up for a server's word, until somebody enters another code.
            let refused = phone.sync(LONG).await.expect_err("not redeemed");
            assert_eq!(refused.code(), "other_auditor_epoch");
            let refused = desk.enrol(&phone, code).await;
            assert_eq!(refused, Err("other_auditor_epoch".into()));
            let status = phone.status().expect("read");
            assert_eq!((status.key, status.sealed), (before, nights));
            code = "SECOND";
            assert_eq!(desk.enrol(&phone, code).await, Ok(0));
        }
        // Without anything, by itself: the code was not used yet.
        assert_eq!(phone.sync(LONG).await.expect("level"), Standing::Level);
        let status = phone.status().expect("read");
        assert_ne!(status.key, before);
        assert_eq!((status.device, status.sealed), (Some(DeviceId(0)), 0));
        assert_eq!(status.left_behind, nights);
        assert_eq!(desk.enrol(&phone, code).await, Ok(0));
    }
}

#[tokio::test]
async fn the_right_code_is_taken_after_a_night_that_was_sealed_on_the_wrong_one() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    let [wrong, right] = [3, 4].map(|seed| {
        let key = Key(OpeningKey::from_bytes(&[seed; 32]).sealing_key().0);
        let code = code_for(&format!("CODE {seed}"), Some(&key));
        desk.world.issue(&code, Some(key));
        code
    });
    cut_off(&desk, Trouble::LostRequest);
    enrol(&desk, &phone, &wrong)
        .await
        .expect_err("not redeemed");
    reconnect(&desk);
    seal(&phone, "night 1").expect("it knows its study");
    // Staff take it back. Until then it would be redeemed first.
    let staff = desk.world.state().codes.remove(&*wrong.reveal());
    assert!(staff.is_some());
    assert_eq!(enrol(&desk, &phone, &right).await, Ok(0));
    seal(&phone, "night 1").expect("sealed for the right person");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 1);

    // The first night is on the phone, and can be read by whom it was sealed for.
    let status = phone.status().expect("read");
    assert_eq!((status.queued, status.left_behind), (0, 1));
    assert_eq!(status.advice.code(), "hand_over");
    assert!(phone.export_queue().expect("read").is_empty());
    assert_eq!(phone.status().expect("read").advice.code(), "hand_over");
    let runs = phone.export_unenrolled().expect("read");
    let [run] = runs.as_slice() else {
        panic!("{runs:?}");
    };
    let envelope = &run.entries[0].envelope.0;
    let opened = hashchain::open_envelope(
        &OpeningKey::from_bytes(&[3; 32]),
        &run.device_key.0,
        run.sequence,
        envelope,
    );
    let opened = opened.expect("it is the key of the first code");
    assert_eq!(opened.content().payload(), b"payload of night 1");
    let status = phone.status().expect("read");
    let told = (status.left_behind, status.advice.code());
    assert_eq!(told, (1, "handed_over"));
}

#[tokio::test]
async fn an_enrolled_phone_uses_no_other_code_until_the_chain_has_retired_its_device() {
    let desk = Desk::new().await;
    let phone = desk.enrolled().await;
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("already_enrolled".into()));
    desk.succeed(DeviceId(0), "SECOND");
    let refused = desk.enrol(&phone, "SECOND").await;
    assert_eq!(refused, Err("predecessor_not_retired".into()));
    assert!(!is_used(&desk, "SECOND"));
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    assert_eq!(
        desk.enrol(&phone, "OTHER").await,
        Err("unknown_code".into())
    );

    desk.world.state().devices[0].status = DeviceStatus::Retired;
    assert_eq!(desk.enrol(&phone, "SECOND").await, Ok(1));
    seal(&phone, "night 1").expect("sealed");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (0, 1));
}
