// SPDX-License-Identifier: Apache-2.0

//! The store on both databases.

use std::sync::Arc;
use std::time::Duration;

use mhealth_api::{BlockRef, Code, Hash, Head, RunState};
use mhealth_server::{Database, ManualClock};

use super::*;
use crate::testing::TestDevice;

const LEASE: Duration = Duration::from_secs(10);

/// A database of its own, gone with the value.
pub(crate) struct Scratch {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    url: String,
    _files: tempfile::TempDir,
}

impl Scratch {
    pub(crate) async fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", files.path().join("relay.db").display());
        Self::at(url, files).await
    }

    pub(crate) async fn at(url: String, files: tempfile::TempDir) -> Self {
        let clock = ManualClock::at(1_000_000);
        let store = open(&url, clock.clone()).await;
        Self {
            store,
            clock,
            url,
            _files: files,
        }
    }

    /// Another process on the same database.
    pub(crate) async fn other(&self) -> Store {
        open(&self.url, self.clock.clone()).await
    }
}

async fn open(url: &str, clock: Arc<ManualClock>) -> Store {
    let database = Database::open(&url.parse().unwrap()).await.unwrap();
    Store::open(database, clock).await.unwrap()
}

/// Every claim is a test on SQLite; one more test makes all of them hold on one PostgreSQL server.
macro_rules! on_both {
    ($($name:ident = $body:path;)*) => {
        $(#[tokio::test] async fn $name() { $body(Scratch::new().await).await; })*

        #[tokio::test]
        async fn all_of_this_holds_on_postgresql() {
            let server = mhealth_tests::postgres::Postgres::start()
                .expect("PostgreSQL is installed, as by scripts/setup");
            $({
                eprintln!("{}", stringify!($name));
                let url = server.new_database().unwrap();
                let scratch = Scratch::at(url, tempfile::tempdir().unwrap()).await;
                let database = scratch.store.database().clone();
                $body(scratch).await;
                database.close().await;
            })*
        }
    };
    ($($name:ident;)*) => {
        mod both {
            use crate::store::tests::{on_both, Scratch};

            on_both! { $($name = super::$name;)* }
        }
    };
}
pub(crate) use on_both;

on_both! {
    what_is_accepted_is_there_and_waits = accepted_runs_wait;
    the_same_run_again_is_known = same_run_again;
    a_group_sees_its_own_earlier_runs = group_sees_itself;
    only_so_many_rivals_of_a_device_are_kept = rivals_are_bounded;
    an_older_cut_is_compared_with_stored_links = older_cuts;
    what_is_not_taken_is_not_stored_but_known_runs_are_answered = not_taken;
    a_run_is_in_one_batch_at_a_time = one_batch_at_a_time;
    who_lost_the_lease_can_no_longer_write = fencing;
    outcomes_are_written_with_the_block = outcomes;
    a_passing_refusal_gives_another_chance = another_chance;
    a_buried_batch_gives_its_runs_back = buried;
    lost_blocks_are_taken_back = rolled_back;
    an_export_goes_on_where_it_broke_off = export_resumes;
    an_auditors_credential_is_kept_as_a_hash = auditors;
    a_database_serves_one_chain_and_one_account = bound;
}

pub(crate) fn candidate(run: crate::run::CheckedRun, chain: Head) -> Candidate {
    let sight = Sight {
        head: Some(chain),
        link: None,
    };
    Candidate {
        run: Arc::new(run),
        sight,
        taken: Ok(()),
        record: None,
    }
}

pub(crate) async fn accept(store: &Store, candidates: &[Candidate]) -> Vec<Verdict> {
    store.accept(candidates, 2).await.unwrap()
}

fn block(number: u64) -> BlockRef {
    BlockRef {
        number,
        hash: Hash([number as u8; 32]),
    }
}

/// No two are the same, even for the same nonce.
fn transaction(nonce: u64) -> NewBatch {
    NewBatch {
        hash: Hash(rand::random()),
        nonce,
        death: 64,
        bytes: vec![nonce as u8; 3].into(),
    }
}

async fn lease(store: &Store) -> Lease {
    store.take_lease("one", LEASE).await.unwrap().unwrap()
}

/// Puts everything that waits into a batch.
async fn batch(store: &Store, lease: Lease, nonce: u64) -> LiveBatch {
    let pending = store.pending_runs(100).await.unwrap();
    let runs = pending.into_iter().map(|pending| pending.run).collect();
    match store
        .store_batch(lease, transaction(nonce), runs)
        .await
        .unwrap()
    {
        Stored::Yes(batch) => batch,
        Stored::RunsChanged => panic!("nobody else changes runs"),
    }
}

async fn settle(store: &Store, lease: Lease, number: u64, batch: &LiveBatch, fates: &[Fate]) {
    let fates = batch
        .runs
        .iter()
        .map(|run| run.id)
        .zip(fates.iter().cloned())
        .collect();
    let settlement = Settlement {
        batch: batch.id,
        extrinsic: 2,
        fates,
    };
    store
        .settle(lease, block(number), &[settlement])
        .await
        .unwrap();
}

async fn accepted_runs_wait(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = device.checked(3);
    let verdicts = accept(store, &[candidate(run.clone(), genesis)]).await;
    let Verdict::Accepted(status) = &verdicts[0] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(
        (status.state, status.entries, status.run),
        (RunState::Pending, 3, run.id)
    );
    assert_eq!(store.status(&run.id).await.unwrap().as_ref(), Some(status));
    assert_eq!(store.head(1).await.unwrap(), Some(device.head()));
    let pending = store.pending_runs(10).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].digests_and_tags, run.digests_and_tags);
    assert_eq!(pending[0].signature, run.signature);
    let queue = store.queue().await.unwrap();
    assert_eq!(
        (queue.runs, queue.entries, queue.oldest),
        (1, 3, Some(1_000_000_000))
    );
    assert_eq!(
        scratch
            .other()
            .await
            .status(&run.id)
            .await
            .unwrap()
            .as_ref(),
        Some(status)
    );
}

