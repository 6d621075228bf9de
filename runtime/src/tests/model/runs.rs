// SPDX-License-Identifier: Apache-2.0

//! What becomes of a run, by comparison of two whole histories.

use codec::Encode;
use hashchain::{DataDigest, LinkHash, Native, Tag};
use pallet_client_hashchain::{DeviceStatus, RefusalReason, Run, SuspensionReason};
use sp_core::H256;

use super::world::{Conflict, Device, Entry, World};
use crate::AccountId;

/// Rivals of a device that are stored, and how many of them may be such that nobody signed.
const PLACES: usize = 16;
const UNSIGNED_PLACES: usize = 12;

/// What becomes of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is registered from its first new entry on; so many of its entries were known.
    Recorded { known: usize },
    /// All of it was registered before.
    Known,
    /// It is refused, and this is the rival history that it shows, if it does.
    Refused(RefusalReason, Option<Conflict>),
}

/// Bytes of a run in a block.
pub(super) fn bytes_of(run: &Run) -> u64 {
    run.encoded_size() as u64
}

/// The links that a run claims: first that of the entry before it, then one for each entry.
pub(super) fn claims(run: &Run) -> Vec<H256> {
    let mut links = vec![run.previous];
    let mut sequence = run.sequence;
    for entry in &run.entries {
        let previous = LinkHash(links[links.len() - 1].0);
        let (digest, tag) = (DataDigest(entry.digest.0), Tag(entry.tag.0));
        let link = hashchain::link::<Native>(sequence, &previous, &digest, &tag);
        links.push(H256(link.0));
        sequence = sequence.wrapping_add(1);
    }
    links
}

impl World {
    /// What becomes of a run that `who` brings. Changes nothing.
    pub(super) fn judge(&self, who: &AccountId, run: &Run) -> Verdict {
        use RefusalReason::*;
        let refused = |reason| Verdict::Refused(reason, None);

        let count = run.entries.len() as u64;
        let Some(before) = run.sequence.checked_sub(1) else {
            return refused(InvalidSequence);
        };
        let Some(last) = before.checked_add(count) else {
            return refused(InvalidSequence);
        };
        if count == 0 {
            return refused(EmptyRun);
        }
        let Some(device) = self.devices.get(run.device as usize) else {
            return refused(UnknownDevice);
        };
        let study = &self.studies[device.study as usize];
        let is_its_own = device.key == *AsRef::<[u8; 32]>::as_ref(who);
        if !study.relays.contains(who) && !is_its_own {
            return refused(NotARelayOfThisStudy);
        }

        // What keeps it from writing, whatever it brings. A retirement that has come due is not written down yet.
        let shut = match device.status {
            _ if !study.open => Some(StudyClosed),
            DeviceStatus::Active => None,
            DeviceStatus::Suspended(_) => Some(DeviceSuspended),
            DeviceStatus::Retired => Some(DeviceRetired),
        };
        if before > device.length() {
            return refused(shut.unwrap_or(Gap));
        }
        let claims = claims(run);
        let claimed = |sequence: u64| claims[(sequence - before) as usize];
        let differs = |sequence: u64| claimed(sequence) != device.link(sequence);
        let common = last.min(device.length());
        if differs(common) {
            let reason = if common == before {
                PreviousIsNotHead
            } else {
                Fork
            };
            let rival = (before.max(1)..=common)
                .find(|sequence| differs(*sequence))
                .map(|sequence| Conflict {
                    sequence,
                    recorded: device.link(sequence),
                    rival: claimed(sequence),
                    rival_digest: sequence
                        .checked_sub(run.sequence)
                        .map(|place| run.entries[place as usize].digest),
                    signed: self.check_signature(device, run, last_of(&claims)).is_ok(),
                    submitter: who.clone(),
                    block: self.block,
                })
                .filter(|rival| rival.signed || (!study.device_signed && shut.is_none()));
            return Verdict::Refused(shut.unwrap_or(reason), rival);
        }
        if last <= device.length() {
            return Verdict::Known;
        }
        if let Some(reason) = shut {
            return refused(reason);
        }
        if study.device_signed {
            if let Err(reason) = self.check_signature(device, run, last_of(&claims)) {
                return refused(reason);
            }
        }
        let new = last - device.length();
        let granted = &study.allowance;
        if study.used.entries + new > granted.study.entries
            || study.used.bytes + bytes_of(run) > granted.study.bytes
        {
            return refused(StudyAllowanceUsed);
        }
        if device.length() + new > granted.device_entries {
            return refused(DeviceAllowanceUsed);
        }
        Verdict::Recorded {
            known: (count - new) as usize,
        }
    }

    fn check_signature(
        &self,
        device: &Device,
        run: &Run,
        last_link: H256,
    ) -> Result<(), RefusalReason> {
        let signature = run.signature.ok_or(RefusalReason::SignatureMissing)?;
        let message = hashchain::head_message(&LinkHash(last_link.0));
        if self.is_signed(&signature, &device.key, &message) {
            Ok(())
        } else {
            Err(RefusalReason::BadSignature)
        }
    }

    /// Does what was judged.
    pub(super) fn carry_out(&mut self, run: &Run, verdict: &Verdict) {
        match verdict {
            Verdict::Known | Verdict::Refused(_, None) => (),
            Verdict::Recorded { known } => self.append(run, *known),
            Verdict::Refused(_, Some(rival)) => {
                let device = &mut self.devices[run.device as usize];
                keep(device, rival);
                let is_proof = rival.signed && self.studies[device.study as usize].device_signed;
                if is_proof && device.status != DeviceStatus::Retired {
                    device.status = DeviceStatus::Suspended(SuspensionReason::Fork);
                }
            }
        }
    }

    fn append(&mut self, run: &Run, known: usize) {
        let device = &mut self.devices[run.device as usize];
        let links = claims(run);
        for (entry, link) in run.entries.iter().zip(&links[1..]).skip(known) {
            device.entries.push(Entry {
                digest: entry.digest,
                tag: entry.tag,
                link: *link,
                index: self.journal.len() as u64,
            });
            self.journal.push(run.device);
        }
        let used = &mut self.studies[device.study as usize].used;
        used.entries += (run.entries.len() - known) as u64;
        used.bytes += bytes_of(run);
    }
}

fn last_of(claims: &[H256]) -> H256 {
    claims[claims.len() - 1]
}

/// Stores a rival once and while it has a place, and counts it otherwise. A rival that was known unsigned and comes signed is
/// new.
fn keep(device: &mut Device, rival: &Conflict) {
    let is_same = |known: &Conflict| {
        known.sequence == rival.sequence
            && known.rival == rival.rival
            && (known.signed || !rival.signed)
    };
    if device.conflicts.iter().any(is_same) {
        return;
    }
    let unsigned: Vec<_> = device.conflicts.iter().filter(|one| !one.signed).collect();
    let may_have_unsigned = unsigned.len() < UNSIGNED_PLACES
        && unsigned.iter().all(|one| one.submitter != rival.submitter);
    if device.conflicts.len() < PLACES && (rival.signed || may_have_unsigned) {
        device.conflicts.push(rival.clone());
    } else {
        device.not_stored += 1;
    }
}
