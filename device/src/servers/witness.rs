// SPDX-License-Identifier: Apache-2.0

//! Whether relays tell the same story.
//!
//! There is one finalised block of each number and one head of each device in it. Who tells a device two different ones
//! shows that a relay lies, or follows another chain. Which one it is the device cannot know, so it stops trusting
//! both, loudly, and is not stopped itself: its own hashchain is not in question.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use mhealth_api::{BlockRef, Hash};

use super::address::Address;
use crate::chain::ChainFault;

/// Blocks that are remembered.
const MOST_BLOCKS: usize = 1_024;

/// Remembers the finalised blocks that relays have named.
#[derive(Debug, Default)]
pub(super) struct Witness(Mutex<BTreeMap<u64, (Hash, Address)>>);

impl Witness {
    /// A relay says that this block is finalised.
    pub(super) fn see(&self, relay: &Address, block: BlockRef) -> Result<(), ChainFault> {
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, teller) = blocks
            .entry(block.number)
            .or_insert_with(|| (block.hash, relay.clone()));
        if *known != block.hash {
            let what = format!("block {} is {known}", block.number);
            return Err(disagreement(teller, &what, relay, &block.hash.to_string()));
        }
        if blocks.len() > MOST_BLOCKS {
            blocks.pop_first();
        }
        Ok(())
    }
}

/// Two relays contradict each other.
pub(super) fn disagreement(
    one: &Address,
    says: &str,
    other: &Address,
    instead: &str,
) -> ChainFault {
    ChainFault {
        code: "relays_disagree".into(),
        message: format!(
            "The relays contradict each other: {one} says that {says}, {other} says that it is {instead}. One of them \
             lies or follows another chain. Nothing is lost; report this to the study."
        ),
        passing: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_one_hash_whoever_tells() {
        let witness = Witness::default();
        let [one, other]: [Address; 2] =
            ["https://a.example", "https://b.example"].map(|address| address.parse().unwrap());
        let block = |number: u64, hash| BlockRef {
            number,
            hash: Hash([hash; 32]),
        };
        for number in 0..5_000 {
            assert!(witness.see(&one, block(number, 1)).is_ok());
        }
        assert!(witness.see(&other, block(4_999, 1)).is_ok());
        let fault = witness.see(&other, block(4_999, 2)).unwrap_err();
        assert_eq!(fault.code, "relays_disagree");
        assert!(fault.message.contains("a.example") && fault.message.contains("b.example"));
        assert!(witness.0.lock().unwrap().len() <= MOST_BLOCKS + 1);
    }
}
