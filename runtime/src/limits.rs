// SPDX-License-Identifier: Apache-2.0

//! How much fits into a block, and how long things take.
//!
//! Two limits, of different kinds. The runtime's is weight: what a block may hold at most. The author's is the clock: it
//! stops after a share of the slot, which leaves time for the storage root, and for the other validators to execute the block
//! before the next one builds on it. The weight bounds what an author on a fast machine puts into a block that slow ones have to
//! follow: what was measured to take a slot and a fifth, and somewhat more where something takes more than it is charged
//! (`scripts/bench --shapes`). A validator that needs longer than a slot for each of several full blocks in a row falls behind.

#![warn(missing_docs)]

use frame_support::{
    dispatch::DispatchClass,
    parameter_types,
    weights::{
        constants::{
            BlockExecutionWeight, ExtrinsicBaseWeight, WEIGHT_REF_TIME_PER_MICROS,
            WEIGHT_REF_TIME_PER_MILLIS,
        },
        RuntimeDbWeight, Weight,
    },
};
use frame_system::limits::{BlockLength, BlockWeights};
use pallet_admission::Lane;
use sp_runtime::Perbill;

use crate::BlockNumber;

/// Length of a slot, in milliseconds: every slot one validator may make one block.
pub const SLOT_MILLISECONDS: u64 = 2_000;

/// Blocks in a minute when no slot stays empty.
pub const MINUTES: BlockNumber = (60_000 / SLOT_MILLISECONDS) as BlockNumber;

/// Blocks in an hour when no slot stays empty.
pub const HOURS: BlockNumber = 60 * MINUTES;

/// Blocks in a day when no slot stays empty.
pub const DAYS: BlockNumber = 24 * HOURS;

/// Length of a session, in blocks: five minutes.
///
/// A changed list of validators takes effect one to two sessions after the consortium has decided it. A session in which
/// nothing changes costs a few storage reads, so it is short: an organisation that must go is gone in ten minutes.
pub const SESSION: BlockNumber = 5 * MINUTES;

/// Blocks that the last final block must lie behind before the consortium may change the authorities by force: five minutes, in
/// which a validator that only restarts is back.
pub const LEAST_LAG: BlockNumber = 5 * MINUTES;

/// How many blocks the last final block that the chain knows of may lie behind before the validators' nodes show it a later one: a
/// minute. It costs one proof in so many blocks, and a fifth of [`LEAST_LAG`] leaves room for blocks that none of them makes.
pub const FINAL_REPORT: BlockNumber = MINUTES;

/// Blocks between that decision and its effect: half a minute, or eight when blocks come seldom, after which no node has the block with the decision on a chain
/// of its own.
pub const FORCED_DELAY: BlockNumber = 16;

/// Most bytes of a finality proof: two signatures of each of [`MAX_AUTHORITIES`] voters, and as much again for headers.
pub const FINALITY_PROOF_BYTES: u32 = 32 * 1_024;

/// Most digest items that the author of a block may bring into its header, and most bytes of them. Aura brings one. With more, no
/// report of two such headers would be short enough to be taken.
pub const AUTHORS_DIGEST: (usize, usize) = (4, 1_024);

/// How many sessions the chain remembers for what validators answer for: a week's.
pub const REMEMBERED_SESSIONS: u32 = 7 * DAYS / SESSION;

/// Most validators and most member organisations.
pub const MAX_AUTHORITIES: u32 = 64;

/// How long the consortium may vote on a motion, in blocks: three days, so that a weekend does not end one.
pub const MOTION: BlockNumber = 3 * DAYS;

/// How many motions a member may have open at a time.
pub const MOTIONS_PER_MEMBER: u32 = 2;

/// For how many blocks a member's vote for an urgent decision counts: six hours, within which organisations that were called
/// by telephone can all vote.
pub const URGENT: BlockNumber = 6 * HOURS;

/// For how many urgent decisions a member may vote at a time: the removal of a member and of its validator.
pub const URGENT_VOTES_PER_MEMBER: u32 = 2;

/// Execution time that a block may take by its weights, in picoseconds: a slot and a fifth. More than an author's clock allows, so
/// that weights which are somewhat too high do not leave time unused.
pub const BLOCK_REF_TIME: u64 = SLOT_MILLISECONDS * WEIGHT_REF_TIME_PER_MILLIS / 5 * 6;

/// What the database costs, in picoseconds.
///
/// A read comes from the cache of the trie; a write is a changed key, its share of the trie's nodes hashed and handed to the
/// database once a block. With a million devices `scripts/bench --growth` shows whether what blocks are charged is what they take.
pub const DATABASE: RuntimeDbWeight = RuntimeDbWeight {
    read: 10 * WEIGHT_REF_TIME_PER_MICROS,
    write: 30 * WEIGHT_REF_TIME_PER_MICROS,
};

