// SPDX-License-Identifier: Apache-2.0

//! Whole trials through real servers, in every topology of the paper that has servers; Figure 1c on both databases.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use hashchain::{DeviceId, LinkHash, StudyId};
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::{self, Node};
use mhealth_testing::port::Port;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, http_get, AuthOptions, RelayOptions, Server};
use mhealth_testing::topology::{PAPER_STUDY as HASHCHAIN_ONLY, SIGNED_STUDY as DEVICE_SIGNED};

/// A chain, and a folder for everything else.
struct Site {
    node: Node,
    folder: tempfile::TempDir,
    postgres: Option<Postgres>,
}

/// What `mhealth-device` printed last, and whether it was content.
struct Outcome {
    figures: BTreeMap<String, u64>,
    success: bool,
    output: String,
}

impl Site {
    fn on_sqlite() -> Self {
        Site {
            node: node::Launch::consensus().start().expect("the node starts"),
            folder: tempfile::tempdir().expect("a folder"),
            postgres: None,
        }
    }

    fn on_postgresql() -> Self {
        let postgres = Postgres::start().expect("PostgreSQL starts");
        Site {
            postgres: Some(postgres),
            ..Self::on_sqlite()
        }
    }

    /// A new database.
    fn database(&self, name: &str) -> String {
        match &self.postgres {
            Some(postgres) => postgres.new_database().expect("it is made"),
            None => servers::sqlite_in(self.folder.path(), &format!("{name}.db")),
        }
    }

    /// The study's authentication server, and a credential of its staff.
    fn auth(&self, study: StudyId, name: &str, relays: &[Port]) -> (Server, String) {
        let launch = servers::auth(&AuthOptions {
            study,
            chain: self.node.url(),
            account: "//Charlie",
            database: self.database(name),
            issuer: None,
            relays: relays.iter().map(Port::url).collect(),
        });
        let credential = launch.add_admin("staff").expect("it is added");
        let server = launch.start().expect("the authentication server starts");
        server.wait_until_ready().expect("it is ready");
        (server, credential)
    }

    fn relay(
        &self,
        study: StudyId,
        account: &'static str,
        auth: &Server,
        database: &str,
        port: Port,
    ) -> Server {
        let relay = servers::relay(&RelayOptions {
            study,
            chain: self.node.url(),
            account,
            database: database.to_owned(),
            issuer: auth.url(),
        });
        let relay = relay.start_at(port).expect("the relay starts");
        relay.wait_until_ready().expect("it is ready");
        relay
    }

    fn state_file(&self) -> PathBuf {
        self.folder.path().join("devices.db")
    }

