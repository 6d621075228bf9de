// SPDX-License-Identifier: Apache-2.0

//! The packages for apps against the real system: in each language one phone enrols with a real code, seals 28 nights and sends them
//! to two real relays, past one that lies and one that keeps runs back. A copy of it, made after the first night, is stopped.
//! And an app developer who has nothing but a package's README has a first entry registered.
//! `scripts/test sdk` builds the packages and runs this.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hashchain::DeviceId;
use mhealth_chain_client::ChainClient;
use mhealth_testing::audit::{self, Options};
use mhealth_testing::document;
use mhealth_testing::doubtful_relay::{DoubtfulRelay, Fault};
use mhealth_testing::http;
use mhealth_testing::newcomer;
use mhealth_testing::node;
use mhealth_testing::port::Port;
use mhealth_testing::servers::{self, AuthOptions, RelayOptions};
use mhealth_testing::topology::{Site, Topology, SIGNED_STUDY};
use serde::Deserialize;
use serde_json::json;

const NIGHTS: u64 = 28;
const LANGUAGES: [&str; 4] = ["python", "kotlin", "node", "chromium"];
/// Seconds that the phones give each sync.
const DEADLINE: f64 = 60.0;

/// Packages whose READMEs can be followed here.
const PACKAGES: [&str; 3] = ["python", "kotlin", "typescript"];
/// What stands in READMEs for the folder of this project, for the authentication server's address, and for a code.
const PROJECT: &str = "/path/to/mhealth-chain";
const ADDRESS: &str = "https://auth.example.org";
const CODE: &str = "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-XXXXX";
/// Within this, an app developer wants to have seen that it works.
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// What a phone says at last.
#[derive(Debug, Deserialize)]
struct Said {
    device: u32,
    sealed: u64,
    finalised: u64,
    block: Option<u32>,
    stopped: Option<String>,
    /// How many seconds the longest sync took.
    longest: f64,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn a_phone_in_every_language_registers_its_nights_past_relays_that_lie_and_keep_runs_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node::Launch::consensus().start().expect("the node starts");
    let ports = [(); 2].map(|()| Port::reserve().expect("a port is free"));
    let urls = ports.each_ref().map(Port::url);
    let liar = DoubtfulRelay::before(&urls[0], Fault::Lies);
    let liar = liar.await.expect("it starts");
    let keeper = DoubtfulRelay::before(&urls[1], Fault::Keeps);
    let keeper = keeper.await.expect("it starts");
    // A page's origin has to be listed before the page is served.
    let page = Port::reserve().expect("a port is free");
    let origin = format!("--allowed-origin={}", page.url());

    let launch = servers::auth(&AuthOptions {
        study: SIGNED_STUDY,
        chain: node.url(),
        account: "//Charlie",
        database: servers::sqlite_in(folder.path(), "auth.db"),
        issuer: None,
        // Each device begins with another one of them, and has two copies to bring away: none finds honest ones alone.
        relays: vec![liar.url(), urls[0].clone(), keeper.url(), urls[1].clone()],
    });
    let admin = launch.add_admin("staff").expect("it is added");
    let admin = admin.split_whitespace().next_back().expect("a credential");
    let office = launch.arg(&origin).start();
    let office = office.expect("the authentication server starts");
    let names = [("//Dave", "dave"), ("//Eve", "eve")];
    let relays = names.into_iter().zip(ports).map(|((account, name), port)| {
        let launch = servers::relay(&RelayOptions {
            study: SIGNED_STUDY,
            chain: node.url(),
            account,
            database: servers::sqlite_in(folder.path(), &format!("{name}.db")),
            issuer: office.url(),
        });
        let credential = launch.add_auditor("monitor").expect("it is added");
        let credential = credential.split_whitespace().next_back().map(str::to_owned);
        let relay = launch.arg(&origin).start_at(port);
        let relay = relay.expect("the relay starts");
        relay.wait_until_ready().expect("it is ready");
        (name, relay, credential.expect("a credential"))
    });
    let relays: Vec<_> = relays.collect();
    office.wait_until_ready().expect("it is ready");

