// SPDX-License-Identifier: Apache-2.0

//! What is erased leaves the database's files, and stays away.

use std::path::{Path, PathBuf};

use mhealth_api::{Code, ErasureOrder, Key, Refusal, RunState, RunUpload, SignatureBytes};
use mhealth_server::backup;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use sqlx::Row;

use super::*;
use crate::testing::TestDevice;

/// Bytes of an envelope by which it is looked for. A longer one is cut into pieces by either database.
const PIECE: usize = 24;

fn order(devices: &[u32]) -> ErasureOrder {
    ErasureOrder {
        chain: Hash([1; 32]),
        study: StudyId(0),
        participant: Hash([2; 32]),
        devices: devices.iter().copied().map(DeviceId).collect(),
        erased_at: 3,
        record: Hash([4; 32]),
        holder: Key([5; 32]),
        signature: SignatureBytes([6; 64]),
    }
}

/// A run of envelopes that nothing compresses: short ones, and some that fill several pages.
fn run(device: &mut TestDevice, random: &mut StdRng) -> RunUpload {
    let envelopes = [90, 400, 20_000].map(|length| {
        let mut envelope = vec![1; length];
        random.fill_bytes(&mut envelope[1..]);
        envelope
    });
    device.run_of(envelopes.into())
}

/// Everything in the files of a database, and in a copy of it.
async fn files(scratch: &Scratch, copy: &Path) -> Vec<u8> {
    let store = &scratch.store;
    let mut paths: Vec<PathBuf> = Vec::new();
    if store.database().is_postgres() {
        let ask = async |sql: &'static str| -> String {
            let row: (String,) = sqlx::query_as(sql)
                .fetch_one(store.database().pool())
                .await
                .unwrap();
            row.0
        };
        // It waits for the disk, which other tests lean on, too.
        sqlx::query("CHECKPOINT")
            .execute(store.database().pool().unbounded())
            .await
            .unwrap();
        let folder = ask("SHOW data_directory").await;
        let number =
            ask("SELECT CAST(oid AS TEXT) FROM pg_database WHERE datname = current_database()");
        let folder = Path::new(&folder).join("base").join(number.await);
        for file in std::fs::read_dir(folder).unwrap() {
            paths.push(file.unwrap().path());
        }
    } else {
        let url: mhealth_server::DatabaseUrl = scratch.url.parse().unwrap();
        let file = url.file().unwrap();
        for end in ["", "-wal", "-shm", "-journal"] {
            let mut name = file.clone().into_os_string();
            name.push(end);
            paths.push(name.into());
        }
        backup::backup(&url, copy).await.unwrap();
        paths.push(copy.to_owned());
    }
    let read = |path: &PathBuf| std::fs::read(path).unwrap_or_default();
    paths.iter().flat_map(read).collect()
}

/// How many pieces of the envelopes of these runs there are somewhere in it.
fn pieces(runs: &[RunUpload], files: &[u8]) -> usize {
    let entries = runs.iter().flat_map(|run| &run.entries);
    let wanted: std::collections::HashSet<&[u8]> = entries
        .flat_map(|entry| entry.envelope.0[1..].chunks_exact(PIECE))
        .collect();
    files
        .windows(PIECE)
        .filter(|window| wanted.contains(window))
        .count()
}

pub(super) async fn bytes_leave(scratch: Scratch) {
    let store = &scratch.store;
    let mut random = StdRng::seed_from_u64(22);
    let mut devices = [TestDevice::new(1), TestDevice::new(2)];
    let mut runs = [Vec::new(), Vec::new()];
    // Side by side, as the nights of a study come in.
    for _ in 0..40 {
        for (device, runs) in devices.iter_mut().zip(&mut runs) {
            let genesis = device.genesis();
            let upload = run(device, &mut random);
            accept(store, &[candidate(device.check(upload.clone()), genesis)]).await;
            runs.push(upload);
        }
    }
    let [erased, kept] = &runs;
    let folder = tempfile::tempdir().unwrap();
    let before = files(&scratch, &folder.path().join("before")).await;
    assert!(pieces(erased, &before) > 1_000 && pieces(kept, &before) > 1_000);

    let order = order(&[1]);
    store.order_erasure(&order, "eva").await.unwrap();
    let left = store.erased(&order.devices).await.unwrap();
    assert_eq!((left.kept, left.on_their_way), (120, 40));
    assert_eq!(store.erase().await.unwrap(), 120);
    assert!(!store.is_scrubbed().await.unwrap());
    assert!(store.scrub().await.unwrap());
    assert!(store.is_scrubbed().await.unwrap());
    let after = files(&scratch, &folder.path().join("after")).await;
    assert_eq!(pieces(erased, &after), 0);
    assert!(pieces(kept, &after) > 1_000);

    // The runs are there with everything that is checked, and those of others with their envelopes.
    let (mut query, mut shown) = (
        ExportQuery {
            study: StudyId(0),
            after: 0,
        },
        [Vec::new(), Vec::new()],
    );
    loop {
        let page = store.export(query).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = last.cursor;
        for run in page {
            shown[run.status.device.0 as usize - 1].push(run);
        }
    }
    for (shown, uploaded) in shown[0].iter().zip(erased) {
        let entries = shown.entries.iter().zip(&uploaded.entries);
        for (shown, uploaded) in entries {
            assert!(shown.envelope.0.is_empty());
            assert_eq!((shown.digest, shown.tag), (uploaded.digest, uploaded.tag));
        }
        assert_eq!(shown.signature, uploaded.signature);
    }
    let whole: Vec<_> = shown[1].iter().map(|run| run.entries.clone()).collect();
    let expected: Vec<_> = kept.iter().map(|run| run.entries.clone()).collect();
    assert_eq!((shown[0].len(), whole), (40, expected));

    // What was on its way goes on to the chain.
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    assert_eq!(live.runs.len(), 80);
    let fates = vec![Fate::Registered; 80];
    settle(store, lease, 1, &live, &fates).await;
    let left = store.erased(&order.devices).await.unwrap();
    assert_eq!((left.kept, left.on_their_way), (0, 0));
    assert_eq!(store.erase().await.unwrap(), 0);
}

