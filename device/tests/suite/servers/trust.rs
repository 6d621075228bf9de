// SPDX-License-Identifier: Apache-2.0

//! What a device believes of what relays say.

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{BlockRef, Hash, Head};
use mhealth_device::{fleet, store::FreezeReason, Standing};

use super::{impatience, through, Trial};
use crate::seal;

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
    trial
        .world
        .state()
        .codes
        .insert("SECOND".into(), Default::default());
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

#[tokio::test]
async fn relays_that_contradict_each_other_are_named_and_stop_nobody() {
    let lie = Head {
        length: 2,
        hash: LinkHash([0xbd; 32]),
    };
    for lying in [0, 1] {
        let trial = Trial::with_relays(2).await;
        trial.seal(0..2);
        assert_eq!(trial.upload(2).await, Ok(vec![]));
        trial.relays[lying].set().lie = Some(lie);
        let fault = trial
            .phone()
            .sync(&trial.servers(2))
            .await
            .expect_err("a lie");
        assert_eq!(fault.code(), "relays_disagree");
        for relay in &trial.relays {
            assert!(fault.to_string().contains(&relay.address), "{fault}");
        }
        assert_eq!(trial.phone().record().expect("a record").frozen, None);
    }
}

#[tokio::test]
async fn a_relay_that_follows_another_chain_is_found_by_its_receipts() {
    let trial = Trial::with_relays(2).await;
    let servers = trial.servers(2);
    trial.seal(0..2);
    assert_eq!(
        trial.phone().sync(&servers).await.expect("compared"),
        Standing::Queued(2)
    );
    trial.relays[1].set().other_chain = true;
    // Heads are compared first; what is left to the receipts is what was seen before.
    assert_eq!(
        trial.upload_through(&servers).await,
        Err("relays_disagree".into())
    );
    assert_eq!(trial.phone().record().expect("a record").frozen, None);
    trial.relays[1].set().other_chain = false;
    assert_eq!(trial.upload(2).await, Ok(vec![]));
    trial.assert_level();
}

#[tokio::test]
async fn a_relay_that_lags_behind_is_waited_for_and_named_when_it_never_catches_up() {
    let trial = Trial::with_relays(2).await;
    let stuck = {
        let state = trial.world.state();
        let head = state.devices[0].head();
        (head, state.present())
    };
    trial.seal(0..2);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    trial.relays[1].set().stuck_at = Some(stuck);
    let mut settings = trial.settings(2);
    settings.patience = impatience();
    let fault = trial
        .phone()
        .sync(&through(settings))
        .await
        .expect_err("it lags");
    assert_eq!(fault.code(), "relay_behind");

    let servers = trial.servers(2);
    let catch_up = async {
        let asked = trial.relays[1].set().requests;
        while trial.relays[1].set().requests < asked + 2 {
            tokio::task::yield_now().await;
        }
        trial.relays[1].set().stuck_at = None;
    };
    let (phone, ()) = (trial.phone(), ());
    let (standing, ()) = tokio::join!(phone.sync(&servers), catch_up);
    assert_eq!(standing.expect("compared"), Standing::Level);
}

#[tokio::test]
async fn a_chain_that_forgot_what_it_finalised_is_a_fault_and_stops_nobody() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    assert_eq!(trial.upload(1).await, Ok(vec![]));
    let genesis = trial.world.state().devices[0].genesis;
    let (head, block) = (
        Head {
            length: 0,
            hash: genesis,
        },
        BlockRef {
            number: 1,
            hash: Hash([1; 32]),
        },
    );
    trial.relays[0].set().stuck_at = Some((head, block));
    let fault = trial
        .phone()
        .sync(&trial.servers(1))
        .await
        .expect_err("it went back");
    assert_eq!(fault.code(), "chain_went_back");
    assert_eq!(trial.phone().record().expect("a record").frozen, None);
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

#[tokio::test]
async fn a_head_longer_than_any_chain_is_foreign_and_the_state_file_is_not_blamed() {
    let trial = Trial::with_relays(1).await;
    trial.seal(0..2);
    let lie = Head {
        length: u64::MAX,
        hash: LinkHash([0xbd; 32]),
    };
    trial.relays[0].set().lie = Some(lie);
    let standing = trial.phone().sync(&trial.servers(1)).await;
    assert_eq!(
        standing.expect("compared"),
        Standing::Frozen(FreezeReason::ForeignHead)
    );
}
