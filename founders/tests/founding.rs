// SPDX-License-Identifier: Apache-2.0

//! From keys of four organisations to an entry on their chain, by the program alone: nobody makes an extrinsic by hand.

mod support;

use std::path::{Path, PathBuf};

use hashchain::OpeningKey;
use mhealth_chain_client::ChainClient;
use mhealth_testing::node::{self, Node};
use mhealth_testing::port::Port;
use mhealth_testing::process::Program;
use mhealth_testing::servers::{self, Server};
use serde_json::{json, Value};
use support::{text, Person};
use tempfile::TempDir;

/// An organisation: its folder, and where its node is reached by the others.
struct Organisation {
    keys: PathBuf,
    port: Port,
}

impl Organisation {
    fn found(folder: &Path, name: &str) -> Self {
        let keys = folder.join(name);
        let port = Port::reserve().expect("a port");
        let address = format!("/ip4/127.0.0.1/tcp/{}", port.number());
        let options = ["--name", name, "--out", text(&keys), "--address", &address];
        Person::alone().does("keys new member", &options);
        Organisation { keys, port }
    }

    fn member(&self) -> PathBuf {
        self.keys.join("member.json")
    }

    fn secret(&self) -> PathBuf {
        self.keys.join("account.secret")
    }

    fn start(&self, chain: &Path) -> Node {
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let launch = node::Launch::bare()
            .arg(option("chain", chain))
            .arg("--validator")
            .arg("--allow-private-ip")
            .arg(format!(
                "--listen-addr=/ip4/127.0.0.1/tcp/{}",
                self.port.number()
            ))
            .arg(option("keystore-path", &self.keys.join("keystore")))
            .arg(option("node-key-file", &self.keys.join("network.key")))
            .base_path(self.keys.join("base"));
        launch.start().expect("the node starts")
    }
}

/// The consortium, and its folder.
struct Consortium {
    folder: TempDir,
    organisations: Vec<Organisation>,
}