    /// Plays a cohort of 6 devices over 5 nights, or goes on with it until night 7.
    fn simulate(
        &self,
        auth: &Server,
        credential: &str,
        relays: &[&Server],
        more: &[&str],
    ) -> Outcome {
        let mut command = Program::Device.command().expect("it is built");
        command
            .args(["simulate", "--devices=6", "--run-length=2"])
            .arg(format!("--auth={}", auth.url()))
            .args(
                relays
                    .iter()
                    .map(|relay| format!("--relay={}", relay.url())),
            )
            .args((!more.contains(&"--nights=7")).then_some("--nights=5"))
            .args(more)
            .arg("--state")
            .arg(self.state_file())
            .env("MHEALTH_ADMIN", credential);
        let output = command.output().expect("the devices start");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = stdout.trim_end().lines().next_back().unwrap_or_default();
        let figures = last.split_whitespace().filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.to_owned(), value.parse().ok()?))
        });
        Outcome {
            figures: figures.collect(),
            success: output.status.success(),
            output: format!("{stdout}{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Whether every head on the chain is the device's own. The chain is asked without a server between.
    fn heads_are_equal(&self) -> bool {
        let mut command = Program::Device.command().expect("it is built");
        command
            .args(["check", "--node", &self.node.url(), "--state"])
            .arg(self.state_file());
        command.output().expect("it starts").status.success()
    }

    async fn chain(&self) -> ChainClient {
        ChainClient::connect(&self.node.url())
            .await
            .expect("the node answers")
    }

    /// How often each run was brought to the chain, by account.
    async fn brought(&self) -> BTreeMap<[u8; 32], Vec<(DeviceId, u64, LinkHash)>> {
        let chain = self.chain().await;
        let last = chain.finalised().await.expect("the node answers").number;
        let mut blocks = chain.follow_from(1);
        let mut brought: BTreeMap<_, Vec<_>> = BTreeMap::new();
        while blocks.position() <= last {
            let block = blocks.next().await.expect("it is finalised");
            for run in chain.runs_brought(block.hash).await.expect("they are read") {
                let run_name = (run.run.device, run.run.first_sequence, run.run.previous);
                brought.entry(run.submitter.0).or_default().push(run_name);
            }
        }
        brought
    }
}

impl Outcome {
    fn all_finalised(&self) -> bool {
        let figure = |key: &str| self.figures.get(key).copied().unwrap_or_default();
        self.success
            && figure("finalised") == figure("entries")
            && figure("entries") > 0
            && figure("refused") == 0
    }
}

fn ports<const N: usize>() -> [Port; N] {
    [(); N].map(|()| Port::reserve().expect("a port"))
}

fn twice(runs: &[(DeviceId, u64, LinkHash)]) -> usize {
    let different: HashSet<_> = runs.iter().collect();
    runs.len() - different.len()
}

/// Figures 1c and 2c: each run goes to two relays with accounts and databases of their own.
async fn a_trial_through_two_relays(site: Site) {
    let ports = ports();
    let (auth, credential) = site.auth(DEVICE_SIGNED, "auth", &ports);
    let [one, two] = ports;
    let relays = [("//Dave", "dave", one), ("//Eve", "eve", two)];
    let relays = relays.map(|(account, name, port)| {
        site.relay(DEVICE_SIGNED, account, &auth, &site.database(name), port)
    });
    let [one, two] = &relays;
    let outcome = site.simulate(&auth, &credential, &[one, two], &["--copies=2"]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    assert!(site.heads_are_equal());
    let length = site
        .chain()
        .await
        .journal_length()
        .await
        .expect("the node answers");
    assert_eq!(length, outcome.figures["entries"]);
    let brought = site.brought().await;
    assert_eq!(brought.len(), 2, "both relays submitted");
    for runs in brought.values() {
        assert_eq!(twice(runs), 0);
    }
    for relay in &relays {
        let (status, metrics) = http_get(relay.port(), "/metrics").expect("it answers");
        assert_eq!(status, 200);
        assert!(metrics.contains("# TYPE"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_through_two_relays_is_finalised_on_sqlite() {
    a_trial_through_two_relays(Site::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_through_two_relays_is_finalised_on_postgresql() {
    a_trial_through_two_relays(Site::on_postgresql()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relay_processes_on_one_database_and_one_account_submit_nothing_twice() {
    let site = Site::on_postgresql();
    let ports = ports();
    let (auth, credential) = site.auth(DEVICE_SIGNED, "auth", &ports);
    let shared = site.database("shared");
    let [mut one, two] =
        ports.map(|port| site.relay(DEVICE_SIGNED, "//Dave", &auth, &shared, port));
    // The same run to both processes: the second finds what the first has stored.
    let outcome = site.simulate(&auth, &credential, &[&one, &two], &["--copies=2"]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    // The one that led is gone; the other takes over.
    one.kill().expect("it is killed");
    let outcome = site.simulate(&auth, &credential, &[&two], &["--nights=7"]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    let brought = site.brought().await;
    assert_eq!(brought.len(), 1);
    for runs in brought.values() {
        assert_eq!(twice(runs), 0);
    }
    assert!(site.heads_are_equal());
}

/// Figure 1b.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_through_one_relay_survives_a_kill_of_every_server() {
    let site = Site::on_sqlite();
    let [port] = ports();
    let named = std::slice::from_ref(&port);
    let (mut auth, credential) = site.auth(DEVICE_SIGNED, "auth", named);
    let database = site.database("relay");
    let mut relay = site.relay(DEVICE_SIGNED, "//Dave", &auth, &database, port);
    let outcome = site.simulate(&auth, &credential, &[&relay], &[]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    relay.kill().expect("it is killed");
    auth.kill().expect("it is killed");
    auth.start_again().expect("it starts again");
    relay.start_again().expect("it starts again");
    let outcome = site.simulate(&auth, &credential, &[&relay], &["--nights=7"]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    assert!(site.heads_are_equal());
}

/// Figure 2a, the paper's negative case: devices do not chain, the relay does it for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_chains_for_devices_brings_their_bare_records_to_the_chain() {
    let site = Site::on_sqlite();
    let [port] = ports();
    let (auth, credential) = site.auth(HASHCHAIN_ONLY, "auth", std::slice::from_ref(&port));
    let relay = servers::relay(&RelayOptions {
        study: HASHCHAIN_ONLY,
        chain: site.node.url(),
        account: "//Dave",
        database: site.database("relay"),
        issuer: auth.url(),
    });
    let relay = relay
        .arg("--chain-for-devices")
        .start_at(port)
        .expect("the relay starts");
    relay.wait_until_ready().expect("it is ready");
    let study = format!("--study={HASHCHAIN_ONLY}");
    let outcome = site.simulate(&auth, &credential, &[&relay], &[&study, "--bare-records"]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
    let length = site
        .chain()
        .await
        .journal_length()
        .await
        .expect("the node answers");
    assert_eq!(length, outcome.figures["entries"]);
}

/// Figure 2b: each relay has an authentication server of its own and trusts no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_relays_authentication_server_is_worth_nothing_at_another_relay() {
    let site = Site::on_sqlite();
    // Either names both relays: it is the issuer that the other relay does not trust.
    let ports = ports();
    let (own, credential) = site.auth(DEVICE_SIGNED, "own", &ports);
    let (other, _) = site.auth(DEVICE_SIGNED, "other", &ports);
    let [port, foreign] = ports;
    let databases = ["own-relay", "other-relay"].map(|name| site.database(name));
    let relay = site.relay(DEVICE_SIGNED, "//Dave", &own, &databases[0], port);
    let foreign = site.relay(DEVICE_SIGNED, "//Eve", &other, &databases[1], foreign);
    let outcome = site.simulate(&own, &credential, &[&foreign], &["--patience=3"]);
    assert!(!outcome.success, "{}", outcome.output);
    let length = site
        .chain()
        .await
        .journal_length()
        .await
        .expect("the node answers");
    assert_eq!(length, 0);
    let outcome = site.simulate(&own, &credential, &[&relay], &[]);
    assert!(outcome.all_finalised(), "{}", outcome.output);
}
