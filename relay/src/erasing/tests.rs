// SPDX-License-Identifier: Apache-2.0

use ed25519_dalek::{Signer, SigningKey};
use hashchain::DeviceId;
use mhealth_api::{Hash, SignatureBytes};
use mhealth_testing::postgres::Postgres;
use mhealth_testing::silence::Silenced;

use super::*;
use crate::outbox::tests::chain::FakeChain;
use crate::store::tests::{accept, candidate, register, Scratch};
use crate::testing::TestDevice;

const RULE: Retention = Retention {
    study: StudyId(0),
    days: 10,
};

/// The hour at which the bytes of what was too old leave the files. In second 1,000,000 it is 13:46.
const HOUR_OF_BYTES: u8 = 15;

/// Erases from a database whose clock is its own, too.
fn erasing(scratch: &Scratch, chain: &FakeChain, holders: &[HolderKey]) -> Erasing {
    let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
    let (store, clock) = (scratch.store.clone(), scratch.clock.clone());
    let ledger = Arc::new(chain.clone());
    Erasing::new(
        store,
        ledger,
        metrics,
        clock,
        holders,
        &[RULE],
        HOUR_OF_BYTES,
    )
    .unwrap()
}

#[test]
fn a_holder_is_a_study_and_a_key() {
    let key = Key([0xab; 32]);
    let text = format!("study=3, key={key}");
    let study = StudyId(3);
    assert_eq!(text.parse::<HolderKey>().unwrap(), HolderKey { study, key });
    for bad in [
        "study=3",
        "key=0xab",
        &format!("study=x,key={key}"),
        &format!("study=3,key={key},days=1"),
        "3",
    ] {
        assert!(bad.parse::<HolderKey>().is_err(), "{bad}");
    }
}

#[test]
fn a_rule_of_retention_is_a_study_and_days() {
    let (study, days) = (StudyId(0), 3_650);
    let rule = "study=0,days=3650".parse::<Retention>().unwrap();
    assert_eq!(rule, Retention { study, days });
    for bad in [
        "study=0",
        "days=1",
        "study=0,days=0",
        "study=0,days=36501",
        "study=0,days=-1",
        "study=0,days=1,key=2",
    ] {
        assert!(bad.parse::<Retention>().is_err(), "{bad}");
    }
}

/// A relay with a run that is registered, whose machine and whose chain say that it is second 1,000,000.
async fn with_one_registered() -> (Scratch, FakeChain, DeviceId) {
    registered_on(Scratch::new().await).await
}

async fn registered_on(scratch: Scratch) -> (Scratch, FakeChain, DeviceId) {
    let chain = FakeChain::new();
    chain.set_time(1_000_000);
    let mut device = TestDevice::new(1);
    let run = candidate(device.checked(3), device.genesis());
    accept(&scratch.store, &[run]).await;
    register(&scratch.store).await;
    (scratch, chain, device.number())
}

#[tokio::test]
async fn a_clock_that_runs_ahead_erases_nothing() {
    let (scratch, chain, device) = with_one_registered().await;
    let erasing = erasing(&scratch, &chain, &[]);
    let kept = async || scratch.store.erased(&[device]).await.unwrap().kept;
    let twenty_years = 20 * 365 * 86_400;
    scratch.clock.set(1_000_000 + twenty_years);
    erasing.pass(&mut Rounds::default()).await;
    assert_eq!(kept().await, 3);
    // Nor does a chain whose time is wrong.
    scratch.clock.set(1_000_000);
    chain.set_time(1_000_000 + twenty_years);
    erasing.pass(&mut Rounds::default()).await;
    assert_eq!(kept().await, 3);
    // Nobody says how late it is.
    scratch.clock.set(1_000_000 + twenty_years);
    chain.go_away(true);
    let mut rounds = Rounds::default();
    erasing.pass(&mut rounds).await;
    assert_eq!(kept().await, 3);
    chain.go_away(false);
    erasing.pass(&mut rounds).await;
    assert_eq!(kept().await, 0);
}

#[tokio::test]
async fn what_cannot_be_scrubbed_is_no_reason_to_begin_anew() {
    let (scratch, chain, device) = with_one_registered().await;
    let erasing = erasing(&scratch, &chain, &[]);
    let mut rounds = Rounds::default();
    // Nothing is too old yet, and whether the files have to be scrubbed nobody knows.
    sqlx::query("ALTER TABLE scrubbing RENAME TO elsewhere")
        .execute(scratch.store.database().pool())
        .await
        .unwrap();
    erasing.pass(&mut rounds).await;
    let day = Duration::from_millis(DAY);
    let begun = rounds.expiry - day;
    assert_eq!((rounds.scrub, rounds.pause), (begun + LOOK, LOOK));
    // It is not tried before its time.
    scratch.clock.advance(59);
    erasing.pass(&mut rounds).await;
    assert_eq!((rounds.expiry, rounds.scrub), (begun + day, begun + LOOK));
    scratch.clock.advance(1);
    erasing.pass(&mut rounds).await;
    assert_eq!((rounds.expiry, rounds.pause), (begun + day, 2 * LOOK));
    sqlx::query("ALTER TABLE elsewhere RENAME TO scrubbing")
        .execute(scratch.store.database().pool())
        .await
        .unwrap();
    scratch.clock.advance(20 * 86_400);
    chain.set_time(1_000_000 + 20 * 86_400);
    erasing.pass(&mut rounds).await;
    assert_eq!(rounds.pause, Duration::ZERO);
    assert_eq!(scratch.store.erased(&[device]).await.unwrap().kept, 0);
}

