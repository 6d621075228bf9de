// SPDX-License-Identifier: Apache-2.0

//! What the model keeps: lists and maps, each with what a person would write down, and nothing that has to be kept in step.

use std::collections::{BTreeMap, BTreeSet};

use pallet_client_hashchain::{DeviceStatus, SuspensionReason};
use pallet_consortium::UrgentDecision;
use pallet_studies::{Allowance, Amounts};
use sp_core::H256;

use super::{
    motions::{Executed, Motion},
    steps::ensure,
};
use crate::{limits::HOURS, AccountId, BlockNumber, Hash};

/// How often the holder of a role may change its account in a study.
const ROTATIONS: u32 = 8;

/// Everything that the model knows.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) block: BlockNumber,
    /// Hash of the chain's first block.
    pub(super) chain: [u8; 32],
    pub(super) studies: Vec<Study>,
    pub(super) devices: Vec<Device>,
    /// Of every entry, in the order of registration, its device.
    pub(super) journal: Vec<u32>,
    pub(super) members: BTreeSet<AccountId>,
    pub(super) validators: Vec<AccountId>,
    /// Who has registered session keys.
    pub(super) keyed: BTreeSet<AccountId>,
    /// The urgent decisions that a member votes for, and the first block in which it does not any more.
    pub(super) votes: BTreeMap<AccountId, Vec<(Decision, BlockNumber)>>,
    /// The open motions, in the order in which they were proposed.
    pub(super) motions: Vec<Motion>,
    /// How many were proposed.
    pub(super) proposed: u32,
    /// What became of the call of a motion that the last call has closed.
    pub(super) executed: Option<Executed>,
    /// The hash of the code that may be installed.
    pub(super) authorised: Option<Hash>,
    /// When members said that finality has stalled.
    pub(super) stalled: Option<BlockNumber>,
    /// When a member took its account.
    pub(super) key_changes: BTreeMap<AccountId, BlockNumber>,
    /// Of who gave an account up, whom it named first.
    pub(super) successors: BTreeMap<AccountId, AccountId>,
    /// Who ever had a role.
    pub(super) known: BTreeSet<AccountId>,
    /// Every signature that a phone made: by which key and over what. No other is valid.
    pub(super) signed: BTreeMap<[u8; 64], ([u8; 32], Vec<u8>)>,
    pub(super) retirement_delay: BlockNumber,
    pub(super) default_allowance: Option<Allowance>,
}

pub(super) type Decision = UrgentDecision<AccountId, Hash>;

/// A study.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Study {
    pub(super) sponsor: AccountId,
    pub(super) servers: BTreeSet<AccountId>,
    pub(super) relays: BTreeSet<AccountId>,
    /// Whether its devices sign.
    pub(super) device_signed: bool,
    pub(super) open: bool,
    /// All that the auditor ever had, the present one last: by epoch.
    pub(super) auditor_keys: Vec<[u8; 32]>,
    /// When the last of them took the place of the one before.
    pub(super) auditor_changed: BlockNumber,
    pub(super) allowance: Allowance,
    pub(super) used: Amounts,
    /// Accounts that were given up, and which took their place.
    pub(super) given_up: BTreeMap<AccountId, AccountId>,
    /// Every change of a device's status by a server, and its block.
    pub(super) status_changes: Vec<(AccountId, BlockNumber)>,
    /// How many accounts the holder of an account had before it. Only of accounts that changed.
    pub(super) generations: BTreeMap<AccountId, u32>,
}

/// A device and its whole history.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) study: u32,
    pub(super) key: [u8; 32],
    /// Epoch of the auditor key, and digest of the participant's.
    pub(super) sealed_to: (u32, H256),
    pub(super) status: DeviceStatus,
    /// Link 0.
    pub(super) genesis: H256,
    /// Oldest first, from sequence 1.
    pub(super) entries: Vec<Entry>,
    /// When it retires because a server asked for that.
    pub(super) retires_at: Option<BlockNumber>,
    /// How many entries are trusted, and the link of the last of them.
    pub(super) trusted: Option<(u64, H256)>,
    pub(super) predecessor: Option<u32>,
    pub(super) successor: Option<u32>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) not_stored: u32,
    /// Digest, account and block of the receipt that its data were erased.
    pub(super) erased: Option<(H256, AccountId, BlockNumber)>,
}

/// A registered entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) digest: H256,
    pub(super) tag: H256,
    pub(super) link: H256,
    /// Its place in the journal.
    pub(super) index: u64,
}

/// A rival history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Conflict {
    pub(super) sequence: u64,
    pub(super) recorded: H256,
    pub(super) rival: H256,
    pub(super) rival_digest: Option<H256>,
    pub(super) signed: bool,
    pub(super) submitter: AccountId,
    pub(super) block: BlockNumber,
}

impl World {
    /// Whether the key signed this.
    pub(super) fn is_signed(&self, signature: &[u8; 64], key: &[u8; 32], message: &[u8]) -> bool {
        self.signed
            .get(signature)
            .is_some_and(|(by, what)| by == key && what == message)
    }

