// SPDX-License-Identifier: Apache-2.0

//! Codes and tokens.

use std::time::Duration;

use hashchain::{participant_digest, DeviceId, LinkHash, Native, OpeningKey, StudyId};
use mhealth_api::{Code, DeviceStatus, Hash, Key, Predecessor};
use mhealth_device_host::{
    chain::Chain,
    fleet::{enrol_all, upload_all},
    payload::Participant,
    servers::{authentication_server, AuthenticationServer, Certificates, Servers},
    store::FreezeReason,
    Device, Store,
};

use super::{
    address, code,
    fakes::{Fake, Trouble},
    impatience, settings, through,
    world::{code_for, World},
    Trial,
};
use crate::{clock, device, rng, seal, store_in_memory};

fn server(office: &Fake) -> AuthenticationServer {
    let patience = impatience();
    authentication_server(address(office), patience, &Certificates::default(), clock())
        .expect("a client")
}

async fn enrol(store: &Store, servers: &Servers) -> Vec<String> {
    let refused = enrol_all(store, servers, |_| ()).await.expect("answered");
    refused
        .into_iter()
        .map(|refused| refused.refusal.code)
        .collect()
}

#[tokio::test]
async fn a_device_enrols_with_its_code_which_is_erased_when_that_is_proved() {
    let world = World::with_codes(&["ABCD-EFGH"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("ABCD-EFGH")))
        .expect("kept");
    assert_eq!(
        enrol(&store, &through(settings(&office, &[], 1))).await,
        [""; 0]
    );
    let said = phone.record().expect("a record");
    assert_eq!((said.number, said.proved), (Some(DeviceId(0)), false));
    assert!(store.code(phone.id()).expect("read").is_some());
    // A relay proves what the server said. Only then the code is worth nothing any more.
    let relay = Fake::relay(&world).await;
    let servers = through(settings(&office, &[&relay], 1));
    phone.sync(&servers).await.expect("compared");
    let proved = phone.record().expect("a record");
    assert_eq!((proved.number, proved.proved), (Some(DeviceId(0)), true));
    assert_eq!(store.code(phone.id()).expect("read"), None);
    let state = world.state();
    assert_eq!(
        state.devices[0].genesis,
        phone.record().expect("a record").genesis
    );
}

#[tokio::test]
async fn an_enrolment_whose_answer_was_lost_is_asked_for_again_with_identical_bytes() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    let busy = Trouble::Refused(Code::ChainUnavailable, Some(0));
    office.trouble([
        Trouble::LostRequest,
        Trouble::None,
        busy,
        Trouble::LostAnswer,
    ]);
    assert_eq!(
        enrol(&store, &through(settings(&office, &[], 1))).await,
        [""; 0]
    );
    let bodies = office.received("/v1/enrol");
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(world.state().devices.len(), 1);
}

#[tokio::test]
async fn a_phone_that_was_killed_before_the_answer_enrols_with_the_code_that_it_kept() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    let mut hasty = settings(&office, &[], 1);
    hasty.device.patience.give_up = Duration::ZERO;
    office.trouble([Trouble::None, Trouble::LostAnswer]);
    let fault = enrol_all(&store, &through(hasty), |_| ())
        .await
        .expect_err("lost");
    assert_eq!(fault.code(), "server_unreachable");
    assert_eq!(phone.record().expect("a record").number, None);
    // The code counts as used now; the next program finds that it was used for this device.
    assert_eq!(
        enrol(&store, &through(settings(&office, &[], 1))).await,
        [""; 0]
    );
    assert_eq!(phone.record().expect("a record").number, Some(DeviceId(0)));
    assert_eq!(world.state().devices.len(), 1);
}