/// What a byte of a run costs beside the call that registers it, in picoseconds: it goes through the pool into the block, is
/// copied into the runtime, hashed with the block and kept with it. Measured by `scripts/bench --growth`, where neighbours
/// write.
pub const BYTE: u64 = 30_000;

/// What a byte of a page of heads costs the first time that a block changes the page, beside a read and a write, in
/// picoseconds. With [`DATABASE`] a page is charged 74 microseconds. With a million devices in each of two studies, of which
/// any may write next, a page of 2,785 bytes took about 107 where it was charged 152 (`scripts/bench --growth`); the rest is for slower
/// machines and larger states, because this part of a block's work is done when the author's clock has stopped. Pages have 849 bytes
/// since; what these take was not measured.
pub const PAGE_BYTE: u64 = 40_000;

/// The share of a block's weight that ordinary transactions may fill. The rest stays free for the consortium's decisions and for
/// runtime upgrades, however busy the relays are.
pub const NORMAL_RATIO: Perbill = Perbill::from_percent(90);

/// The share of a block's bytes that ordinary transactions may fill. A new runtime has to fit beside them.
pub const NORMAL_BYTES_RATIO: Perbill = Perbill::from_percent(90);

/// Most bytes of extrinsics in a block: 15 MiB, of which ordinary transactions may take 13.5 MiB.
///
/// An entry that comes alone in a run is 104 bytes, and 168 in a signed one, so that 13.5 MiB hold 136,000 or 84,000 of them.
/// The network carries blocks of up to 16 MiB.
pub const BLOCK_BYTES: u32 = 15 * 1024 * 1024;

/// Most bytes of a transaction: 2 MiB. The author of a block holds each several times, decoded and with what it
/// registers, in a memory of 128 MiB; and a new runtime, compressed, has to fit.
pub const MAX_TRANSACTION: u32 = 2 * 1024 * 1024;

/// The part of its time that an author loses in a lane before it leaves that lane, last lane first: a tenth. The last one has nobody
/// behind it: a twentieth that is lost there means that the block is full.
pub const AUTHOR_LOST: [u32; Lane::COUNT] = [20, 10, 10, 10];

/// The hundredths of its time that an author uses in a lane before it leaves that lane, last lane first: as many as the lane may take of
/// a block's weight. The last one has what is left, until the author's time is over.
pub const AUTHOR_SHARE: [u32; Lane::COUNT] = [1_000, 15, 25, 20];

/// What hooks may take of a block before the first transaction.
const BLOCK_INITIALISATION: Perbill = Perbill::from_percent(5);

parameter_types! {
    /// [`BYTE`], for the pallets.
    pub ByteWeight: Weight = Weight::from_parts(BYTE, 0);

    /// [`PAGE_BYTE`], for the pallets.
    pub PageByteWeight: Weight = Weight::from_parts(PAGE_BYTE, 0);

    /// [`DATABASE`], for the pallets.
    pub const DatabaseWeight: RuntimeDbWeight = DATABASE;

    /// How much work a block holds, by class of call.
    ///
    /// There is no proof size to limit: every validator keeps the whole state.
    pub RuntimeBlockWeights: BlockWeights = {
        let block = Weight::from_parts(BLOCK_REF_TIME, u64::MAX);
        BlockWeights::builder()
            .base_block(BlockExecutionWeight::get())
            .for_class(DispatchClass::all(), |weights| {
                weights.base_extrinsic = ExtrinsicBaseWeight::get();
            })
            .for_class(DispatchClass::Normal, |weights| {
                weights.max_total = Some(NORMAL_RATIO * block);
            })
            .for_class(DispatchClass::Operational, |weights| {
                weights.max_total = Some(block);
                weights.reserved = Some(block - NORMAL_RATIO * block);
            })
            .avg_block_initialization(BLOCK_INITIALISATION)
            .build_or_panic()
    };

    /// How many bytes a block holds, by class of call.
    pub RuntimeBlockLength: BlockLength = BlockLength::builder()
        .max_length(BLOCK_BYTES)
        .modify_max_length_for_class(DispatchClass::Normal, |length| *length = NORMAL_BYTES_RATIO * *length)
        .build();

    /// Most weight that a decision of the consortium may have: with the transaction around it, it has to fit into its lane.
    pub MaxProposalWeight: Weight = Perbill::from_percent(18) * RuntimeBlockWeights::get().max_block;
}
