// SPDX-License-Identifier: Apache-2.0

//! Holds what servers acknowledged against the chain, and against nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{bail, Result};
use hashchain::{DeviceId, LinkHash, Run};
use mhealth_chain_client::{AccountId32, BlockId, ChainClient, ChainEvent, EntryView, H256};

use crate::record::{Acknowledged, Said};

/// Entries that are read at a time.
const PAGE: u32 = 1_024;
/// Findings that are told one by one.
const MOST_TOLD: usize = 20;

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Entries that a relay acknowledged.
    pub(crate) acknowledged: u64,
    /// Acknowledged entries that are not on the chain, or with another link, or that the relay did not know any more.
    pub(crate) lost: u64,
    /// Entries that are on the chain twice, or in runs that one account submitted twice with success.
    pub(crate) doubled: u64,
    /// Enrolments that an authentication server acknowledged.
    pub(crate) enrolled: u64,
    /// Acknowledged enrolments that are not on the chain, or with another link 0.
    pub(crate) enrolments_lost: u64,
    /// Entries on the chain, acknowledged or not.
    pub(crate) on_chain: u64,
    /// What is wrong, for people.
    pub(crate) findings: Vec<String>,
}

/// A run that the chain registered, by the account and the extrinsic that brought it.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    submitter: AccountId32,
    block: u64,
    extrinsic_index: u32,
    run: Run,
}

