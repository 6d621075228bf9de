// SPDX-License-Identifier: Apache-2.0

//! Faults that tests must find: those of the relay, which `scripts/faults --planted` plants, and in `planted/pallets` those of
//! which each names the test that fails with it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn patches_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|file| file.expect("it is read").path())
        .filter(|path| path.extension().is_some_and(|end| end == "patch"))
        .collect()
}

#[test]
fn every_planted_fault_fits_the_sources_as_they_are() {
    let root = Path::new("..").canonicalize().expect("it is there");
    let of_the_relay = patches_in(&root.join("lab/planted"));
    let of_pallets = patches_in(&root.join("lab/planted/pallets"));
    assert_eq!(of_the_relay.len(), 3);
    assert!(!of_pallets.is_empty());
    for patch in &of_pallets {
        let text = std::fs::read_to_string(patch).expect("it is read");
        assert!(text.starts_with("Found by `cargo test "), "{patch:?}");
    }
    for patch in of_the_relay.iter().chain(&of_pallets) {
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
