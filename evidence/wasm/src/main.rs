// SPDX-License-Identifier: Apache-2.0

//! Checks the vectors' receipt two thousand times a call, and traps when it is not taken. `scripts/receipts` times it.

use std::hint::black_box;

use hashchain::DeviceId;
use mhealth_evidence::{Anchor, HeadProof};

const GENESIS: &[u8; 32] = include_bytes!(concat!(env!("OUT_DIR"), "/genesis"));
const FIRST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/first"));
const RECEIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/receipt"));
/// The device of the vectors.
const DEVICE: DeviceId = DeviceId(77_777);
/// Receipts a call.
const TIMES: usize = 2_000;

fn main() {
    let first = HeadProof::from_bytes(FIRST).expect("it is a proof");
    let authorities = first.first.as_ref().expect("it begins at the first block");
    let mut anchor = Anchor::begin(*GENESIS, authorities).expect("it is this chain's");
    anchor.check(&first.finality).expect("it is genuine");
    for _ in 0..TIMES {
        let mut anchor = anchor.clone();
        let receipt = HeadProof::from_bytes(black_box(RECEIPT)).expect("it is a proof");
        let state = anchor.check(&receipt.finality).expect("it is genuine");
        let head = state.head(DEVICE).expect("it is proved");
        assert!(black_box(head).is_some());
    }
}
