// SPDX-License-Identifier: Apache-2.0

//! Orders of the holder of the participants' keys, and what is left of a device after one.

use std::time::{Duration, Instant};

use ed25519_dalek::{Signer, SigningKey};
use hashchain::{participant_digest, DeviceId, Native, StudyId};
use mhealth_api::{ErasureOrder, ErasureOutcome, Hash, Key, SignatureBytes};
use mhealth_server::{Clock, Database, SystemClock};
use mhealth_testing::node::Launch;
use mhealth_testing::phone::record;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::servers::sqlite_in;

use crate::exports::export;
use crate::world::{answer, on_both_databases, Answer, Kind, World};

on_both_databases! {
    an_order_of_the_holder_empties_a_devices_runs_and_no_copy_brings_them_back
    nobody_but_the_holder_has_anything_erased
    a_relay_that_was_told_of_no_holder_erases_nothing
    what_is_older_than_its_studys_rule_leaves_the_files_at_the_hour_for_that
}

fn holder() -> SigningKey {
    SigningKey::from_bytes(&[22; 32])
}

async fn world(kind: Kind) -> World {
    let key = Key(holder().verifying_key().to_bytes());
    World::start_with(kind, Launch::instant(), StudyId(0), |launch| {
        launch.arg(format!("--holder=study=0,key={key}"))
    })
    .await
}

/// Phones of tests seal to nobody, and so are all of one participant.
fn order(world: &World, devices: &[DeviceId]) -> ErasureOrder {
    let order = ErasureOrder {
        chain: world.genesis(),
        study: world.study,
        participant: Hash(participant_digest::<Native>(None)),
        devices: devices.to_vec(),
        erased_at: 1_790_000_000,
        record: ErasureOrder::record_of("request 7"),
        holder: Key([0; 32]),
        signature: SignatureBytes([0; 64]),
    };
    signed(order, &holder())
}

fn signed(mut order: ErasureOrder, key: &SigningKey) -> ErasureOrder {
    order.holder = Key(key.verifying_key().to_bytes());
    order.signature = SignatureBytes(key.sign(&order.statement()).to_bytes());
    order
}

async fn bring(world: &World, credential: &str, order: &ErasureOrder) -> Answer {
    let request = world.request("/v1/admin/erasures", &[]);
    let body = serde_json::to_string(order).unwrap();
    answer(request.bearer_auth(credential).body(body)).await
}

fn eraser(world: &World, name: &str, study: &str) -> String {
    let add = ["eraser", "add", name, "--study", study];
    world.launch.run(&add).unwrap()
}

