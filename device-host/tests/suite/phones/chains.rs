// SPDX-License-Identifier: Apache-2.0

//! A phone enrols on the chain that its code and its app are for, whatever its server says.

use std::sync::Arc;

use hashchain::OpeningKey;
use mhealth_api::{EnrolmentCode, Hash, Key};
use mhealth_device_host::{
    host::Host, servers::Certificates, HttpTransport, Options, Phone, Standing, SystemEntropy,
};

use super::{enrolling::unredeemed, memory::Memory, seal, Desk, TestPhone, LONG};
use crate::support::{
    clock, terms,
    trial::impatience,
    world::{code_for, code_on},
};

/// A chain of somebody who has every key of it.
const THIEFS: Hash = Hash([7; 32]);

impl Desk {
    /// The phone of an app that names a chain.
    async fn open_for(&self, chain: [u8; 32]) -> TestPhone<Memory> {
        let host = Host {
            store: self.memory.clone(),
            transport: HttpTransport::new(LONG, &Certificates::default(), 8).expect("a client"),
            clock: clock(),
            entropy: Arc::new(SystemEntropy),
        };
        let options = Options {
            chain: Some(chain),
            patience: impatience(),
            ..Options::default()
        };
        let opened = Phone::open(host, &self.keystore(), options).await;
        opened.expect("opened")
    }
}

async fn enrol(desk: &Desk, phone: &TestPhone<Memory>, code: &EnrolmentCode) -> String {
    let refused = phone
        .enrol(&desk.office.address, &code.reveal(), LONG)
        .await;
    refused.expect_err("another chain").code().to_owned()
}

/// Nothing was made of the code.
fn assert_untouched(desk: &Desk, phone: &TestPhone<Memory>) {
    let status = phone.status().expect("read");
    assert_eq!((status.study, status.key), (None, None));
    assert_eq!(status.advice.code(), "tell_study");
    assert!(desk.office.received("/v1/enrol").is_empty());
}

#[tokio::test]
async fn a_server_that_names_another_chain_is_found_out_by_the_code() {
    let key = Key(OpeningKey::from_bytes(&[3; 32]).sealing_key().0);
    for key in [None, Some(key)] {
        let desk = Desk::new().await;
        let code = code_for("PINNED", key.as_ref());
        desk.world.issue(&code, key);
        let phone = desk.open().await.expect("opened");
        desk.office.set().chain = Some(THIEFS);
        let refused = enrol(&desk, &phone, &code).await;
        assert_eq!(refused, "another_participant_key");
        assert_untouched(&desk, &phone);
        desk.office.set().chain = None;
        let code = code.reveal();
        let enrolled = phone.enrol(&desk.office.address, &code, LONG).await;
        assert_eq!(enrolled.expect("enrolled").0, 0);
    }
}

#[tokio::test]
async fn a_server_that_makes_codes_for_another_chain_is_found_out_by_the_app() {
    let desk = Desk::new().await;
    let code = code_on(&THIEFS, "THIEFS", None);
    desk.world.issue(&code, None);
    desk.office.set().chain = Some(THIEFS);
    let phone = desk.open_for(terms().chain).await;
    assert_eq!(enrol(&desk, &phone, &code).await, "another_chain");
    assert_untouched(&desk, &phone);
    desk.office.set().chain = None;
    assert_eq!(desk.enrol(&phone, "CODE").await, Ok(0));
    seal(&phone, "night 1").expect("sealed");
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
}

#[tokio::test]
async fn an_app_that_names_another_chain_than_its_phone_is_on_sends_nothing() {
    let desk = Desk::new().await;
    drop(unredeemed(&desk).await);
    let asked = desk.office.set().requests;
    let phone = desk.open_for(THIEFS.0).await;
    for code in ["CODE", "SECOND"] {
        let refused = desk.enrol(&phone, code).await;
        assert_eq!(refused, Err("state_of_another_chain".into()));
    }
    let refused = phone.sync(LONG).await.expect_err("another chain");
    assert_eq!(refused.code(), "state_of_another_chain");
    assert_eq!(desk.office.set().requests, asked);
    drop(phone);
    // Nothing is lost.
    let phone = desk.open_for(terms().chain).await;
    assert_eq!(phone.sync(LONG).await.expect("sent"), Standing::Level);
    assert_eq!(desk.on_chain(0), 1);
}
