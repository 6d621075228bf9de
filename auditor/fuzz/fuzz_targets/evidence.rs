// SPDX-License-Identifier: Apache-2.0

//! Evidence from a stranger: read, and verified against the chain of the test vectors. Nothing may panic, no two files may say
//! the same, and of that chain's device nothing may be proved but what the vectors claim.

#![no_main]

use std::sync::LazyLock;

use hashchain::{Native, Sha256};
use libfuzzer_sys::fuzz_target;
use mhealth_api::Hash;
use mhealth_auditor::evidence::{verify, Checkpoint, Evidence, Start, MAGIC, VERSION};
use serde_json::Value;

/// The first vector: its genesis hash, and its only device with its head.
static TRUE: LazyLock<(Hash, u64, Value)> = LazyLock::new(|| {
    let vectors = include_str!("../../tests/vectors/evidence-v2.json");
    let vectors: Value = serde_json::from_str(vectors).expect("the vectors are JSON; qed");
    let first = &vectors["cases"][0];
    let claims = &first["expected"]["claims"];
    let genesis = claims["chain"].as_str().and_then(|hash| hash.parse().ok());
    let device = &claims["devices"][0];
    (
        genesis.expect("the first vector names its chain; qed"),
        device["device"].as_u64().expect("and a device; qed"),
        device["head"].clone(),
    )
});

fuzz_target!(|data: &[u8]| {
    read(data);
    // Who makes a file on purpose computes its checksum anew, so it is no obstacle here either.
    if let Some((contents, _)) = data.split_last_chunk::<32>() {
        read(&sealed(contents));
    }
    read(&sealed(
        &[&MAGIC, &VERSION.to_le_bytes()[..], data].concat(),
    ));
});

fn sealed(contents: &[u8]) -> Vec<u8> {
    [contents, &Native::sha256(contents)].concat()
}

fn read(file: &[u8]) {
    let Ok(evidence) = Evidence::from_bytes(file) else {
        return;
    };
    assert_eq!(evidence.to_bytes(), file, "two files say the same");
    // About whatever chain the file names, which leads further than the expected one.
    let own = match &evidence.start {
        Start::Genesis(_) => &evidence.genesis,
        Start::Checkpoint(authorities) => &authorities.header,
    };
    let _ = verify(&evidence, evidence.genesis.hash(), &[Checkpoint::of(own)]);
    let (genesis, device, head) = &*TRUE;
    let Ok(claims) = verify(&evidence, genesis.0, &[]) else {
        return;
    };
    for claimed in &claims.devices {
        if u64::from(claimed.device.0) == *device {
            assert_eq!(claimed.head.to_string(), *head, "another history is proved");
        }
    }
}
