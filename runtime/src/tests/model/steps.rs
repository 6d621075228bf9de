// SPDX-License-Identifier: Apache-2.0

//! What each call should do, and which error it should give.

use hashchain::{DeviceId, KeyProof, LinkHash, Native, StudyId};
use pallet_client_hashchain::{
    Call as Hashchain, DeviceStatus, LastTrusted, Run, RunView, SuspensionReason,
};
use pallet_studies::{Call as Studies, StudyPolicy, MAX_AUDITOR_KEYS};
use sp_core::H256;

use super::{
    runs::Verdict,
    world::{Device, Study, World},
};
use crate::{AccountId, Runtime, RuntimeCall};

/// How many devices of a study a server may suspend, resume and retire in an hour.
const CHANGES_AN_HOUR: u32 = 256;

/// On whose behalf a call is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum By {
    Account(AccountId),
    /// So many members of the consortium, by a motion.
    Members(u32),
    Root,
}

/// A call with what is around it.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) by: By,
    pub(super) call: RuntimeCall,
    /// Whether it stands at the top of its extrinsic.
    pub(super) at_top: bool,
}

/// What comes of a call: for runs, what becomes of each; or the name of the error.
pub(super) type Outcome = Result<Vec<Verdict>, &'static str>;

/// Passes if it is so.
pub(super) fn ensure(is_so: bool, error: &'static str) -> Result<(), &'static str> {
    is_so.then_some(()).ok_or(error)
}

impl By {
    pub(super) fn account(&self) -> Result<&AccountId, &'static str> {
        match self {
            Self::Account(who) => Ok(who),
            _ => Err("BadOrigin"),
        }
    }
}

/// A run of a batch, by itself.
pub(super) fn run_of(view: RunView<'_>) -> Run {
    let entries: Vec<_> = view.entries.iter().collect();
    Run {
        device: view.device,
        sequence: view.sequence,
        previous: view.previous,
        entries: entries.try_into().expect("a run is no longer"),
        signature: view.signature.copied(),
    }
}

impl World {
    /// Does what the chain should do.
    pub(super) fn act(&mut self, act: &Act) -> Outcome {
        let done = match &act.call {
            RuntimeCall::ClientHashchain(Hashchain::submit { run }) => {
                return self.submit(act, run);
            }
            RuntimeCall::ClientHashchain(Hashchain::submit_batch { runs }) => {
                let who = act.by.account()?;
                ensure(act.at_top, "RunsWithinAnotherCall")?;
                let mut verdicts = Vec::new();
                for run in runs.iter().map(run_of) {
                    let verdict = self.judge(who, &run);
                    self.carry_out(&run, &verdict);
                    verdicts.push(verdict);
                }
                return Ok(verdicts);
            }
            RuntimeCall::ClientHashchain(call) => self.device_call(act.by.account()?, call),
            RuntimeCall::Studies(call) => self.study_call(&act.by, call),
            RuntimeCall::Consortium(call) => self.consortium_call(&act.by, call),
            RuntimeCall::Members(call) => self.members_call(&act.by, call),
            RuntimeCall::Council(call) => self.council_call(&act.by, call),
            RuntimeCall::System(call) => self.system_call(&act.by, call),
            RuntimeCall::Finality(call) => self.finality_call(&act.by, call),
            call => panic!("the model does not know {call:?}"),
        };
        done.map(|()| Vec::new())
    }

    /// One run. A call that fails leaves no trace, not even of a fork.
    fn submit(&mut self, act: &Act, run: &Run) -> Outcome {
        let who = act.by.account()?;
        ensure(act.at_top, "RunsWithinAnotherCall")?;
        match self.judge(who, run) {
            Verdict::Refused(reason, _) => {
                let error = pallet_client_hashchain::Error::<Runtime>::from(reason);
                Err(error.into())
            }
            verdict => {
                self.carry_out(run, &verdict);
                Ok(vec![verdict])
            }
        }
    }

