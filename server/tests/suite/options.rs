// SPDX-License-Identifier: Apache-2.0

//! Command line and configuration file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mhealth_server::{read_options_from, ChainOptions, LogFormat, SecretText, ServerOptions};

/// A server's options.
#[derive(Debug, clap::Parser)]
struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    chain: ChainOptions,
    /// Of the form key=value.
    #[arg(long)]
    issuer: Vec<String>,
    /// A number.
    #[arg(long)]
    study: u32,
}

fn read(file: &str, arguments: &[&str]) -> Result<Options, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("server.toml");
    std::fs::write(&path, file).unwrap();
    read_from(&path, arguments)
}

fn read_from(path: &Path, arguments: &[&str]) -> Result<Options, String> {
    let config = format!("--config={}", path.display());
    let arguments = ["test", &config]
        .into_iter()
        .chain(arguments.iter().copied());
    read_options_from(arguments).map_err(|error| error.to_string())
}

#[test]
fn the_file_gives_options_and_the_command_line_goes_before_it() {
    let file = r#"
        log-format = "json"
        database = "sqlite:file.db"
        behind_tls_proxy = true
        study = 7
        issuer = [{ issuer = "https://a.example", study = 0 }, "issuer=https://b.example"]
    "#;
    let options = read(file, &[]).unwrap();
    assert_eq!(options.server.log_format, LogFormat::Json);
    let database = options.server.database.to_string();
    assert!(database.starts_with("sqlite:file.db"), "{database}");
    assert!(options.server.behind_tls_proxy);
    assert_eq!(options.study, 7);
    assert_eq!(
        options.issuer,
        [
            "issuer=https://a.example,study=0",
            "issuer=https://b.example"
        ]
    );
    assert_eq!(options.chain.node, "ws://127.0.0.1:9944");
    assert_eq!(read(file, &["--study=9"]).unwrap().study, 9);
}

#[test]
fn unknown_options_secrets_and_broken_files_are_refused_without_showing_them() {
    let secret = r#"account = "hunter2""#;
    for (file, expected) in [
        ("colour = 1", "there is no option colour"),
        ("config = 'other.toml'", "there is no option config"),
        (secret, "account is a secret (secret_in_file)"),
        (
            "database = 'postgres://a:hunter2@127.0.0.1/d'",
            "database has a password in it (secret_in_file)",
        ),
        (
            "database = 'postgres://127.0.0.1/d?password=hunter2'",
            "--database-url-file",
        ),
        ("study = {", "the configuration file"),
        ("study = 1979-05-27", "no form"),
        ("study = 'many'", "invalid value"),
    ] {
        let error = read(file, &[]).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(read_from(Path::new("/none"), &[])
        .unwrap_err()
        .contains("/none"));
}

#[test]
fn an_accounts_secret_comes_by_option_or_file_and_is_not_shown() {
    let options = read("study = 0", &["--account=//Charlie"]).unwrap();
    assert!(!format!("{options:?}").contains("Charlie"), "{options:?}");
    let account = options.chain.account().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("account");
    std::fs::write(&path, "//Charlie\n").unwrap();
    let file = format!("--account-file={}", path.display());
    let options = read("study = 0", &[&file]).unwrap();
    let error = options.chain.account().unwrap_err().to_string();
    assert!(error.contains("(file_readable_by_others)"), "{error}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    assert_eq!(options.chain.account().unwrap().id(), account.id());
    let error = read("study = 0", &[]).unwrap().chain.account().unwrap_err();
    assert!(error.to_string().contains("MHEALTH_ACCOUNT"), "{error}");
    let bad = ChainOptions {
        account: Some(SecretText::from("hunter2 hunter2".to_owned())),
        ..options.chain
    };
    let error = format!("{:#}", bad.account().unwrap_err());
    assert!(!error.contains("hunter2"), "{error}");
}
