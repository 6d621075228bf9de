// SPDX-License-Identifier: Apache-2.0

//! What an app says when it opens a phone.

use mhealth_evidence::Checkpoint;
use mhealth_sdk::phone::PhoneOptions;

fn options(checkpoints: &[&str]) -> PhoneOptions {
    PhoneOptions {
        copies: 1,
        trust_relays: false,
        checkpoints: checkpoints.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn checkpoints_are_read_as_they_are_published() {
    let trusted = Checkpoint {
        hash: [0x2a; 32],
        number: 120_000,
    };
    let written = trusted.to_string();
    let read = options(&[&format!(" {written}\n")]).to_core();
    assert_eq!(read.expect("it is one").checkpoints, [trusted]);
    let none = options(&[]).to_core();
    assert!(none.expect("nothing is trusted").checkpoints.is_empty());
}

#[test]
fn what_is_no_checkpoint_is_named_before_anything_is_opened() {
    let hash = format!("0x{}", "2a".repeat(32));
    let (numberless, plain) = (format!("{hash}@"), format!("{}@7", &hash[2..]));
    for text in ["", &hash[..], &numberless[..], &plain[..]] {
        let refused = options(&[text]).to_core();
        assert_eq!(refused.expect_err("it is none").code(), "not_a_checkpoint");
    }
}
