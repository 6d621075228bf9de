// SPDX-License-Identifier: Apache-2.0

//! What a device believes of what relays say.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{Head, Refusal, RunState};
use mhealth_device_host::{fleet, servers::Settings, store::FreezeReason, Standing};
use mhealth_evidence::HeadProof;

use super::{address, fakes::Fake, impatience, through, Trial};
use crate::{seal, store_in_memory, support::proofs::justification};

#[tokio::test]
async fn a_foreign_head_stops_the_device_and_nothing_more_is_sent() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    let sent = trial.relays[0].received("/v1/runs").len();
    trial.seal(2..4);
    trial.world.forge(DeviceId(0));
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    let frozen = trial.phone().record().expect("a record").frozen;
    assert_eq!(frozen, Some(FreezeReason::ForeignHead));
    assert_eq!(trial.relays[0].received("/v1/runs").len(), sent);
}

#[tokio::test]
async fn a_head_that_becomes_foreign_while_a_run_is_under_way_stops_the_device() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    trial.relays[0].set().slowness = 1;
    let servers = trial.servers(1);
    let forge = async {
        while trial.relays[0].set().runs.is_empty() {
            tokio::task::yield_now().await;
        }
        trial.world.forge(DeviceId(0));
    };
    let (uploaded, ()) = tokio::join!(trial.upload_through(&servers), forge);
    assert_eq!(uploaded, Ok(vec![]));
    let frozen = trial.phone().record().expect("a record").frozen;
    assert_eq!(frozen, Some(FreezeReason::ForeignHead));
}

#[tokio::test]
async fn a_restored_backup_is_told_from_a_foreign_head_through_a_relay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, copy) = (
        folder.path().join("state.db"),
        folder.path().join("copy.db"),
    );
    let trial = Trial::with_relays(1).await;
    let store = crate::store_at(&path);
    let phone = crate::device(&store, "P-9");
    trial.world.issue(&super::code("SECOND"), None);
    store
        .set_code(phone.id(), Some(&super::code("SECOND")))
        .expect("kept");
    let servers = trial.servers(1);
    fleet::enrol_all(&store, &servers, |_| ())
        .await
        .expect("enrolled");
    drop(store);
    std::fs::copy(&path, &copy).expect("copied");
    let store = crate::store_at(&path);
    let phone = crate::device(&store, "P-9");
    for night in 0..5 {
        seal(&phone, &format!("night {night}"));
    }
    fleet::upload_all(&store, &servers, 2, |_| ())
        .await
        .expect("uploaded");
    let backup = crate::store_at(&copy);
    let standing = crate::device(&backup, "P-9")
        .sync(&servers)
        .await
        .expect("compared");
    assert_eq!(standing, Standing::Frozen(FreezeReason::RestoredBackup));
}

/// What a relay says that is not so.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// "It is registered." It never brings anything to the chain.
    Finalised,
    /// "The chain refused it."
    Refused,
    /// "The chain has something else."
    Conflicting,
    /// "Others wrote in this device's name."
    ForeignHead,
    /// "There are more entries than any chain has."
    LongerThanAny,
    /// "There is less than was finalised."
    ShorterHead,
    /// "There is no such device."
    NoSuchDevice,
}

const LIES: [Lie; 7] = [
    Lie::Finalised,
    Lie::Refused,
    Lie::Conflicting,
    Lie::ForeignHead,
    Lie::LongerThanAny,
    Lie::ShorterHead,
    Lie::NoSuchDevice,
];

impl Lie {
    /// Makes a relay a liar, who shows whatever it can instead of proofs.
    fn tell(self, trial: &Trial, relay: usize) {
        let foreign = |length| Head {
            length,
            hash: LinkHash([0xbd; 32]),
        };
        let genesis = trial.world.state().devices[0].genesis;
        let behaviour = &mut trial.relays[relay].set();
        match self {
            Self::Finalised => behaviour.says = Some((RunState::Finalised, None)),
            Self::Refused => {
                behaviour.says = Some((RunState::Refused, Some(Refusal::DeviceSuspended)));
            }
            Self::Conflicting => {
                behaviour.says = Some((RunState::Conflicting, Some(Refusal::Fork)));
            }
            Self::ForeignHead => behaviour.lie = Some(foreign(2)),
            Self::LongerThanAny => behaviour.lie = Some(foreign(u64::MAX)),
            Self::ShorterHead => {
                behaviour.lie = Some(Head {
                    length: 0,
                    hash: genesis,
                });
            }
            Self::NoSuchDevice => behaviour.knows_nobody = true,
        }
        // Signed by one authority of four, all of whose keys it has.
        behaviour.forger = Some(std::sync::Arc::new(|mut proof: HeadProof| {
            proof.finality.block.number += 1;
            proof.finality.justification = justification(&proof.finality.block, 0, &[3, 3, 3]);
            proof.to_bytes()
        }));
    }
}

