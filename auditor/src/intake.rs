// SPDX-License-Identifier: Apache-2.0

//! Takes exports in: into the scratch file, compared with what the chain says of devices, relays and blocks.

use std::collections::BTreeMap;

use mhealth_api::{BlockRef, ExportedRun};
use mhealth_chain_client::ChainClient;

use crate::audit::Options;
use crate::case::HeldRun;
use crate::chain::{self, ChainStudy, Progress};
use crate::error::AuditError;
use crate::export::{self, Expected, ExportFault, Reading, Taken};
use crate::scratch::Scratch;

/// Reads one export to its end.
pub(crate) async fn take_in(
    client: &ChainClient,
    study: &ChainStudy,
    options: &Options,
    scratch: &Scratch,
    index: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Reading, AuditError> {
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
    let mut reading = reading?;
    let blocks = intake.blocks.into_values();
    foreign_block(client, study, scratch, blocks, &mut reading).await?;
    Ok(reading)
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
                }
            }
        }
        Ok(())
    }

    fn run(&self, line: u64, run: &ExportedRun, reading: &mut Reading) -> Result<(), AuditError> {
        let study = self.study;
        let device = run.status.device;
        let position = chain::position(&study.devices, device);
        let record = position.map(|position| &study.devices[position]);
        let Some(record) = record.filter(|record| record.study == run.study) else {
            reading.fault(ExportFault::ForeignDevice { line, device });
            return Ok(());
        };
        // No database and no device gets this far; see docs/protocol/hashchain.md, section 8.
        let last = run.status.sequence.checked_add(run.entries.len() as u64);
        if last.is_none_or(|last| last > hashchain::MAX_INDEX)
            || run.received_at > hashchain::MAX_INDEX
        {
            let why = "a number is larger than any that occurs".into();
            reading.fault(ExportFault::Unreadable { line, why });
            return Ok(());
        }
        let participant = self.options.participants.get(&device);
        let held = HeldRun::from_export(run, &record.key, participant);
        self.scratch.add_held(self.index, line, &held)?;
        Ok(())
    }
}

/// A relay that signs about a block that the chain does not have follows another chain, or made the block up. Nobody answers
/// for such an export.
async fn foreign_block(
    client: &ChainClient,
    study: &ChainStudy,
    scratch: &Scratch,
    blocks: impl Iterator<Item = BlockRef>,
    reading: &mut Reading,
) -> Result<(), AuditError> {
    for block in blocks {
        // Relays may be ahead of the block of the audit.
        if block.number > study.block.number {
            continue;
        }
        let own = match (block.number, scratch.header(block.number)?) {
            (_, Some(read)) => Some(read),
            (0, None) => Some(study.genesis),
            // Before the checkpoint that the audit begins at, and before the first device.
            (number, None) => client.block_hash(number).await?.map(|own| own.0),
        };
        if own != Some(block.hash.0) {
            let number = block.number;
            reading.fault(ExportFault::ForeignBlock { number });
            (reading.account, reading.block) = (None, None);
            break;
        }
    }
    Ok(())
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
