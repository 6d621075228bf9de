// SPDX-License-Identifier: Apache-2.0

//! Phones whose relays cannot be relied on: real phones, nodes, authentication server and relays, and one relay that lies, keeps
//! runs back, lags, or contradicts everybody.

use std::path::PathBuf;

use mhealth_testing::doubtful_relay::{DoubtfulRelay, Fault};
use mhealth_testing::node::{self, Node};
use mhealth_testing::output::value;
use mhealth_testing::port::Port;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::SIGNED_STUDY;

/// A chain, an authentication server and two relays that do what they should.
struct Site {
    // Servers before the node: they are dropped in this order.
    relays: [Server; 2],
    auth: Server,
    admin: String,
    node: Node,
    folder: tempfile::TempDir,
}

/// What `mhealth-device` printed, and how it ended.
struct Said {
    success: bool,
    all: String,
    last: String,
}

impl Site {
    fn open() -> Self {
        let node = node::Launch::consensus().start().expect("the node starts");
        let folder = tempfile::tempdir().expect("a folder");
        // Tokens are good at the relays that they list, so their addresses are known before.
        let ports = [(); 2].map(|()| Port::reserve().expect("a port is free"));
        let launch = servers::auth(&AuthOptions {
            study: SIGNED_STUDY,
            chain: node.url(),
            account: "//Charlie",
            database: servers::sqlite_in(folder.path(), "auth.db"),
            issuer: None,
            relays: ports.iter().map(Port::url).collect(),
        });
        let admin = launch.add_admin("staff").expect("it is added");
        let auth = launch.start().expect("the authentication server starts");
        let [dave, eve] = ports;
        let relays = [("//Dave", "dave.db", dave), ("//Eve", "eve.db", eve)];
        let relays = relays.map(|(account, database, port)| {
            let relay = servers::relay(&RelayOptions {
                study: SIGNED_STUDY,
                chain: node.url(),
                account,
                database: servers::sqlite_in(folder.path(), database),
                issuer: auth.url(),
            });
            let relay = relay.start_at(port).expect("the relay starts");
            relay.wait_until_ready().expect("it is ready");
            relay
        });
        auth.wait_until_ready().expect("it is ready");
        Site {
            relays,
            auth,
            admin,
            node,
            folder,
        }
    }

    fn state(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    fn device(&self, arguments: &[&str], state: &str) -> Said {
        let mut command = Program::Device.command().expect("it is built");
        command
            .args(arguments)
            .arg("--state")
            .arg(self.state(state))
            .env("MHEALTH_ADMIN", &self.admin);
        let output = command.output().expect("the devices start");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = stdout.trim_end().lines().next_back().unwrap_or_default();
        Said {
            success: output.status.success(),
            last: last.to_owned(),
            all: format!("{stdout}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Plays a cohort of so many nights, which knows these relays.
    fn simulate(&self, state: &str, nights: u32, copies: u32, relays: &[&str]) -> Said {
        let auth = format!("--auth={}", self.auth.url());
        let nights = format!("--nights={nights}");
        let copies = format!("--copies={copies}");
        let relays: Vec<String> = relays
            .iter()
            .map(|relay| format!("--relay={relay}"))
            .collect();
        let mut arguments = vec![
            "simulate",
            "--devices=4",
            "--run-length=2",
            "--patience=5",
            &auth,
            &nights,
            &copies,
        ];
        arguments.extend(relays.iter().map(String::as_str));
        self.device(&arguments, state)
    }
}

impl Said {
    fn is_complete(&self) -> bool {
        let figure = |name| value(&self.last, name)?.parse::<u64>().ok();
        let entries = figure("entries");
        self.success
            && entries.is_some_and(|entries| entries > 0)
            && figure("finalised") == entries
            && figure("refused") == Some(0)
    }

    /// Whether a phone found something wrong with what a relay did.
    fn warns_of(&self, relay: &str) -> bool {
        let mut lines = self.all.lines();
        lines.any(|line| line.contains("WARN") && line.contains(relay))
    }
}

async fn phones_move_on(fault: Fault) {
    let site = Site::open();
    let [dave, eve] = [&site.relays[0], &site.relays[1]].map(Server::url);
    for copies in [1, 2] {
        let state = format!("phones-{copies}");
        let doubtful = DoubtfulRelay::before(&dave, fault)
            .await
            .expect("it starts");
        let doubtful_url = doubtful.url();
        let relays = [&doubtful_url[..], &dave, &eve];
        // A laggard has to have seen something first.
        let first = site.simulate(&state, 2, copies, &relays);
        assert!(first.is_complete(), "{fault:?}, {copies}: {}", first.all);
        let more = site.simulate(&state, 5, copies, &relays);
        assert!(more.is_complete(), "{fault:?}, {copies}: {}", more.all);
        // It was met: phones say why they turned to others.
        let is_met = [&first, &more]
            .iter()
            .any(|said| said.warns_of(&doubtful_url));
        assert!(is_met, "{fault:?}, {copies}: {}{}", first.all, more.all);
        let taken = doubtful.taken();
        let checked = site.device(&["check", &format!("--copies={copies}")], &state);
        assert!(checked.success, "{fault:?}, {copies}: {}", checked.all);
        // Once met, it is turned to last.
        let last = site.simulate(&state, 7, copies, &relays);
        assert!(last.is_complete(), "{fault:?}, {copies}: {}", last.all);
        assert_eq!(doubtful.taken(), taken, "{fault:?}, {copies}: {}", last.all);
        // And who asks a node itself finds the same.
        let node = format!("--node={}", site.node.url());
        let checked = site.device(&["check", &node], &state);
        assert!(checked.success, "{fault:?}, {copies}: {}", checked.all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_move_on_from_a_relay_that_lies_about_finality() {
    phones_move_on(Fault::Lies).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_move_on_from_a_relay_that_keeps_runs_back() {
    phones_move_on(Fault::Keeps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_move_on_from_a_relay_that_lags() {
    phones_move_on(Fault::Lags).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_move_on_from_a_relay_that_contradicts_everybody() {
    phones_move_on(Fault::Contradicts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_that_know_a_liar_only_keep_everything_for_an_honest_relay() {
    let site = Site::open();
    let [dave, eve] = [&site.relays[0], &site.relays[1]].map(Server::url);
    let honest = site.simulate("phones", 2, 1, &[&dave]);
    assert!(honest.is_complete(), "{}", honest.all);
    let liar = DoubtfulRelay::before(&dave, Fault::Lies)
        .await
        .expect("it starts");
    let lied_to = site.simulate("phones", 6, 1, &[&liar.url()]);
    assert!(!lied_to.success && liar.taken() > 0, "{}", lied_to.all);
    let checked = site.device(&["check"], "phones");
    assert!(!checked.success, "{}", checked.all);
    assert!(!checked.all.contains("stopped["), "{}", checked.all);
    let honest = site.simulate("phones", 6, 1, &[&eve]);
    assert!(honest.is_complete(), "{}", honest.all);
}
