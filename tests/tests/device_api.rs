// SPDX-License-Identifier: Apache-2.0

//! The requests of `docs/protocol/device-api.md`, as a reader would try them: with bash, curl and openssl.

use std::process::Command;

use mhealth_testing::node;
use mhealth_testing::port::Port;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions};
use mhealth_testing::topology::SIGNED_STUDY;

const DOCUMENT: &str = include_str!("../../docs/protocol/device-api.md");
/// The section whose blocks are one script.
const SECTION: &str = "## 2. The whole way in nine requests";

/// The blocks of the section, one after the other.
fn script() -> String {
    let section = DOCUMENT
        .split(SECTION)
        .nth(1)
        .expect("the section is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("\n```sh\n").skip(1);
    let blocks = blocks.map(|block| block.split("\n```").next().unwrap_or_default());
    blocks.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_document_takes_its_reader_from_a_code_to_a_finalised_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node::Launch::consensus().start().expect("the node starts");
    let port = Port::reserve().expect("a port");
    let launch = servers::auth(&AuthOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: "//Charlie",
        database: servers::sqlite_in(folder.path(), "auth.db"),
        issuer: None,
        relays: vec![port.url()],
    });
    let admin = launch.add_admin("reader").expect("it is added");
    let auth = launch.start().expect("the authentication server starts");
    let relay = servers::relay(&RelayOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: "//Dave",
        database: servers::sqlite_in(folder.path(), "relay.db"),
        issuer: auth.url(),
    });
    let relay = relay.start_at(port).expect("the relay starts");
    auth.wait_until_ready().expect("it is ready");
    relay.wait_until_ready().expect("it is ready");

    let script = script();
    assert!(script.matches("ask ").count() >= 8, "{script}");
    let file = folder.path().join("reader.sh");
    std::fs::write(&file, script).expect("it is written");
    let read = Command::new("bash")
        // Prints each command, so that a failure shows where it was.
        .arg("-x")
        .arg(file)
        .current_dir(folder.path())
        .env("AUTH", auth.url())
        .env("RELAY", relay.url())
        .env("ADMIN", admin)
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&read.stderr);
    let last: Vec<&str> = said.lines().rev().take(20).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    assert!(read.status.success(), "{}", last.join("\n"));
}