    /// A device as it is now: one that was to retire by this block is retired.
    pub(super) fn device_now(&self, id: u32) -> Option<Device> {
        let mut device = self.devices.get(id as usize)?.clone();
        if device.retires_at.is_some_and(|from| from <= self.block) {
            device.retire(device.latest());
        }
        Some(device)
    }

    /// The device whose account this is.
    pub(super) fn device_of(&self, who: &AccountId) -> Option<u32> {
        let key: &[u8; 32] = who.as_ref();
        self.devices
            .iter()
            .position(|device| device.key == *key)
            .map(|id| id as u32)
    }

    /// Whether an account may take the place of this one, for all that the chain knows of both.
    pub(super) fn may_follow(&self, who: &AccountId, successor: &AccountId) -> bool {
        !self.known.contains(successor) || self.successors.get(who) == Some(successor)
    }

    /// Whoever gave an account up keeps its first successor.
    pub(super) fn note_successor(&mut self, who: &AccountId, successor: &AccountId) {
        let first = self.successors.entry(who.clone());
        first.or_insert_with(|| successor.clone());
    }

    pub(super) fn add_study(
        &mut self,
        sponsor: AccountId,
        device_signed: bool,
        auditor_key: [u8; 32],
    ) {
        self.known.insert(sponsor.clone());
        self.studies.push(Study {
            sponsor,
            servers: BTreeSet::new(),
            relays: BTreeSet::new(),
            device_signed,
            open: true,
            auditor_keys: vec![auditor_key],
            auditor_changed: 0,
            allowance: self.default_allowance.expect("it is set"),
            used: Amounts::default(),
            given_up: BTreeMap::new(),
            status_changes: Vec::new(),
            generations: BTreeMap::new(),
        });
    }
}

impl Study {
    /// Whether a device with this epoch is enrolled in this block.
    pub(super) fn takes_epoch(&self, epoch: u32, block: BlockNumber) -> bool {
        let present = self.auditor_keys.len() as u32 - 1;
        epoch == present
            || (present > 0 && epoch == present - 1 && block - self.auditor_changed <= HOURS)
    }

    /// Whether the account has a role in it.
    pub(super) fn has(&self, who: &AccountId) -> bool {
        self.sponsor == *who || self.servers.contains(who) || self.relays.contains(who)
    }

    /// How many changes of a status the server has made in the hour of this block, counted from the first block on.
    pub(super) fn changes_in_hour(&self, who: &AccountId, block: BlockNumber) -> u32 {
        let own = self.status_changes.iter().filter(|(by, _)| by == who);
        own.filter(|(_, made)| made / HOURS == block / HOURS)
            .count() as u32
    }

    /// All roles of `who` are its successor's from now on, who is nobody that the chain knows, or who took its place elsewhere.
    pub(super) fn rotate(
        &mut self,
        who: &AccountId,
        successor: &AccountId,
        is_new: bool,
    ) -> Result<(), &'static str> {
        ensure(self.has(who), "NoRoleInStudy")?;
        ensure(is_new, "SuccessorIsNotNew")?;
        let is_nobody_here = !self.has(successor) && !self.generations.contains_key(successor);
        ensure(is_nobody_here, "SuccessorIsNotNew")?;
        let generation = self.generations.get(who).copied().unwrap_or_default();
        ensure(generation < ROTATIONS, "TooManyRotations")?;
        if self.sponsor == *who {
            self.sponsor = successor.clone();
        }
        for holders in [&mut self.servers, &mut self.relays] {
            if holders.remove(who) {
                holders.insert(successor.clone());
            }
        }
        // What was counted of the one is counted of the other.
        for (by, _) in &mut self.status_changes {
            if by == who {
                *by = successor.clone();
            }
        }
        self.used.admissions += 1;
        self.given_up.insert(who.clone(), successor.clone());
        self.generations.insert(who.clone(), generation);
        self.generations.insert(successor.clone(), generation + 1);
        Ok(())
    }

    /// The account that is now in the place of this one.
    pub(super) fn present(&self, account: &AccountId) -> AccountId {
        match self.given_up.get(account) {
            Some(next) => self.present(next),
            None => account.clone(),
        }
    }
}

impl Device {
    /// How many entries it has.
    pub(super) fn length(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The link of an entry, or link 0.
    pub(super) fn link(&self, sequence: u64) -> H256 {
        match sequence {
            0 => self.genesis,
            _ => self.entries[sequence as usize - 1].link,
        }
    }

    /// Length and link of the latest entry.
    pub(super) fn latest(&self) -> (u64, H256) {
        (self.length(), self.link(self.length()))
    }

    pub(super) fn retire(&mut self, trusted: (u64, H256)) {
        self.status = DeviceStatus::Retired;
        self.trusted = Some(trusted);
        self.retires_at = None;
    }

    pub(super) fn is_forked(&self) -> bool {
        self.status == DeviceStatus::Suspended(SuspensionReason::Fork)
    }
}