async fn an_order_of_the_holder_empties_a_devices_runs_and_no_copy_brings_them_back(kind: Kind) {
    let mut world = world(kind).await;
    let (auditor, eraser) = (
        world.launch.add_auditor("eva").unwrap(),
        eraser(&world, "max", "0"),
    );
    let (mut erased, mut kept) = (world.phone(1).await, world.phone(2).await);
    let runs = [
        record(&mut erased, 3, "the night of one"),
        record(&mut kept, 3, "the night of another"),
    ];
    for (phone, run) in [&erased, &kept].into_iter().zip(&runs) {
        let status = world.upload(phone, run).await;
        world.settled(status.run).await;
    }
    let order = order(&world, &[erased.device()]);
    let answer = bring(&world, &eraser, &order).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let outcome: ErasureOutcome = answer.json();
    let expected = ErasureOutcome {
        receipt: order.receipt(),
        erased: 3,
        kept: 0,
        on_their_way: 0,
        scrubbed: true,
    };
    assert_eq!(outcome, expected);
    assert!(outcome.is_complete());
    // It is on record who brought it.
    let line = world.relay.wait_for_log("an erasure is ordered").unwrap();
    assert!(line.contains("max"), "{line}");
    let metrics = world.get("/metrics").await.body;
    let counted = "mhealth_relay_erased_envelopes_total{why=\"order\"} 3";
    assert!(metrics.contains(counted), "{metrics}");

    // The same order once more: nothing is left to be done.
    let again: ErasureOutcome = bring(&world, &eraser, &order).await.json();
    assert_eq!(
        again,
        ErasureOutcome {
            erased: 0,
            ..expected
        }
    );
    // The phone is turned away, with what it sent before in another cut, too.
    let night = record(&mut erased, 1, "another night");
    let refused = world.post("/v1/runs", &world.pass(&erased), &night).await;
    assert_eq!((refused.status, &*refused.code()), (403, "device_erased"));
    let status = world.upload(&erased, &runs[0]).await;
    assert_eq!(status.state, mhealth_api::RunState::Finalised);
    let later = record(&mut kept, 1, "another night");
    world.upload(&kept, &later).await;
    let check = async |world: &World| {
        let (shown, _) = export(world, &auditor, 0).await;
        for run in &shown {
            let is_erased = run.status.device == erased.device();
            for entry in &run.entries {
                assert_eq!(entry.envelope.0.is_empty(), is_erased);
            }
        }
        let entries = |run: &[mhealth_api::RunEntry]| -> Vec<_> {
            run.iter().map(|entry| (entry.digest, entry.tag)).collect()
        };
        assert_eq!(entries(&shown[0].entries), entries(&runs[0].entries));
        assert_eq!(shown[0].signature, runs[0].signature);
        assert_eq!(shown[1].entries, runs[1].entries);
    };
    check(&world).await;

    // A copy made from now on has nothing of it either.
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy").display().to_string();
    world.launch.run(&["backup", &copy]).unwrap();
    world.relay.stop().unwrap();
    let postgres = (kind == Kind::Postgres).then(|| Postgres::start().unwrap());
    let database = match &postgres {
        Some(postgres) => postgres.new_database().unwrap(),
        None => sqlite_in(folder.path(), "restored.db"),
    };
    let launch = world.launch.clone().env("MHEALTH_DATABASE", &database);
    let said = launch.run(&["restore", &copy]).unwrap();
    assert!(
        said.contains("bring the orders to erase it once more"),
        "{said}"
    );
    world.relay = launch.start().unwrap();
    check(&world).await;
}

async fn nobody_but_the_holder_has_anything_erased(kind: Kind) {
    let world = world(kind).await;
    let (auditor, own, foreign) = (
        world.launch.add_auditor("eva").unwrap(),
        eraser(&world, "max", "0"),
        eraser(&world, "moritz", "1"),
    );
    let mut phone = world.phone(1).await;
    let run = record(&mut phone, 2, "a night");
    let status = world.upload(&phone, &run).await;
    world.settled(status.run).await;
    let device = phone.device();
    let good = order(&world, &[device]);
    for credential in [&auditor, &foreign] {
        let refused = bring(&world, credential, &good).await;
        assert_eq!((refused.status, &*refused.code()), (403, "not_allowed"));
    }
    // What is good for erasing shows nothing.
    let shown = world.get_as("/v1/export?study=0", &own).await;
    assert_eq!(shown.code(), "not_allowed");

    let change = |change: fn(&mut ErasureOrder)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let unsigned = |order: ErasureOrder| signed(order, &holder());
    let of = |devices: &[u32]| {
        let devices: Vec<_> = devices.iter().copied().map(DeviceId).collect();
        order(&world, &devices)
    };
    let other = SigningKey::from_bytes(&[23; 32]);
    for (order, code) in [
        (signed(good.clone(), &other), "not_the_holder"),
        (change(|order| order.erased_at += 1), "bad_order_signature"),
        (
            change(|order| order.devices.push(DeviceId(99))),
            "bad_order_signature",
        ),
        (
            unsigned(change(|order| order.chain.0[0] ^= 1)),
            "wrong_chain",
        ),
        (
            unsigned(change(|order| order.participant.0[0] ^= 1)),
            "other_participant",
        ),
        (of(&[99]), "unknown_device"),
        (of(&[device.0, 99]), "unknown_device"),
        (of(&[]), "invalid_message"),
        (of(&[device.0, device.0]), "invalid_message"),
        (of(&(0..65).collect::<Vec<_>>()), "invalid_message"),
    ] {
        assert_eq!(bring(&world, &own, &order).await.code(), code, "{order:?}");
    }
    let request = world.request("/v1/admin/erasures", &[]);
    let text = answer(request.bearer_auth(&own).body("{}")).await;
    assert_eq!(text.code(), "invalid_message");
    let (shown, _) = export(&world, &auditor, 0).await;
    assert_eq!(shown[0].entries, run.entries, "nothing was erased");
    let outcome: ErasureOutcome = bring(&world, &own, &good).await.json();
    assert_eq!(outcome.erased, 2);
}

