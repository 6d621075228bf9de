// SPDX-License-Identifier: Apache-2.0

//! Reports validators that make two blocks for one slot.
//!
//! Two votes of one round, GRANDPA reports by itself. Of two blocks Aura writes a line into the log, and keeps headers
//! without the seals that would prove it. Here a validator's node looks at every block that it imports, on whatever fork,
//! and asks the runtime for a report of two that have the same slot. The report goes into a block of this node's own.

use std::{collections::BTreeMap, sync::Arc};

use codec::Encode;
use futures::StreamExt;
use mhealth_runtime::Header;
use pallet_accountability_runtime_api::AccountabilityApi;
use sc_client_api::{BlockchainEvents, HeaderBackend};
use sp_api::ProvideRuntimeApi;
use sp_consensus_aura::{digests::CompatibleDigestItem, sr25519::AuthoritySignature, Slot};

use super::{
    reports::{hand_in, Failed},
    FullClient, FullPool,
};

/// How many slots are remembered: half an hour of blocks.
const SLOTS: usize = 1_024;

/// Watches imported blocks until the node stops.
pub(super) async fn watch(client: Arc<FullClient>, pool: Arc<FullPool>) {
    let mut seen = Seen::default();
    let mut imported = client.every_import_notification_stream();
    while let Some(block) = imported.next().await {
        let Some(other) = seen.note(&block.header) else {
            continue;
        };
        match report(&client, &pool, &other, &block.header).await {
            Ok(true) => tracing::warn!(
                target: "accountability",
                "reported that blocks {} and {} are of one slot and one validator",
                other.hash(),
                block.hash,
            ),
            // Another node was faster, or the report waits in this node's pool.
            Ok(false) => {}
            Err(error) => tracing::warn!(
                target: "accountability",
                "blocks {} and {} are of one slot; hand their headers in yourself \
                 (accountability.reportBlockEquivocation): {error}",
                other.hash(),
                block.hash,
            ),
        }
    }
}

/// Puts a report into this node's pool. Says whether there was anything new to report.
async fn report(
    client: &FullClient,
    pool: &FullPool,
    first: &Header,
    second: &Header,
) -> Result<bool, Failed> {
    let best = client.info().best_hash;
    let report =
        client
            .runtime_api()
            .block_equivocation_report(best, first.encode(), second.encode())?;
    match report {
        Some(report) => hand_in(pool, best, &report).await,
        None => Ok(false),
    }
}

/// The first block of each slot that was seen, of the latest slots.
#[derive(Default)]
struct Seen(BTreeMap<Slot, Header>);

impl Seen {
    /// The other block of this one's slot, if there is one.
    fn note(&mut self, header: &Header) -> Option<Header> {
        let slot = slot(header)?;
        if let Some(first) = self.0.get(&slot) {
            return (first != header).then(|| first.clone());
        }
        self.0.insert(slot, header.clone());
        if self.0.len() > SLOTS {
            self.0.pop_first();
        }
        None
    }
}

/// The slot of a block.
pub(super) fn slot(header: &Header) -> Option<Slot> {
    let mut items = header.digest.logs().iter();
    items.find_map(CompatibleDigestItem::<AuthoritySignature>::as_aura_pre_digest)
}

#[cfg(test)]
pub(super) mod testing {
    use sp_core::H256;
    use sp_runtime::{Digest, DigestItem};

    use super::*;

    /// A block of a slot; blocks with other marks are other blocks.
    pub(crate) fn header(slot: u64, mark: u8) -> Header {
        let item: DigestItem =
            CompatibleDigestItem::<AuthoritySignature>::aura_pre_digest(slot.into());
        Header {
            parent_hash: H256::repeat_byte(mark),
            number: 1,
            state_root: H256::zero(),
            extrinsics_root: H256::zero(),
            digest: Digest { logs: vec![item] },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::header, *};

    #[test]
    fn two_blocks_of_a_slot_are_noticed_in_whatever_order_slots_come() {
        let mut seen = Seen::default();
        for slot in [7, 5, 6] {
            assert_eq!(seen.note(&header(slot, 1)), None);
            assert_eq!(seen.note(&header(slot, 1)), None, "the same block again");
        }
        assert_eq!(seen.note(&header(5, 2)), Some(header(5, 1)));
        assert_eq!(seen.note(&header(7, 3)), Some(header(7, 1)));
        assert_eq!(seen.note(&header(8, 3)), None);
    }

    #[test]
    fn only_the_latest_slots_are_remembered() {
        let mut seen = Seen::default();
        let slots = SLOTS as u64;
        for slot in 1..=2 * slots {
            assert_eq!(seen.note(&header(slot, 1)), None);
        }
        assert_eq!(seen.0.len(), SLOTS);
        assert_eq!(seen.note(&header(slots, 2)), None);
        assert_eq!(seen.note(&header(slots + 1, 2)), Some(header(slots + 1, 1)));
    }
}