/// Short for relays that keep what they took.
fn hasty(trial: &Trial, copies: u32) -> Settings {
    let mut settings = trial.settings(copies);
    settings.device.patience.finality = Duration::from_millis(400);
    settings
}

#[tokio::test]
async fn no_word_of_a_relay_stops_a_device_or_makes_it_forget_and_another_relay_gets_the_run() {
    for lie in LIES {
        for (copies, liar) in [(1, 0), (2, 0), (2, 1)] {
            let trial = Trial::with_relays(3).await;
            trial.seal(0..2);
            assert_eq!(trial.upload(1).await, Ok(vec![]));
            lie.tell(&trial, liar);
            trial.seal(2..5);
            let servers = through(hasty(&trial, copies));
            let case = format!("{lie:?}, {copies} copies, liar {liar}");
            assert_eq!(trial.upload_through(&servers).await, Ok(vec![]), "{case}");
            trial.assert_level();
            let standing = trial.phone().sync(&servers).await;
            assert_eq!(standing.expect("compared"), Standing::Level, "{case}");
        }
    }
}

#[tokio::test]
async fn a_device_that_knows_liars_only_keeps_everything_for_the_next_honest_relay() {
    for lie in LIES {
        let trial = Trial::with_relays(1).await;
        trial.seal(0..2);
        assert_eq!(trial.upload(1).await, Ok(vec![]));
        lie.tell(&trial, 0);
        // It says so and keeps it to itself.
        trial.relays[0].set().slowness = u32::MAX;
        trial.seal(2..5);
        let mut settings = hasty(&trial, 1);
        settings.device.patience.give_up = Duration::from_millis(100);
        let uploaded = trial.upload_through(&through(settings.clone())).await;
        assert_ne!(uploaded, Ok(vec![]), "{lie:?}");
        let record = trial.phone().record().expect("a record");
        assert_eq!((record.queued(), record.frozen), (3, None), "{lie:?}");
        let standing = trial.phone().sync(&through(settings)).await;
        assert!(standing.is_err(), "{lie:?}: {standing:?}");

        let honest = Fake::relay(&trial.world).await;
        let mut settings = trial.settings(1);
        settings.device.relays = vec![address(&honest)];
        let uploaded = trial.upload_through(&through(settings)).await;
        assert_eq!(uploaded, Ok(vec![]), "{lie:?}");
        trial.assert_level();
    }
}

#[tokio::test]
async fn a_relay_that_keeps_runs_back_is_left_and_remembered() {
    for copies in [1, 2] {
        let trial = Trial::with_relays(3).await;
        trial.relays[0].set().slowness = u32::MAX;
        let mut settings = hasty(&trial, copies);
        for nights in [0..3, 3..6] {
            let servers = through(settings.clone());
            trial.seal(nights);
            let before = trial.relays[0].received("/v1/runs").len();
            assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
            trial.assert_level();
            let doubts = servers.doubts();
            assert!(doubts.contains_key(&trial.relays[0].address), "{doubts:?}");
            // As the state file hands them on.
            trial.store.set_doubts(&doubts).expect("kept");
            let met = trial.relays[0].received("/v1/runs").len() > before;
            assert_eq!(
                met,
                settings.device.doubts.is_empty(),
                "met the first time only"
            );
            settings.device.doubts = trial.store.doubts().expect("read");
        }
    }
}