#[test]
fn who_is_in_the_way_of_others_comes_less_and_less_often() {
    let (mut rounds, mut pauses) = (Rounds::default(), Vec::new());
    for _ in 0..8 {
        rounds.scrubbed(false, Duration::from_secs(5));
        pauses.push(rounds.pause.as_secs() / 60);
        assert_eq!(rounds.scrub, rounds.pause + Duration::from_secs(5));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    rounds.scrubbed(true, Duration::from_secs(7));
    assert_eq!(rounds.scrub, Duration::from_secs(7));
}

/// An order over a device that seals to nobody's key.
fn order(chain: &FakeChain, device: DeviceId, holder: &SigningKey) -> ErasureOrder {
    let mut order = ErasureOrder {
        chain: chain.genesis(),
        study: StudyId(0),
        participant: Hash([0; 32]),
        devices: vec![device],
        erased_at: 1,
        record: ErasureOrder::record_of("request 7"),
        holder: Key(holder.verifying_key().to_bytes()),
        signature: SignatureBytes([0; 64]),
    };
    order.signature = SignatureBytes(holder.sign(&order.statement()).to_bytes());
    order
}

#[tokio::test]
async fn whoever_holds_a_studys_keys_is_obeyed_and_who_did_before() {
    let (scratch, chain, device) = with_one_registered().await;
    chain.enrol(device, TestDevice::new(1).genesis());
    let keys = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let held = [(0, 0), (0, 1), (1, 2)].map(|(study, place)| HolderKey {
        study: StudyId(study),
        key: Key(keys[place as usize].verifying_key().to_bytes()),
    });
    let erasing = erasing(&scratch, &chain, &held);
    let [former, holder, of_another_study] = &keys;
    let refused = erasing
        .obey(order(&chain, device, of_another_study), "eva")
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.problem().known_code(), Some(Code::NotTheHolder));
    for (key, erased) in [(holder, 3), (former, 0)] {
        let outcome = erasing
            .obey(order(&chain, device, key), "eva")
            .await
            .unwrap();
        assert_eq!((outcome.erased, outcome.kept), (erased, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_of_what_was_too_old_leave_postgresql_at_their_hour() {
    let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url = server.new_database().unwrap();
    let scratch = Scratch::at(url, tempfile::tempdir().unwrap()).await;
    let (scratch, chain, device) = registered_on(scratch).await;
    let erasing = erasing(&scratch, &chain, &[]);
    let mut rounds = Rounds::default();
    let left = async || {
        let pool = scratch.store.database().pool();
        let (later,): (i64,) = sqlx::query_as("SELECT later - gone FROM scrubbing")
            .fetch_one(pool)
            .await
            .unwrap();
        later
    };
    scratch.clock.advance(20 * 86_400);
    chain.set_time(1_000_000 + 20 * 86_400);
    for (hour, expected) in [(13, 1), (14, 1), (15, 0)] {
        erasing.pass(&mut rounds).await;
        assert_eq!(scratch.store.erased(&[device]).await.unwrap().kept, 0);
        assert_eq!(left().await, expected, "{hour}");
        assert!(scratch.store.is_scrubbed().await.unwrap());
        scratch.clock.advance(3_600);
    }
}

#[tokio::test]
async fn a_study_has_one_rule_of_retention() {
    let (scratch, chain) = (Scratch::new().await, FakeChain::new());
    let with = |rules: &[Retention]| {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let ledger = Arc::new(chain.clone());
        let (store, clock) = (scratch.store.clone(), scratch.clock.clone());
        Erasing::new(store, ledger, metrics, clock, &[], rules, 0).map(drop)
    };
    let other = Retention {
        study: StudyId(1),
        ..RULE
    };
    assert!(with(&[RULE, other]).is_ok());
    let longer = Retention { days: 20, ..RULE };
    let refused = with(&[RULE, other, longer]).unwrap_err().to_string();
    assert!(refused.contains("study 0"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_erases_goes_on_after_a_database_fell_silent() {
    let server = Postgres::start().expect("PostgreSQL is installed, as by scripts/setup");
    let url = server.new_database().unwrap();
    let scratch = Scratch::at(url, tempfile::tempdir().unwrap()).await;
    let (mut scratch, chain, device) = registered_on(scratch).await;
    // Less than a lock is waited for.
    let other = scratch.other().await;
    scratch.store = scratch.store.with_patience(Duration::from_secs(5));
    let erasing = erasing(&scratch, &chain, &[]);
    let ordered = order(&chain, device, &SigningKey::from_bytes(&[1; 32]));
    scratch.store.order_erasure(&ordered, "eva").await.unwrap();
    // It waits for those who store, and before it may write nothing answers any more.
    let mut holder = other.database().begin().await.unwrap();
    sqlx::query("UPDATE relay SET turn = turn WHERE id = 1")
        .execute(&mut *holder)
        .await
        .unwrap();
    let passing = erasing.clone();
    let passed = tokio::spawn(async move { passing.pass(&mut Rounds::default()).await });
    let silenced = Silenced::in_statement(&server, "test_0", "UPDATE relay").unwrap();
    holder.rollback().await.unwrap();
    let passed = tokio::time::timeout(Duration::from_secs(60), passed).await;
    passed.expect("it goes on").unwrap();
    let kept = async || scratch.store.erased(&[device]).await.unwrap().kept;
    assert_eq!(kept().await, 3);
    drop(silenced);
    erasing.pass(&mut Rounds::default()).await;
    assert_eq!(kept().await, 0);
}
