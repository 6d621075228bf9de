// SPDX-License-Identifier: Apache-2.0

//! Makes blocks in turn with the other validators, and votes for their finality.

use std::{sync::Arc, time::Duration};

use mhealth_runtime::{
    limits::{BLOCK_BYTES, FORCED_DELAY, LEAST_LAG, MINUTES, SESSION},
    opaque::Block,
    BlockNumber,
};
use sc_basic_authorship::ProposerFactory;
use sc_consensus_aura::{SlotProportion, StartAuraParams};
use sc_consensus_grandpa::{
    run_grandpa_voter, Config, GrandpaParams, SharedVoterState, ThreeQuartersOfTheUnfinalizedChain,
    VotingRulesBuilder,
};
use sc_consensus_slots::BackoffAuthoringOnFinalizedHeadLagging;
use sc_network::{service::traits::NetworkService, NotificationService, ProtocolName};
use sc_network_sync::SyncingService;
use sc_service::{Configuration, Role, TaskManager};
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_consensus_aura::sr25519::AuthorityPair;
use sp_keystore::KeystorePtr;
use sp_runtime::Percent;
use substrate_prometheus_endpoint::Registry;

use super::{
    clock::Clocked,
    components::inherent_data,
    final_report,
    lanes::LanePool,
    metrics::{self, MissedSlots},
    witness, FullBackend, FullClient, FullPool, FullSelectChain, GrandpaBlockImport, GrandpaLink,
    JUSTIFICATION_PERIOD,
};

/// The share of a slot after which a proposal that is not ready is thrown away: all of it, because a late block is
/// worth more than none. The author stops long before: see [`Clocked`].
const PROPOSAL_SHARE: f32 = 1.0;

/// How many blocks are made at full pace when none becomes final: what a change of authorities by force takes. Those who are gone
/// are off the list after two sessions at most, the decision is taken after [`LEAST_LAG`], it takes effect after
/// [`FORCED_DELAY`], and five minutes are for those who vote on it. Twenty minutes together.
const FULL_PACE: BlockNumber = 2 * SESSION + LEAST_LAG + FORCED_DELAY + 5 * MINUTES;
/// How many slots stay empty after a block at most, when none has become final for long: a block comes every half minute. What was
/// decided later takes fifteen times as long, and no more.
const EMPTY_SLOTS: BlockNumber = 14;

/// What a validator works with.
pub(super) struct Parts {
    pub(super) client: Arc<FullClient>,
    pub(super) backend: Arc<FullBackend>,
    pub(super) pool: Arc<FullPool>,
    pub(super) select_chain: FullSelectChain,
    pub(super) block_import: GrandpaBlockImport,
    pub(super) grandpa_link: GrandpaLink,
    pub(super) network: Arc<dyn NetworkService>,
    pub(super) sync_service: Arc<SyncingService<Block>>,
    pub(super) vote_channel: VoteChannel,
    pub(super) voter_state: SharedVoterState,
    pub(super) keystore: KeystorePtr,
}

/// Where GRANDPA's votes come and go.
pub(super) struct VoteChannel {
    pub(super) protocol: ProtocolName,
    pub(super) notifications: Box<dyn NotificationService>,
}

/// What the operator says about this node's part in the consensus.
pub(super) struct Settings {
    role: Role,
    name: String,
    force_authoring: bool,
    with_grandpa: bool,
    gossip: Duration,
    pub(super) prometheus_registry: Option<Registry>,
}

impl Settings {
    /// As the configuration says. A vote is expected to take so long to everybody.
    pub(super) fn new(config: &Configuration, gossip: Duration) -> Self {
        Self {
            role: config.role,
            name: config.network.node_name.clone(),
            force_authoring: config.force_authoring,
            with_grandpa: !config.disable_grandpa,
            gossip,
            prometheus_registry: config.prometheus_registry().cloned(),
        }
    }
}

/// Makes blocks if this node is a validator, and follows the votes on them.
pub(super) fn spawn(
    parts: Parts,
    settings: Settings,
    task_manager: &TaskManager,
) -> Result<(), sc_service::Error> {
    if let Some(registry) = &settings.prometheus_registry {
        let missed = MissedSlots::register(registry)?.watch(parts.client.clone());
        task_manager
            .spawn_handle()
            .spawn("missed-slots", None, missed);
    }
    if settings.role.is_authority() {
        spawn_aura(&parts, &settings, task_manager)?;
        // What these report goes into blocks of their own, so it is for those that make blocks.
        let watch = witness::watch(parts.client.clone(), parts.pool.clone());
        task_manager.spawn_handle().spawn("witness", None, watch);
        let (client, backend) = (parts.client.clone(), parts.backend.clone());
        let watch = final_report::watch(client, backend, parts.pool.clone());
        task_manager
            .spawn_handle()
            .spawn("final-report", None, watch);
    }
    if settings.with_grandpa {
        spawn_grandpa(parts, settings, task_manager)?;
    }
    Ok(())
}

