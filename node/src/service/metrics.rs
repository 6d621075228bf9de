// SPDX-License-Identifier: Apache-2.0

//! What this node tells Prometheus beside what every Substrate node does.

use std::sync::Arc;

use futures::StreamExt;
use mhealth_runtime::Header;
use sc_client_api::BlockchainEvents;
use substrate_prometheus_endpoint::{register, Counter, PrometheusError, Registry, U64};

use super::{witness::slot, FullClient};

/// Counts proposals that were not ready when their slot was over, so that the slot stayed empty.
pub(super) fn discarded_proposals(registry: &Registry) -> Result<Counter<U64>, PrometheusError> {
    let help = "Blocks of this validator that were thrown away because they were not ready when their slot was over.";
    register(
        Counter::new("mhealth_discarded_proposals_total", help)?,
        registry,
    )
}

/// Counts slots without a block, whoever had to make one, as far as this node saw the chain grow.
pub(super) struct MissedSlots(Counter<U64>);

impl MissedSlots {
    /// Registers the counter.
    pub(super) fn register(registry: &Registry) -> Result<Self, PrometheusError> {
        let help = "Slots in which no validator made a block of this chain. Which validator it was, the chain says \
                    (accountability.sessions).";
        let counter = Counter::new("mhealth_missed_slots_total", help)?;
        Ok(Self(register(counter, registry)?))
    }

    /// Counts until the node stops. What a node imports while it catches up is history, and not counted.
    pub(super) async fn watch(self, client: Arc<FullClient>) {
        let mut imported = client.import_notification_stream();
        while let Some(block) = imported.next().await {
            if !block.is_new_best {
                continue;
            }
            let parent = client.header(block.header.parent_hash);
            if let Ok(Some(parent)) = parent {
                self.0.inc_by(between(&parent, &block.header));
            }
        }
    }
}

/// Slots between two blocks that follow each other. The first block of a chain has none.
fn between(parent: &Header, block: &Header) -> u64 {
    match (slot(parent), slot(block)) {
        (Some(before), Some(after)) => (*after).saturating_sub(*before + 1),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::witness::testing::header, *};

    #[test]
    fn slots_that_nobody_used_are_those_between_a_block_and_its_parent() {
        for (before, after, missed) in [(7, 8, 0), (7, 9, 1), (7, 20, 12), (9, 7, 0)] {
            assert_eq!(between(&header(before, 1), &header(after, 1)), missed);
        }
        let mut first = header(0, 1);
        first.digest.logs.clear();
        assert_eq!(between(&first, &header(1_000_000, 1)), 0);
    }
}
