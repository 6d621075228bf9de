// SPDX-License-Identifier: Apache-2.0

//! A participant who wants out: from the destroyed key to the last relay's files and the receipt on the chain.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hashchain::{participant_digest, DeviceId, Native, StudyId};
use mhealth_api::{DeviceStatus, ErasureOrder, ExportedRun, Key, CLOSING_PREFIX};
use mhealth_chain_client::{create_private, Account, ChainClient, DeviceView};
use mhealth_testing::audit;
use mhealth_testing::member::Member;
use mhealth_testing::node::{self, Node};
use mhealth_testing::port::Port;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions, Server};

const STUDY: StudyId = StudyId(0);
const PARTICIPANTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an envelope by which it is looked for.
const PIECE: usize = 24;

/// A study with two relays: dave's database is a file, eve's is PostgreSQL.
struct Site {
    node: Node,
    chain: ChainClient,
    folder: tempfile::TempDir,
    postgres: Postgres,
    /// Relays that are started again read its keys.
    _auth: Server,
    dave: (Launch, Server),
    eve: (Launch, Server),
}

impl Site {
    async fn start() -> Self {
        let node = node::Launch::consensus().start().expect("the node starts");
        let chain = ChainClient::connect(&node.url()).await.expect("it answers");
        let folder = tempfile::tempdir().expect("a folder");
        let postgres = Postgres::start().expect("PostgreSQL starts");
        let keys = folder.path().join("keys");
        let genesis = format!("{:?}", chain.genesis_hash());
        let made = data(
            &["keys", "new", "--genesis", &genesis, "--study", "0"],
            &keys,
        );
        succeeds(&made);
        let listed = last_line(&succeeds(&data(&["keys", "list"], &keys)));
        let holder = listed.rsplit("holder=").next().expect("the key").to_owned();

        let ports = [(); 2].map(|()| Port::reserve().expect("a port"));
        let auth = servers::auth(&AuthOptions {
            study: STUDY,
            chain: node.url(),
            account: "//Charlie",
            database: servers::sqlite_in(folder.path(), "auth.db"),
            issuer: None,
            relays: ports.iter().map(Port::url).collect(),
        });
        let admin = auth.add_admin("staff").expect("it is added");
        let auth = auth.start().expect("the authentication server starts");
        auth.wait_until_ready().expect("it is ready");
        let [one, two] = ports;
        let relay = |account, database, port| {
            let launch = servers::relay(&RelayOptions {
                study: STUDY,
                chain: node.url(),
                account,
                database,
                issuer: auth.url(),
            });
            let launch = launch.arg(format!("--holder=study=0,key={holder}"));
            let server = launch.clone().start_at(port).expect("the relay starts");
            server.wait_until_ready().expect("it is ready");
            (launch, server)
        };
        let dave = servers::sqlite_in(folder.path(), "dave.db");
        let dave = relay("//Dave", dave, one);
        let eve = postgres.new_database().expect("it is made");
        let eve = relay("//Eve", eve, two);

        let state = folder.path().join("devices.db");
        let mut phones = Program::Device.command().expect("it is built");
        phones
            .args(["simulate", "--run-length=2", "--nights=4", "--copies=2"])
            .arg(format!("--devices={PARTICIPANTS}"))
            .arg(format!("--auth={}", auth.url()))
            .arg(format!("--relay={}", dave.1.url()))
            .arg(format!("--relay={}", eve.1.url()))
            .arg("--state")
            .arg(&state)
            .env("MHEALTH_ADMIN", &admin);
        succeeds(&phones.output().expect("the phones start"));
        let participants = folder.path().join("devices.db.participants");
        let participants = participants.display().to_string();
        succeeds(&data(&["keys", "import", &participants], &keys));
        Site {
            node,
            chain,
            folder,
            postgres,
            _auth: auth,
            dave,
            eve,
        }
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// The first participant, and the device that seals to this one's key.
    async fn participant(&self) -> (String, DeviceView) {
        let listed = succeeds(&data(&["keys", "list"], &self.keys()));
        let (name, key) = listed
            .lines()
            .next()
            .expect("a line")
            .split_once(' ')
            .expect("a key");
        let key: Key = key.parse().expect("a key");
        let digest = participant_digest::<Native>(Some(&key.0));
        for number in 0..PARTICIPANTS as u32 {
            let device = self.chain.device(DeviceId(number)).await;
            let device = device.expect("the node answers").expect("it is enrolled");
            if device.participant.0 == digest {
                return (name.to_owned(), device);
            }
        }
        panic!("no device seals to {name}");
    }

    /// `mhealth-data erase`, with the credentials of both relays.
    fn erase(&self, participant: &str, more: &[&str], credentials: &[String; 2]) -> Output {
        let node = self.node.url();
        self.erase_by(&["--node", &node], participant, more, credentials)
    }

    /// The same with another node.
    fn erase_by(
        &self,
        node: &[&str],
        participant: &str,
        more: &[&str],
        credentials: &[String; 2],
    ) -> Output {
        let mut command = data_command(&["erase", participant], &self.keys());
        command
            .arg(format!("--relay=dave={}", self.dave.1.url()))
            .arg(format!("--relay=eve={}", self.eve.1.url()))
            .args(node)
            .args(more)
            .env("MHEALTH_RELAY_CREDENTIAL_DAVE", &credentials[0])
            .env("MHEALTH_RELAY_CREDENTIAL_EVE", &credentials[1]);
        command.output().expect("it starts")
    }

    /// Everything in the files of a relay's database, and in a dump of it.
    fn files(&self, relay: &str) -> Vec<u8> {
        if relay == "dave" {
            let copy = self.folder.path().join("copy.db");
            let _ = std::fs::remove_file(&copy);
            let file = copy.display().to_string();
            self.dave.0.run(&["backup", &file]).expect("it is copied");
            let files = ["dave.db", "dave.db-wal", "dave.db-shm", "copy.db"];
            let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            return files.into_iter().flat_map(read).collect();
        }
        self.postgres.query("test_0", "CHECKPOINT").expect("done");
        let folder = self.postgres.files("test_0").expect("its folder");
        let mut bytes = Vec::new();
        for file in std::fs::read_dir(folder).expect("it is there") {
            bytes.extend(std::fs::read(file.expect("a file").path()).unwrap_or_default());
        }
        // As a dump writes the bytes.
        let dump = self.postgres.query("test_0", "COPY payloads TO STDOUT");
        for piece in dump.expect("dumped").split("\\\\x").skip(1) {
            // None where the bytes are gone: the next row follows then.
            let end = piece.find(|digit: char| !digit.is_ascii_hexdigit());
            let digits = &piece[..end.unwrap_or(piece.len())];
            bytes.extend(hex::decode(digits).expect("hexadecimal digits"));
        }
        bytes
    }

    /// What a relay shows to an auditor.
    fn shown(&self, relay: &Server, credential: &str) -> Vec<ExportedRun> {
        let text = self.exported(relay, credential);
        let lines = text
            .lines()
            .filter(|line| !line.starts_with(CLOSING_PREFIX));
        let runs = lines.map(|line| serde_json::from_str(line).expect("a run"));
        runs.collect()
    }

    fn exported(&self, relay: &Server, credential: &str) -> String {
        let address = format!("{}/v1/export?study=0", relay.url());
        let answer = Command::new("curl")
            .args(["--silent", "--fail", "--header"])
            .arg(format!("Authorization: Bearer {credential}"))
            .arg(address)
            .output()
            .expect("curl is there");
        succeeds(&answer)
    }

    /// An audit, once both relays have seen what is final now.
    async fn audit(&self, credentials: &[String; 2]) -> audit::Report {
        let last = self.chain.finalised().await.expect("it answers").number;
        for (_, relay) in [&self.dave, &self.eve] {
            let deadline = Instant::now() + PATIENCE;
            while followed(relay) < Some(last) {
                assert!(Instant::now() < deadline, "{}", relay.log());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        let [dave, eve] = credentials.clone();
        // The data manager gives the auditor what was ordered.
        let erasures = Some(self.keys().join("erasures.ndjson"));
        let options = audit::Options {
            node: self.node.url(),
            study: STUDY,
            genesis: Some(format!("{:?}", self.chain.genesis_hash())),
            relays: vec![
                ("dave".into(), self.dave.1.url(), dave),
                ("eve".into(), self.eve.1.url(), eve),
            ],
            erasures: erasures.filter(|file| file.exists()),
            ..audit::Options::default()
        };
        audit::run(&options, &self.folder.path().join("audit.json")).expect("audited")
    }
}

/// The block up to which a relay has worked off what is final.
fn followed(relay: &Server) -> Option<u64> {
    let (_, metrics) = servers::http_get(relay.port(), "/metrics").ok()?;
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix("mhealth_relay_followed_block "));
    line?.parse().ok()
}

fn data_command(arguments: &[&str], keys: &Path) -> Command {
    let mut command = Program::Data.command().expect("it is built");
    command.args(arguments).arg("--keys").arg(keys);
    command
}

fn data(arguments: &[&str], keys: &Path) -> Output {
    data_command(arguments, keys).output().expect("it starts")
}

fn text(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(errors)
    )
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn last_line(text: &str) -> String {
    text.trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}

/// How many pieces of these envelopes there are somewhere in it.
fn pieces(envelopes: &[Vec<u8>], files: &[u8]) -> usize {
    let pieces = envelopes
        .iter()
        .flat_map(|envelope| envelope[33..].chunks_exact(PIECE));
    let wanted: std::collections::HashSet<&[u8]> = pieces.collect();
    files
        .windows(PIECE)
        .filter(|window| wanted.contains(window))
        .count()
}

fn envelopes(runs: &[ExportedRun], of: impl Fn(DeviceId) -> bool) -> Vec<Vec<u8>> {
    let runs = runs.iter().filter(|run| of(run.status.device));
    let entries = runs.flat_map(|run| &run.entries);
    entries.map(|entry| entry.envelope.0.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_participant_is_in_no_relays_files_and_the_evidence_stays() {
    let mut site = Site::start().await;
    let (participant, view) = site.participant().await;
    let device = view.device;
    let auditors =
        [&site.dave, &site.eve].map(|(launch, _)| launch.add_auditor("eva").expect("added"));
    let add = ["eraser", "add", "max", "--study", "0"];
    let erasers = [&site.dave, &site.eve].map(|(launch, _)| launch.run(&add).expect("added"));
    let before = site.shown(&site.dave.1, &auditors[0]);
    let (own, others) = (
        envelopes(&before, |of| of == device),
        envelopes(&before, |of| of != device),
    );
    assert!(
        own.len() >= 4 && others.len() >= 8,
        "{} {}",
        own.len(),
        others.len()
    );
    for relay in ["dave", "eve"] {
        let files = site.files(relay);
        assert!(pieces(&own, &files) > own.len(), "{relay}");
    }
    let old_copy = site.folder.path().join("old-copy.db").display().to_string();
    site.dave
        .0
        .run(&["backup", &old_copy])
        .expect("it is copied");
    let right = site.audit(&auditors).await;
    assert!(right.alarms().is_empty(), "{:?}", right.alarms());

    // Bad input: nothing is destroyed where nothing could be signed, said or sent.
    let number = device.to_string();
    let named = ["--device", &number];
    let refused = site.erase(&participant, &named, &erasers);
    assert!(
        text(&refused).contains("error[bad_input]"),
        "{}",
        text(&refused)
    );
    let record = ["--record", "request 7", "--device", &number];
    let unknown = site.erase("nobody", &record, &erasers);
    assert!(
        text(&unknown).contains("error[no_such_participant]"),
        "{}",
        text(&unknown)
    );
    let mut plain = data_command(&["erase", &participant, "--record=x"], &site.keys());
    plain
        .args(["--relay=far=http://relay.example", "--device", &number])
        .env("MHEALTH_RELAY_CREDENTIAL", "x");
    let plain = plain.output().expect("it starts");
    assert!(
        text(&plain).contains("error[relay_without_tls]"),
        "{}",
        text(&plain)
    );
    assert_eq!(site.participant().await.0, participant, "the key is there");

    // One relay is away: the rest is done, and the receipt waits.
    site.eve.1.stop().expect("it stops");
    let account = site.folder.path().join("sponsor.key");
    let mut file = create_private(&account).expect("a file");
    std::io::Write::write_all(&mut file, b"//Bob").expect("written");
    let account = account.display().to_string();
    let first = [&record[..], &["--account-file", &account]].concat();
    let begun = site.erase(&participant, &first, &erasers);
    assert_eq!(begun.status.code(), Some(2), "{}", text(&begun));
    for said in [
        "nothing is left there",
        "eve: open: it is away (relay_away)",
        "not written to the chain before",
        "done=false error=erasure_open",
    ] {
        assert!(text(&begun).contains(said), "{said} in {}", text(&begun));
    }
    assert_ne!(site.participant().await.0, participant, "the key is gone");
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    assert_eq!(chain.erasure(device).await.expect("read"), None);
    site.eve.1.start_again().expect("it starts again");
    site.eve.1.wait_until_ready().expect("it is ready");

    // The same command goes on; first without the sponsor's account.
    let asked = site.erase(&participant, &[], &erasers);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked));
    let ask = "mhealth study erase --order FILE";
    assert!(text(&asked).contains(ask), "{}", text(&asked));
    // Somebody who is not the sponsor writes nothing, and suspends nobody.
    let printed = String::from_utf8_lossy(&asked.stdout);
    let order = printed.lines().find(|line| line.starts_with('{'));
    let file = site.folder.path().join("order.json");
    std::fs::write(&file, order.expect("it is printed")).expect("written");
    let file = file.display().to_string();
    let server = Member::new(&site.node.url(), "//Charlie", site.folder.path());
    let refused = server
        .expect("written")
        .does(&["study", "erase", "--order", &file]);
    let refused = refused.expect("it answers");
    assert_eq!(refused, Err("only_the_sponsor".to_owned()));
    let charlie = site.folder.path().join("charlie.key");
    let mut file = create_private(&charlie).expect("a file");
    std::io::Write::write_all(&mut file, b"//Charlie").expect("written");
    let charlie = ["--account-file", charlie.to_str().expect("text")];
    let stranger = site.erase(&participant, &charlie, &erasers);
    assert_eq!(stranger.status.code(), Some(2), "{}", text(&stranger));
    assert!(
        text(&stranger).contains("(refused_by_chain)"),
        "{}",
        text(&stranger)
    );
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    let view = chain.device(device).await.expect("read");
    assert_eq!(view.expect("enrolled").status, DeviceStatus::Active);
    // Nor is anything written before all relays of the study were asked, which the chain has.
    let (credential, node) = (&erasers[0], site.node.url());
    let mut one = data_command(&["erase", &participant], &site.keys());
    one.arg(format!("--relay=dave={}", site.dave.1.url()))
        .args(["--node", &node, "--account-file", &account])
        .env("MHEALTH_RELAY_CREDENTIAL_DAVE", credential);
    let one = one.output().expect("it starts");
    assert_eq!(one.status.code(), Some(2), "{}", text(&one));
    assert!(text(&one).contains("(relays_not_named)"), "{}", text(&one));
    assert_eq!(chain.erasure(device).await.expect("read"), None);
    // What is done by now is not undone by a node that is away.
    let nowhere = ["--node", "ws://127.0.0.1:1"];
    let away = site.erase_by(&nowhere, &participant, &[], &erasers);
    assert_eq!(away.status.code(), Some(2), "{}", text(&away));
    for said in ["The receipt: open: ", "(chain_unreadable)"] {
        assert!(text(&away).contains(said), "{}", text(&away));
    }
    let done = site.erase(&participant, &["--account-file", &account], &erasers);
    let said = last_line(&succeeds(&done));
    let receipt = said.rsplit("receipt=").next().expect("it is said");
    assert!(said.starts_with("done=true"), "{said}");
    let (_, chain) = site.chain.at_finalised().await.expect("it answers");
    let written = chain
        .erasure(device)
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(mhealth_api::Hash(written.receipt).to_string(), receipt);
    let bob = Account::from_secret_uri("//Bob").expect("well known");
    assert_eq!(written.submitter, bob.id());
    // And once more, when nothing is left to be done.
    assert_eq!(
        last_line(&succeeds(&site.erase(&participant, &[], &erasers))),
        {
            let (begin, end) = said.split_once("envelopes=").expect("it is said");
            let rest = end.split_once(' ').expect("more").1;
            format!("{begin}envelopes=0 {rest}")
        }
    );
    let orders = std::fs::read_to_string(site.keys().join("orders.ndjson")).expect("kept");
    let order: serde_json::Value = serde_json::from_str(orders.trim()).expect("one line");
    let order: ErasureOrder = serde_json::from_value(order["order"].clone()).expect("an order");
    assert_eq!(order.receipt().to_string(), receipt);

    // Nothing of it is in a file or a dump; what is others' is.
    for relay in ["dave", "eve"] {
        let files = site.files(relay);
        assert_eq!(pieces(&own, &files), 0, "{relay}");
        assert!(pieces(&others, &files) > others.len(), "{relay}");
    }
    // The audit says so, and everything else is as it was.
    let report = site.audit(&auditors).await;
    let verdicts = |report: &audit::Report, is: fn(DeviceId, DeviceId) -> bool| -> Vec<String> {
        let devices = report.devices.iter().filter(|of| is(of.device, device));
        let entries = devices.flat_map(|device| &device.entries);
        entries.map(|entry| entry.verdict.clone()).collect()
    };
    let erased = verdicts(&report, |one, device| one == device);
    assert_eq!(erased, vec!["erased"; own.len()]);
    let valid = verdicts(&report, |one, device| one != device);
    assert_eq!(valid, vec!["valid"; others.len()]);
    assert!(report
        .devices
        .iter()
        .all(|device| device.findings.is_empty()));
    // Evidence of the whole study can be made, with the envelopes of the others, and verified.
    let evidence = site.folder.path().join("evidence").display().to_string();
    let genesis = format!("{:?}", site.chain.genesis_hash());
    let saved = site.folder.path().join("eve.ndjson");
    std::fs::write(&saved, site.exported(&site.eve.1, &auditors[1])).expect("saved");
    let saved = format!("--export=eve={}", saved.display());
    for arguments in [
        vec![
            "prove",
            "--study",
            "0",
            "--out",
            &evidence,
            "--node",
            &site.node.url(),
            &saved,
        ],
        vec!["verify", &evidence, "--genesis", &genesis],
    ] {
        let mut auditor = Program::Auditor.command().expect("it is built");
        succeeds(&auditor.args(arguments).output().expect("it starts"));
    }

    // A new dataset has nothing of the participant, and all of the others.
    let dave = site.folder.path().join("dave.ndjson");
    std::fs::write(&dave, site.exported(&site.dave.1, &auditors[0])).expect("saved");
    let dave = format!("--export=dave={}", dave.display());
    let dataset = site.folder.path().join("dataset");
    let mut export = data_command(&["export", &dave, &saved], &site.keys());
    export
        .arg("--audit")
        .arg(site.folder.path().join("audit.json"))
        .args(["--evidence", &evidence, "--genesis", &genesis, "--out"])
        .arg(&dataset);
    let said = last_line(&succeeds(&export.output().expect("it starts")));
    let figures = format!(" rows={} current=", others.len());
    assert!(said.contains(&figures), "{said}");
    let left_out = format!(" left_out={} ", own.len());
    assert!(said.contains(&left_out), "{said}");
    let mut names = vec![dataset];
    while let Some(path) = names.pop() {
        if path.is_dir() {
            let files = std::fs::read_dir(&path).expect("it is there");
            names.extend(files.map(|file| file.expect("a file").path()));
            continue;
        }
        let bytes = std::fs::read(&path).expect("it is read");
        assert!(
            !bytes
                .windows(participant.len())
                .any(|window| window == participant.as_bytes()),
            "{}",
            path.display()
        );
    }

    // A relay that puts an old copy in place holds it again, and is named.
    site.dave.1.stop().expect("it stops");
    let restored = servers::sqlite_in(site.folder.path(), "restored.db");
    let launch = site.dave.0.clone().env("MHEALTH_DATABASE", &restored);
    launch.run(&["restore", &old_copy]).expect("restored");
    site.dave.1.start_again_as(launch).expect("it starts");
    site.dave.1.wait_until_ready().expect("it is ready");
    let report = site.audit(&auditors).await;
    let findings: Vec<_> = report.devices.iter().flat_map(|of| &of.findings).collect();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].ground, "held_after_erasure");
    let dave = Account::from_secret_uri("//Dave").expect("well known");
    let parties: Vec<_> = findings[0]
        .parties
        .iter()
        .map(|party| party.account)
        .collect();
    assert_eq!(parties, [Some(Key(dave.public_key()))]);
    // The order, given once more, sets it right.
    succeeds(&site.erase(&participant, &[], &erasers));
    let report = site.audit(&auditors).await;
    assert!(report
        .devices
        .iter()
        .all(|device| device.findings.is_empty()));
}
