// SPDX-License-Identifier: Apache-2.0

//! Copies of the keys, as somebody makes them who types the commands.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::program::{last_line, program};
use crate::support::nights::study;

fn keys(arguments: &[&str], folder: &Path) -> Output {
    let mut command = program();
    command
        .arg("keys")
        .args(arguments)
        .arg("--keys")
        .arg(folder);
    command.output().unwrap()
}

/// What it printed, whose last line begins so.
fn done(output: &Output, begin: &str) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{wrong}");
    assert!(last_line(output).starts_with(begin), "{said}");
    said
}

/// All files below a folder are their owner's alone, and all folders.
fn assert_private(folder: &Path) {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder), 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => assert_private(&path),
            false => assert_eq!(mode(&path), 0o600, "{}", path.display()),
        }
    }
}

#[test]
fn copies_are_made_and_taken_back_by_four_commands() {
    let world = study();
    let folder = world.path("keys");
    let path = |name: &str| world.path(name).display().to_string();
    let count = world.keys.public_keys().count();
    let listed = done(&keys(&["list"], &folder), "done=true ");
    let made = Command::new("age-keygen")
        .arg("-o")
        .arg(path("own"))
        .output()
        .expect("age is installed: scripts/setup does it");
    let said = String::from_utf8(made.stderr).unwrap();
    let recipient = said.split_whitespace().last().unwrap();
    let (file, own) = (path("keys.age"), path("own"));
    let back_up = ["back-up", "--recipient", recipient, "--out", &file];
    let said = format!("done=true keys={count} back_up={file}");
    done(&keys(&back_up, &folder), &said);
    let taken = format!("done=true taken={count} keys={count}");
    let restored = world.path("restored");
    done(
        &keys(&["restore", "--identity", &own, &file], &restored),
        &taken,
    );

    let shares = path("shares");
    let split = ["split", "--threshold=2", "--shares=3", "--out", &shares];
    let said = format!("done=true keys={count} shares=3 needed=2");
    let named = done(&keys(&split, &folder), &said);
    let named: Vec<&str> = named.lines().collect();
    assert_eq!(named.len(), 4);
    let joined = world.path("joined");
    done(&keys(&["join", named[0], named[2]], &joined), &taken);
    let alone = keys(&["join", named[1]], &world.path("alone"));
    assert_eq!(last_line(&alone), "done=false error=too_few_shares");

    for copy in [&restored, &joined] {
        assert_eq!(done(&keys(&["list"], copy), "done=true "), listed);
    }
    let destroy = ["destroy", "P-ada", "--device=0", "--record=request 7"];
    done(&keys(&destroy, &folder), "done=true destroyed=P-ada ");
    for folder in [&folder, &restored, &joined, &world.path("shares")] {
        assert_private(folder);
    }
    for record in ["copies.ndjson", "destroyed.ndjson", "erasures.ndjson"] {
        assert!(folder.join(record).exists(), "{record}");
    }
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Runs the program at a terminal, at which somebody types this: `age` asks there for passphrases, and nowhere else.
fn at_a_terminal(arguments: &[&str], typed: &str) -> Output {
    let words = [env!("CARGO_BIN_EXE_mhealth-data"), "keys"];
    let words = words.iter().chain(arguments);
    let words: Vec<String> = words.map(|word| format!("'{word}'")).collect();
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &words.join(" ")])
        .arg("/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is one of Debian's essential packages");
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // Nobody leaves the terminal before the program has ended.
    drop(keyboard);
    output
}

#[test]
fn a_back_up_is_for_whoever_knows_its_passphrase() {
    let world = study();
    let path = |name: &str| world.path(name).display().to_string();
    let (folder, file) = (path("keys"), path("keys.age"));
    let listed = done(&keys(&["list"], &world.path("keys")), "done=true ");
    let back_up = |out: &str, typed: &str| {
        let arguments = ["back-up", "--passphrase", "--keys", &folder, "--out", out];
        at_a_terminal(&arguments, typed)
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let mistyped = back_up(&path("never.age"), "correct horse\ncorrect house\n");
    assert_eq!(mistyped.status.code(), Some(3), "{}", said(&mistyped));
    assert!(said(&mistyped).contains("done=false error=age_failed"));
    assert!(!world.path("never.age").exists());

    let made = back_up(&file, "correct horse\ncorrect horse\n");
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    assert!(said(&made).contains("done=true keys="), "{}", said(&made));
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let restore = |to: &str, typed: &str| at_a_terminal(&["restore", "--keys", to, &file], typed);
    let wrong = restore(&path("restored"), "correct house\n");
    assert_eq!(wrong.status.code(), Some(3), "{}", said(&wrong));
    assert!(said(&wrong).contains("done=false error=age_failed"));
    assert!(!world.path("restored").exists());
    let right = restore(&path("restored"), "correct horse\n");
    assert_eq!(right.status.code(), Some(0), "{}", said(&right));
    let again = done(&keys(&["list"], &world.path("restored")), "done=true ");
    assert_eq!(again, listed);
}
