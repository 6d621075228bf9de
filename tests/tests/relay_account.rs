// SPDX-License-Identifier: Apache-2.0

//! A relay whose account is changed on chain goes on with its database: real node, servers, phones and auditor.

use std::path::Path;

use mhealth_chain_client::{calls, Account, ChainClient};
use mhealth_testing::audit;
use mhealth_testing::node;
use mhealth_testing::output::value;
use mhealth_testing::port::Port;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions};
use mhealth_testing::topology::{last_word, SIGNED_STUDY};

const FORMER: &str = "//Dave";
const NEXT: &str = "//Dave//next";

fn simulate(folder: &Path, auth: &str, admin: &str, relay: &str, nights: u32) -> String {
    let mut command = Program::Device.command().expect("it is built");
    command
        .args(["simulate", "--devices=3", "--run-length=2"])
        .arg(format!("--nights={nights}"))
        .arg(format!("--auth={auth}"))
        .arg(format!("--relay={relay}"))
        .arg("--state")
        .arg(folder.join("phones.db"))
        .env("MHEALTH_ADMIN", admin);
    let output = command.output().expect("the phones start");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let heard = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{heard}");
    said.trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_keeps_its_database_when_its_account_changes() {
    let node = node::Launch::consensus().start().expect("the node starts");
    let folder = tempfile::tempdir().expect("a folder");
    let port = Port::reserve().expect("a port is free");
    let relay_url = port.url();
    let office = servers::auth(&AuthOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: "//Charlie",
        database: servers::sqlite_in(folder.path(), "auth.db"),
        issuer: None,
        relays: vec![relay_url.clone()],
    });
    let admin = office.add_admin("staff").expect("it is added");
    let office = office.start().expect("the authentication server starts");
    office.wait_until_ready().expect("it is ready");
    let relay = |account: &'static str| -> Launch {
        servers::relay(&RelayOptions {
            study: SIGNED_STUDY,
            chain: node.url(),
            account,
            database: servers::sqlite_in(folder.path(), "relay.db"),
            issuer: office.url(),
        })
    };
    let credential = relay(FORMER).add_auditor("eva");
    let credential = last_word(&credential.expect("it is added"));
    let mut server = relay(FORMER).start_at(port).expect("the relay starts");
    server.wait_until_ready().expect("it is ready");
    let first = simulate(folder.path(), &office.url(), &admin, &relay_url, 2);
    assert_eq!(
        value(&first, "finalised"),
        value(&first, "entries"),
        "{first}"
    );
    server.stop().expect("it stops");

    // Who does not hold the relay's place does not get its database.
    let refused = server.start_again_as(relay(NEXT));
    let refused = format!("{:#}", refused.expect_err("it is refused"));
    assert!(refused.contains("studies.rotate"), "{refused}");

    let chain = ChainClient::connect(&node.url()).await.expect("it answers");
    let account = |uri| Account::from_secret_uri(uri).expect("a secret");
    let rotation = calls::rotate(SIGNED_STUDY, account(NEXT).id());
    let former = chain.submitter(account(FORMER));
    let outcome = former.submit_and_wait(rotation).await.expect("sent");
    outcome.succeeded().expect("the account is changed");

    let again = server.start_again_as(relay(NEXT));
    again.expect("the relay starts");
    server.wait_until_ready().expect("it is ready");
    let more = simulate(folder.path(), &office.url(), &admin, &relay_url, 4);
    assert_eq!(value(&more, "finalised"), value(&more, "entries"), "{more}");

    let report = audit::run(
        &audit::Options {
            node: node.url(),
            study: SIGNED_STUDY,
            relays: vec![("dave".into(), server.url(), credential)],
            ..audit::Options::default()
        },
        &folder.path().join("audit.json"),
    )
    .expect("the audit runs");
    assert_eq!(report.alarms(), Vec::<String>::new());
    assert!(report.summary.registered > 0);
    // The study's other relay showed nothing; both accounts of this one are covered by what it shows.
    let text = std::fs::read(folder.path().join("audit.json")).expect("it is written");
    let written: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let other = format!("0x{}", hex::encode(account("//Eve").public_key()));
    assert_eq!(written["audit"]["no_export"], serde_json::json!([other]));
}
