// SPDX-License-Identifier: Apache-2.0

//! An audit of a trial that went through the real servers: an authentication server, two relays, and devices.

use std::path::Path;
use std::process::{Command, Output};

use hashchain::StudyId;
use mhealth_testing::enrolment::development_auditor_digits;
use mhealth_testing::node;
use mhealth_testing::port::Port;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{auth, relay, sqlite_in, AuthOptions, Launch, RelayOptions};
use mhealth_testing::topology::last_word;
use tempfile::TempDir;

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().to_string()
}

struct Relays<'a> {
    names: [&'a str; 2],
    urls: [String; 2],
    credentials: [String; 2],
}

fn audit(node: &str, directory: &Path, relays: &Relays<'_>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mhealth-auditor"));
    command
        .args([
            "audit",
            "--node",
            node,
            "--study=0",
            "--trust-node",
            "--html",
        ])
        .arg(directory.join("audit.html"))
        .env("MHEALTH_AUDITOR_KEY", development_auditor_digits());
    for index in 0..2 {
        let variable = format!(
            "MHEALTH_RELAY_CREDENTIAL_{}",
            relays.names[index].to_uppercase()
        );
        command
            .arg(format!(
                "--relay={}={}",
                relays.names[index], relays.urls[index]
            ))
            .env(variable, &relays.credentials[index]);
    }
    command.output().unwrap()
}

#[test]
fn a_trial_through_two_relays_is_right_and_a_relay_that_is_away_or_refuses_is_not_covered() {
    let node = node::Launch::instant().start().unwrap();
    let directory = TempDir::new().unwrap();
    let ports = [(); 2].map(|()| Port::reserve().unwrap());
    let office = auth(&AuthOptions {
        study: StudyId(0),
        chain: node.url(),
        account: "//Charlie",
        database: sqlite_in(directory.path(), "auth.db"),
        issuer: None,
        relays: ports.iter().map(Port::url).collect(),
    });
    let admin = last_word(&office.add_admin("clerk").unwrap());
    let office = office.start().unwrap();
    let names = ["dave", "eve"];
    let launches: Vec<Launch> = [("//Dave", "dave.db"), ("//Eve", "eve.db")]
        .into_iter()
        .map(|(account, database)| {
            relay(&RelayOptions {
                study: StudyId(0),
                chain: node.url(),
                account,
                database: sqlite_in(directory.path(), database),
                issuer: office.url(),
            })
        })
        .collect();
    let credential = |launch: &Launch| last_word(&launch.add_auditor("monitor").unwrap());
    let credentials = [credential(&launches[0]), credential(&launches[1])];
    let mut servers: Vec<_> = launches
        .into_iter()
        .zip(ports)
        .map(|(launch, port)| launch.start_at(port).unwrap())
        .collect();
    let urls = [servers[0].url(), servers[1].url()];

    let mut cohort = Program::Device.command().unwrap();
    cohort
        // Blocks are made on demand here, and nothing proves that they are final.
        .args(["simulate", "--trust-relays", "--devices=3", "--nights=5"])
        .arg("--copies=2")
        .args([
            "--auth",
            &office.url(),
            "--relay",
            &urls[0],
            "--relay",
            &urls[1],
        ])
        .args(["--admin-credential", &admin, "--state"])
        .arg(directory.path().join("devices.db"));
    let simulated = cohort.output().unwrap();
    assert!(simulated.status.success(), "{simulated:?}");
    let finalised = last_line(&simulated);
    let finalised = finalised
        .split("finalised=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert_ne!(finalised, "0");

    let mut relays = Relays {
        names,
        urls,
        credentials,
    };
    let output = audit(&node.url(), directory.path(), &relays);
    let line = last_line(&output);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(line.starts_with("audit=right devices=3"), "{line}");
    assert!(line.contains(&format!(" valid={finalised} ")), "{line}");

    // Another's credential: the relay says no, and what it holds is not covered. The other relay's copies still are.
    relays.credentials[1] = "mistaken".into();
    let output = audit(&node.url(), directory.path(), &relays);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        last_line(&output).contains(&format!(" valid={finalised} ")),
        "{output:?}"
    );

    servers[0].kill().unwrap();
    let output = audit(&node.url(), directory.path(), &relays);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        last_line(&output).contains(&format!(" not_covered={finalised} ")),
        "{output:?}"
    );
    let page = std::fs::read_to_string(directory.path().join("audit.html")).unwrap();
    assert!(page.contains("the relay answers 401"), "{page}");
}
