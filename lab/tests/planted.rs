// SPDX-License-Identifier: Apache-2.0

//! Faults that tests must find: those of the relay, which `scripts/faults --planted` plants, and in folders below `planted` those of
//! which each names the test that fails with it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(folder).expect("the folder is there");
    files.map(|file| file.expect("it is read").path())
}

fn patches_in(folder: &Path) -> Vec<PathBuf> {
    let is_patch = |path: &PathBuf| path.extension().is_some_and(|end| end == "patch");
    files_in(folder).filter(is_patch).collect()
}

#[test]
fn every_planted_fault_fits_the_sources_as_they_are() {
    let root = Path::new("..").canonicalize().expect("it is there");
    let planted = root.join("lab/planted");
    let of_the_relay = patches_in(&planted);
    assert_eq!(of_the_relay.len(), 3);
    let folders = files_in(&planted).filter(|path| path.is_dir());
    let of_others: Vec<PathBuf> = folders.flat_map(|folder| patches_in(&folder)).collect();
    assert!(!of_others.is_empty());
    for patch in &of_others {
        let text = std::fs::read_to_string(patch).expect("it is read");
        let says_by_what = ["cargo test ", "scripts/test "]
            .iter()
            .any(|command| text.starts_with(&format!("Found by `{command}")));
        assert!(says_by_what, "{patch:?}");
    }
    // The rules that upgrades are rehearsed with.
    let upgrades = patches_in(&root.join("lab/upgrades"));
    assert_eq!(upgrades.len(), 2);
    for patch in of_the_relay.iter().chain(&of_others).chain(&upgrades) {
        let applied = Command::new("git")
            .args(["apply", "--check"])
            .arg(patch)
            .current_dir(&root)
            .output()
            .expect("git runs");
        let error = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{}: {error}", patch.display());
    }
}

#[test]
fn every_fault_that_a_row_must_find_is_there() {
    let planted = Path::new("planted");
    let rows = std::fs::read_to_string(planted.join("rows")).expect("it is read");
    let help = Command::new(env!("CARGO_BIN_EXE_mhealth-attacks"))
        .arg("--help")
        .output()
        .expect("the laboratory starts");
    let help = String::from_utf8_lossy(&help.stdout);
    for line in rows.lines().filter(|line| !line.starts_with('#')) {
        let (patch, played) = line.split_once(' ').expect("a patch and a row");
        assert!(planted.join(format!("{patch}.patch")).is_file(), "{patch}");
        // The row, and a column.
        for name in played.split(' ') {
            assert!(help.contains(name), "{name}");
        }
    }
}
