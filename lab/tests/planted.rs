// SPDX-License-Identifier: Apache-2.0

//! The faults that `scripts/faults --planted` plants.

use std::path::Path;
use std::process::Command;

#[test]
fn every_planted_fault_fits_the_sources_as_they_are() {
    let root = Path::new("..").canonicalize().expect("it is there");
    let patches = std::fs::read_dir(root.join("lab/planted")).expect("the folder is there");
    let mut count = 0;
    for patch in patches {
        let patch = patch.expect("it is read").path();
        let applied = Command::new("git")
            .args(["apply", "--check"])
            .arg(patch.canonicalize().expect("it is there"))
            .current_dir(&root)
            .output()
            .expect("git runs");
        let error = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{}: {error}", patch.display());
        count += 1;
    }
    assert_eq!(count, 3);
}