/// Waits until every acknowledged run is on the finalised chain. Gives up, without an error, when the chain's journal has
/// not grown for as long as this.
pub(crate) async fn settle(chain: &ChainClient, said: &Said, patience: Duration) -> Result<()> {
    let mut waiting: BTreeMap<DeviceId, u64> = BTreeMap::new();
    for run in said.runs.values() {
        let last = waiting.entry(run.device).or_default();
        *last = (*last).max(run.last());
    }
    let mut length = 0;
    let mut grown = Instant::now();
    while grown.elapsed() < patience {
        let (_, view) = chain.at_finalised().await?;
        let mut left = BTreeMap::new();
        for (device, last) in waiting {
            let head = view.head(device).await?;
            if head.is_none_or(|head| head.length < last) {
                left.insert(device, last);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        waiting = left;
        let now = view.journal_length().await?;
        if now > length {
            (length, grown) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Reads the whole chain and judges.
pub(crate) async fn judge(chain: &ChainClient, said: &Said) -> Result<Judgement> {
    let head = chain.finalised().await?;
    let journal = journal(chain, head.hash).await?;
    let brought = registered(chain, head).await?;
    let mut judgement = compare(said, &journal, &brought);
    let view = chain.at(head.hash).await?;
    for (device, genesis) in &said.enrolled {
        judgement.enrolled += 1;
        let found = view.device(*device).await?;
        if found.is_none_or(|found| found.genesis != *genesis) {
            judgement.enrolments_lost += 1;
            judgement.tell(|| format!("the enrolment of device {device} is not on the chain"));
        }
    }
    Ok(judgement)
}

/// Every entry of the chain.
async fn journal(chain: &ChainClient, block: H256) -> Result<Vec<EntryView>> {
    let view = chain.at(block).await?;
    let length = view.journal_length().await?;
    let mut entries = Vec::new();
    while (entries.len() as u64) < length {
        let page = view.journal(entries.len() as u64, PAGE).await?;
        if page.is_empty() {
            bail!("the journal ends at {} of {length} entries", entries.len());
        }
        entries.extend(page);
    }
    Ok(entries)
}

/// Every run that an extrinsic registered, or found registered, from the blocks themselves.
async fn registered(chain: &ChainClient, head: BlockId) -> Result<Vec<Brought>> {
    let mut registered = Vec::new();
    let mut blocks = chain.follow_from(1);
    while blocks.position() <= head.number {
        let block = blocks.next().await?;
        // The first extrinsic of a block tells the time. Most blocks have no other.
        if block.extrinsics.len() < 2 {
            continue;
        }
        for brought in chain.runs_brought(block.hash).await? {
            let index = brought.extrinsic_index;
            let extrinsic = block.extrinsics.get(index as usize);
            let Some(effect) = extrinsic.and_then(|extrinsic| extrinsic.effect.as_ref()) else {
                bail!("the node has dropped the events of block {}", block.number);
            };
            let refused = effect.events.iter().any(|event| {
                matches!(event, ChainEvent::RunRefused { position, .. } if *position == brought.position)
            });
            if effect.result.is_ok() && !refused {
                registered.push(Brought {
                    submitter: brought.submitter,
                    block: block.number,
                    extrinsic_index: index,
                    run: brought.run,
                });
            }
        }
    }
    Ok(registered)
}

/// The judgement proper, on what was read.
fn compare(said: &Said, journal: &[EntryView], brought: &[Brought]) -> Judgement {
    let mut judgement = Judgement {
        on_chain: journal.len() as u64,
        ..Judgement::default()
    };
    let mut links: HashMap<(DeviceId, u64), LinkHash> = HashMap::new();
    for entry in journal {
        if links
            .insert((entry.device, entry.sequence), entry.hash)
            .is_some()
        {
            judgement.doubled += 1;
            judgement.tell(|| {
                format!(
                    "entry {} of device {} is on the chain twice",
                    entry.sequence, entry.device
                )
            });
        }
    }
    judgement.count_lost(said, &links);
    judgement.count_doubled(brought);
    judgement
}

impl Judgement {
    /// Whether all is as it was promised.
    pub(crate) fn holds(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.enrolments_lost == 0
    }

    /// A link binds all before it, so the last one of a run answers for the whole run.
    fn count_lost(&mut self, said: &Said, links: &HashMap<(DeviceId, u64), LinkHash>) {
        let mut acknowledged: HashSet<(DeviceId, u64)> = HashSet::new();
        let mut lost: HashSet<(DeviceId, u64)> = HashSet::new();
        let stands = |run: &Acknowledged| {
            let link = links.get(&(run.device, run.last()));
            link == Some(&run.head)
        };
        for (name, run) in &said.runs {
            let entries = (run.sequence..=run.last()).map(|sequence| (run.device, sequence));
            acknowledged.extend(entries.clone());
            if !stands(run) {
                lost.extend(entries);
                self.tell(|| format!("not on the chain: {run:?}"));
            } else if said.forgotten.contains(name) {
                lost.extend(entries);
                self.tell(|| format!("forgotten by the relay: {run:?}"));
            }
        }
        self.acknowledged = acknowledged.len() as u64;
        self.lost = lost.len() as u64;
    }

    /// No account may bring the same run twice. Two accounts may: each relay confirms what the other brought.
    fn count_doubled(&mut self, brought: &[Brought]) {
        let mut first: HashMap<([u8; 32], DeviceId, u64, LinkHash), &Brought> = HashMap::new();
        for again in brought {
            let run = &again.run;
            let key = (
                again.submitter.0,
                run.device,
                run.first_sequence,
                run.last_link(),
            );
            let Some(before) = first.insert(key, again) else {
                continue;
            };
            self.doubled += run.entries.len() as u64;
            let place = |brought: &Brought| (brought.block, brought.extrinsic_index);
            let (before, after) = (place(before), place(again));
            self.tell(|| {
                format!(
                    "{} submitted entries {}… of device {} twice, in extrinsics {before:?} and {after:?}",
                    again.submitter, run.first_sequence, run.device
                )
            });
        }
    }

    fn tell(&mut self, finding: impl FnOnce() -> String) {
        if self.findings.len() < MOST_TOLD {
            self.findings.push(finding());
        }
    }
}

#[cfg(test)]
mod tests {
    use hashchain::{DataDigest, RunEntry, Tag};
    use mhealth_api::Hash;

    use super::*;

    fn link(device: u32, sequence: u64) -> LinkHash {
        LinkHash([device as u8 * 16 + sequence as u8; 32])
    }

    fn entry(device: u32, sequence: u64) -> EntryView {
        EntryView {
            index: 0,
            device: DeviceId(device),
            sequence,
            digest: DataDigest([0; 32]),
            hash: link(device, sequence),
            previous: None,
        }
    }

    /// A relay acknowledged these entries of a device.
    fn said(runs: &[(u32, u64, u32)]) -> Said {
        let mut said = Said::default();
        for (number, (device, sequence, entries)) in runs.iter().copied().enumerate() {
            let last = sequence + u64::from(entries) - 1;
            let run = Acknowledged {
                device: DeviceId(device),
                sequence,
                entries,
                head: link(device, last),
            };
            said.runs.insert(Hash([number as u8; 32]), run);
        }
        said
    }

    fn brought(account: u8, device: u32, block: u64) -> Brought {
        let entry = RunEntry {
            digest: DataDigest([1; 32]),
            tag: Tag([2; 32]),
        };
        Brought {
            submitter: AccountId32([account; 32]),
            block,
            extrinsic_index: 1,
            run: Run {
                device: DeviceId(device),
                first_sequence: 1,
                previous: LinkHash([0; 32]),
                entries: vec![entry; 3],
                signature: None,
            },
        }
    }

    #[test]
    fn what_stands_on_the_chain_once_is_neither_lost_nor_doubled() {
        let journal = [entry(1, 1), entry(2, 1), entry(1, 2), entry(1, 3)];
        let said = said(&[(1, 1, 2), (1, 3, 1), (2, 1, 1)]);
        // The second account confirms what the first brought.
        let judgement = compare(
            &said,
            &journal,
            &[brought(1, 1, 4), brought(2, 1, 5), brought(1, 2, 4)],
        );
        assert!(judgement.holds(), "{judgement:?}");
        assert_eq!((judgement.acknowledged, judgement.on_chain), (4, 4));
        assert!(judgement.findings.is_empty());
    }

    #[test]
    fn acknowledged_entries_that_are_missing_or_altered_are_lost() {
        let mut altered = entry(2, 2);
        altered.hash = LinkHash([0xff; 32]);
        let judgement = compare(
            &said(&[(1, 1, 3), (2, 1, 2), (3, 1, 1), (3, 1, 2)]),
            &[
                entry(1, 1),
                entry(1, 2),
                entry(2, 1),
                altered,
                entry(3, 1),
                entry(3, 2),
            ],
            &[],
        );
        assert_eq!((judgement.acknowledged, judgement.lost), (7, 5));
        assert!(!judgement.holds());
        assert_eq!(judgement.findings.len(), 2);
    }

    #[test]
    fn what_a_relay_forgot_is_lost_even_if_the_device_has_sent_it_again() {
        let mut said = said(&[(1, 1, 2), (2, 1, 1)]);
        said.forgotten.insert(Hash([0; 32]));
        let journal = [entry(1, 1), entry(1, 2), entry(2, 1)];
        let judgement = compare(&said, &journal, &[]);
        assert_eq!((judgement.acknowledged, judgement.lost), (3, 2));
    }

    #[test]
    fn an_entry_twice_on_the_chain_and_a_run_twice_by_one_account_are_doubled() {
        let judgement = compare(
            &Said::default(),
            &[entry(1, 1), entry(1, 2), entry(1, 1)],
            &[brought(1, 1, 4), brought(1, 1, 9)],
        );
        assert_eq!(judgement.doubled, 1 + 3);
        assert!(!judgement.holds());
    }
}