    let page_port = page.number().to_string();
    let mut devices = BTreeSet::new();
    for language in LANGUAGES {
        let code = code(&office.url(), admin, language).await;
        let kept = keeper.taken();
        let state = folder.path().join(language);
        let play = |state: PathBuf, nights| {
            phone(
                language,
                state,
                office.url(),
                code.clone(),
                nights,
                page_port.clone(),
            )
        };
        let first = play(state.clone(), 1).await;
        assert_eq!(
            (first.sealed, first.finalised),
            (1, 1),
            "{language}: {first:?}"
        );
        // The keeper may have a third of it.
        assert!(
            first.longest < DEADLINE * 3.0 / 4.0,
            "{language}: {first:?}"
        );
        let copy = folder.path().join(format!("{language}-copy"));
        let copied = Command::new("cp").arg("-a").args([&state, &copy]).status();
        assert!(copied.expect("it starts").success());

        let said = play(state, NIGHTS).await;
        assert_eq!(
            (said.sealed, said.finalised),
            (NIGHTS, NIGHTS),
            "{language}: {said:?}"
        );
        assert!(
            said.block.is_some_and(|block| block > 0),
            "{language}: {said:?}"
        );
        // It is turned to last now, and may have a third once more after an honest one had a hiccup.
        assert!(said.longest < DEADLINE * 3.0 / 4.0, "{language}: {said:?}");
        // Pages cannot read what the keeper says: it lists no origin.
        assert!(
            keeper.taken() > kept || language == "chromium",
            "{language} never met the keeper"
        );

        let restored = play(copy, 1).await;
        assert_eq!(
            restored.stopped.as_deref(),
            Some("restored_backup"),
            "{language}"
        );
        devices.insert(said.device);
    }
    assert!(liar.taken() > 0, "nobody met the liar");
    assert_eq!(devices.len(), LANGUAGES.len(), "a device each");

    let options = Options {
        node: node.url(),
        study: SIGNED_STUDY,
        relays: relays
            .iter()
            .map(|(name, relay, credential)| ((*name).into(), relay.url(), credential.clone()))
            .collect(),
        trust_node: true,
        ..Options::default()
    };
    let report = audit::run(&options, &folder.path().join("audit.json")).expect("an audit");
    assert_eq!(report.alarms(), Vec::<String>::new());
    assert_eq!(report.summary.registered, NIGHTS * LANGUAGES.len() as u64);
    for device in devices {
        let judged = report
            .device(DeviceId(device))
            .expect("it is in the report");
        let entries = judged.entries.iter().filter(|entry| entry.registered);
        assert_eq!(entries.count() as u64, NIGHTS, "device {device}");
    }
    eprintln!(
        "{} entries of {} devices",
        report.summary.registered,
        LANGUAGES.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the packages: scripts/test sdk"]
async fn who_has_seen_nothing_but_a_readme_has_a_first_entry_registered_within_ten_minutes() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = Site::start(Topology::OneRelay, folder.path()).await;
    let site = site.expect("a chain and its servers start");
    let doors = site.doors();
    let office = doors.first().expect("an authentication server");
    let chain = ChainClient::connect(&site.node().url()).await;
    let chain = chain.expect("the node answers");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().expect("it is there");

    for (device, package) in (0..).zip(PACKAGES) {
        let readme = root.join("sdk").join(package).join("README.md");
        let readme = std::fs::read_to_string(readme).expect("it is there");
        let blocks = document::blocks(&readme);
        // That was done, and is done once for all apps.
        let (build, first_entry) = blocks.split_first().expect("it has blocks");
        let builds = build.text.ends_with(&format!("\nsdk/build {package}\n"));
        assert!(builds, "{package}: {build:?}");

        let code = code(&office.url, &office.admin, package).await;
        let own = [
            (PROJECT, root.to_str().expect("a path in UTF-8")),
            (ADDRESS, office.url.as_str()),
            (CODE, code.as_str()),
        ];
        let empty = folder.path().join(format!("{package}-diary"));
        std::fs::create_dir(&empty).expect("it is made");
        let begun = Instant::now();
        let said = newcomer::follow(first_entry, &empty, &own, TEN_MINUTES);
        let said = said.unwrap_or_else(|error| panic!("{package}: {error:#}"));
        let took = begun.elapsed();
        eprintln!("{package}: a first entry after {took:.1?}: {said}");
        assert!(took < TEN_MINUTES, "{package}");
        assert!(said.starts_with("Everything is registered."), "{package}");

        // Numbers are given out one after the other.
        let head = chain.head(DeviceId(device)).await;
        let head = head.expect("the node answers");
        assert_eq!(head.map(|head| head.length), Some(1), "{package}");
    }
}

/// A code that the staff of an authentication server hands out.
async fn code(office: &str, admin: &str, participant: &str) -> String {
    let url = format!("{office}/v1/admin/codes");
    let participant = json!({ "participant": format!("P-{participant}") });
    let issued = http::post_patiently(&url, Some(admin), &participant).await;
    let issued = issued.expect("a code is issued");
    issued.body["code"].as_str().expect("a code").to_owned()
}

/// Plays one phone to its end, which the servers' own tasks must not wait for.
async fn phone(
    language: &str,
    folder: PathBuf,
    office: String,
    code: String,
    nights: u64,
    page: String,
) -> Said {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/tests/phone"));
    command
        .args(["nights", language])
        .arg(folder)
        .args([office, code, nights.to_string()])
        .env("PAGE_PORT", page);
    let ended = tokio::task::spawn_blocking(move || command.output());
    let ended = ended.await.expect("it ends").expect("it starts");
    let shown = String::from_utf8_lossy(&ended.stdout);
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{language}: {shown}{complained}");
    let last = shown.lines().next_back().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{language}: {last}: {error}"))
}
