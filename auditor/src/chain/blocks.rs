// SPDX-License-Identifier: Apache-2.0

//! Reads the blocks up to the block of the audit, for the runs that they brought. Each is the one before the next by the hashes in
//! the headers, up to the block of the audit; its extrinsics are those that its header binds; and what became of them stands in its
//! state, which its header binds, too. How they read, the code of the runtime says that made the block.

use codec::DecodeAll;
use futures::{StreamExt, TryStreamExt};
use mhealth_chain_client::{
    BlockBody, BlockId, ChainClient, ChainEvent, Error, FinalisedBlock, H256,
};
use mhealth_evidence::{
    events_key, forces_authorities, last_runtime_upgrade_key, next_authorities, now_key,
    ordered_root, Checkpoint, Header, Refusal, State,
};

use super::code::StepsLeft;
use super::proof::{Changes, Unproved};
use super::runtimes::Runtimes;
use super::state::read_proof;
use super::{position, Progress};
use crate::case::{BroughtRun, DeviceRecord, Fate};
use crate::error::AuditError;
use crate::scratch::Scratch;

/// Requests at the same time.
const AT_ONCE: usize = 16;

/// What was found in the blocks.
pub(super) struct Blocks {
    /// Whether all could be read with what became of their extrinsics.
    pub(super) complete: bool,
    /// Where authorities changed.
    pub(super) changes: Changes,
    /// The runtimes that made them.
    pub(super) runtimes: Runtimes,
}

/// From where on blocks are read, and from where on only their headers are needed.
pub(super) struct Range {
    /// After this block headers are read, for changes of authorities.
    pub(super) headers_after: u64,
    /// From this block on blocks are read, for the runs that they brought; none when there are no devices.
    pub(super) bodies_from: Option<u64>,
    /// The last of both.
    pub(super) end: BlockId,
    /// Hash of the first block.
    pub(super) genesis: [u8; 32],
    /// Blocks that are known to be on the chain.
    pub(super) checkpoints: Vec<Checkpoint>,
}

impl Range {
    fn first(&self) -> u64 {
        let bodies = self.bodies_from.unwrap_or(u64::MAX);
        bodies.min(self.headers_after + 1)
    }

    /// Whether a block is none that a checkpoint contradicts.
    fn agrees_with(&self, read: &Read) -> Result<(), Unproved> {
        let number = read.header.number;
        let mut same = self.checkpoints.iter().filter(|it| it.number == number);
        match same.all(|it| it.hash == read.hash) {
            true => Ok(()),
            false => Err(Unproved::Final {
                block: number.into(),
                refusal: Refusal::AnotherHistory,
            }),
        }
    }
}