#[tokio::test]
async fn a_code_is_not_used_at_a_server_that_goes_by_another_address() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    let servers = through(settings(&office, &[], 1));
    let other = office.address.replace("127.0.0.1", "localhost");
    office.set().issuer = Some(other.clone());
    let refused = enrol_all(&store, &servers, |_| ()).await.expect("answered");
    let refusal = &refused[0].refusal;
    assert_eq!(refusal.code, "other_address");
    assert!(refusal.message.contains(&other) && refusal.message.contains(&office.address));
    assert!(office.received("/v1/enrol").is_empty());
    // The same address, written otherwise, is none.
    office.set().issuer = Some(format!(
        "{}/",
        office.address.to_uppercase().replace("HTTP", "http")
    ));
    assert_eq!(enrol(&store, &servers).await, [""; 0]);
}

#[tokio::test]
async fn without_code_or_with_a_bad_one_a_device_is_refused_by_name() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let servers = through(settings(&office, &[], 1));
    let (first, second) = (device(&store, "P-1"), device(&store, "P-2"));
    assert_eq!(enrol(&store, &servers).await, ["no_code", "no_code"]);
    store
        .set_code(first.id(), Some(&code("ANOTHER")))
        .expect("kept");
    store
        .set_code(second.id(), Some(&code("CODE")))
        .expect("kept");
    assert_eq!(enrol(&store, &servers).await, ["unknown_code"]);
    store
        .set_code(first.id(), Some(&code("CODE")))
        .expect("kept");
    assert_eq!(enrol(&store, &servers).await, ["code_used"]);
}

#[tokio::test]
async fn a_code_for_another_predecessor_is_not_used_up() {
    let world = World::with_codes(&["CODE"]);
    let before = Predecessor {
        device: DeviceId(7),
        head: LinkHash([7; 32]),
    };
    world
        .state()
        .codes
        .get_mut(&*code("CODE").reveal())
        .expect("issued")
        .predecessor = Some(before);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    assert_eq!(
        enrol(&store, &through(settings(&office, &[], 1))).await,
        ["other_terms"]
    );
    assert!(office.received("/v1/enrol").is_empty());

    // The device that was made for it starts from the last trusted head.
    let store = store_in_memory();
    let participant = Participant("P-1".into());
    let phone = Device::succeeding(&store, &participant, before, &mut rng(5)).expect("made");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    assert_eq!(
        enrol(&store, &through(settings(&office, &[], 1))).await,
        [""; 0]
    );
    assert_eq!(phone.record().expect("a record").number, Some(DeviceId(0)));
}

#[tokio::test]
async fn a_code_for_another_chain_study_or_auditor_is_not_used_up() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let mut others = vec![crate::terms(); 3];
    others[0].chain = [1; 32];
    others[1].study = StudyId(5);
    others[2].auditor_key = [1; 32];
    for terms in others {
        let store = Store::in_memory(&terms, clock(), &mut rng(1)).expect("a store");
        let phone = device(&store, "P-1");
        store
            .set_code(phone.id(), Some(&code("CODE")))
            .expect("kept");
        let mut settings = settings(&office, &[], 1);
        settings.device.terms = terms;
        assert_eq!(enrol(&store, &through(settings)).await, ["other_terms"]);
    }
    assert!(office.received("/v1/enrol").is_empty());
}

/// A key that participants have.
fn participant_key(seed: u8) -> Key {
    Key(OpeningKey::from_bytes(&[seed; 32]).sealing_key().0)
}

#[tokio::test]
async fn a_server_that_names_another_participants_key_is_found_out_by_the_code() {
    let (own, thiefs) = (participant_key(1), participant_key(2));
    let asked = code_for("CODE", Some(&own));
    let world = World::default();
    let office = Fake::office(&world).await;
    let servers = through(settings(&office, &[], 1));
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store.set_recipient(phone.id(), Some(own.0)).expect("kept");
    store.set_code(phone.id(), Some(&asked)).expect("kept");
    for named in [Some(thiefs), None, Some(Key([0; 32]))] {
        world.issue(&asked, named);
        assert_eq!(enrol(&store, &servers).await, ["another_participant_key"]);
        let told = server(&office).code_terms(&asked).await.expect("answered");
        assert_eq!(told.expect_err("refused").code, "another_participant_key");
    }
    assert!(office.received("/v1/enrol").is_empty());
    world.issue(&asked, Some(own));
    assert_eq!(enrol(&store, &servers).await, [""; 0]);
    let digest = participant_digest::<Native>(Some(&own.0));
    assert_eq!(world.state().devices[0].participant, Hash(digest));
}