#[tokio::test]
async fn when_all_relays_keep_a_run_back_it_stays_queued_and_each_was_tried() {
    let trial = Trial::with_relays(2).await;
    for relay in &trial.relays {
        relay.set().slowness = u32::MAX;
    }
    trial.seal(0..3);
    let uploaded = trial.upload_through(&through(hasty(&trial, 1))).await;
    assert_eq!(uploaded, Err("chain_stalled".into()));
    for relay in &trial.relays {
        assert!(!relay.received("/v1/runs").is_empty());
        relay.set().slowness = 0;
    }
    assert_eq!(trial.phone().record().expect("a record").queued(), 3);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_lags_behind_is_passed_over_and_never_called_a_reset_chain() {
    for copies in [1, 2] {
        let trial = Trial::with_relays(3).await;
        trial.relays[0].stand_still(DeviceId(0));
        trial.seal(0..3);
        let servers = through(hasty(&trial, copies));
        assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
        trial.assert_level();
        let standing = trial.phone().sync(&servers).await;
        assert_eq!(standing.expect("compared"), Standing::Level);
        trial.seal(3..5);
        assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
        trial.assert_level();
    }
}

#[tokio::test]
async fn a_device_that_knows_a_laggard_only_waits_for_it() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    let stuck = {
        trial.relays[0].stand_still(DeviceId(0));
        trial.relays[0].set().stuck_at.take()
    };
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.relays[0].set().stuck_at = stuck;
    let mut settings = hasty(&trial, 1);
    settings.device.patience = impatience();
    let fault = trial.phone().sync(&through(settings)).await;
    assert_eq!(fault.expect_err("it lags").code(), "proof_too_old");
    assert_eq!(trial.phone().record().expect("a record").frozen, None);

    let servers = trial.servers(1);
    let catch_up = async {
        let asked = trial.relays[0].set().requests;
        while trial.relays[0].set().requests < asked + 2 {
            tokio::task::yield_now().await;
        }
        trial.relays[0].set().stuck_at = None;
    };
    let phone = trial.phone();
    let (standing, ()) = tokio::join!(phone.sync(&servers), catch_up);
    assert_eq!(standing.expect("compared"), Standing::Level);
}

#[tokio::test]
async fn a_genuine_proof_that_is_old_confirms_nothing_new_and_another_relay_is_asked() {
    // Replayed: not before what the device saw, or before it. It lacks what the relay says is registered.
    for known in [0, 2] {
        let trial = Trial::with_relays(2).await;
        trial.relays[0].stand_still(DeviceId(0));
        let stuck = trial.relays[0].set().stuck_at.take();
        trial.seal(0..known);
        assert_eq!(trial.upload(2).await, Ok(vec![]));
        trial.relays[0].set().stuck_at = stuck;
        trial.relays[0].set().says = Some((RunState::Finalised, None));
        trial.seal(known..known + 3);
        let servers = through(hasty(&trial, 1));
        assert_eq!(trial.upload_through(&servers).await, Ok(vec![]));
        trial.assert_level();
        trial.assert_held_by(&[1]);
        let doubts = servers.doubts();
        assert!(doubts.contains_key(&trial.relays[0].address), "{doubts:?}");
    }
}

#[tokio::test]
async fn a_relay_that_hears_of_a_block_after_another_one_is_waited_for_and_keeps_its_runs() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..2);
    assert_eq!(trial.upload(2).await, Ok(vec![]));
    trial.relays[0].stand_still(DeviceId(0));
    let stuck = trial.relays[0].set().stuck_at.take();
    let (_, old) = stuck.expect("it stood still");
    trial.seal(2..4);
    assert_eq!(trial.upload(2).await, Ok(vec![]));

    // The next proof of each relay is the old one.
    let lags = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    for (relay, lags) in trial.relays.iter().zip(&lags) {
        let (old, lags) = (old.clone(), lags.clone());
        relay.forge(move |proof| match lags.swap(false, Ordering::Relaxed) {
            true => old.clone(),
            false => proof.to_bytes(),
        });
    }
    trial.seal(4..6);
    let sent = || trial.relays.iter().map(|it| it.received("/v1/runs").len());
    let next: Vec<usize> = sent().map(|sent| sent + 1).collect();
    let fall_behind = async {
        for ((relay, lags), next) in trial.relays.iter().zip(&lags).zip(&next) {
            while relay.received("/v1/runs").len() < *next {
                tokio::task::yield_now().await;
            }
            lags.store(true, Ordering::Relaxed);
        }
    };
    let (uploaded, ()) = tokio::join!(trial.upload(2), fall_behind);
    assert_eq!(uploaded, Ok(vec![]));
    assert!(lags.iter().all(|lags| !lags.load(Ordering::Relaxed)));
    assert!(sent().eq(next), "what they took was sent again");
    trial.assert_level();
    trial.assert_held_by(&[0, 1]);
}

