// SPDX-License-Identifier: Apache-2.0

//! A dataset for the readers of others: `tests/datasets/` reads it with libraries that know nothing of this project.

mod support;

use std::path::{Path, PathBuf};

use mhealth_dataset::verify;
use serde_json::json;

use support::nights::{expected, study};

/// Names the folder that the sample goes to. Without it, it is made and thrown away.
const PLACE: &str = "MHEALTH_SAMPLE";

#[test]
fn a_sample_for_other_readers_is_made_and_verified() {
    let mut world = study();
    world.judge(1, 2, "forged", true);
    world.judge(1, 3, "missing", false);
    let place = std::env::var_os(PLACE).map(PathBuf::from);
    let place = place.unwrap_or_else(|| world.path("sample"));
    if place.exists() {
        std::fs::remove_dir_all(&place).unwrap();
    }
    std::fs::create_dir_all(&place).unwrap();
    let gone = ["2016-04-13", "2016-04-14"];
    let counted: Vec<_> = expected()
        .into_iter()
        .filter(|(who, night, ..)| *who != "P-bob" || !gone.contains(&night.as_str()))
        .collect();
    std::fs::write(place.join("expected.json"), json!(counted).to_string()).unwrap();
    for (name, flagged) in [("valid", false), ("flagged", true)] {
        let mut job = world.job("unused");
        job.out = place.join(name);
        job.include_flagged = flagged;
        let manifest = world.export(&job).unwrap();
        assert_eq!(manifest.current as usize, counted.len());
        assert_whole(&job.out, &world);
    }
}

fn assert_whole(folder: &Path, world: &support::World) {
    verify(folder, &world.trusted()).unwrap();
}
