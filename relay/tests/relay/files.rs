// SPDX-License-Identifier: Apache-2.0

//! What the relay writes is its owner's alone, and what it reads must be.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use mhealth_testing::process::Program;

#[test]
fn a_database_is_private_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Program::Relay.command().unwrap();
    let made = Command::new("sh")
        .args([
            "-c",
            r#"umask 000; exec "$0" --database sqlite:relay.db auditor add eva --study all"#,
        ])
        .arg(relay.get_program())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let database = folder.path().join("relay.db");
    let mode = std::fs::metadata(database).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_would_tell_secrets_to_others_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("account");
    std::fs::write(&secret, "//Dave").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o640)).unwrap();
    let account = format!("--account-file={}", secret.display());
    for (argument, code) in [
        (account.as_str(), "file_readable_by_others"),
        ("--node=ws://node.example:9944", "node_without_tls"),
        (
            "--database=postgres://a:b@db.example/d",
            "database_without_tls",
        ),
        (
            "--database=postgres://a:b@db.example/d?sslmode=require",
            "database_without_tls",
        ),
    ] {
        let refused = Program::Relay
            .command()
            .unwrap()
            .arg(argument)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        let code = format!("({code})");
        assert!(said.contains(&code), "{code}: {said}");
    }
}