async fn same_run_again(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = candidate(device.checked(3), genesis);
    let verdicts = accept(&scratch.store, &[run.clone(), run.clone()]).await;
    assert!(
        matches!(verdicts[..], [Verdict::Accepted(_), Verdict::Known(_)]),
        "{verdicts:?}"
    );
    let verdicts = accept(&scratch.store, &[run]).await;
    assert!(matches!(verdicts[..], [Verdict::Known(_)]));
    assert_eq!(scratch.store.pending_runs(10).await.unwrap().len(), 1);
}

async fn group_sees_itself(scratch: Scratch) {
    let mut devices: Vec<_> = (0..40).map(TestDevice::new).collect();
    let mut group = Vec::new();
    for _ in 0..5 {
        for device in &mut devices {
            let genesis = device.genesis();
            group.push(candidate(device.checked(1), genesis));
        }
    }
    let verdicts = accept(&scratch.store, &group).await;
    assert!(verdicts
        .iter()
        .all(|verdict| matches!(verdict, Verdict::Accepted(_))));
    assert_eq!(scratch.store.queue().await.unwrap().runs, 200);
    let pending = scratch.store.pending_runs(1_000).await.unwrap();
    assert!(pending.is_sorted_by_key(|pending| pending.run.id));
    for device in &devices {
        let head = scratch.store.head(device.run_number()).await.unwrap();
        assert_eq!(head, Some(device.head()));
    }
}

async fn rivals_are_bounded(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(&scratch.store, &[candidate(device.checked(3), genesis)]).await;
    let rivals: Vec<_> = (1..=3)
        .map(|history| candidate(TestDevice::with_history(1, history).checked(3), genesis))
        .collect();
    let verdicts = accept(&scratch.store, &rivals[..1]).await;
    assert!(matches!(verdicts[0], Verdict::Accepted(_)));
    let verdicts = accept(&scratch.store, &rivals[1..]).await;
    assert!(matches!(verdicts[0], Verdict::Accepted(_)));
    let Verdict::Refused(problem) = &verdicts[1] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(problem.known_code(), Some(Code::TooManyConflicts));
    // A rival does not take the head.
    assert_eq!(scratch.store.head(1).await.unwrap(), Some(device.head()));
}

