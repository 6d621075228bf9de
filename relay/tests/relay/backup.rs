// SPDX-License-Identifier: Apache-2.0

//! A copy of the relay's database, made while phones upload, and put in place of a lost one.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use hashchain::StudyId;
use mhealth_api::RunState;
use mhealth_testing::node::Launch;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::servers::sqlite_in;

use crate::world::{on_both_databases, Kind, World};

on_both_databases! {
    a_copy_that_is_made_under_load_is_put_in_place_and_goes_on
}

async fn a_copy_that_is_made_under_load_is_put_in_place_and_goes_on(kind: Kind) {
    let mut world = World::start_with(kind, Launch::instant(), StudyId(0), |launch| launch).await;
    let folder = tempfile::tempdir().unwrap();
    let (copy, second) = (folder.path().join("copy"), folder.path().join("second"));
    let mut phones = Vec::new();
    for seed in 1..=3 {
        phones.push(world.phone(seed).await);
    }
    // Acknowledged before the copy begins.
    let mut before = Vec::new();
    for phone in &mut phones {
        before.push(world.upload_new(phone, 4).await.run);
    }
    let is_copied = AtomicBool::new(false);
    let mut later = phones.split_off(1);
    let uploads = async {
        let mut uploaded = 0;
        while !is_copied.load(Ordering::SeqCst) || uploaded < 8 {
            for phone in &mut later {
                world.upload_new(phone, 2).await;
                uploaded += 1;
            }
        }
    };
    let copying = async {
        let launch = world.launch.clone();
        let file = copy.display().to_string();
        let copied = tokio::task::spawn_blocking(move || launch.run(&["backup", &file])).await;
        is_copied.store(true, Ordering::SeqCst);
        copied.unwrap().unwrap()
    };
    tokio::join!(uploads, copying);
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Nothing is replaced, neither a file nor a database.
    let run = |command: &str, file: &std::path::Path| {
        let file = file.display().to_string();
        world
            .launch
            .run(&[command, &file])
            .map_err(|error| error.to_string())
    };
    let error = run("backup", &copy).unwrap_err();
    assert!(error.contains("(file_exists)"), "{error}");
    let error = run("restore", &copy).unwrap_err();
    assert!(error.contains("(database_exists)"), "{error}");
    run("backup", &second).unwrap();

    let unknown = async |world: &World| {
        let metrics = world.get("/metrics").await.body;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("mhealth_relay_unknown_transactions"));
        line.unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(unknown(&world).await, 0);
    let run = world.upload_new(&mut later[0], 1).await.run;
    world.settled(run).await;

    // The disk is lost.
    world.relay.kill().unwrap();
    let postgres = (kind == Kind::Postgres).then(|| Postgres::start().unwrap());
    let fresh = |name: &str| match &postgres {
        Some(postgres) => postgres.new_database().unwrap(),
        None => sqlite_in(folder.path(), name),
    };
    let database = fresh("restored.db");
    let launch = world.launch.clone().env("MHEALTH_DATABASE", &database);
    let said = launch.run(&["restore", copy.to_str().unwrap()]).unwrap();
    assert!(said.contains("phones bring that again"), "{said}");
    world.relay = launch.clone().start().unwrap();
    world.issuer.relays = vec![world.relay.url()];
    // It says that the chain knows more than its database does.
    world.relay.wait_for_log("it is an old copy").unwrap();
    assert!(unknown(&world).await > 0);
    for run in before {
        assert_eq!(world.settled(run).await.state, RunState::Finalised);
    }
    // It goes on: a phone that it knows, and those whose later runs it has lost and the chain has.
    let run = world.upload_new(&mut phones[0], 1).await.run;
    assert_eq!(world.settled(run).await.state, RunState::Finalised);
    for phone in &mut later {
        let run = world.upload_new(phone, 1).await.run;
        assert_eq!(world.settled(run).await.state, RunState::Finalised);
    }

    // What is damaged or no copy is not put in place, and leaves nothing.
    std::fs::write(&copy, "not a copy").unwrap();
    let database = fresh("other.db");
    let other = world.launch.clone().env("MHEALTH_DATABASE", &database);
    let error = other.run(&["restore", copy.to_str().unwrap()]).unwrap_err();
    assert!(!error.to_string().contains("panicked"), "{error}");
    other.run(&["restore", second.to_str().unwrap()]).unwrap();
    if kind == Kind::Sqlite {
        // A copy that somebody moved into place by hand explains itself.
        let database = format!("sqlite:{}", second.display());
        let moved = world.launch.clone().env("MHEALTH_DATABASE", &database);
        let error = format!("{:#}", moved.start().err().expect("it is a copy"));
        assert!(error.contains("(backup_not_restored)"), "{error}");
    }
}