    fn device_call(
        &mut self,
        who: &AccountId,
        call: &Hashchain<Runtime>,
    ) -> Result<(), &'static str> {
        match call {
            Hashchain::enrol { .. } => self.enrol(who, call),
            Hashchain::suspend { device, reason } => {
                ensure(*reason != SuspensionReason::Fork, "ForkNeedsProof")?;
                let (mut found, is_sponsor) = self.device_of_office(who, *device)?;
                ensure(found.status == DeviceStatus::Active, "NotActive")?;
                self.count_change(found.study, who, is_sponsor)?;
                found.status = DeviceStatus::Suspended(*reason);
                self.put(*device, found)
            }
            Hashchain::resume { device } => {
                let (mut found, is_sponsor) = self.device_of_office(who, *device)?;
                ensure(!found.is_forked(), "ForkedDeviceCannotResume")?;
                let is_suspended = matches!(found.status, DeviceStatus::Suspended(_));
                ensure(is_suspended, "NotSuspended")?;
                ensure(found.retires_at.is_none(), "RetirementPending")?;
                ensure(found.erased.is_none(), "DeviceErased")?;
                self.count_change(found.study, who, is_sponsor)?;
                found.status = DeviceStatus::Active;
                self.put(*device, found)
            }
            Hashchain::retire {
                device,
                last_trusted,
            } => self.retire(who, *device, *last_trusted),
            Hashchain::veto_retirement { device } => {
                let (mut found, is_sponsor) = self.device_of_office(who, *device)?;
                ensure(is_sponsor, "OnlyTheSponsor")?;
                ensure(found.retires_at.is_some(), "NoRetirementPending")?;
                found.retires_at = None;
                self.put(*device, found)
            }
            Hashchain::erase { device, receipt } => {
                let (found, is_sponsor) = self.device_of_office(who, *device)?;
                ensure(is_sponsor, "OnlyTheSponsor")?;
                ensure(found.status != DeviceStatus::Active, "StillActive")?;
                ensure(found.erased.is_none(), "AlreadyErased")?;
                // The record of the device itself stays as it was.
                let receipt = (*receipt, who.clone(), self.block);
                self.devices[*device as usize].erased = Some(receipt);
                Ok(())
            }
            call => panic!("the model does not know {call:?}"),
        }
    }

    /// The sponsor retires at once and trusts what it likes. A server asks for it, and the device is suspended meanwhile.
    fn retire(&mut self, who: &AccountId, id: u32, last: LastTrusted) -> Result<(), &'static str> {
        let (mut device, is_sponsor) = self.device_of_office(who, id)?;
        if device.status == DeviceStatus::Retired {
            // What a server asked for and nobody has written down, a server may ask for again.
            let is_written = self.devices[id as usize].status == DeviceStatus::Retired;
            let is_the_same = !is_written && !is_sponsor && last == LastTrusted::Latest;
            ensure(is_the_same, "DeviceRetired")?;
        } else if is_sponsor {
            let trusted = match last {
                LastTrusted::Latest => device.latest(),
                LastTrusted::Nothing => (0, device.genesis),
                LastTrusted::Entry(index) => {
                    let at = device.entries.iter().position(|entry| entry.index == index);
                    let at = at.ok_or("NotAnEntryOfThisDevice")?;
                    (at as u64 + 1, device.entries[at].link)
                }
            };
            device.retire(trusted);
        } else {
            ensure(last == LastTrusted::Latest, "OnlyTheSponsor")?;
            ensure(device.retires_at.is_none(), "RetirementPending")?;
            self.count_change(device.study, who, is_sponsor)?;
            if device.status == DeviceStatus::Active {
                device.status = DeviceStatus::Suspended(SuspensionReason::Administrative);
            }
            device.retires_at = Some(self.block + self.retirement_delay);
        }
        self.put(id, device)
    }

    /// A device for whoever may decide on it: the sponsor of its study, or a server.
    fn device_of_office(&self, who: &AccountId, id: u32) -> Result<(Device, bool), &'static str> {
        let device = self.device_now(id).ok_or("UnknownDevice")?;
        let study = &self.studies[device.study as usize];
        let is_sponsor = study.sponsor == *who;
        ensure(
            is_sponsor || study.servers.contains(who),
            "NotTheStudysOffice",
        )?;
        Ok((device, is_sponsor))
    }

    /// A server may change only so many states in an hour.
    fn count_change(
        &mut self,
        id: u32,
        who: &AccountId,
        is_sponsor: bool,
    ) -> Result<(), &'static str> {
        let block = self.block;
        let study = self.study(id)?;
        if !is_sponsor {
            let may = study.changes_in_hour(who, block) < CHANGES_AN_HOUR;
            ensure(may, "TooManyStatusChanges")?;
            study.status_changes.push((who.clone(), block));
        }
        Ok(())
    }

    fn put(&mut self, id: u32, device: Device) -> Result<(), &'static str> {
        self.devices[id as usize] = device;
        Ok(())
    }

    fn enrol(&mut self, who: &AccountId, call: &Hashchain<Runtime>) -> Result<(), &'static str> {
        let Hashchain::enrol {
            study,
            key,
            secret_commitment,
            escrow,
            auditor_epoch,
            participant,
            predecessor,
            key_proof,
        } = call
        else {
            panic!("it enrols nothing");
        };
        let found = self.studies.get(*study as usize).ok_or("UnknownStudy")?;
        ensure(found.servers.contains(who), "NotAnAuthenticationServer")?;
        ensure(found.open, "StudyClosed")?;
        let is_taken = found.takes_epoch(*auditor_epoch, self.block);
        ensure(is_taken, "OtherAuditorEpoch")?;
        ensure(!escrow.is_empty(), "EscrowMissing")?;
        ensure(*key != super::strategy::WEAK_KEY, "WeakKey")?;
        let is_new = self.devices.iter().all(|device| device.key != *key);
        ensure(is_new, "KeyInUse")?;
        let escrow_commitment = hashchain::escrow_commitment::<Native>(escrow);
        let agreed = hashchain::key_proof_message(&KeyProof {
            chain: &self.chain,
            study: StudyId(*study),
            server: who.as_ref(),
            device_key: key,
            predecessor: predecessor.map(DeviceId),
            secret_commitment: &secret_commitment.0,
            escrow_commitment: &escrow_commitment,
            auditor_epoch: *auditor_epoch,
            auditor_key: &found.auditor_keys[*auditor_epoch as usize],
            participant: &participant.0,
        });
        ensure(self.is_signed(key_proof, key, &agreed), "KeyProofFails")?;

        let mut trusted = None;
        if let Some(id) = predecessor {
            let former = self.device_now(*id).ok_or("UnknownDevice")?;
            ensure(former.study == *study, "PredecessorNotRetired")?;
            ensure(former.retires_at.is_none(), "RetirementPending")?;
            let is_retired = former.status == DeviceStatus::Retired;
            ensure(is_retired, "PredecessorNotRetired")?;
            ensure(former.successor.is_none(), "PredecessorHasSuccessor")?;
            trusted = former.trusted;
        }
        let found = &mut self.studies[*study as usize];
        let granted = found.allowance.study.devices;
        ensure(found.used.devices < granted, "NoDeviceLeft")?;
        found.used.devices += 1;
        let genesis = hashchain::genesis::<Native>(&hashchain::Enrolment {
            chain: &self.chain,
            study: StudyId(*study),
            device_key: key,
            predecessor: trusted.map(|(_, link)| LinkHash(link.0)),
            secret_commitment: &secret_commitment.0,
            escrow_commitment: &escrow_commitment,
        });
        if let Some(id) = predecessor {
            let mut former = self.device_now(*id).expect("it was found");
            former.successor = Some(self.devices.len() as u32);
            self.put(*id, former)?;
        }
        self.known.insert(AccountId::new(*key));
        self.devices.push(Device {
            study: *study,
            key: *key,
            sealed_to: (*auditor_epoch, *participant),
            status: DeviceStatus::Active,
            genesis: H256(genesis.0),
            entries: Vec::new(),
            retires_at: None,
            trusted: None,
            predecessor: *predecessor,
            successor: None,
            conflicts: Vec::new(),
            not_stored: 0,
            erased: None,
        });
        Ok(())
    }

    fn study_call(&mut self, by: &By, call: &Studies<Runtime>) -> Result<(), &'static str> {
        match call {
            Studies::create_study {
                sponsor,
                policy,
                auditor_key,
                ..
            } => {
                ensure(self.is_more_than_half(by), "BadOrigin")?;
                ensure(*auditor_key != super::strategy::WEAK_KEY, "WeakAuditorKey")?;
                let device_signed = *policy == StudyPolicy::DeviceSigned;
                self.add_study(sponsor.clone(), device_signed, *auditor_key);
                Ok(())
            }
            Studies::replace_sponsor { study, sponsor } => {
                ensure(self.is_more_than_half(by), "BadOrigin")?;
                let found = self.study(*study)?;
                ensure(found.sponsor != *sponsor, "AlreadySponsor")?;
                let was_given_up = found.given_up.contains_key(sponsor);
                ensure(!was_given_up, "AccountWasGivenUp")?;
                found.sponsor = sponsor.clone();
                self.known.insert(sponsor.clone());
                Ok(())
            }
            Studies::set_allowance { study, allowance } => {
                ensure(self.is_more_than_half(by), "BadOrigin")?;
                self.study(*study)?.allowance = *allowance;
                Ok(())
            }
            Studies::set_auditor_key { study, auditor_key } => {
                let block = self.block;
                let found = self.own_study(by, *study)?;
                ensure(*auditor_key != super::strategy::WEAK_KEY, "WeakAuditorKey")?;
                let is_new = !found.auditor_keys.contains(auditor_key);
                ensure(is_new, "AuditorKeyWasUsed")?;
                let has_room = found.auditor_keys.len() < MAX_AUDITOR_KEYS as usize;
                ensure(has_room, "TooManyAuditorKeys")?;
                found.auditor_keys.push(*auditor_key);
                found.auditor_changed = block;
                Ok(())
            }
            Studies::close_study { study } => {
                let found = self.own_study(by, *study)?;
                ensure(found.open, "AlreadyClosed")?;
                found.open = false;
                Ok(())
            }
            Studies::reopen_study { study } => {
                let found = self.own_study(by, *study)?;
                ensure(!found.open, "AlreadyOpen")?;
                found.open = true;
                Ok(())
            }
            Studies::add_authentication_server { study, account } => {
                let found = self.own_study(by, *study)?;
                ensure(found.open, "StudyIsClosed")?;
                let was_given_up = found.given_up.contains_key(account);
                ensure(!was_given_up, "AccountWasGivenUp")?;
                let is_new = !found.servers.contains(account);
                ensure(is_new, "AlreadyAuthenticationServer")?;
                self.admit(*study, account)?;
                self.study(*study)?.servers.insert(account.clone());
                Ok(())
            }
            Studies::remove_authentication_server { study, account } => {
                let found = self.own_study(by, *study)?;
                let was_there = found.servers.remove(&found.present(account));
                ensure(was_there, "NotAnAuthenticationServer")
            }
            Studies::add_relay { study, account } => {
                let found = self.own_study(by, *study)?;
                ensure(found.open, "StudyIsClosed")?;
                let was_given_up = found.given_up.contains_key(account);
                ensure(!was_given_up, "AccountWasGivenUp")?;
                ensure(!found.relays.contains(account), "AlreadyRelay")?;
                self.admit(*study, account)?;
                self.study(*study)?.relays.insert(account.clone());
                Ok(())
            }
            Studies::remove_relay { study, account } => {
                let found = self.own_study(by, *study)?;
                let was_there = found.relays.remove(&found.present(account));
                ensure(was_there, "NotARelay")
            }
            Studies::rotate { study, successor } => {
                let who = by.account()?;
                let is_new = self.may_follow(who, successor);
                self.study(*study)?.rotate(who, successor, is_new)?;
                self.note_successor(who, successor);
                self.known.insert(successor.clone());
                Ok(())
            }
            call => panic!("the model does not know {call:?}"),
        }
    }

    /// Counts an account that has no role in the study yet.
    pub(super) fn admit(&mut self, study: u32, account: &AccountId) -> Result<(), &'static str> {
        let found = self.study(study)?;
        if found.has(account) {
            return Ok(());
        }
        let granted = found.allowance.study.admissions;
        ensure(found.used.admissions < granted, "NoAdmissionLeft")?;
        found.used.admissions += 1;
        self.known.insert(account.clone());
        Ok(())
    }

    pub(super) fn study(&mut self, study: u32) -> Result<&mut Study, &'static str> {
        self.studies.get_mut(study as usize).ok_or("UnknownStudy")
    }

    fn own_study(&mut self, by: &By, study: u32) -> Result<&mut Study, &'static str> {
        let who = by.account()?;
        let found = self.study(study)?;
        ensure(found.sponsor == *who, "NotTheSponsor")?;
        Ok(found)
    }
}