#[tokio::test]
async fn a_code_for_a_weak_key_is_not_used_up() {
    let weak = Key([0; 32]);
    let asked = code_for("CODE", Some(&weak));
    let world = World::default();
    world.issue(&asked, Some(weak));
    let office = Fake::office(&world).await;
    let told = server(&office).code_terms(&asked).await.expect("answered");
    assert_eq!(told.expect_err("refused").code, "weak_participant_key");
}

#[tokio::test]
async fn a_code_for_another_key_than_the_device_seals_to_is_not_used_up() {
    let (own, other) = (participant_key(1), participant_key(2));
    let world = World::default();
    let office = Fake::office(&world).await;
    let servers = through(settings(&office, &[], 1));
    for (recipient, of_code) in [
        (Some(own), Some(other)),
        (Some(own), None),
        (None, Some(own)),
    ] {
        let store = store_in_memory();
        let phone = device(&store, "P-1");
        let recipient = recipient.map(|key| key.0);
        store.set_recipient(phone.id(), recipient).expect("kept");
        let asked = code_for("CODE", of_code.as_ref());
        world.issue(&asked, of_code);
        store.set_code(phone.id(), Some(&asked)).expect("kept");
        assert_eq!(enrol(&store, &servers).await, ["another_participant_key"]);
    }
    assert!(office.received("/v1/enrol").is_empty());
}

#[tokio::test]
async fn a_record_with_another_participants_key_stops_the_device() {
    let trial = Trial::with_relays(1).await;
    let store = store_in_memory();
    let phone = device(&store, "P-2");
    let own = phone.record().expect("a record");
    {
        let mut state = trial.world.state();
        state.devices[0].key = Key(own.key.0);
        state.devices[0].genesis = own.genesis;
        state.devices[0].participant = Hash([0x0d; 32]);
    }
    upload_all(&store, &trial.servers(1), 2, |_| ())
        .await
        .expect("compared");
    let frozen = phone.record().expect("a record").frozen;
    assert_eq!(frozen, Some(FreezeReason::AnotherParticipantKey));
}

#[tokio::test]
async fn a_phone_that_was_made_for_a_former_auditor_key_is_told_so_and_keeps_its_code() {
    let world = World::with_codes(&["CODE"]);
    let office = Fake::office(&world).await;
    let store = store_in_memory();
    let phone = device(&store, "P-1");
    store
        .set_code(phone.id(), Some(&code("CODE")))
        .expect("kept");
    // The sponsor names another key before the phone has redeemed its code.
    world.state().auditor = Some((Key([0x17; 32]), 1));
    let servers = through(settings(&office, &[], 1));
    assert_eq!(enrol(&store, &servers).await, ["other_auditor_epoch"]);
    // One that says that the same epoch has another key is not believed.
    world.state().auditor = Some((Key([0x17; 32]), 0));
    assert_eq!(enrol(&store, &servers).await, ["other_terms"]);
    world.state().auditor = None;
    assert_eq!(enrol(&store, &servers).await, [""; 0]);
}

#[tokio::test]
async fn a_genesis_that_is_not_the_devices_own_stops_the_device() {
    let trial = Trial::with_relays(1).await;
    let store = store_in_memory();
    let phone = device(&store, "P-2");
    seal(&phone, "monday");
    let own = phone.record().expect("a record").key;
    trial.world.state().devices[0].key = Key(own.0);
    trial.world.state().devices[0].genesis = LinkHash([0x0d; 32]);
    upload_all(&store, &trial.servers(1), 2, |_| ())
        .await
        .expect("compared");
    let frozen = phone.record().expect("a record").frozen;
    assert_eq!(frozen, Some(FreezeReason::OtherEnrolment));
}

