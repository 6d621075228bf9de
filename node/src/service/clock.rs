// SPDX-License-Identifier: Apache-2.0

//! Stops the author in time.
//!
//! A proposal that is not ready when its slot is over is thrown away whole. The proposer of the SDK stops with a tenth of its
//! time left, which is too little for the last batch and the storage root of a full block, and for a database whose readers
//! have to wait for most of a second now and then. Here it stops at a fixed share of the slot, long before the proposal would
//! be thrown away.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use mhealth_runtime::{limits::SLOT_MILLISECONDS, opaque::Block, Header};
use sp_api::ProvideRuntimeApi;
use sp_consensus::{Environment, ProposeArgs, Proposer};
use sp_consensus_aura::{sr25519::AuthorityId, AuraApi};

use super::FullClient;

/// The share of a slot in which transactions go into a block when others have to execute it before the next slot: as long
/// again for them, and what the network takes.
const AMONG_OTHERS: f64 = 0.5;

/// The same for a validator that is alone, as on a development chain. What is left is for the last batch, the storage root, and a
/// database that keeps its readers waiting.
const ALONE: f64 = 0.6;

/// Makes proposers that stop in time.
pub(super) struct Clocked<F> {
    factory: F,
    client: Arc<FullClient>,
}

impl<F> Clocked<F> {
    /// Around a factory of proposers.
    pub(super) fn new(factory: F, client: Arc<FullClient>) -> Self {
        Self { factory, client }
    }

    /// How long a block upon this one may take.
    fn time(&self, parent: &Header) -> Duration {
        let authorities: Result<Vec<AuthorityId>, _> =
            self.client.runtime_api().authorities(parent.hash());
        let alone = authorities.is_ok_and(|authorities| authorities.len() == 1);
        let share = if alone { ALONE } else { AMONG_OTHERS };
        Duration::from_millis(SLOT_MILLISECONDS).mul_f64(share)
    }
}

impl<F> Environment<Block> for Clocked<F>
where
    F: Environment<Block>,
    F::CreateProposer: 'static,
{
    type Proposer = ClockedProposer<F::Proposer>;
    type CreateProposer =
        Pin<Box<dyn Future<Output = Result<Self::Proposer, Self::Error>> + Send + 'static>>;
    type Error = F::Error;

    fn init(&mut self, parent: &Header) -> Self::CreateProposer {
        let time = self.time(parent);
        let proposer = self.factory.init(parent);
        Box::pin(async move {
            Ok(ClockedProposer {
                proposer: proposer.await?,
                time,
            })
        })
    }
}

/// A proposer that stops in time.
pub(super) struct ClockedProposer<P> {
    proposer: P,
    time: Duration,
}

impl<P: Proposer<Block>> Proposer<Block> for ClockedProposer<P> {
    type Error = P::Error;
    type Proposal = P::Proposal;

    fn propose(self, args: ProposeArgs<Block>) -> Self::Proposal {
        let max_duration = args.max_duration.min(self.time);
        self.proposer.propose(ProposeArgs {
            max_duration,
            ..args
        })
    }
}
