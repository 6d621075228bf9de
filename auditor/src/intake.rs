// SPDX-License-Identifier: Apache-2.0

//! Takes exports in: into the scratch file, compared with what the chain says of devices, relays and blocks.

use std::collections::{BTreeMap, HashMap};

use hashchain::DeviceId;
use mhealth_api::{BlockRef, ExportedRun};
use mhealth_chain_client::ChainClient;

use crate::audit::Options;
use crate::case::{DeviceRecord, HeldRun};
use crate::chain::{self, ChainStudy, Progress};
use crate::error::AuditError;
use crate::export::{self, Expected, ExportFault, Reading, Taken};
use crate::scratch::Scratch;

/// Runs of devices that the chain did not have when it was read, and their bytes: as many as come while an audit reads, and
/// no more of what a hostile export invents.
const UNKNOWN_RUNS: u64 = 10_000;
const UNKNOWN_BYTES: u64 = 64 << 20;

/// For how many blocks a relay may be ahead of the audit's node: an hour of blocks of two seconds. The node is waited for
/// ([`chain::wait_for`]), and may be behind all the same.
const AHEAD: u64 = 1_800;

/// An export that was read.
pub(crate) struct TakenIn {
    pub(crate) reading: Reading,
    /// The blocks that its closing lines name.
    blocks: Vec<BlockRef>,
}

/// Reads one export to its end.
pub(crate) async fn take_in(
    study: &ChainStudy,
    options: &Options,
    scratch: &Scratch,
    index: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<TakenIn, AuditError> {
    let export = &options.exports[index];
    let registered = study.devices.iter().map(|device| device.length).sum();
    let devices = study.devices.len() as u64;
    let expected = Expected {
        chain: study.genesis,
        study: study.number,
        holder: export.holder,
        limits: options.limits.lines_of(registered, devices),
    };
    let mut intake = Intake {
        study,
        options,
        scratch,
        index,
        last: 0,
        is_open: false,
        blocks: BTreeMap::new(),
        unknown: (0, 0),
        entries: Entries::default(),
    };
    let mut take = |taken: Taken, reading: &mut Reading| -> Result<(), AuditError> {
        intake.take(taken, reading)?;
        progress(Progress::Runs(reading.runs));
        Ok(())
    };
    scratch.begin()?;
    let reading = export::read(&export.source, &expected, &mut take).await;
    if intake.is_open {
        scratch.keep_answer()?;
    }
    scratch.end()?;
    Ok(TakenIn {
        reading: reading?,
        blocks: intake.blocks.into_values().collect(),
    })
}

/// Whether an export shows more than the chain had when it was read: the study goes on while it is audited.
pub(crate) fn is_ahead(
    study: &ChainStudy,
    scratch: &Scratch,
    index: usize,
    taken: &TakenIn,
) -> Result<Option<u64>, AuditError> {
    let block = taken.reading.block.map_or(0, |block| block.number);
    let later = block > study.block.number;
    Ok((later || !scratch.unknown(index)?.is_empty()).then_some(block))
}

/// Compares an export with the chain as the audit is about it, and takes in the runs of devices that were not known when it was
/// read. What is of no device of the study is a fault, unless the device may have come after the block of the audit.
pub(crate) async fn settle(
    client: &ChainClient,
    study: &ChainStudy,
    options: &Options,
    scratch: &Scratch,
    index: usize,
    taken: TakenIn,
) -> Result<Reading, AuditError> {
    let TakenIn {
        mut reading,
        blocks,
    } = taken;
    let signed = reading.block.map_or(0, |block| block.number);
    for (line, text) in scratch.unknown(index)? {
        // It was written by this program.
        let Ok(run) = serde_json::from_slice::<ExportedRun>(&text) else {
            continue;
        };
        let device = run.status.device;
        let record = known(study, &run);
        if let Some(record) = record {
            let participant = options.participants.get(&device);
            let held = HeldRun::from_export(&run, &record.key, participant);
            scratch.add_held(index, line, &held)?;
        } else if signed > study.block.number && study.state.device(device).await?.is_none() {
            reading.later += 1;
        } else {
            reading.fault(ExportFault::ForeignDevice { line, device });
        }
    }
    foreign_block(client, study, scratch, blocks.into_iter(), &mut reading).await?;
    Ok(reading)
}

/// The study's device that a run is of.
fn known<'a>(study: &'a ChainStudy, run: &ExportedRun) -> Option<&'a DeviceRecord> {
    let position = chain::position(&study.devices, run.status.device);
    let record = position.map(|position| &study.devices[position]);
    record.filter(|record| record.study == run.study)
}

