// SPDX-License-Identifier: Apache-2.0

//! Offices at work: a member that is alone on its chain, a sponsor, their servers.

mod support;

use std::path::{Path, PathBuf};

use mhealth_testing::node::{Launch, Node};
use serde_json::json;
use support::{mhealth, text, Person};
use tempfile::TempDir;

/// A development chain whose only member is //Alice.
struct Setting {
    node: Node,
    folder: TempDir,
}

impl Setting {
    fn start() -> Self {
        Setting {
            node: Launch::instant().start().expect("the node starts"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn anybody(&self) -> Person {
        Person::at(&self.node.url())
    }

    /// Somebody with a secret that everybody knows, in a file for themselves.
    fn well_known(&self, name: &str) -> Person {
        let file = self.folder.path().join(name);
        std::fs::write(&file, format!("//{name}\n")).expect("written");
        private(&file);
        self.anybody().with(&file)
    }

    /// A new account: its secret and its public half.
    fn account(&self, name: &str) -> (PathBuf, PathBuf) {
        let secret = self.folder.path().join(name);
        let options = ["--name", name, "--out", text(&secret)];
        Person::alone().does("keys new account", &options);
        let public = self.folder.path().join(format!("{name}.json"));
        (secret, public)
    }
}

#[cfg(unix)]
fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(file, permissions).expect("it is ours");
}

fn in_study<'a>(study: &'a str, account: &'a Path) -> [&'a str; 3] {
    ["--study", study, text(account)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_goes_from_its_creation_through_other_hands_to_its_end() {
    let setting = Setting::start();
    let member = setting.well_known("Alice");
    let (sponsor, sponsor_account) = setting.account("sponsor");
    let (server, server_account) = setting.account("server");
    let (other, other_account) = setting.account("other");
    let auditor_key = |name: &str| {
        let file = setting.folder.path().join(name);
        let made = Person::alone().does("auditor-key new", &["--name", name, "--out", text(&file)]);
        let public = made["public"].as_str().expect("a file").to_owned();
        (public, made["auditor_key"].clone())
    };
    let (key, first_key) = auditor_key("auditor");
    let options = [
        "--title",
        "Restless legs",
        "--policy",
        "hashchain-only",
        "--sponsor",
        text(&sponsor_account),
        "--auditor-key",
        &key,
    ];
    let created = member.does("study create", &options);
    assert_eq!(created["carried_out"], json!(true));
    let number = created["study"].to_string();
    let allowance = ["--study", &number, "--devices", "7"];
    let granted = member.does("allowance", &allowance);
    assert_eq!(granted["proposal"]["allowance"]["devices"], json!(7));
    let (code, exit) = member.fails("allowance", &allowance);
    assert_eq!((code.as_str(), exit), ("nothing_changes", 2));

    let first = setting.anybody().with(&sponsor);
    first.does("appoint server", &in_study(&number, &server_account));
    let (code, _) = first.fails("appoint server", &in_study(&number, &server_account));
    assert_eq!(code, "studies.already_authentication_server");
    let (key, second_key) = auditor_key("another-auditor");
    let rotation = ["--study", number.as_str(), key.as_str()];
    let rotated = first.does("auditor-key rotate", &rotation);
    assert_eq!(rotated["epoch"], json!(1));
    let shown = setting.anybody().does("study show", &[&number]);
    assert_eq!(shown["auditor_key"], second_key);
    assert_ne!(first_key, second_key);
    let (code, _) = first.fails("auditor-key rotate", &rotation);
    assert_eq!(code, "studies.auditor_key_was_used");
    first.does("rotate study", &in_study(&number, &other_account));
    let (code, _) = first.fails("study close", &[&number]);
    assert_eq!(code, "no_role", "it gave its roles up");
    let second = setting.anybody().with(&other);
    second.does("remove server", &in_study(&number, &server_account));
    second.does("study close", &[&number]);
    let shown = setting.anybody().does("study show", &[&number]);
    assert_eq!(shown["state"], json!("closed"));
    assert_eq!(shown["policy"], json!("hashchain_only"));
    assert_eq!(shown["allowance"]["devices"], json!(7));
    assert_eq!(shown["authentication_servers"], json!([]));
    second.does("study reopen", &[&number]);

    let (code, _) = setting
        .anybody()
        .with(&server)
        .fails("study close", &[&number]);
    assert_eq!(code, "no_role");
    let back = member.does(
        "propose replace-sponsor",
        &in_study(&number, &server_account),
    );
    assert_eq!(back["carried_out"], json!(true));
    setting
        .anybody()
        .with(&server)
        .does("study close", &[&number]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_changes_its_keys() {
    let setting = Setting::start();
    let member = setting.well_known("Alice");
    let keys = setting.folder.path().join("keys");
    Person::alone().does("keys new validator", &["--out", text(&keys)]);
    member.does("rotate session", &["--keys", text(&keys)]);
    let (secret, account) = setting.account("new");
    member.does("rotate member", &[text(&account)]);
    let status = setting.anybody().does("status", &[]);
    let shown = Person::alone().does("keys show", &[text(&secret)]);
    assert_eq!(status["members"], json!([shown["account"]]));
    let another = setting.account("another").1;
    let (code, exit) = setting
        .anybody()
        .with(&secret)
        .fails("rotate member", &[text(&another)]);
    assert_eq!(
        (code.as_str(), exit),
        ("consortium.key_changed_recently", 1)
    );
}

/// The exit status of a command that must fail, and its code.
fn failed(person: &Person, command: &str, more: &[&str]) -> String {
    let (code, exit) = person.fails(command, more);
    format!("{exit} {code}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_gets_wrong_has_a_code() {
    let setting = Setting::start();
    let anybody = setting.anybody();
    assert_eq!(failed(&anybody, "study show 99", &[]), "1 unknown_study");
    assert_eq!(failed(&anybody, "study close 0", &[]), "2 no_account");
    let other = format!("0x{}", "11".repeat(32));
    let other = ["--genesis", other.as_str()];
    assert_eq!(failed(&anybody, "status", &other), "4 wrong_chain");
    let missing = anybody.with(&setting.folder.path().join("nowhere"));
    assert_eq!(failed(&missing, "study close 0", &[]), "2 file_not_found");
    let member = setting.well_known("Alice");
    assert_eq!(failed(&member, "vote 7 aye", &[]), "1 no_such_motion");
    assert_eq!(failed(&member, "study close 0", &[]), "1 not_its_call");
    // Whoever seals blocks alone proves to nobody that they are final.
    assert_eq!(failed(&member, "report-final", &[]), "1 not_provable");
    let file = setting.folder.path().join("Alice");
    let options = ["--name", "Alice", "--out", text(&file)];
    let again = failed(&Person::alone(), "keys new account", &options);
    assert_eq!(again, "2 file_exists");
    let nowhere = Person::at("ws://127.0.0.1:9");
    let away = failed(&nowhere, "status", &["--patience", "0"]);
    assert_eq!(away, "3 node_unreachable");
    let bare = Person::at("ws://node.example.org:9944");
    assert_eq!(failed(&bare, "status", &[]), "2 node_without_tls");
    let no_address = Person::at("http://127.0.0.1:9");
    assert_eq!(failed(&no_address, "status", &[]), "2 bad_url");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_told_what_is_under_way_unless_they_want_quiet() {
    let setting = Setting::start();
    let sponsor = setting.well_known("Bob");
    let (closed, told) = sponsor.says("study close 0", &[]);
    let name = closed["call"].as_str().expect("a name");
    let expected = format!(
        "{name}: sent, waiting until it is final\n{name}: final in block {}\n",
        closed["block"]
    );
    assert_eq!(told, expected);
    let (_, told) = sponsor.says("study reopen 0", &["--quiet"]);
    assert_eq!(told, "");
    let (closed, told) = sponsor.says("study close 0", &["--not-final"]);
    let expected = format!(
        "{name}: sent, waiting until it is in a block\n{name}: in block {}, which is not final\n",
        closed["block"]
    );
    assert_eq!(told, expected);
}

#[test]
fn files_and_programs_of_another_kind_have_a_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let alone = Person::alone();
    let failed = |command: &str, more: &[&str]| failed(&alone, command, more);
    let (keys, other) = (place("north"), place("south"));
    let new = ["--name", "North", "--out", text(&keys)];
    Person::alone().does("keys new member", &new);
    let new = ["--name", "South", "--out", text(&other)];
    let address = [&new[..], &["--address", "node.example.org"]].concat();
    assert_eq!(failed("keys new member", &address), "2 bad_address");
    assert!(!other.exists());

    let (member, chain) = (keys.join("member.json"), place("chain.json"));
    let found = |id: &str, more: &[&str]| {
        let options = [text(&member), "--name", "N", "--id", id];
        let options = [&options[..], &["--out", text(&chain)], more].concat();
        failed("found", &options)
    };
    assert_eq!(found("a chain", &[]), "2 bad_id");
    let nowhere = place("mhealth-node");
    let missing = ["--node-program", text(&nowhere)];
    assert_eq!(found("chain", &missing), "2 node_program_missing");
    let another = ["--node-program", "/bin/true"];
    assert_eq!(found("chain", &another), "2 node_program_unusable");
    // Two minutes, in which no sponsor would veto a retirement.
    let short = ["--retirement-delay", "60"];
    assert_eq!(found("chain", &short), "2 specification_refused");
    assert!(!chain.exists());

    let member = text(&member);
    let check = failed("passport check", &[member]);
    assert_eq!(check, "2 not_a_passport");
    let erase = failed("study erase", &["--order", member]);
    assert_eq!(erase, "2 not_an_order");
    let secret = keys.join("account.secret");
    let options = [text(&secret), "--threshold", "2", "--shares", "3", "--out"];
    let split = [&options[..], &[text(&other)]].concat();
    assert_eq!(failed("auditor-key split", &split), "2 not_an_auditor_key");
    std::fs::write(&secret, "bottom drive obey\n").expect("written");
    assert_eq!(failed("keys show", &[text(&secret)]), "2 bad_secret");
}

#[test]
fn shells_complete_the_command_line() {
    let output = mhealth(["completion", "bash"]);
    assert!(output.status.success());
    let script = String::from_utf8_lossy(&output.stdout);
    assert!(script.contains("complete -F _mhealth"), "{script}");
}