async fn older_cuts(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let whole = device.run(4);
    let mut cut = whole.clone();
    cut.entries.truncate(2);
    let mut again = TestDevice::new(1);
    let cut = {
        let first = again.run(2);
        assert_eq!(first.entries, cut.entries);
        again.check(first)
    };
    let whole = device.check(whole);
    accept(&scratch.store, &[candidate(whole, genesis)]).await;
    let verdicts = accept(&scratch.store, &[candidate(cut, genesis)]).await;
    assert!(matches!(verdicts[0], Verdict::Accepted(_)), "{verdicts:?}");
    let other = TestDevice::with_history(1, 9).checked(2);
    let id = other.id;
    accept(&scratch.store, &[candidate(other, genesis)]).await;
    let (rival,): (i64,) = sqlx::query_as("SELECT rival FROM runs WHERE run = $1")
        .bind(id.0.to_vec())
        .fetch_one(scratch.store.database().pool())
        .await
        .unwrap();
    assert_eq!(rival, 1);
    assert_eq!(scratch.store.head(1).await.unwrap(), Some(device.head()));
}

async fn not_taken(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let first = candidate(device.checked(1), genesis);
    accept(&scratch.store, std::slice::from_ref(&first)).await;
    let shut = |candidate: Candidate| Candidate {
        taken: Err(Code::DeviceSuspended),
        ..candidate
    };
    let second = candidate(device.checked(1), genesis);
    let verdicts = accept(&scratch.store, &[shut(first), shut(second)]).await;
    assert!(matches!(verdicts[0], Verdict::Known(_)));
    let Verdict::Refused(problem) = &verdicts[1] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(problem.known_code(), Some(Code::DeviceSuspended));
    assert_eq!(scratch.store.queue().await.unwrap().runs, 1);
}

async fn one_batch_at_a_time(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    let lease = lease(store).await;
    let seen = store.pending_runs(10).await.unwrap();
    let runs: Vec<_> = seen.iter().map(|pending| pending.run).collect();
    let live = batch(store, lease, 0).await;
    assert_eq!(live.runs, runs);
    // What was read before is not what waits now.
    let again = store
        .store_batch(lease, transaction(1), runs)
        .await
        .unwrap();
    assert!(matches!(again, Stored::RunsChanged));
    assert!(store.pending_runs(10).await.unwrap().is_empty());
    let batches = store.live_batches().await.unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].runs, live.runs);
    assert_eq!(&batches[0].transaction.bytes[..], [0; 3]);
    let status = store
        .status(&device_run(store, &live).await)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.state, RunState::Submitted);
}

async fn device_run(store: &Store, batch: &LiveBatch) -> Hash {
    let (run,): (Vec<u8>,) = sqlx::query_as("SELECT run FROM runs WHERE id = $1")
        .bind(batch.runs[0].id)
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    Hash(run.try_into().unwrap())
}

async fn fencing(scratch: Scratch) {
    let store = &scratch.store;
    let other = scratch.other().await;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(1), genesis)]).await;
    let first = lease(store).await;
    assert_eq!(other.take_lease("two", LEASE).await.unwrap(), None);
    scratch.clock.advance(9);
    store.renew_lease(first).await.unwrap();
    scratch.clock.advance(9);
    assert_eq!(other.take_lease("two", LEASE).await.unwrap(), None);
    scratch.clock.advance(2);
    let second = other.take_lease("two", LEASE).await.unwrap().unwrap();
    let runs: Vec<_> = store
        .pending_runs(10)
        .await
        .unwrap()
        .iter()
        .map(|pending| pending.run)
        .collect();
    let refused = store.store_batch(first, transaction(0), runs).await;
    assert!(matches!(refused, Err(StoreError::Fenced)));
    assert!(matches!(
        store.settle(first, block(1), &[]).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.renew_lease(first).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.bury(first, 1).await,
        Err(StoreError::Fenced)
    ));
    assert!(matches!(
        store.roll_back(first, 0).await,
        Err(StoreError::Fenced)
    ));
    assert!(store.followed().await.unwrap().is_none());
    batch(&other, second, 0).await;
    other.give_lease_back(second).await.unwrap();
    assert!(store.take_lease("one", LEASE).await.unwrap().is_some());
}