/// What is known while one export is read.
struct Intake<'a> {
    study: &'a ChainStudy,
    options: &'a Options,
    scratch: &'a Scratch,
    index: usize,
    /// The last run's line.
    last: u64,
    /// Runs came since the last closing line.
    is_open: bool,
    /// The blocks that closing lines name, by number.
    blocks: BTreeMap<u64, BlockRef>,
    /// Runs of devices that are not known yet, and their bytes.
    unknown: (u64, u64),
    /// How many entries each device has in it.
    entries: Entries,
}

impl Intake<'_> {
    fn take(&mut self, taken: Taken, reading: &mut Reading) -> Result<(), AuditError> {
        match taken {
            Taken::Run { line, run } => {
                if !std::mem::replace(&mut self.is_open, true) {
                    self.scratch.begin_answer()?;
                }
                self.last = line;
                self.run(line, &run, reading)?;
            }
            Taken::Signed { block } => {
                if std::mem::take(&mut self.is_open) {
                    let seen = block.number.min(hashchain::MAX_INDEX);
                    self.scratch.add_answer(self.index, self.last, seen)?;
                    self.scratch.keep_answer()?;
                    self.entries.keep();
                }
                if let Some(other) = self.blocks.insert(block.number, block) {
                    if other.hash != block.hash {
                        // One of the two at least is not the chain's.
                        self.blocks.insert(block.number, other);
                        reading.fault(ExportFault::ForeignBlock {
                            number: block.number,
                        });
                    }
                }
            }
            Taken::Dropped => {
                if std::mem::take(&mut self.is_open) {
                    self.scratch.drop_answer()?;
                    self.entries.drop_answer();
                }
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        line: u64,
        run: &ExportedRun,
        reading: &mut Reading,
    ) -> Result<(), AuditError> {
        let device = run.status.device;
        // No database and no device gets this far; see docs/protocol/hashchain.md, section 8.
        let last = run.status.sequence.checked_add(run.entries.len() as u64);
        if last.is_none_or(|last| last > hashchain::MAX_INDEX)
            || run.received_at > hashchain::MAX_INDEX
        {
            let why = "a number is larger than any that occurs".into();
            reading.fault(ExportFault::Unreadable { line, why });
            return Ok(());
        }
        let Some(record) = known(self.study, run) else {
            return self.unknown(line, run, reading);
        };
        let limit = self.options.limits.entries_of(record.length);
        if !self.entries.take(device, run.entries.len(), limit) {
            reading.fault(ExportFault::TooManyOfDevice {
                line,
                device,
                limit,
            });
            return Ok(());
        }
        let participant = self.options.participants.get(&device);
        let held = HeldRun::from_export(run, &record.key, participant);
        self.scratch.add_held(self.index, line, &held)?;
        Ok(())
    }

    /// Keeps a run of a device that the study did not have when the chain was read: it may have come since.
    fn unknown(
        &mut self,
        line: u64,
        run: &ExportedRun,
        reading: &mut Reading,
    ) -> Result<(), AuditError> {
        let text = serde_json::to_vec(run).unwrap_or_default();
        let (runs, bytes) = (self.unknown.0 + 1, self.unknown.1 + text.len() as u64);
        if run.study != self.study.number || runs > UNKNOWN_RUNS || bytes > UNKNOWN_BYTES {
            let device = run.status.device;
            reading.fault(ExportFault::ForeignDevice { line, device });
            return Ok(());
        }
        self.unknown = (runs, bytes);
        self.scratch.add_unknown(self.index, line, &text)?;
        Ok(())
    }
}

/// How many entries each device has in an export. A run without any counts as one.
#[derive(Default)]
struct Entries {
    /// Up to the last closing line.
    closed: HashMap<DeviceId, u64>,
    /// Since then.
    open: HashMap<DeviceId, u64>,
}

impl Entries {
    /// Counts those of a run, unless the device has more than this limit with them.
    fn take(&mut self, device: DeviceId, entries: usize, limit: u64) -> bool {
        let closed = self.closed.get(&device).copied().unwrap_or_default();
        let open = self.open.entry(device).or_default();
        let with_these = *open + entries.max(1) as u64;
        let fits = closed + with_these <= limit;
        if fits {
            *open = with_these;
        }
        fits
    }

    /// A closing line came: they stay.
    fn keep(&mut self) {
        for (device, entries) in self.open.drain() {
            *self.closed.entry(device).or_default() += entries;
        }
    }

    /// They will come again.
    fn drop_answer(&mut self) {
        self.open.clear();
    }
}

/// A relay that signs about a block that the chain does not have follows another chain, or made the block up. Nobody answers
/// for such an export, nor for one that is about a block of the far future.
async fn foreign_block(
    client: &ChainClient,
    study: &ChainStudy,
    scratch: &Scratch,
    blocks: impl Iterator<Item = BlockRef>,
    reading: &mut Reading,
) -> Result<(), AuditError> {
    // The block of the audit, or a later one that the node calls final and has not proved.
    let mut last = study.block.number;
    for block in blocks {
        let number = block.number;
        if number > last.saturating_add(AHEAD) {
            last = last.max(client.finalised().await?.number);
        }
        let fault = if number > last.saturating_add(AHEAD) {
            let most = AHEAD;
            ExportFault::BeyondTheNode { number, last, most }
        } else if is_foreign(client, study, scratch, &block).await? {
            ExportFault::ForeignBlock { number }
        } else {
            continue;
        };
        reading.fault(fault);
        (reading.account, reading.block) = (None, None);
        break;
    }
    Ok(())
}

/// Whether the chain has another block of this number. Relays may be ahead of the block of the audit.
async fn is_foreign(
    client: &ChainClient,
    study: &ChainStudy,
    scratch: &Scratch,
    block: &BlockRef,
) -> Result<bool, AuditError> {
    if block.number > study.block.number {
        return Ok(false);
    }
    let own = match (block.number, scratch.header(block.number)?) {
        (_, Some(read)) => Some(read),
        (0, None) => Some(study.genesis),
        // Before the checkpoint that the audit begins at, and before the first device.
        (number, None) => client.block_hash(number).await?.map(|own| own.0),
    };
    Ok(own != Some(block.hash.0))
}

/// The present account of the relay that signed all of an export; none if nobody did.
pub(crate) fn account(
    study: &ChainStudy,
    scratch: &Scratch,
    index: usize,
    reading: &Reading,
) -> Result<Option<[u8; 32]>, AuditError> {
    let account = reading.account;
    let account = account.map(|account| study.rotations.present(account));
    if let Some(account) = account {
        scratch.find_since(index, account)?;
    }
    Ok(account)
}

/// The relays of a study whose exports have to be read: those that the chain names, and those that brought runs of the study, each
/// by its present account.
pub(crate) fn relays(study: &ChainStudy, scratch: &Scratch) -> Result<Vec<[u8; 32]>, AuditError> {
    let mut relays = study.relays.clone();
    let brought = scratch.submitters()?.into_iter();
    // Devices bring their own runs where no relay does.
    let is_device = |account: &[u8; 32]| {
        let mut devices = study.devices.iter();
        devices.any(|device| device.key == *account)
    };
    relays.extend(brought.filter(|account| !is_device(account)));
    let mut relays: Vec<[u8; 32]> = relays
        .into_iter()
        .map(|account| study.rotations.present(account))
        .collect();
    relays.sort_unstable();
    relays.dedup();
    Ok(relays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_device_an_export_has_no_more_entries_than_a_study_makes_plausible() {
        let (one, other) = (DeviceId(1), DeviceId(2));
        let mut entries = Entries::default();
        assert!(entries.take(one, 256, 600));
        assert!(entries.take(other, 256, 600));
        entries.keep();
        assert!(entries.take(one, 256, 600));
        // What is too much is left out, and what fits is taken.
        assert!(!entries.take(one, 89, 600));
        assert!(entries.take(one, 88, 600));
        // A run without entries takes memory, too.
        assert!(!entries.take(one, 0, 600));
        assert!(entries.take(other, 0, 600));
        // What comes again counts once.
        for _ in 0..9 {
            entries.drop_answer();
            assert!(entries.take(one, 344, 600));
            assert!(!entries.take(one, 1, 600));
        }
        entries.keep();
        assert!(!entries.take(one, 1, 600));
        assert!(entries.take(other, 344, 600));
    }
}
