// SPDX-License-Identifier: Apache-2.0

//! What people, clocks and browsers get wrong: each has a code and an advice, and nothing that was sealed is lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hashchain::StudyId;
use mhealth_device_host::{
    host::{Answer, Host, Request, Transport, TransportFault},
    Options, Phone, Standing, SystemEntropy,
};
use time::{macros::datetime, OffsetDateTime};

use super::{
    enrolling::{cut_off, reconnect},
    keystore,
    memory::Memory,
    open_with, seal, Desk, TestPhone, LONG,
};
use crate::support::{
    clock,
    fakes::Trouble,
    trial::{code, patience},
    StoppedClock,
};

impl Desk {
    /// The phone, whose clock stands at this time.
    async fn open_at(&self, time: OffsetDateTime) -> TestPhone<Memory> {
        let (keystore, entropy) = (self.keystore(), Arc::new(SystemEntropy));
        let clock = Arc::new(StoppedClock(time));
        let phone = open_with(patience(), clock, self.memory.clone(), &keystore, entropy);
        phone.await.expect("opened")
    }
}

#[tokio::test]
async fn a_code_of_another_study_is_refused_and_the_phone_goes_on_in_its_own() {
    for has_sealed in [false, true] {
        let desk = Desk::new().await;
        let phone = desk.open_impatient().await;
        // It knows what the code is for, and is not enrolled with it.
        cut_off(&desk, Trouble::LostRequest);
        desk.enrol(&phone, "CODE").await.expect_err("not redeemed");
        reconnect(&desk);
        if has_sealed {
            seal(&phone, "night 1").expect("it knows its study");
        }

        let asked = desk.office.received("/v1/enrol").len();
        desk.office.set().study = Some(StudyId(5));
        let refused = desk.enrol(&phone, "SECOND").await;
        assert_eq!(refused, Err("state_of_another_study".into()));
        let advice = phone.status().expect("read").advice;
        assert_eq!(advice.code(), "ask_for_code");
        assert_eq!(
            desk.office.received("/v1/enrol").len(),
            asked,
            "it is not used"
        );

        desk.office.set().study = None;
        // The code that it kept is its own study's. Nobody has to type it in again.
        assert_eq!(phone.sync(LONG).await.expect("enrolled"), Standing::Level);
        let status = phone.status().expect("read");
        assert_eq!(status.finalised, u64::from(has_sealed));
        assert_eq!(desk.on_chain(0), usize::from(has_sealed));
    }
}

#[tokio::test]
async fn an_address_that_is_spelled_otherwise_is_the_same_server() {
    let desk = Desk::new().await;
    let phone = desk.open_impatient().await;
    let code = code("CODE").reveal().to_string();
    desk.relay.set().proves_nothing = true;
    let spelled = format!(" {}//\n", desk.office.address);
    let begun = phone.enrol(&spelled, &code.to_lowercase(), LONG).await;
    assert_eq!(begun.expect_err("no proof").code(), "proof_unavailable");
    seal(&phone, "night 1").expect("it knows its study");
    desk.relay.set().proves_nothing = false;
    let device = phone.enrol(&desk.office.address, &code, LONG).await;
    assert_eq!(device.expect("enrolled").0, 0);
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!((desk.on_chain(0), desk.on_chain(1)), (1, 0));
}

#[tokio::test]
async fn a_phone_whose_clock_is_years_off_enrols_seals_and_sends() {
    for time in [
        datetime!(1904-01-01 00:00 UTC),
        datetime!(1970-01-01 00:00 UTC),
        datetime!(2093-05-06 07:08 UTC),
    ] {
        let desk = Desk::new().await;
        let phone = desk.open_at(time).await;
        assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0), "{time}");
        seal(&phone, "night 1").expect("sealed");
        assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
        drop(phone);
        // Somebody sets it.
        let phone = desk.open().await.expect("opened");
        seal(&phone, "night 2").expect("sealed");
        assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
        assert_eq!(desk.on_chain(0), 2, "{time}");
    }
}

#[tokio::test]
async fn what_was_noted_by_a_clock_that_was_years_ahead_is_due_within_an_hour() {
    let desk = Desk::new().await;
    let phone = desk.open_at(datetime!(2093-05-06 07:08 UTC)).await;
    desk.office.set().down = true;
    let code = code("CODE").reveal().to_string();
    let short = Duration::from_millis(200);
    let away = phone.enrol(&desk.office.address, &code, short).await;
    away.expect_err("nobody answers");
    drop(phone);
    let phone = desk.open().await.expect("opened");
    let next = phone.status().expect("read").next_try;
    let now = clock().0.unix_timestamp();
    assert!(next.is_some_and(|next| next <= now + 3_600), "{next:?}");
}

/// A way on which nothing gets to a server.
struct Shut(TransportFault);

impl Transport for Shut {
    async fn send(&self, _: Request) -> Result<Answer, TransportFault> {
        Err(self.0.clone())
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[tokio::test]
async fn what_no_trying_helps_against_is_named_at_once() {
    let wrong_time = |not_yet| TransportFault::WrongTime {
        not_yet,
        reason: "by this clock".into(),
    };
    let why = || "for a reason".to_owned();
    for (fault, code_of_fault, advice) in [
        (
            TransportFault::NotAllowed(why()),
            "origin_not_allowed",
            "tell_study",
        ),
        (
            TransportFault::Untrusted(why()),
            "certificate_not_trusted",
            "tell_study",
        ),
        (wrong_time(true), "certificate_not_valid_yet", "set_clock"),
        (wrong_time(false), "certificate_expired", "set_clock"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let host = Host {
            store: Memory::default(),
            transport: Shut(fault),
            clock: clock(),
            entropy: Arc::new(SystemEntropy),
        };
        let keystore = keystore(folder.path(), "own");
        let phone = Phone::open(host, &keystore, Options::default()).await;
        let phone = phone.expect("opened");
        let begun = Instant::now();
        let code = code("CODE").reveal().to_string();
        let refused = phone.enrol("https://auth.example.org", &code, LONG).await;
        let error = refused.expect_err("nobody is reached");
        assert_eq!(
            (error.code(), error.advice().code()),
            (code_of_fault, advice)
        );
        assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
        let status = phone.status().expect("read");
        assert_eq!(status.last_fault.as_deref(), Some(code_of_fault));
        assert_eq!(status.advice.code(), advice);
    }
}
