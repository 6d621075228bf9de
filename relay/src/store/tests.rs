// SPDX-License-Identifier: Apache-2.0

//! The store on both databases.

mod accepting;
mod auditing;
mod batches;
mod erasing;
mod ownership;
mod settling;
mod sharing;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use hashchain::{DeviceId, StudyId};
use mhealth_api::{BlockRef, Hash, Head};
use mhealth_server::{Database, ManualClock};

use super::*;

const LEASE: Duration = Duration::from_secs(100);

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

    /// So many seconds pass for the relay and, whose time is the database's, for the lease.
    pub(crate) async fn pass(&self, seconds: u32) {
        self.clock.advance(seconds.into());
        sqlx::query("UPDATE lease SET expires_at = expires_at - $1")
            .bind(i64::from(seconds) * 1_000)
            .execute(self.store.database().pool())
            .await
            .unwrap();
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
            let server = mhealth_testing::postgres::Postgres::start()
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
    what_is_accepted_is_there_and_waits = accepting::accepted_runs_wait;
    the_same_run_again_is_known = accepting::same_run_again;
    a_group_sees_its_own_earlier_runs = accepting::group_sees_itself;
    only_so_many_rivals_of_a_device_are_kept = accepting::rivals_are_bounded;
    what_the_devices_key_did_not_sign_keeps_no_run_out_that_it_signed = accepting::signed_rivals_have_a_place;
    an_older_cut_is_compared_with_stored_links = accepting::older_cuts;
    a_group_goes_on_without_the_run_that_the_chain_is_asked_about = accepting::asked_about;
    what_is_not_taken_is_not_stored_but_known_runs_are_answered = accepting::not_taken;
    a_device_that_sent_much_waits_behind_its_own_runs = sharing::turns;
    who_sent_much_long_ago_does_not_wait_for_it = sharing::past_turns;
    what_waits_of_a_device_has_a_bound_and_what_is_known_is_answered = sharing::queue_quota;
    what_waits_again_makes_nobody_wait = sharing::waiting_again;
    what_is_sent_again_goes_before_what_follows_it = sharing::sent_again;
    what_is_kept_of_a_device_has_a_bound = sharing::byte_quotas;
    a_clock_that_was_ahead_is_forgotten_when_it_is_set_right = sharing::clock_ahead;
    a_device_that_is_not_heard_of_any_more_is_not_counted = sharing::heard_of;
    a_run_is_in_one_batch_at_a_time = batches::one_batch_at_a_time;
    who_lost_the_lease_can_no_longer_write = ownership::fencing;
    outcomes_are_written_with_the_block = settling::outcomes;
    a_passing_refusal_gives_another_chance = settling::another_chance;
    a_discarded_batch_gives_its_runs_back = batches::discarded;
    lost_blocks_are_taken_back = settling::rolled_back;
    what_was_settled_long_ago_is_not_taken_back_with_lost_blocks = settling::settled_long_ago;
    an_export_goes_on_where_it_broke_off = auditing::export_resumes;
    an_auditors_credential_is_kept_as_a_hash = auditing::auditors;
    a_database_serves_one_chain_and_one_account = ownership::bound;
    of_the_next_account_no_nonce_is_known = ownership::next_account;
    erased_bytes_are_in_no_file_of_the_database_and_the_runs_stay = erasing::bytes_leave;
    of_an_erased_device_nothing_new_is_stored_and_what_is_known_is_answered = erasing::nothing_comes_back;
    an_erasure_that_was_interrupted_is_carried_out_by_whoever_comes_next = erasing::interrupted;
    what_is_older_than_its_studys_rule_is_erased_once_it_is_registered = erasing::retention;
    an_order_reaches_the_bytes_of_what_was_too_old_before = erasing::old_bytes_leave;
    the_bytes_of_what_was_too_old_leave_the_files_when_their_hour_has_come = erasing::hour_of_bytes;
    looking_for_what_is_too_old_waits_for_nobody_who_stores = erasing::looking;
}

pub(crate) fn candidate(run: crate::run::CheckedRun, chain: Head) -> Candidate {
    let answers = ChainAnswers {
        head: Some(chain),
        link: None,
    };
    Candidate {
        run: Arc::new(run),
        answers,
        admission: Ok(()),
        record: None,
    }
}

/// So many rivals, and of everything else enough.
pub(crate) fn quotas(rivals: u32) -> Quotas {
    Quotas {
        rivals,
        bytes_per_day: 1 << 40,
        bytes: 1 << 40,
        queued_entries: 1 << 20,
    }
}

pub(crate) async fn accept(store: &Store, candidates: &[Candidate]) -> Vec<Decision> {
    store.accept(candidates, &quotas(2)).await.unwrap()
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
    let stored = store.store_batch(lease, transaction(nonce), runs).await;
    stored.unwrap().expect("nobody else changes runs")
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
        settled_at: store.clock.now_millis(),
        fates,
    };
    store
        .settle(lease, block(number), &[settlement])
        .await
        .unwrap();
}

/// The next block registers everything that waits.
pub(crate) async fn register(store: &Store) {
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    let fates = vec![Fate::Registered; live.runs.len()];
    settle(store, lease, 1, &live, &fates).await;
}

async fn device_run(store: &Store, batch: &LiveBatch) -> Hash {
    let (run,): (Vec<u8>,) = sqlx::query_as("SELECT run FROM runs WHERE id = $1")
        .bind(batch.runs[0].id)
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    Hash(run.try_into().unwrap())
}
