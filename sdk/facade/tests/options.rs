// SPDX-License-Identifier: Apache-2.0

//! What an app says when it opens a phone.

use mhealth_evidence::Checkpoint;
use mhealth_sdk::phone::PhoneOptions;

fn options(checkpoints: &[&str]) -> PhoneOptions {
    PhoneOptions {
        copies: 1,
        trust_relays: false,
        checkpoints: checkpoints.iter().map(|text| (*text).to_owned()).collect(),
        chain: None,
    }
}

fn on(chain: &str) -> PhoneOptions {
    PhoneOptions {
        chain: Some(chain.to_owned()),
        ..options(&[])
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

#[test]
fn a_chain_is_read_as_it_is_published_and_no_other_text_is_taken_for_one() {
    let digits = "2a".repeat(32);
    for written in [
        format!("0x{digits}"),
        format!(" 0x{}\n", digits.to_uppercase()),
    ] {
        let read = on(&written).to_core().expect("it is one");
        assert_eq!(read.chain, Some([0x2a; 32]));
    }
    assert_eq!(options(&[]).to_core().expect("none is named").chain, None);
    let short = format!("0x{}", &digits[2..]);
    let long = format!("0x{digits}2a");
    for text in ["", "0x", &digits[..], &short[..], &long[..], "0xhello"] {
        let refused = on(text).to_core();
        assert_eq!(refused.expect_err("it is none").code(), "not_a_chain");
    }
}