async fn outcomes(scratch: Scratch) {
    let store = &scratch.store;
    let mut group = Vec::new();
    for device in 0..5 {
        let mut device = TestDevice::new(device);
        let genesis = device.genesis();
        group.push(candidate(device.checked(2), genesis));
    }
    accept(store, &group).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    let fates = [
        Fate::Registered,
        Fate::RegisteredBefore,
        Fate::Refused("DeviceSuspended".into()),
        Fate::Conflicting("Fork".into()),
        Fate::Again,
    ];
    settle(store, lease, 7, &live, &fates).await;
    let mut statuses = Vec::new();
    for candidate in &group {
        statuses.push(store.status(&candidate.run.id).await.unwrap().unwrap());
    }
    let states: Vec<_> = statuses.iter().map(|status| status.state).collect();
    use RunState::*;
    assert_eq!(
        states,
        [Finalised, Finalised, Refused, Conflicting, Pending]
    );
    let extrinsics: Vec<_> = statuses
        .iter()
        .map(|status| status.extrinsic_index)
        .collect();
    assert_eq!(extrinsics, [Some(2), None, Some(2), Some(2), None]);
    assert_eq!(statuses[0].block, Some(block(7)));
    assert_eq!(statuses[4].block, None);
    assert_eq!(statuses[3].reason.as_deref(), Some("Fork"));
    assert_eq!(store.followed().await.unwrap(), Some(block(7)));
    assert!(store.live_batches().await.unwrap().is_empty());
    // The heads of refused runs are forgotten, those of others are not.
    let heads = [store.head(0).await.unwrap(), store.head(2).await.unwrap()];
    assert!(heads[0].is_some() && heads[1].is_none());
    // A second time changes nothing.
    settle(store, lease, 8, &live, &[const { Fate::Again }; 5]).await;
    assert_eq!(
        store.status(&group[0].run.id).await.unwrap().unwrap(),
        statuses[0]
    );
}

async fn another_chance(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = candidate(device.checked(2), genesis);
    accept(store, std::slice::from_ref(&run)).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    settle(
        store,
        lease,
        1,
        &live,
        &[Fate::Refused("DeviceSuspended".into())],
    )
    .await;
    let verdicts = accept(store, std::slice::from_ref(&run)).await;
    assert!(matches!(&verdicts[0], Verdict::Accepted(status) if status.state == RunState::Pending));
    assert_eq!(store.head(1).await.unwrap(), Some(device.head()));
    let live = batch(store, lease, 1).await;
    settle(
        store,
        lease,
        2,
        &live,
        &[Fate::Refused("BadSignature".into())],
    )
    .await;
    let verdicts = accept(store, &[run]).await;
    assert!(matches!(&verdicts[0], Verdict::Known(status) if status.state == RunState::Refused));
}

async fn buried(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(store, &[candidate(device.checked(2), genesis)]).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    store.bury(lease, live.id).await.unwrap();
    assert!(store.live_batches().await.unwrap().is_empty());
    // Its nonce is free for the next one.
    let next = batch(store, lease, 0).await;
    assert_eq!(next.runs, live.runs);
    // Nothing that is said of the dead batch touches the run any more.
    settle(store, lease, 3, &live, &[Fate::Refused("Gap".into())]).await;
    let run = device_run(store, &next).await;
    assert_eq!(
        store.status(&run).await.unwrap().unwrap().state,
        RunState::Submitted
    );
}

