// SPDX-License-Identifier: Apache-2.0

//! What is taken up on SIGHUP, without a restart.

use std::process::Command;
use std::time::Instant;

use mhealth_testing::process::Program;
use mhealth_testing::servers::{sqlite_in, Launch, Server};

use crate::world::{with_envelopes, Kind, World, NIGHT, PATIENCE};

fn hang_up(server: &Server) {
    let process = server.process_id().unwrap();
    let command = format!("kill -HUP {process}");
    let sent = Command::new("sh").args(["-c", &command]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issuers_and_logs_are_read_anew_and_nonsense_changes_nothing() {
    let mut world = World::start(Kind::Sqlite).await;
    let mut phone = world.phone(1).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    std::fs::write(&config, "log = 'warn'\n").unwrap();
    let launch = Launch::of(Program::Relay)
        .env("MHEALTH_ACCOUNT", "//Eve")
        .env("MHEALTH_DATABASE", sqlite_in(folder.path(), "eve.db"))
        .env("RUST_LOG", "")
        .arg(format!("--node={}", world.node.url()))
        .arg(format!("--config={}", config.display()));
    world.relay = launch.start().unwrap();
    world.issuer.relays = vec![world.relay.url()];
    let run = with_envelopes(&phone.run_of(1, NIGHT));
    let pass = world.pass(&phone);
    let refused = world.post("/v1/runs", &pass, &run).await;
    assert_eq!(refused.code(), "unknown_issuer");

    std::fs::write(&config, "colour = 'red'\n").unwrap();
    hang_up(&world.relay);
    world
        .relay
        .wait_for_log("the options cannot be read anew")
        .unwrap();
    assert_eq!(
        world.post("/v1/runs", &pass, &run).await.code(),
        "unknown_issuer"
    );

    let issuer = format!(
        "log = 'info'\ntrusted-issuer = ['issuer={},study=0']\n",
        world.issuer.url()
    );
    std::fs::write(&config, issuer).unwrap();
    hang_up(&world.relay);
    let deadline = Instant::now() + PATIENCE;
    while world.post("/v1/runs", &pass, &run).await.status >= 400 {
        assert!(Instant::now() < deadline, "{}", world.relay.log());
    }
    // What is only told at this level.
    world.relay.wait_for_log("a batch is finalised").unwrap();
}