/// Reads them. An audit that was cut short goes on after the last block that its scratch file has.
pub(super) async fn read(
    client: &ChainClient,
    devices: &[DeviceRecord],
    range: &Range,
    steps: &mut StepsLeft,
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<Blocks, AuditError> {
    let mut so_far = SoFar::kept(scratch, range.first())?;
    if so_far.last.is_none() && range.first() == 1 {
        so_far.last = Some((0, range.genesis));
    }
    let from = so_far.last.map_or(range.first(), |(number, _)| number + 1);
    let mut blocks = futures::stream::iter(from..=range.end.number)
        .map(|number| read_block(client, number, range))
        .buffered(AT_ONCE);
    while let Some(read) = blocks.try_next().await? {
        so_far.go_on(&read)?;
        range.agrees_with(&read)?;
        let brought = so_far.brought(client, &read, steps).await?;
        let number = u64::from(read.header.number);
        progress(Progress::Blocks(
            number + 1 - range.first(),
            range.end.number + 1 - range.first(),
        ));
        scratch.together(|scratch| {
            let mut concerned = false;
            for (place, run) in brought {
                if position(devices, run.run.device).is_some() {
                    concerned = true;
                    scratch.add_brought(place, &run)?;
                }
            }
            if concerned {
                scratch.add_block(number, read.time())?;
            }
            so_far.keep(scratch)
        })?;
    }
    so_far.leads_to(client, range.end).await?;
    Ok(so_far.found)
}

/// A block, as far as it was needed.
struct Read {
    header: Header,
    hash: [u8; 32],
    content: Content,
}

/// What is in a block.
enum Content {
    /// Nothing that an audit looks for.
    Nothing,
    /// Something, and the node has dropped the state that says what became of it.
    Dropped,
    /// Extrinsics, and what became of them.
    There(BlockBody, Happened),
}

/// What the state of a block says of the block.
struct Happened {
    events: Vec<u8>,
    /// The seconds since 1970 that it names.
    time: Option<u64>,
    /// The version of the rules that it was made by.
    spec_version: u32,
}

async fn read_block(client: &ChainClient, number: u64, range: &Range) -> Result<Read, AuditError> {
    let hash = client.block_hash(number).await?;
    let hash = hash.ok_or_else(|| Error::UnknownBlock {
        block: number.to_string(),
    })?;
    if range.bodies_from.is_none_or(|from| number < from) || number == 0 {
        let header = super::proof::header(client, hash).await?;
        return Ok(Read::bare(header));
    }
    let body = client.block_body(hash).await?;
    let header = Header::decode_all(&mut &body.header[..]).ok();
    let header = header.filter(|it| it.hash() == hash.0 && u64::from(it.number) == number);
    let header = header.ok_or(Unproved::Blocks(number))?;
    if ordered_root(&body.extrinsics) != header.extrinsics_root {
        return Err(Unproved::Extrinsics(number).into());
    }
    // An extrinsic that every block has sets the clock.
    let content = match body.extrinsics.len() {
        0 | 1 => Content::Nothing,
        _ => match happened(client, &header, body.hash).await? {
            Some(happened) => Content::There(body, happened),
            None => Content::Dropped,
        },
    };
    Ok(Read {
        content,
        ..Read::bare(header)
    })
}

impl Read {
    fn bare(header: Header) -> Self {
        Read {
            hash: header.hash(),
            header,
            content: Content::Nothing,
        }
    }

    fn time(&self) -> Option<u64> {
        match &self.content {
            Content::There(_, happened) => happened.time,
            Content::Nothing | Content::Dropped => None,
        }
    }
}

/// What the state of a block says of the block; none when the node has dropped it.
async fn happened(
    client: &ChainClient,
    header: &Header,
    block: H256,
) -> Result<Option<Happened>, AuditError> {
    let keys = [events_key(), now_key(), last_runtime_upgrade_key()];
    let nodes = match read_proof(client, &keys, block).await {
        Ok(nodes) => nodes,
        Err(AuditError::Chain(Error::StatePruned { .. })) => return Ok(None),
        Err(error) => return Err(error),
    };
    let state = State::new(header.state_root, &nodes);
    let unproved = |_| Unproved::State {
        block: header.number.into(),
        what: "what happened in it",
    };
    let events = state.read(&events_key()).map_err(unproved)?;
    let milliseconds: Option<u64> = state.value(&now_key()).map_err(unproved)?;
    Ok(Some(Happened {
        events: events.unwrap_or_default().to_vec(),
        time: milliseconds.map(|milliseconds| milliseconds / 1_000),
        spec_version: state.spec_version().map_err(unproved)?,
    }))
}

/// How far it is. All of it is in the scratch file, too, beside what the blocks brought.
struct SoFar {
    /// Number and hash of the last block.
    last: Option<(u64, [u8; 32])>,
    found: Blocks,
}

impl SoFar {
    fn kept(scratch: &Scratch, first: u64) -> Result<Self, AuditError> {
        let runtimes = scratch.fact("runtimes")?;
        let runtimes = runtimes.and_then(|it| serde_json::from_str(&it).ok());
        let Some(runtimes) = runtimes else {
            return Ok(SoFar {
                last: None,
                found: Blocks {
                    complete: true,
                    changes: Changes::default(),
                    runtimes: Runtimes::before(first),
                },
            });
        };
        let number = |name| -> Result<Option<u64>, AuditError> {
            let fact = scratch.fact(name)?;
            Ok(fact.and_then(|number| number.parse().ok()))
        };
        let numbers = |name| -> Result<Vec<u32>, AuditError> {
            let fact = scratch.fact(name)?.unwrap_or_default();
            Ok(fact.split(' ').filter_map(|it| it.parse().ok()).collect())
        };
        let hash = scratch.fact("block_hash")?;
        let hash = hash.and_then(|hash| hex::decode(hash).ok()?.try_into().ok());
        Ok(SoFar {
            last: number("block")?.zip(hash),
            found: Blocks {
                complete: scratch.fact("blocks_incomplete")?.as_deref() != Some("true"),
                changes: Changes {
                    handovers: numbers("handovers")?,
                    forced: numbers("forced")?,
                },
                runtimes,
            },
        })
    }

    /// Takes the next block, which has to be the one after the last.
    fn go_on(&mut self, read: &Read) -> Result<(), Unproved> {
        let (header, number) = (&read.header, u64::from(read.header.number));
        let follows = |(last, hash)| number == last + 1 && header.parent_hash == hash;
        if !self.last.is_none_or(follows) {
            return Err(Unproved::Blocks(number));
        }
        self.last = Some((number, read.hash));
        let found = &mut self.found;
        found.runtimes.go_on(header);
        if forces_authorities(header) {
            found.changes.forced.push(header.number);
        } else if next_authorities(header).is_some() {
            found.changes.handovers.push(header.number);
        }
        Ok(())
    }

    /// The runs that the last block brought, each with its place in its extrinsic.
    async fn brought(
        &mut self,
        client: &ChainClient,
        read: &Read,
        steps: &mut StepsLeft,
    ) -> Result<Vec<(u32, BroughtRun)>, AuditError> {
        let found = &mut self.found;
        let (body, happened) = match &read.content {
            Content::There(body, happened) => (body, happened),
            Content::Nothing => return Ok(Vec::new()),
            Content::Dropped => {
                found.complete = false;
                return Ok(Vec::new());
            }
        };
        let version = happened.spec_version;
        let runtimes = &mut found.runtimes;
        let reader = match runtimes.reader(client, &read.header, version, steps).await {
            Ok(reader) => reader,
            Err(AuditError::Chain(Error::StatePruned { .. })) => {
                found.complete = false;
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let contents = reader.read(body, happened.events.clone())?;
        let brought = contents.brought.into_iter().map(|brought| {
            let run = BroughtRun {
                block: body.number,
                extrinsic: brought.extrinsic_index,
                submitter: brought.submitter.0,
                fate: fate(&contents.block, &brought),
                run: brought.run,
            };
            (brought.position, run)
        });
        Ok(brought.collect())
    }

    fn keep(&self, scratch: &Scratch) -> Result<(), AuditError> {
        let Some((number, hash)) = self.last else {
            return Ok(());
        };
        let found = &self.found;
        let words = |numbers: &[u32]| {
            let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
            words.join(" ")
        };
        scratch.add_header(number, &hash)?;
        scratch.remember("block", &number.to_string())?;
        scratch.remember("block_hash", &hex::encode(hash))?;
        scratch.remember("handovers", &words(&found.changes.handovers))?;
        scratch.remember("forced", &words(&found.changes.forced))?;
        // Also when nothing is missing: what is in the file may be of a reading that began anew.
        scratch.remember("blocks_incomplete", &(!found.complete).to_string())?;
        let runtimes = serde_json::to_string(&found.runtimes);
        let runtimes = runtimes.expect("numbers and text are JSON; qed");
        scratch.remember("runtimes", &runtimes)?;
        Ok(())
    }

    /// Whether the last block is the block of the audit, or comes after it: an earlier audit may have read further.
    async fn leads_to(&self, client: &ChainClient, end: BlockId) -> Result<(), AuditError> {
        let Some((last, hash)) = self.last else {
            return Ok(());
        };
        let mut reached = end.hash.0;
        for number in end.number + 1..=last {
            let block = client.block_hash(number).await?;
            let block = block.ok_or(Unproved::Blocks(number))?;
            let header = super::proof::header(client, block).await?;
            if u64::from(header.number) != number || header.parent_hash != reached {
                return Err(Unproved::Blocks(number).into());
            }
            reached = header.hash();
        }
        match last >= end.number && reached == hash {
            true => Ok(()),
            false => Err(Unproved::Blocks(last).into()),
        }
    }
}

/// What the block's events say of a run in it.
fn fate(block: &FinalisedBlock, brought: &mhealth_chain_client::BroughtRun) -> Fate {
    let mut extrinsics = block.extrinsics.iter();
    let extrinsic = extrinsics.find(|extrinsic| extrinsic.index == brought.extrinsic_index);
    let Some(effect) = extrinsic.and_then(|extrinsic| extrinsic.effect.as_ref()) else {
        return Fate::Untold;
    };
    if let Err(refusal) = &effect.result {
        return Fate::Refused(refusal.refusal().clone());
    }
    if brought.wrapped {
        // Events count the runs of one call, and do not say of which.
        return Fate::Untold;
    }
    let refused = effect.events.iter().find_map(|event| match event {
        ChainEvent::RunRefused {
            position, reason, ..
        } if *position == brought.position => Some(reason.clone()),
        _ => None,
    });
    refused.map_or(Fate::Registered, Fate::Refused)
}

#[cfg(test)]
mod tests;
