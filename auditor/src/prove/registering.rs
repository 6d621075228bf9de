// SPDX-License-Identifier: Apache-2.0

//! Which blocks registered the entries of devices, and what these brought.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;

use futures::{StreamExt, TryStreamExt};
use hashchain::{DeviceId, StudyId};
use mhealth_api::Policy;
use mhealth_chain_client::{BroughtRun, ChainClient, ChainView, DeviceView, H256};

use super::search::Search;
use super::{header, unfit, AT_ONCE};
use crate::error::AuditError;

/// Looking for blocks takes some headers a block. Where several devices may have entries in more than one block of so many, all are
/// read at once.
const WORTH_LOOKING: u64 = 4;

type Searches = BTreeMap<DeviceId, Search>;

/// The devices with their registered entries, and what the blocks have of them, up to the block of this hash and number.
pub(super) async fn devices(
    client: &ChainClient,
    records: Vec<DeviceView>,
    block: H256,
    number: u32,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Search>, AuditError> {
    let view = client.at(block).await?;
    let from = records.iter().map(|record| u64::from(record.enrolled_at));
    let (from, to) = (from.min().unwrap_or(0), u64::from(number));
    let policies = policies(&view, &records).await?;
    let searches = futures::stream::iter(records)
        .map(|record| Search::begin(&view, record))
        .buffered(AT_ONCE);
    let mut searches: Searches = searches
        .map_ok(|search| (search.record.device, search))
        .try_collect()
        .await?;
    let places = searches.values().flat_map(Search::places);
    let mut places: Vec<u64> = places.collect();
    places.sort_unstable();
    let only = match searches.len() {
        1 => searches.keys().next().copied(),
        _ => None,
    };
    let most = (to - from.min(to)) / WORTH_LOOKING;
    if only.is_some() || (places.len() as u64) < most {
        let length = |number| length_after(client, number);
        let found = registering(&places, from.saturating_sub(1), to, length).await?;
        if let Some(blocks) = found {
            let blocks: Vec<u64> = blocks.into_iter().collect();
            read(client, &mut searches, &blocks, only, progress).await?;
        }
        let is_signed = |study| policies.get(&study) != Some(&Policy::HashchainOnly);
        let mut all = searches.values();
        if all.all(|search| search.is_complete(is_signed(search.record.study))) {
            return Ok(searches.into_values().collect());
        }
        // Calls within calls, headers that say nothing, a device that signs oddly: whatever there is, some block has it.
    }
    let blocks: Vec<u64> = (from..=to).collect();
    read(client, &mut searches, &blocks, None, progress).await?;
    Ok(searches.into_values().collect())
}

async fn policies(
    view: &ChainView,
    records: &[DeviceView],
) -> Result<HashMap<StudyId, Policy>, AuditError> {
    let studies: BTreeSet<StudyId> = records.iter().map(|record| record.study).collect();
    let mut policies = HashMap::new();
    for study in studies {
        if let Some(found) = view.study(study).await? {
            policies.insert(study, found.policy);
        }
    }
    Ok(policies)
}

/// Reads what these blocks brought: of all devices, or of one alone, without what lies in calls within calls.
async fn read(
    client: &ChainClient,
    searches: &mut Searches,
    blocks: &[u64],
    only: Option<DeviceId>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), AuditError> {
    let mut brought = futures::stream::iter(blocks.to_vec())
        .map(|number| brought(client, number, only))
        .buffered(AT_ONCE);
    let mut read = 0;
    while let Some(runs) = brought.try_next().await? {
        read += 1;
        progress(read, blocks.len() as u64);
        for brought in runs {
            if let Some(search) = searches.get_mut(&brought.run.device) {
                search.look_at(&brought.run);
            }
        }
    }
    Ok(())
}

async fn brought(
    client: &ChainClient,
    number: u64,
    only: Option<DeviceId>,
) -> Result<Vec<BroughtRun>, AuditError> {
    let block = client.block_hash(number).await?;
    let block = block.ok_or_else(|| unfit("the node lacks a block"))?;
    if let Some(device) = only {
        if let Some(runs) = client.runs_of(device, block).await? {
            return Ok(runs);
        }
    }
    Ok(client.runs_brought(block).await?)
}

/// How many entries the journal has after a block, if its header says so.
async fn length_after(client: &ChainClient, number: u64) -> Result<Option<u64>, AuditError> {
    let block = client.block_hash(number).await?;
    let block = block.ok_or_else(|| unfit("the node lacks a block"))?;
    Ok(header(client, block).await?.journal_length())
}

/// The blocks that registered entries at these places of the journal, which are in order: after the block `before`, and up to
/// `last`. None if a header does not say how long the journal is.
///
/// What headers say is not checked here. If they lie, tags are missing.
async fn registering<E, F: Future<Output = Result<Option<u64>, E>>>(
    places: &[u64],
    before: u64,
    last: u64,
    length_after: impl Fn(u64) -> F,
) -> Result<Option<BTreeSet<u64>>, E> {
    let mut found = BTreeSet::new();
    let mut open = vec![(before, last, places)];
    while !open.is_empty() {
        let (divided, single): (Vec<_>, Vec<_>) = open
            .into_iter()
            .filter(|(_, _, places)| !places.is_empty())
            .partition(|(before, last, _)| last.saturating_sub(*before) > 1);
        found.extend(single.into_iter().map(|(_, last, _)| last));
        let middle = |before: u64, last: u64| before + (last - before) / 2;
        let middles = divided
            .iter()
            .map(|(before, last, _)| middle(*before, *last));
        let middles: Vec<u64> = middles.collect();
        let lengths = futures::stream::iter(middles)
            .map(&length_after)
            .buffered(AT_ONCE);
        let lengths: Vec<Option<u64>> = lengths.try_collect().await?;
        open = Vec::new();
        for ((before, last, places), length) in divided.into_iter().zip(lengths) {
            let Some(length) = length else {
                return Ok(None);
            };
            let middle = middle(before, last);
            let (earlier, later) = places.split_at(places.partition_point(|it| *it < length));
            open.extend([(before, middle, earlier), (middle, last, later)]);
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    /// What is found in a chain whose blocks register so many entries each, and how many headers were read for it.
    fn find(registered: &[u64], places: &[u64]) -> (Option<Vec<u64>>, usize) {
        let read = Cell::new(0);
        let length = |number: u64| {
            read.set(read.get() + 1);
            let length = registered[..=number as usize].iter().sum();
            async move { Ok::<_, Infallible>(Some(length)) }
        };
        let last = registered.len() as u64 - 1;
        let found = futures::executor::block_on(registering(places, 0, last, length));
        let Ok(found) = found;
        (found.map(|found| found.into_iter().collect()), read.get())
    }

    #[test]
    fn every_entry_leads_to_the_block_that_registered_it() {
        let registered = [0, 3, 0, 0, 2, 1, 0, 4];
        let blocks = [1, 1, 1, 4, 4, 5, 7, 7, 7, 7];
        for (place, block) in (0..).zip(blocks) {
            assert_eq!(find(&registered, &[place]).0, Some(vec![block]));
        }
        let all: Vec<u64> = (0..10).collect();
        assert_eq!(find(&registered, &all).0, Some(vec![1, 4, 5, 7]));
        assert_eq!(find(&registered, &[]).0, Some(vec![]));
        assert_eq!(find(&[0, 5], &[2]), (Some(vec![1]), 0));
    }

    #[test]
    fn the_age_of_the_chain_hardly_matters() {
        let registered = vec![1; 100_000];
        let places: Vec<u64> = (0..60).map(|day| day * 1_500).collect();
        let (found, read) = find(&registered, &places);
        // Block 0 registers the entry at 0 in this chain, and is not looked for.
        let blocks: Vec<u64> = places.iter().map(|place| (*place).max(1)).collect();
        assert_eq!(found, Some(blocks));
        assert!(read < 60 * 17, "{read}");
    }

    #[test]
    fn headers_that_say_nothing_lead_nowhere() {
        let silent = |_| async { Ok::<_, Infallible>(None) };
        let found = futures::executor::block_on(registering(&[1, 2], 0, 9, silent));
        assert_eq!(found, Ok(None));
    }
}