async fn rolled_back(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let lease = lease(store).await;
    let mut batches = Vec::new();
    for nonce in 0..3 {
        accept(store, &[candidate(device.checked(1), genesis)]).await;
        let live = batch(store, lease, nonce).await;
        let fate = if nonce == 2 {
            Fate::Refused("Gap".into())
        } else {
            Fate::Registered
        };
        settle(store, lease, nonce + 1, &live, &[fate]).await;
        batches.push(live);
    }
    assert_eq!(store.first_followed().await.unwrap(), Some(block(1)));
    store.roll_back(lease, 1).await.unwrap();
    assert_eq!(store.followed().await.unwrap(), Some(block(1)));
    assert_eq!(store.followed_at(2).await.unwrap(), None);
    let live = store.live_batches().await.unwrap();
    let nonces: Vec<_> = live.iter().map(|batch| batch.transaction.nonce).collect();
    assert_eq!(nonces, [1, 2]);
    let mut states = Vec::new();
    for batch in &batches {
        let run = device_run(store, batch).await;
        states.push(store.status(&run).await.unwrap().unwrap().state);
    }
    assert_eq!(
        states,
        [
            RunState::Finalised,
            RunState::Submitted,
            RunState::Submitted
        ]
    );
    settle(store, lease, 2, &live[1], &[Fate::Registered]).await;
}

async fn export_resumes(scratch: Scratch) {
    let store = &scratch.store;
    let mut uploads = Vec::new();
    for number in 0..20 {
        let mut device = TestDevice::new(number);
        let genesis = device.genesis();
        let upload = device.run(2);
        accept(store, &[candidate(device.check(upload.clone()), genesis)]).await;
        uploads.push(upload);
    }
    let mut query = ExportQuery::default();
    let mut exported = Vec::new();
    loop {
        let page = store.export(query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = last.cursor;
        exported.extend(page);
    }
    assert!(exported.is_sorted_by_key(|run| run.cursor));
    let entries: Vec<_> = exported.iter().map(|run| run.entries.clone()).collect();
    let expected: Vec<_> = uploads.iter().map(|run| run.entries.clone()).collect();
    assert_eq!(entries, expected);
    assert_eq!(exported[0].signature, uploads[0].signature);
    assert_eq!(exported[0].received_at, 1_000_000);
    let other_study = ExportQuery {
        after: 0,
        study: Some(5),
    };
    assert!(store.export(other_study).await.unwrap().is_empty());
}

async fn auditors(scratch: Scratch) {
    let store = &scratch.store;
    let credential = store.add_auditor("eva").await.unwrap().unwrap();
    assert!(store.add_auditor("eva").await.unwrap().is_none());
    assert_eq!(
        store.auditor(&credential).await.unwrap().as_deref(),
        Some("eva")
    );
    assert_eq!(store.auditor("mhealth-auditor-00").await.unwrap(), None);
    assert_eq!(
        store.auditors().await.unwrap(),
        [("eva".to_owned(), 1_000_000)]
    );
    let (kept,): (Vec<u8>,) = sqlx::query_as("SELECT credential FROM auditors")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert_eq!(kept.len(), 32);
    assert!(store.remove_auditor("eva").await.unwrap());
    assert!(!store.remove_auditor("eva").await.unwrap());
    assert_eq!(store.auditor(&credential).await.unwrap(), None);
}

async fn bound(scratch: Scratch) {
    let store = &scratch.store;
    store.bind_to(&Hash([1; 32]), &[2; 32]).await.unwrap();
    store.bind_to(&Hash([1; 32]), &[2; 32]).await.unwrap();
    let chain = store.bind_to(&Hash([3; 32]), &[2; 32]).await;
    assert!(matches!(chain, Err(StoreError::Foreign("chain"))));
    let account = store.bind_to(&Hash([1; 32]), &[3; 32]).await;
    assert!(matches!(account, Err(StoreError::Foreign("account"))));
}