impl Consortium {
    fn of(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let organisations = names
            .iter()
            .map(|name| Organisation::found(folder.path(), name));
        Consortium {
            organisations: organisations.collect(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn members(&self) -> Vec<PathBuf> {
        self.organisations
            .iter()
            .map(Organisation::member)
            .collect()
    }

    /// An account of somebody else: its secret and its public half.
    fn account(&self, name: &str) -> (PathBuf, PathBuf) {
        let secret = self.path(name);
        let options = ["--name", name, "--out", text(&secret)];
        Person::alone().does("keys new account", &options);
        let public = self.path(&format!("{name}.json"));
        (secret, public)
    }
}

/// The specification, and the hash of its first block.
fn found(consortium: &Consortium) -> (PathBuf, String) {
    let chain = consortium.path("chain.json");
    let members = consortium.members();
    let mut options = vec!["--name", "Sleep", "--id", "sleep", "--out", text(&chain)];
    options.extend(members.iter().map(|member| text(member)));
    let founded = Person::alone().does("found", &options);
    let hash = founded["genesis"].as_str().expect("a hash").to_owned();

    let mut others: Vec<&str> = members.iter().map(|member| text(member)).collect();
    others.reverse();
    others.extend(["--check", text(&chain)]);
    let checked = Person::alone().does("found", &others);
    assert_eq!(checked["genesis"], json!(hash));
    (chain, hash)
}

#[test]
fn a_specification_that_is_not_of_these_members_is_told_by_what_differs() {
    let consortium = Consortium::of(&["north", "south", "east"]);
    let (chain, _) = found(&consortium);
    let specification = std::fs::read_to_string(&chain).expect("read");
    let specification: Value = serde_json::from_str(&specification).expect("JSON");
    let check = |name: &str, specification: &Value, members: &[PathBuf]| {
        let file = consortium.path(name);
        std::fs::write(&file, specification.to_string()).expect("written");
        let mut options = vec!["--check", text(&file)];
        options.extend(members.iter().map(|member| text(member)));
        Person::alone().fails("found", &options)
    };
    let differs = ("specification_differs".to_owned(), 1);
    let members = consortium.members();

    let mut substituted = specification.clone();
    substituted["codeSubstitutes"] = json!({ "1": "0x00" });
    assert_eq!(check("substituted.json", &substituted, &members), differs);

    let mut with_another_key = specification.clone();
    let top = &mut with_another_key["genesis"]["raw"]["top"];
    let keys = top.as_object_mut().expect("an object");
    keys.insert("0x0102".into(), json!("0x03"));
    assert_eq!(check("key.json", &with_another_key, &members), differs);

    // One member gets another file than the founder got.
    let other = Organisation::found(consortium.folder.path(), "west");
    let mixed = [&members[..2], &[other.member()]].concat();
    assert_eq!(check("mixed.json", &specification, &mixed), differs);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_organisations_found_a_chain_and_register_an_entry_without_a_hand_made_extrinsic() {
    let consortium = Consortium::of(&["north", "south", "east", "west"]);
    let (chain, genesis) = found(&consortium);
    let nodes: Vec<Node> = consortium
        .organisations
        .iter()
        .map(|organisation| organisation.start(&chain))
        .collect();
    let url = nodes[0].url();
    let client = ChainClient::connect(&url).await.expect("it answers");
    assert_eq!(format!("{:#x}", client.genesis_hash()), genesis);
    client.follow_from(1).next().await.expect("it is finalised");

    let anybody = Person::at(&url);
    let status = anybody.does("status", &["--genesis", &genesis]);
    assert_eq!(status["members"].as_array().map(Vec::len), Some(4));
    assert_eq!(status["chain_type"], json!("live"));
    let members: Vec<Person> = consortium
        .organisations
        .iter()
        .zip(&nodes)
        .map(|(organisation, node)| Person::at(&node.url()).with(&organisation.secret()))
        .collect();

    let (sponsor, sponsor_account) = consortium.account("sponsor");
    let (server, server_account) = consortium.account("server");
    let (relay, relay_account) = consortium.account("relay");
    let study = create_study(&members, &anybody, &sponsor_account);

    let sponsor = anybody.with(&sponsor);
    let in_study = ["--study", study.as_str()];
    let appointed = |office: &str, account: &Path| {
        let options = [&in_study[..], &[text(account)]].concat();
        sponsor.does(&format!("appoint {office}"), &options);
    };
    appointed("server", &server_account);
    appointed("relay", &relay_account);
    let (code, exit) = anybody.with(&relay).fails(
        "appoint relay",
        &[&in_study[..], &[text(&relay_account)]].concat(),
    );
    assert_eq!((code.as_str(), exit), ("not_its_call", 1));

    let servers = start_servers(&consortium, &url, &study, &server, &relay);
    let passport = consortium.path("passport.json");
    let options = [
        "--study",
        study.as_str(),
        "--auth",
        &servers.auth.url(),
        "--relay",
        &servers.relay.url(),
        "--out",
        text(&passport),
    ];
    let made = anybody.does("passport make", &options);
    assert_eq!(made["genesis"], json!(genesis));
    let checked = anybody.does("passport check", &[text(&passport)]);
    let servers_alone = json!(["authentication_server", "relays"]);
    assert_eq!(checked["not_compared"], servers_alone);
    forged_passport(&consortium, &anybody, &passport);

    let mut phone = Program::Device.command().expect("it is built");
    let output = phone
        .args(["simulate", "--devices=1", "--nights=3"])
        .arg(format!("--study={study}"))
        .arg(format!("--auth={}", servers.auth.url()))
        .arg(format!("--genesis={genesis}"))
        .arg("--state")
        .arg(consortium.path("phone.db"))
        .env("MHEALTH_ADMIN", &servers.credential)
        .output()
        .expect("the phone starts");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");

    let shown = anybody.does("status --devices", &in_study);
    let entries = shown["device_list"][0]["entries"].as_u64();
    assert!(entries.is_some_and(|entries| entries > 0), "{shown}");
    assert_eq!(shown["used"]["entries"].as_u64(), entries);

    decide_urgently(&members, &consortium.organisations[3]);
}

/// Three of four members create a study.
fn create_study(members: &[Person], anybody: &Person, sponsor: &Path) -> String {
    let auditor = OpeningKey::from_bytes(&[7; 32]).sealing_key();
    let auditor = format!("0x{}", hex::encode(auditor.0));
    let options = [
        "--title",
        "Insomnia",
        "--sponsor",
        text(sponsor),
        "--auditor-key",
        &auditor,
    ];
    let proposed = members[0].does("study create", &options);
    assert_eq!(proposed["threshold"], json!(3));
    assert_eq!(proposed["ayes"], json!(1));
    let motion = proposed["motion"].as_str().expect("a hash");

    let open = anybody.does("motions", &[]);
    let seen = &open["motions"][0];
    assert_eq!(seen["proposal"]["decision"], json!("create_study"));
    assert_eq!(seen["proposal"]["auditor_key"], json!(auditor));
    let (code, exit) = members[1].fails("close", &[motion]);
    assert_eq!((code.as_str(), exit), ("council.too_early", 1));

    let voted = members[1].does("vote", &[motion, "aye"]);
    assert_eq!(voted["decided"], json!(false));
    let number = proposed["index"].to_string();
    let closed = members[2].does("vote --close", &[&number, "aye"]);
    assert_eq!(closed["carried_out"], json!(true), "{closed}");
    let (code, _) = members[3].fails("vote", &[motion, "nay"]);
    assert_eq!(code, "no_such_motion");
    let study = &closed["study"];
    let shown = anybody.does("study show", &[&study.to_string()]);
    assert_eq!(shown["title"], json!("Insomnia"));
    assert_eq!(shown["auditor_key"], json!(auditor));
    study.to_string()
}

/// The study's servers, and a credential of its staff.
struct Servers {
    auth: Server,
    credential: String,
    relay: Server,
}

fn start_servers(
    consortium: &Consortium,
    node: &str,
    study: &str,
    server: &Path,
    relay: &Path,
) -> Servers {
    let database = |name| servers::sqlite_in(consortium.folder.path(), name);
    let launch = |program, secret: &Path| {
        servers::Launch::of(program)
            .arg(format!("--node={node}"))
            .arg(format!("--account-file={}", secret.display()))
    };
    let port = Port::reserve().expect("a port");
    let auth = launch(Program::Auth, server)
        .env("MHEALTH_DATABASE", database("auth.db"))
        .arg(format!("--study={study}"))
        .arg(format!("--relay={}", port.url()));
    let credential = auth.add_admin("staff").expect("added");
    let auth = auth.start().expect("it starts");
    auth.wait_until_ready().expect("it is ready");
    let relay = launch(Program::Relay, relay)
        .env("MHEALTH_DATABASE", database("relay.db"))
        .arg(format!(
            "--trusted-issuer=issuer={},study={study}",
            auth.url()
        ));
    let relay = relay.start_at(port).expect("it starts");
    relay.wait_until_ready().expect("it is ready");
    Servers {
        auth,
        credential,
        relay,
    }
}

/// A passport with another auditor's key, and one of another chain.
fn forged_passport(consortium: &Consortium, anybody: &Person, passport: &Path) {
    let content = std::fs::read_to_string(passport).expect("read");
    let content: Value = serde_json::from_str(&content).expect("JSON");
    let forged = |name: &str, field: &str| {
        let mut content = content.clone();
        content[field] = json!(format!("0x{}", "ee".repeat(32)));
        let file = consortium.path(name);
        std::fs::write(&file, content.to_string()).expect("written");
        let (code, exit) = anybody.fails("passport check", &[text(&file)]);
        (code, exit)
    };
    let other_key = forged("forged-key.json", "auditor_key");
    assert_eq!(other_key, ("passport_differs".to_owned(), 1));
    let other_chain = forged("forged-chain.json", "genesis");
    assert_eq!(other_chain, ("wrong_chain".to_owned(), 4));
}

/// Three members dismiss the fourth's validator, and the third vote does it.
fn decide_urgently(members: &[Person], fourth: &Organisation) {
    let decision = [text(&fourth.member()).to_owned()];
    let decision: Vec<&str> = decision.iter().map(String::as_str).collect();
    let vote = |member: &Person| member.does("urgent vote remove-validator", &decision);
    assert_eq!(vote(&members[0])["ayes"], json!(1));
    members[0].does("urgent withdraw remove-validator", &decision);
    assert_eq!(vote(&members[1])["ayes"], json!(1));
    assert_eq!(vote(&members[0])["ayes"], json!(2));
    let last = vote(&members[2]);
    assert_eq!(last["carried_out"], json!(true), "{last}");
    let status = members[0].does("status", &[]);
    let appointed = status["appointed_validators"].as_array().map(Vec::len);
    assert_eq!(appointed, Some(3), "{status}");
}