pub(super) async fn old_bytes_leave(scratch: Scratch) {
    let store = &scratch.store;
    let mut random = StdRng::seed_from_u64(23);
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let run = run(&mut device, &mut random);
    accept(store, &[candidate(device.check(run.clone()), genesis)]).await;
    register(store).await;
    assert_eq!(store.expire(StudyId(0), 2_000_000_000).await.unwrap(), 3);
    store.give_room().await.unwrap();
    // Nobody has ordered that the bytes leave.
    assert!(store.is_scrubbed().await.unwrap());
    // Whoever orders the device to be erased does, although nothing of it is kept.
    store.order_erasure(&order(&[1]), "eva").await.unwrap();
    assert_eq!(store.erase().await.unwrap(), 0);
    assert!(!store.is_scrubbed().await.unwrap());
    assert!(store.scrub().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let after = files(&scratch, &folder.path().join("after")).await;
    assert_eq!(pieces(&[run], &after), 0);
    // The same order again changes nothing.
    store.order_erasure(&order(&[1]), "eva").await.unwrap();
    assert!(store.is_scrubbed().await.unwrap());
    // Nothing is left for the hour of what was too old.
    assert!(!store.scrub_the_old().await.unwrap());
}

pub(super) async fn hour_of_bytes(scratch: Scratch) {
    let store = &scratch.store;
    let is_postgres = store.database().is_postgres();
    let mut random = StdRng::seed_from_u64(24);
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let old = run(&mut device, &mut random);
    accept(store, &[candidate(device.check(old.clone()), genesis)]).await;
    register(store).await;
    assert_eq!(store.expire(StudyId(0), 2_000_000_000).await.unwrap(), 3);
    assert!(store.scrub().await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let old = [old];
    let before = files(&scratch, &folder.path().join("before")).await;
    assert_eq!(pieces(&old, &before) > 0, is_postgres);
    // The hour has come, once.
    for is_left in [is_postgres, false] {
        assert_eq!(store.scrub_the_old().await.unwrap(), is_left);
        // Who has ordered something is not told that it waits for that.
        assert!(store.is_scrubbed().await.unwrap());
        assert!(store.scrub().await.unwrap());
    }
    let after = files(&scratch, &folder.path().join("after")).await;
    assert_eq!(pieces(&old, &after), 0);
}

pub(super) async fn nothing_comes_back(scratch: Scratch) {
    let store = &scratch.store;
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    let known = candidate(device.checked(4), genesis);
    accept(store, std::slice::from_ref(&known)).await;
    store.order_erasure(&order(&[1, 7]), "eva").await.unwrap();
    store.erase().await.unwrap();
    let cut = candidate(TestDevice::new(1).checked(2), genesis);
    let next = candidate(device.checked(1), genesis);
    // A device that never came here, and one that nobody erased.
    let late = candidate(TestDevice::new(7).checked(1), genesis);
    let other = candidate(TestDevice::new(2).checked(1), TestDevice::new(2).genesis());
    let decisions = accept(store, &[known, cut, next, late, other]).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Known(_))));
    for decision in &decisions[1..4] {
        let Ok(Acceptance::Refused(problem)) = decision else {
            panic!("{decision:?}")
        };
        assert_eq!(problem.known_code(), Some(Code::DeviceErased));
    }
    assert!(matches!(decisions[4], Ok(Acceptance::Accepted(_))));
    let left = store.erased(&[DeviceId(1), DeviceId(7)]).await.unwrap();
    assert_eq!((left.kept, left.on_their_way), (0, 1));
    // The same order again does nothing.
    store.order_erasure(&order(&[1, 7]), "adam").await.unwrap();
    assert_eq!(store.erase().await.unwrap(), 0);
}