async fn a_relay_that_was_told_of_no_holder_erases_nothing(kind: Kind) {
    let world = World::start(kind).await;
    let phone = world.phone(1).await;
    let credential = eraser(&world, "max", "all");
    let refused = bring(&world, &credential, &order(&world, &[phone.device()])).await;
    assert_eq!((refused.status, &*refused.code()), (403, "not_the_holder"));
    assert!(refused.problem().detail.contains("was not told"));
}

/// Two days in milliseconds.
const TWO_DAYS: i64 = 2 * 86_400_000;

/// Rules go by the time that stands beside a run. The relay is stopped.
async fn two_days_pass_for(world: &World, device: DeviceId) {
    let database = Database::open(&world.database.parse().unwrap())
        .await
        .unwrap();
    let made_older = "UPDATE runs SET settled_at = settled_at - $1 WHERE device = $2";
    let changed = sqlx::query(made_older)
        .bind(TWO_DAYS)
        .bind(i64::from(device))
        .execute(database.pool())
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    database.close().await;
}

/// The hour of the day, in UTC, in which a relay looks next that is started now: it looks at once, and every minute.
fn hour() -> u64 {
    (SystemClock.now() + 60) / 3_600 % 24
}

async fn what_is_older_than_its_studys_rule_leaves_the_files_at_the_hour_for_that(kind: Kind) {
    let mut world = World::start(kind).await;
    let auditor = world.launch.add_auditor("eva").unwrap();
    let (mut old, mut young) = (world.phone(1).await, world.phone(2).await);
    let nights = ["a night that is kept too long", "a night of yesterday"];
    let runs = [
        record(&mut old, 3, nights[0]),
        record(&mut young, 3, nights[1]),
    ];
    for (phone, run) in [&old, &young].into_iter().zip(&runs) {
        let status = world.upload(phone, run).await;
        world.settled(status.run).await;
    }
    let found = |world: &World| {
        let bytes = world.bytes();
        nights.map(|night| {
            let mut windows = bytes.windows(night.len());
            windows.any(|window| window == night.as_bytes())
        })
    };
    assert_eq!(found(&world), [true, true]);

    world.relay.stop().unwrap();
    two_days_pass_for(&world, old.device()).await;
    let launch = world.launch.clone().arg("--retention=study=0,days=1");
    let launch = launch.arg(format!("--retention-hour={}", hour()));
    world.relay.start_again_as(launch).unwrap();
    // It looks again after a minute, and when something holds the table, two minutes after that.
    let deadline = Instant::now() + Duration::from_secs(300);
    while found(&world) != [false, true] {
        assert!(Instant::now() < deadline, "{}", world.relay.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metrics = world.get("/metrics").await.body;
    for line in [
        "mhealth_relay_erased_envelopes_total{why=\"retention\"} 3",
        "mhealth_relay_unscrubbed 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (shown, _) = export(&world, &auditor, 0).await;
    let digests = |entries: &[mhealth_api::RunEntry]| -> Vec<_> {
        let entries = entries.iter();
        entries.map(|entry| (entry.digest, entry.tag)).collect()
    };
    assert_eq!(digests(&shown[0].entries), digests(&runs[0].entries));
    let mut emptied = shown[0].entries.iter();
    assert!(emptied.all(|entry| entry.envelope.0.is_empty()));
    assert_eq!(shown[1].entries, runs[1].entries);
    // The phone goes on, unlike that of somebody who is erased.
    let next = record(&mut old, 1, "another night");
    world.upload(&old, &next).await;
}