#[tokio::test]
async fn a_relay_without_proofs_is_passed_over() {
    let trial = Trial::with_relays(2).await;
    trial.relays[0].set().proves_nothing = true;
    trial.seal(0..3);
    let uploaded = trial.upload_through(&through(hasty(&trial, 1))).await;
    assert_eq!(uploaded, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_server_that_names_another_devices_number_stops_nobody() {
    let trial = Trial::with_relays(1).await;
    let store = store_in_memory();
    let phone = crate::device(&store, "P-2");
    seal(&phone, "monday");
    // The number of the trial's own phone, whose head is not this device's.
    store.set_said(phone.id(), Some(DeviceId(0))).expect("said");
    let mut settings = trial.settings(1);
    settings.device.patience = impatience();
    let servers = through(settings);
    let fault = phone.sync(&servers).await.expect_err("another device's");
    assert_eq!(fault.code(), "number_of_another_device");
    let record = phone.record().expect("a record");
    assert_eq!((record.number, record.frozen), (None, None));
    assert_eq!(
        phone.sync(&servers).await.expect("compared"),
        Standing::Unenrolled
    );
}

#[tokio::test]
async fn a_number_that_is_proved_to_be_nobodys_is_forgotten_and_no_relay_is_doubted_for_it() {
    let trial = Trial::with_relays(1).await;
    trial.relays[0].set().proves_absence = true;
    let store = store_in_memory();
    let phone = crate::device(&store, "P-2");
    seal(&phone, "monday");
    store
        .set_said(phone.id(), Some(DeviceId(99)))
        .expect("said");
    let mut settings = trial.settings(1);
    settings.device.patience = impatience();
    let servers = through(settings);
    let fault = phone.sync(&servers).await.expect_err("nobody's");
    assert_eq!(fault.code(), "device_not_on_chain");
    assert_eq!(phone.record().expect("a record").number, None);
    assert!(servers.doubts().is_empty());
}

#[tokio::test]
async fn new_authorities_are_followed_while_runs_are_under_way() {
    let trial = Trial::with_relays(2).await;
    for round in 0..3 {
        trial.seal(3 * round..3 * round + 3);
        for _ in 0..round * 40 {
            trial.world.hand_over();
        }
        assert_eq!(trial.upload(2).await, Ok(vec![]));
        trial.assert_level();
    }
    assert_eq!(trial.store.checker(false).set(), Some(120));
}

#[tokio::test]
async fn words_are_trusted_on_request_only_and_for_what_they_are_worth() {
    let trial = Trial::with_relays(1).await;
    trial.relays[0].set().proves_nothing = true;
    trial.seal(0..3);
    let mut settings = hasty(&trial, 1);
    settings.device.patience.give_up = Duration::from_millis(100);
    let untrusting = trial.upload_through(&through(settings.clone())).await;
    assert_eq!(untrusting, Err("chain_stalled".into()));
    settings.device.trust_relays = true;
    assert_eq!(
        trial.upload_through(&through(settings.clone())).await,
        Ok(vec![])
    );
    trial.assert_level();
    // Whoever is trusted can stop the device.
    Lie::ForeignHead.tell(&trial, 0);
    let standing = trial.phone().sync(&through(settings)).await;
    let stopped = Standing::Frozen(FreezeReason::ForeignHead);
    assert_eq!(standing.expect("compared"), stopped);
}

#[tokio::test]
async fn one_relay_that_is_away_does_not_hide_what_the_other_says() {
    let trial = Trial::with_relays(2).await;
    trial.seal(0..2);
    assert_eq!(trial.upload(2).await, Ok(vec![]));
    trial.relays[0].set().down = true;
    let standing = trial
        .phone()
        .sync(&trial.servers(2))
        .await
        .expect("compared");
    assert_eq!(standing, Standing::Level);
}