pub(super) async fn interrupted(scratch: Scratch) {
    let mut device = TestDevice::new(1);
    let genesis = device.genesis();
    accept(&scratch.store, &[candidate(device.checked(3), genesis)]).await;
    scratch
        .store
        .order_erasure(&order(&[1]), "eva")
        .await
        .unwrap();
    // The process dies here.
    let other = scratch.other().await;
    assert_eq!(other.erase().await.unwrap(), 3);
    assert!(other.scrub().await.unwrap());
    assert_eq!(other.erase().await.unwrap(), 0);
}

pub(super) async fn retention(scratch: Scratch) {
    let store = &scratch.store;
    let mut devices: Vec<_> = (1..=4).map(TestDevice::new).collect();
    let mut group = Vec::new();
    for device in &mut devices {
        let genesis = device.genesis();
        group.push(candidate(device.checked(2), genesis));
    }
    accept(store, &group).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    let fates = [
        Fate::Registered,
        Fate::Conflicting(Refusal::Fork),
        Fate::Refused(Refusal::DeviceSuspended),
        Fate::Again,
    ];
    scratch.clock.advance(1_000);
    settle(store, lease, 1, &live, &fates).await;
    let settled_at = 1_001_000_000;
    let kept = async |device: u32| store.erased(&[DeviceId(device)]).await.unwrap().kept;
    // Not before its time is over, which begins when it is registered.
    assert_eq!(store.expire(StudyId(0), settled_at).await.unwrap(), 0);
    assert_eq!(store.expire(StudyId(1), settled_at + 1).await.unwrap(), 0);
    assert_eq!(store.expire(StudyId(0), settled_at + 1).await.unwrap(), 4);
    assert_eq!([kept(1).await, kept(2).await], [0, 0]);
    // What was refused may come once more and what waits has not come, so they are kept.
    assert_eq!([kept(3).await, kept(4).await], [2, 2]);
    assert!(store.scrub().await.unwrap());
    let status = store.status(&group[0].run.id).await.unwrap().unwrap();
    assert_eq!(status.state, RunState::Finalised);
    // A device may send on, and has room again.
    let (bytes,): (i64,) = sqlx::query_as("SELECT bytes FROM device_usage WHERE device = 1")
        .fetch_one(store.database().pool())
        .await
        .unwrap();
    assert_eq!(bytes, 2 * 64);
    let genesis = devices[0].genesis();
    let next = candidate(devices[0].checked(1), genesis);
    let decisions = accept(store, &[next]).await;
    assert!(matches!(decisions[0], Ok(Acceptance::Accepted(_))));
    // Those that waited are erased when their time has come, and the younger ones are not.
    let live = batch(store, lease, 1).await;
    let fates = [Fate::Registered, Fate::Again];
    settle(store, lease, 2, &live, &fates).await;
    scratch.clock.advance(1);
    let now = (1_001_001) * 1_000;
    assert_eq!(store.expire(StudyId(0), now).await.unwrap(), 2);
    assert_eq!([kept(1).await, kept(3).await, kept(4).await], [1, 2, 0]);
    assert_eq!(store.expire(StudyId(0), now).await.unwrap(), 0);
}

pub(super) async fn looking(scratch: Scratch) {
    let store = &scratch.store;
    let (mut one, mut other) = (TestDevice::new(1), TestDevice::new(2));
    let genesis = [one.genesis(), other.genesis()];
    let group = [
        candidate(one.checked(2), genesis[0]),
        candidate(other.checked(2), genesis[1]),
    ];
    accept(store, &group).await;
    let lease = lease(store).await;
    let live = batch(store, lease, 0).await;
    let fates = [Fate::Refused(Refusal::DeviceSuspended), Fate::Registered];
    settle(store, lease, 1, &live, &fates).await;
    // Somebody stores runs all the while.
    let mut writer = store.database().begin().await.unwrap();
    sqlx::query("UPDATE relay SET next_run = next_run + 1 WHERE id = 1")
        .execute(&mut *writer)
        .await
        .unwrap();
    assert_eq!(store.expire(StudyId(0), 1_000_000_000).await.unwrap(), 0);
    assert_eq!(store.expire(StudyId(1), 2_000_000_000).await.unwrap(), 0);
    writer.rollback().await.unwrap();
    assert_eq!(store.expire(StudyId(0), 2_000_000_000).await.unwrap(), 2);
    if store.database().is_postgres() {
        // With a handful of runs it reads all of them.
        return;
    }
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!(
        "EXPLAIN QUERY PLAN {}",
        super::super::erasing::expired()
    )))
    .bind(0_i64)
    .bind(0_i64)
    .bind(1_i64)
    .fetch_all(store.database().pool())
    .await
    .unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    assert!(plan[0].contains("USING INDEX runs_expiring"), "{plan:?}");
    assert!(
        plan.iter()
            .all(|step| !step.contains("SCAN") && !step.contains("TEMP")),
        "{plan:?}"
    );
}
