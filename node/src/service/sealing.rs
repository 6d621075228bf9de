// SPDX-License-Identifier: Apache-2.0

//! Makes blocks without consensus, for researchers who do not want to wait.

use std::{num::NonZeroU64, pin::Pin, str::FromStr, sync::Arc, time::Duration};

use futures::{channel::mpsc, stream, Stream, StreamExt};
use mhealth_runtime::{opaque::Block, Hash};
use sc_consensus_manual_seal::{
    consensus::aura::AuraConsensusDataProvider, run_manual_seal, EngineCommand, ManualSealParams,
};
use sc_service::TaskManager;
use sc_transaction_pool_api::TransactionPool;
use sp_consensus_aura::{sr25519::AuthoritySignature, Slot, SlotDuration};
use sp_timestamp::Timestamp;
use substrate_prometheus_endpoint::Registry;

use super::{authoring::proposer_factory, FullClient, FullPool, FullSelectChain};

/// When a block is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// When a transaction arrives.
    Instant,
    /// When the RPC method `engine_createBlock` is called.
    Manual,
    /// At this interval, in milliseconds.
    Interval(NonZeroU64),
}

impl FromStr for Sealing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "instant" => Ok(Self::Instant),
            "manual" => Ok(Self::Manual),
            milliseconds => milliseconds
                .parse()
                .map(Self::Interval)
                .map_err(|_| "expected instant, manual, or milliseconds above 0".into()),
        }
    }
}

/// How long a transaction may wait at most for a block under [`Sealing::Instant`] when its arrival went unnoticed.
const SECOND_LOOK: Duration = Duration::from_millis(100);

type Commands = Pin<Box<dyn Stream<Item = EngineCommand<Hash>> + Send>>;

/// What sealing works with.
pub(super) struct Parts {
    pub(super) client: Arc<FullClient>,
    pub(super) pool: Arc<FullPool>,
    pub(super) select_chain: FullSelectChain,
    /// What the RPC methods of manual sealing ask for.
    pub(super) seal_requests: mpsc::Receiver<EngineCommand<Hash>>,
    pub(super) prometheus_registry: Option<Registry>,
}

/// Makes blocks when `sealing` says so, and finalises each at once.
pub(super) fn spawn(sealing: Sealing, parts: Parts, task_manager: &TaskManager) {
    let slot_duration = SlotDuration::from_millis(mhealth_runtime::limits::SLOT_MILLISECONDS);
    let env = proposer_factory(
        parts.client.clone(),
        parts.pool.clone(),
        parts.prometheus_registry.as_ref(),
        task_manager,
    );
    let clock = parts.client.clone();
    let seal = run_manual_seal(ManualSealParams {
        block_import: parts.client.clone(),
        env,
        client: parts.client,
        commands_stream: commands(sealing, parts.pool.clone(), parts.seal_requests),
        pool: parts.pool,
        select_chain: parts.select_chain,
        consensus_data_provider: Some(Box::new(AuraConsensusDataProvider::new_with_slot_duration(
            slot_duration,
        ))),
        create_inherent_data_providers: move |parent, ()| {
            let time = next_time(&clock, parent, slot_duration);
            async move { Ok(sp_timestamp::InherentDataProvider::new(time?)) }
        },
    });
    task_manager
        .spawn_essential_handle()
        .spawn_blocking("sealing", Some("block-authoring"), seal);
}

fn commands(
    sealing: Sealing,
    pool: Arc<FullPool>,
    requests: mpsc::Receiver<EngineCommand<Hash>>,
) -> Commands {
    match sealing {
        Sealing::Manual => requests.boxed(),
        Sealing::Instant => {
            // The pool may announce a transaction before its view of the newest block has it; the clock finds that one.
            let arrivals = pool.import_notification_stream().map(|_| ());
            stream::select(arrivals, every(SECOND_LOOK))
                // What arrives while a block is made goes into the next one together.
                .ready_chunks(1_024)
                .filter(move |_| {
                    let waiting = pool.status().ready > 0;
                    async move { waiting }
                })
                .map(|_| seal(false))
                .boxed()
        }
        Sealing::Interval(milliseconds) => every(Duration::from_millis(milliseconds.get()))
            .map(|()| seal(true))
            .boxed(),
    }
}

/// A tick every so often.
fn every(period: Duration) -> impl Stream<Item = ()> + Send {
    stream::unfold((), move |()| async move {
        futures_timer::Delay::new(period).await;
        Some(((), ()))
    })
}

fn seal(create_empty: bool) -> EngineCommand<Hash> {
    EngineCommand::SealNewBlock {
        create_empty,
        finalize: true,
        parent_hash: None,
        sender: None,
    }
}

/// The time of the block after `parent`: now, but at least one slot later, because the runtime wants a slot of its own
/// for every block. Always the beginning of a slot.
fn next_time(
    client: &FullClient,
    parent: Hash,
    slot_duration: SlotDuration,
) -> Result<Timestamp, sp_blockchain::Error> {
    let header = client
        .header(parent)?
        .ok_or_else(|| sp_blockchain::Error::UnknownBlock(format!("{parent}")))?;
    let parent_slot = sc_consensus_aura::find_pre_digest::<Block, AuthoritySignature>(&header)
        .map_err(|error| sp_blockchain::Error::Application(error.into()))?;
    let now = Slot::from_timestamp(Timestamp::current(), slot_duration);
    let slot = now.max(parent_slot + 1);
    slot.timestamp(slot_duration)
        .ok_or_else(|| sp_blockchain::Error::Backend("the clock is beyond all slots".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_of_sealing_are_read_from_the_command_line() {
        assert_eq!("instant".parse(), Ok(Sealing::Instant));
        assert_eq!("manual".parse(), Ok(Sealing::Manual));
        let half_a_second = NonZeroU64::new(500).expect("500 is not 0");
        assert_eq!("500".parse(), Ok(Sealing::Interval(half_a_second)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "0", "-1", "1.5", "Instant", "soon"] {
            assert!(text.parse::<Sealing>().is_err(), "{text}");
        }
    }
}
