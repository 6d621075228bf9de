// SPDX-License-Identifier: Apache-2.0

//! A study with its node, its servers, its phones and its data manager's folder of keys.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hashchain::{participant_digest, DeviceId, Native, StudyId};
use mhealth_api::{ExportedRun, Key, CLOSING_PREFIX};
use mhealth_chain_client::{ChainClient, DeviceView};
use mhealth_testing::audit;
use mhealth_testing::handset::Door;
use mhealth_testing::node::{self, Node};
use mhealth_testing::output::value;
use mhealth_testing::port::Port;
use mhealth_testing::postgres::Postgres;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, AuthOptions, Launch, RelayOptions, Server};
use mhealth_testing::topology::last_word;
use serde_json::json;

const STUDY: StudyId = StudyId(0);
const PARTICIPANTS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A study with two relays: dave's database is a file, eve's is PostgreSQL.
pub(crate) struct Site {
    pub(crate) node: Node,
    pub(crate) chain: ChainClient,
    pub(crate) folder: tempfile::TempDir,
    postgres: Postgres,
    /// Relays that are started again read its keys.
    auth: Server,
    admin: String,
    pub(crate) dave: (Launch, Server),
    pub(crate) eve: (Launch, Server),
}

impl Site {
    pub(crate) async fn start() -> Self {
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
            auth,
            admin,
            dave,
            eve,
        }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    /// The first participant, and the device that seals to this one's key.
    pub(crate) async fn participant(&self) -> (String, DeviceView) {
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

    /// A phone that seals to nobody, and a night of this text that it sent to both relays.
    pub(crate) async fn plain_phone(&self, night: &str) -> DeviceId {
        let office = Door {
            url: self.auth.url(),
            admin: last_word(&self.admin),
        };
        let code = office.code(&json!({ "participant": "P-plain" })).await;
        let code = code.expect("a code is issued");
        let state = self.folder.path().join("plain.db");
        let phone = |subcommand: &str| {
            let mut command = Program::Device.command().expect("it is built");
            command.arg(subcommand).arg("--state").arg(&state);
            command
        };
        let mut enrol = phone("enrol");
        enrol
            .arg(format!("--auth={}", self.auth.url()))
            .arg(format!("--relay={}", self.dave.1.url()))
            .arg(format!("--relay={}", self.eve.1.url()))
            .env("MHEALTH_CODE", code);
        let enrolled = last_line(&succeeds(&enrol.output().expect("it starts")));
        let file = self.folder.path().join("plain.txt");
        std::fs::write(&file, night).expect("written");
        let mut seal = phone("seal");
        seal.args(["--source=night-1", "--media-type=text/plain"])
            .arg(&file);
        succeeds(&seal.output().expect("it starts"));
        let mut upload = phone("upload");
        succeeds(&upload.arg("--copies=2").output().expect("it starts"));
        let device = value(&enrolled, "device").expect("its number");
        device.parse().expect("a number")
    }

    /// `mhealth-data erase`, with the credentials of both relays.
    pub(crate) fn erase(
        &self,
        participant: &str,
        more: &[&str],
        credentials: &[String; 2],
    ) -> Output {
        let node = self.node.url();
        self.erase_by(&["--node", &node], participant, more, credentials)
    }

    /// The same with another node.
    pub(crate) fn erase_by(
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
    pub(crate) fn files(&self, relay: &str) -> Vec<u8> {
        if relay == "dave" {
            let copy = self.folder.path().join("copy.db");
            let _ = std::fs::remove_file(&copy);
            let file = copy.display().to_string();
            self.dave.0.run(&["backup", &file]).expect("it is copied");
            let files = ["dave.db", "dave.db-wal", "dave.db-shm", "copy.db"];
            let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
            return files.into_iter().flat_map(read).collect();
        }
        let mut bytes = self.postgres.bytes("test_0").expect("its files");
        // As a dump of all tables writes the bytes.
        let dump = self.postgres.dump("test_0").expect("dumped");
        for piece in dump.split("\\\\x").skip(1) {
            // None where the bytes are gone: the next column or row follows then.
            let end = piece.find(|digit: char| !digit.is_ascii_hexdigit());
            let digits = &piece[..end.unwrap_or(piece.len())];
            bytes.extend(hex::decode(digits).expect("hexadecimal digits"));
        }
        bytes
    }

    /// What a relay shows to an auditor.
    pub(crate) fn shown(&self, relay: &Server, credential: &str) -> Vec<ExportedRun> {
        let text = self.exported(relay, credential);
        let lines = text
            .lines()
            .filter(|line| !line.starts_with(CLOSING_PREFIX));
        let runs = lines.map(|line| serde_json::from_str(line).expect("a run"));
        runs.collect()
    }

    pub(crate) fn exported(&self, relay: &Server, credential: &str) -> String {
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
    pub(crate) async fn audit(&self, credentials: &[String; 2]) -> audit::Report {
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

/// A command of `mhealth-data` with this folder of keys.
pub(crate) fn data_command(arguments: &[&str], keys: &Path) -> Command {
    let mut command = Program::Data.command().expect("it is built");
    command.args(arguments).arg("--keys").arg(keys);
    command
}

fn data(arguments: &[&str], keys: &Path) -> Output {
    data_command(arguments, keys).output().expect("it starts")
}

/// Everything that a program said.
pub(crate) fn text(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(errors)
    )
}

/// What a program printed, which succeeded.
pub(crate) fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn last_line(text: &str) -> String {
    text.trim_end()
        .lines()
        .next_back()
        .unwrap_or_default()
        .to_owned()
}
