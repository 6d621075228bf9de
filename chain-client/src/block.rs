// SPDX-License-Identifier: Apache-2.0

//! A finalised block, and what happened in it.

use subxt::config::substrate::BlakeTwo256;
use subxt::config::Hasher;
use subxt::events::Phase;
use subxt::utils::H256;

use crate::connection::Connection;
use crate::error::{DispatchRefusal, Error};
use crate::event::{self, ChainEvent};
use crate::rpc::{Config, RawBlock};
use crate::runtime::Runtime;

/// Storage key of `System.Events`: the 128-bit xxHash of either name.
const EVENTS_KEY: [u8; 32] = [
    0x26, 0xaa, 0x39, 0x4e, 0xea, 0x56, 0x30, 0xe0, 0x7c, 0x48, 0xae, 0x0c, 0x95, 0x58, 0xce, 0xf7,
    0x80, 0xd4, 0x1e, 0x5e, 0x16, 0x05, 0x67, 0x65, 0xbc, 0x84, 0x61, 0x85, 0x10, 0x72, 0xc9, 0xd7,
];
/// Storage key of `Timestamp.Now`.
const NOW_KEY: [u8; 32] = [
    0xf0, 0xc3, 0x65, 0xc3, 0xcf, 0x59, 0xd6, 0x71, 0xeb, 0x72, 0xda, 0x0e, 0x7a, 0x41, 0x13, 0xc4,
    0x9f, 0x1f, 0x05, 0x15, 0xf4, 0x62, 0xcd, 0xcf, 0x84, 0xe0, 0xf1, 0xd6, 0x04, 0x5d, 0xfc, 0xbb,
];

/// A block that cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalisedBlock {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: H256,
    /// Hash of the block before it.
    pub parent_hash: H256,
    /// Its extrinsics, in order.
    pub extrinsics: Vec<FinalisedExtrinsic>,
    /// Events of our pallets that belong to no extrinsic.
    pub events: Vec<ChainEvent>,
}

/// An extrinsic of a finalised block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalisedExtrinsic {
    /// Its place in the block, from 0.
    pub index: u32,
    /// Hash of its bytes, by which a submitter knows it again.
    pub hash: H256,
    /// What it did. None when the node no longer keeps the state of this block: a pruning node drops it after 256
    /// blocks.
    pub effect: Option<Effect>,
}

/// What an extrinsic did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Whether its call succeeded, or why the chain refused it.
    pub result: Result<(), DispatchRefusal>,
    /// Events of our pallets, in order.
    pub events: Vec<ChainEvent>,
}

impl FinalisedBlock {
    /// All events of our pallets in this block, in order, each with the index of its extrinsic.
    pub fn all_events(&self) -> impl Iterator<Item = (Option<u32>, &ChainEvent)> {
        let of_extrinsics = self.extrinsics.iter().flat_map(|extrinsic| {
            let events = extrinsic.effect.iter().flat_map(|effect| &effect.events);
            events.map(|event| (Some(extrinsic.index), event))
        });
        of_extrinsics.chain(self.events.iter().map(|event| (None, event)))
    }
}

/// Hash of an extrinsic's bytes, as the chain counts it.
pub(crate) fn extrinsic_hash(bytes: &[u8]) -> H256 {
    // The hasher takes no parameter from the metadata: this chain's extrinsics are hashed by BLAKE2b-256.
    BlakeTwo256.hash(bytes)
}

/// Reads a finalised block with its events.
pub(crate) async fn read_block(
    connection: &Connection,
    number: u64,
) -> Result<FinalisedBlock, Error> {
    let rpc = connection.rpc();
    let hash = rpc
        .block_hash(number)
        .await?
        .ok_or_else(|| Error::UnknownBlock {
            block: number.to_string(),
        })?;
    let raw = rpc.block(hash).await?;
    let mut block = bare(&raw);
    if number == 0 {
        return Ok(block);
    }
    // The runtime that worked off this block is the one in force after its parent, so an upgrade in this very block
    // does not change how its events read.
    match events_of(connection, &raw).await {
        Ok((runtime, bytes)) => attach(&mut block, &runtime, bytes)?,
        Err(Error::StatePruned { .. }) => {
            tracing::warn!(
                number,
                "the node has dropped the state of this block; its events are lost here"
            );
        }
        Err(error) => return Err(error),
    }
    Ok(block)
}

async fn events_of(connection: &Connection, raw: &RawBlock) -> Result<(Runtime, Vec<u8>), Error> {
    let runtime = connection.runtime(raw.parent_hash).await?;
    let bytes = connection.rpc().storage(&EVENTS_KEY, raw.hash).await?;
    Ok((runtime, bytes.unwrap_or_default()))
}

/// The seconds since 1970 that a block names. None when the node has dropped its state.
pub(crate) async fn block_time(connection: &Connection, block: H256) -> Result<Option<u64>, Error> {
    let value = match connection.rpc().storage(&NOW_KEY, block).await {
        Err(error) if error.is_lasting() => None,
        answer => answer?,
    };
    let milliseconds = value.and_then(|value| Some(u64::from_le_bytes(value.try_into().ok()?)));
    Ok(milliseconds.map(|milliseconds| milliseconds / 1_000))
}

pub(crate) fn bare(raw: &RawBlock) -> FinalisedBlock {
    let extrinsics = raw.extrinsics.iter().zip(0u32..);
    FinalisedBlock {
        number: raw.number,
        hash: raw.hash,
        parent_hash: raw.parent_hash,
        extrinsics: extrinsics
            .map(|(bytes, index)| FinalisedExtrinsic {
                index,
                hash: extrinsic_hash(bytes),
                effect: None,
            })
            .collect(),
        events: Vec::new(),
    }
}

/// Deals the block's events out to its extrinsics.
pub(crate) fn attach(
    block: &mut FinalisedBlock,
    runtime: &Runtime,
    bytes: Vec<u8>,
) -> Result<(), Error> {
    for extrinsic in &mut block.extrinsics {
        extrinsic.effect = Some(Effect {
            result: Ok(()),
            events: Vec::new(),
        });
    }
    let events = runtime.at().events().from_bytes(bytes);
    for event in events.iter() {
        let event = event.map_err(|error| Error::protocol("System.Events", error))?;
        let effect = match event.phase() {
            Phase::ApplyExtrinsic(index) => block
                .extrinsics
                .get_mut(index as usize)
                .and_then(|extrinsic| extrinsic.effect.as_mut()),
            Phase::Initialization | Phase::Finalization => None,
        };
        match (effect, failure(&event, runtime)) {
            (Some(effect), Some(refusal)) => effect.result = Err(refusal),
            (Some(effect), None) => effect.events.extend(event::decode(&event, runtime)?),
            (None, _) => block.events.extend(event::decode(&event, runtime)?),
        }
    }
    Ok(())
}

fn failure(event: &subxt::events::Event<'_, Config>, runtime: &Runtime) -> Option<DispatchRefusal> {
    let failed = event.pallet_name() == "System" && event.event_name() == "ExtrinsicFailed";
    failed.then(|| runtime.refusal(event.field_bytes()))
}