#[tokio::test]
async fn a_device_whose_clock_is_wrong_uses_the_nonces_of_the_servers() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..3);
    trial.office.set().ahead = 86_400;
    trial.relays[0].set().ahead = 86_400;
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
    assert_eq!(trial.office.received("/v1/token").len(), 2);
    // One nonce is enough for both runs.
    assert_eq!(trial.relays[0].received("/v1/runs").len(), 3);
}

#[tokio::test]
async fn a_server_that_is_never_content_with_a_proof_is_given_up() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..1);
    let never = || Trouble::Refused(Code::UseDpopNonce, None);
    trial.relays[0].trouble([never(), never(), never()]);
    let fault = trial.upload(1).await;
    assert_eq!(fault, Err("use_dpop_nonce".into()));
    assert_eq!(trial.relays[0].received("/v1/runs").len(), 3);
    assert_eq!(trial.phone().record().expect("a record").queued(), 1);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_takes_the_proof_for_another_address_is_left_for_another_relay() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..1);
    for relay in &trial.relays {
        relay.trouble([Trouble::Refused(Code::ProofForAnotherAddress, None)]);
    }
    assert!(trial.upload(1).await.is_err());
    assert_eq!(trial.phone().record().expect("a record").queued(), 1);
    trial.relays[0].trouble([Trouble::Refused(Code::ProofForAnotherAddress, None)]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_proof_that_was_seen_is_replaced_by_a_new_one() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..1);
    trial.office.trouble([
        Trouble::Refused(Code::ReplayedProof, None),
        Trouble::LostAnswer,
    ]);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    let proofs = trial.office.set().proofs.clone();
    assert!(proofs.len() == 3 && proofs[0] != proofs[1] && proofs[1] != proofs[2]);
    trial.assert_level();
}

#[tokio::test]
async fn one_token_serves_many_uploads_and_an_expired_one_is_replaced() {
    let trial = Trial::with_relays(1).await;
    let servers = trial.servers(1);
    trial.seal(0..6);
    assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
    assert_eq!(trial.office.received("/v1/token").len(), 1);
    trial.seal(6..8);
    trial.relays[0].trouble([Trouble::Refused(Code::TokenExpired, None)]);
    assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
    assert_eq!(trial.office.received("/v1/token").len(), 2);
    trial.assert_level();
}

#[tokio::test]
async fn a_device_that_gets_no_token_is_refused_and_its_entries_wait() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..3);
    trial.world.state().devices[0].status = DeviceStatus::Suspended;
    let refused = trial.upload(1).await.expect("answered");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].refusal.code, "device_suspended");
    assert_eq!(trial.phone().record().expect("a record").queued(), 3);
    trial.world.state().devices[0].status = DeviceStatus::Active;
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn relays_that_were_not_configured_are_those_that_the_authentication_server_names() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..3);
    trial.office.set().relays = trial.relays.iter().map(|r| r.address.clone()).collect();
    let mut settings = trial.settings(2);
    settings.device.relays.clear();
    let servers = through(settings);
    let key = trial.store.device_key(trial.phone().id()).expect("a key");
    servers
        .introduce(DeviceId(0), &key)
        .await
        .expect("answered")
        .expect("welcome");
    assert_eq!(servers.relays().len(), 2);
    assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
    trial.assert_held_by(&[0, 1]);
}

#[tokio::test]
async fn a_server_that_is_away_is_named_when_patience_is_over() {
    let world = World::default();
    let office = Fake::office(&world).await;
    let server = authentication_server(
        address(&office),
        impatience(),
        &Certificates::default(),
        clock(),
    );
    let server = server.expect("a client");
    office.set().down = true;
    let fault = server.study(StudyId(0)).await.expect_err("away");
    assert!(
        fault.passing && fault.code == "server_unreachable",
        "{fault:?}"
    );
    assert!(fault.message.contains(&office.address), "{fault:?}");
    assert!(office.set().requests > 1);
}