/// Makes a block in every slot that is ours.
///
/// While finality lags far behind, for instance because a third of the validators is down, fewer and fewer blocks are
/// made: see [`backoff`].
fn spawn_aura(
    parts: &Parts,
    settings: &Settings,
    task_manager: &TaskManager,
) -> Result<(), sc_service::Error> {
    let slot_duration = sc_consensus_aura::slot_duration(&*parts.client)?;
    let proposer_factory = proposer_factory(
        parts.client.clone(),
        parts.pool.clone(),
        settings.prometheus_registry.as_ref(),
        task_manager,
    );
    let registry = settings.prometheus_registry.as_ref();
    let discarded = registry.map(metrics::discarded_proposals).transpose()?;
    let clocked = Clocked::new(proposer_factory, parts.client.clone(), discarded);
    let aura = sc_consensus_aura::start_aura::<AuthorityPair, _, _, _, _, _, _, _, _, _, _>(
        StartAuraParams {
            slot_duration,
            client: parts.client.clone(),
            select_chain: parts.select_chain.clone(),
            block_import: parts.block_import.clone(),
            proposer_factory: clocked,
            sync_oracle: parts.sync_service.clone(),
            justification_sync_link: parts.sync_service.clone(),
            create_inherent_data_providers: move |_, ()| async move { Ok(inherent_data(slot_duration)) },
            force_authoring: settings.force_authoring,
            backoff_authoring_blocks: Some(backoff()),
            keystore: parts.keystore.clone(),
            block_proposal_slot_portion: SlotProportion::new(PROPOSAL_SHARE),
            max_block_proposal_slot_portion: None,
            telemetry: None,
            compatibility_mode: Default::default(),
        },
    )?;
    task_manager
        .spawn_essential_handle()
        .spawn_blocking("aura", Some("block-authoring"), aura);
    Ok(())
}

/// How validators make fewer blocks when none becomes final, so that what has to be finalised later grows slowly.
///
/// Not as usual, from 50 blocks on down to one in a hundred slots: the chain counts in blocks what the consortium may do against
/// it, and five minutes would become an hour and a half.
fn backoff() -> BackoffAuthoringOnFinalizedHeadLagging<BlockNumber> {
    BackoffAuthoringOnFinalizedHeadLagging {
        max_interval: EMPTY_SLOTS,
        unfinalized_slack: FULL_PACE,
        authoring_bias: 2,
    }
}

/// Votes for blocks, with the keys of a validator, and otherwise follows the votes of the others.
///
/// For the best block, not for one that is two blocks older, as is usual: nothing rests on that rule but how often votes of
/// one round differ. If a part of the validators does not have a block yet, it becomes final one round later. The rule that
/// is left lets those who lag far behind agree on something.
fn spawn_grandpa(
    parts: Parts,
    settings: Settings,
    task_manager: &TaskManager,
) -> Result<(), sc_service::Error> {
    let config = Config {
        gossip_duration: settings.gossip,
        justification_generation_period: JUSTIFICATION_PERIOD,
        name: Some(settings.name),
        observer_enabled: false,
        keystore: settings.role.is_authority().then_some(parts.keystore),
        local_role: settings.role,
        telemetry: None,
        protocol_name: parts.vote_channel.protocol,
    };
    let voter = run_grandpa_voter(GrandpaParams {
        config,
        link: parts.grandpa_link,
        network: parts.network,
        sync: parts.sync_service,
        notification_service: parts.vote_channel.notifications,
        voting_rule: VotingRulesBuilder::new()
            .add(ThreeQuartersOfTheUnfinalizedChain)
            .build(),
        prometheus_registry: settings.prometheus_registry,
        shared_voter_state: parts.voter_state,
        telemetry: None,
        offchain_tx_pool_factory: OffchainTransactionPoolFactory::new(parts.pool),
    })?;
    task_manager
        .spawn_essential_handle()
        .spawn_blocking("grandpa-voter", None, voter);
    Ok(())
}

/// Puts transactions into blocks, as many bytes of them as the runtime allows.
///
/// How long it goes on when some do not fit, [`LanePool`] says, lane by lane; not the proposer, which would count them all.
pub(super) fn proposer_factory(
    client: Arc<FullClient>,
    pool: Arc<FullPool>,
    prometheus_registry: Option<&Registry>,
    task_manager: &TaskManager,
) -> ProposerFactory<LanePool, FullClient> {
    let mut factory = ProposerFactory::new(
        task_manager.spawn_handle(),
        client,
        Arc::new(LanePool::new(pool)),
        prometheus_registry,
        None,
    );
    factory.set_default_block_size_limit(BLOCK_BYTES as usize);
    factory.set_soft_deadline(Percent::from_percent(100));
    factory
}

#[cfg(test)]
mod tests {
    use mhealth_runtime::limits::SLOT_MILLISECONDS;
    use sc_consensus_slots::BackoffAuthoringBlocksStrategy;
    use sp_consensus_aura::Slot;

    use super::*;

    /// How many slots after a block the next is made, when so many blocks are not final.
    fn next_slot(unfinalised: BlockNumber) -> u64 {
        const HEAD: u64 = 1_000_000;
        let is_free = |after: &u64| {
            let slot = Slot::from(HEAD + after);
            !backoff().should_backoff(unfinalised, HEAD.into(), 0, slot, "test")
        };
        (1..).find(is_free).expect("blocks are made for ever")
    }

    #[test]
    fn the_authorities_are_changed_by_force_at_full_pace() {
        for unfinalised in 0..=2 * SESSION + LEAST_LAG + FORCED_DELAY {
            assert_eq!(next_slot(unfinalised), 1, "{unfinalised}");
        }
    }

    #[test]
    fn when_nothing_becomes_final_for_long_blocks_come_seldom_and_still_within_half_a_minute() {
        let slots: Vec<u64> = (0..10 * FULL_PACE).map(next_slot).collect();
        assert!(slots.is_sorted());
        let slowest = slots.last().expect("there are some");
        assert_eq!(slowest * SLOT_MILLISECONDS, 30_000);
    }
}
