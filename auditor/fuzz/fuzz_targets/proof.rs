// SPDX-License-Identifier: Apache-2.0

//! A proof of a device's head, as a relay hands it to a phone: nothing may panic, no two proofs say the same, and of the test vectors'
//! chain nothing is shown but what the vectors show.

#![no_main]

use std::sync::LazyLock;

use hashchain::DeviceId;
use libfuzzer_sys::fuzz_target;
use mhealth_evidence::{Anchor, HeadProof};
use serde_json::Value;

/// The first chain of the vectors.
struct Known {
    genesis: [u8; 32],
    device: DeviceId,
    /// What a phone knows that has taken the genuine proofs.
    anchor: Anchor,
    /// Block, number of entries and last link, as the genuine proofs show them.
    shown: Vec<(u64, u64, String)>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let vectors = include_str!("../../../evidence/tests/vectors/head-proofs-v1.json");
    let vectors: Value = serde_json::from_str(vectors).expect("the vectors are JSON; qed");
    let chain = &vectors["chains"][0];
    let genesis: [u8; 32] = bytes(chain["genesis"].as_str().unwrap())
        .try_into()
        .unwrap();
    let device = chain["device"].as_u64().unwrap();
    let (mut known, mut shown) = (None, Vec::new());
    for step in chain["steps"].as_array().unwrap() {
        let Some(outcome) = step.get("shown") else {
            continue;
        };
        let number = |name: &str| outcome[name].as_u64().unwrap();
        let head = outcome["head"].as_str().unwrap().to_owned();
        shown.push((number("block"), number("length"), head));
        let proof = HeadProof::from_bytes(&bytes(step["proof"].as_str().unwrap())).unwrap();
        let anchor = known.get_or_insert_with(|| {
            let first = proof.first.as_ref().unwrap();
            Anchor::begin(genesis, first).unwrap()
        });
        anchor.check(&proof.finality).unwrap();
    }
    Known {
        genesis,
        device: DeviceId(device as u32),
        anchor: known.unwrap(),
        shown,
    }
});

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.map(byte).collect()
}

fuzz_target!(|data: &[u8]| {
    let Ok(proof) = HeadProof::from_bytes(data) else {
        return;
    };
    assert_eq!(proof.to_bytes(), data, "two proofs say the same");
    let known = &*KNOWN;
    let first = proof.first.as_ref();
    let first = first.and_then(|first| Anchor::begin(known.genesis, first).ok());
    for mut anchor in first.into_iter().chain([known.anchor.clone()]) {
        let Ok(state) = anchor.check(&proof.finality) else {
            continue;
        };
        let _ = state.device(known.device);
        let _ = state.conflicts(known.device);
        if let Ok(Some(head)) = state.head(known.device) {
            let link: String = head
                .hash
                .0
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let head = (u64::from(state.number()), head.length, link);
            assert!(
                known.shown.contains(&head),
                "another history is proved: {head:?}"
            );
        }
    }
});
