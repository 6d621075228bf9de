// SPDX-License-Identifier: Apache-2.0

//! From a code to a device that is enrolled.
//!
//! A code that was redeemed is bound to the key that redeemed it, and the answer may be lost. So the code that a device has kept is
//! tried before another one; a device that cannot be enrolled any more makes room for a new one; and a code that was of no use
//! leaves no device behind. That it cannot be enrolled is a server's word. What was sealed with it is not given up for that: relays are
//! asked whether the chain has it, and if none proves that, it stays until a person enters another code.

use alloc::sync::Arc;

use hashchain::DeviceId;
use mhealth_api::{Code, CodeTerms};

use super::Phone;
use crate::{
    book::{Book, DeviceRecord, EnrolmentCode, LocalId, Terms},
    chain::{ChainFault, ChainRefusal},
    error::Error,
    host::{PhoneStore, Transport},
    ledger::{Candidate, Ledger},
    senses::Moment,
    servers::{compare, Address},
    single::{enrol_one, prove_one, sync_one},
    sync::SyncError,
};

/// What came of the code that the present device had kept.
enum Kept {
    /// It enrolled the device.
    Enrolled(DeviceId),
    /// It was of no use.
    Useless,
    /// It enrolled the device, which is retired already, as its server says.
    Retired,
}

/// How far the present device has come.
enum Present {
    /// There is none that could be enrolled, or is.
    Nothing,
    /// It has kept this code, which may be bound to it, for this server.
    Begun(EnrolmentCode, Address),
    /// It is enrolled.
    Enrolled(DeviceId),
}

impl<S: PhoneStore, T: Transport> Phone<S, T> {
    pub(super) async fn enrolling(
        &self,
        address: &Address,
        code: &EnrolmentCode,
        ends: &Moment,
    ) -> Result<DeviceId, SyncError> {
        if let Some(ledger) = self.ledger() {
            self.expect_own_chain(&ledger)?;
        }
        let present = self.present(address)?;
        match &present {
            Present::Enrolled(number) if self.has_redeemed(code)? => return Ok(*number),
            Present::Begun(kept, at) if kept == code && at.is(address.as_str()) => {
                return self.redeem(at, code, false, ends).await;
            }
            _ => {}
        }
        // What the code is for decides what kind of device redeems it.
        let found = self.code_terms(address, code).await?;
        // Before anything is done with a code that was kept.
        if let Some(ledger) = self.ledger() {
            ledger.expect_study(&Terms::from(&found))?;
        }
        let mut may_fit = true;
        match present {
            Present::Nothing => {}
            Present::Enrolled(number) => {
                self.expect_retired(number, &found, address, ends).await?;
            }
            Present::Begun(kept, at) => {
                match self.try_kept(&kept, &at, &found, address, ends).await? {
                    Kept::Enrolled(number) if kept == *code => return Ok(number),
                    Kept::Enrolled(number) => return Err(enrolled_already(number).into()),
                    Kept::Useless => {}
                    Kept::Retired => may_fit = false,
                }
            }
        }
        let is_new = self.make_ready(&found, code, address, may_fit)?;
        self.redeem(address, code, is_new, ends).await
    }

    /// What a code is for, as its server says. Refused if that is on another chain than the app is for.
    async fn code_terms(
        &self,
        address: &Address,
        code: &EnrolmentCode,
    ) -> Result<CodeTerms, SyncError> {
        let found = self.ask(address).code_terms(code).await??;
        match self.options.chain {
            Some(named) if named != found.chain.0 => Err(another_chain().into()),
            _ => Ok(found),
        }
    }

    /// Redeems the code that the present device has kept, with that device, or with a new one if it cannot be enrolled any more.
    /// If that is another code than the device was made for, a person entered it instead.
    pub(super) async fn redeem(
        &self,
        address: &Address,
        code: &EnrolmentCode,
        mut is_new: bool,
        ends: &Moment,
    ) -> Result<DeviceId, SyncError> {
        loop {
            let (ledger, id) = self.device()?;
            let servers = self.servers(&ledger, address, ends);
            let redeemed = enrol_one(&*ledger, &servers, id, code, |_| Ok(())).await;
            let refusal = match redeemed {
                Err(SyncError::Refused(refusal)) => refusal,
                done => return done,
            };
            // Whatever its server says of the code, the chain may have the device.
            if let Some(number) = prove_one(&*ledger, &servers, id).await? {
                return Ok(number);
            }
            let device = ledger.device(id)?;
            if let Some(reason) = device.frozen {
                let key = device.key;
                return Err(Error::Frozen { key, reason }.into());
            }
            match refusal.code.parse::<Code>() {
                // Its secret is sealed to a former key of the auditor, or its key was used with another code.
                Ok(Code::OtherAuditorEpoch | Code::KeyInUse) if !is_new => {
                    let found = self.code_terms(address, code).await?;
                    // Nothing is awaited from here on: what is sealed meanwhile counts.
                    let device = ledger.device(id)?;
                    let is_another = ledger.is_for_another(id, code)?;
                    let is_given_up = is_another && device.number.is_none();
                    if device.length > 0 && !is_given_up {
                        return Err(refusal.into());
                    }
                    is_new = self.make_ready(&found, code, address, false)?;
                }
                Ok(Code::UnknownCode | Code::CodeExpired | Code::CodeUsed | Code::CodeRevoked) => {
                    self.take_back(&ledger, id)?;
                    return Err(refusal.into());
                }
                _ => return Err(refusal.into()),
            }
        }
    }

    /// Tries the code that the device has kept before another one, which is for this: it may be bound to the device already.
    async fn try_kept(
        &self,
        kept: &EnrolmentCode,
        at: &Address,
        found: &CodeTerms,
        instead: &Address,
        ends: &Moment,
    ) -> Result<Kept, SyncError> {
        let (ledger, id) = self.device()?;
        let servers = self.servers(&ledger, at, ends);
        match enrol_one(&*ledger, &servers, id, kept, |_| Ok(())).await {
            Ok(number) => Ok(Kept::Enrolled(number)),
            Err(SyncError::Refused(_)) => {
                let proved = prove_one(&*ledger, &servers, id).await?;
                Ok(proved.map_or(Kept::Useless, Kept::Enrolled))
            }
            Err(SyncError::Device(Error::Frozen { .. })) => Ok(Kept::Useless),
            // Its server may be gone for good, or say that the device is retired while nobody is known who could prove it. What was
            // sealed is not given up for that, unless the other code is for who goes on from this device.
            Err(SyncError::Chain(fault)) => {
                let device = ledger.device(id)?;
                let is_retired = fault.code == Code::DeviceRetired.as_str();
                let before = found.predecessor.map(|before| before.device);
                let goes_on = is_retired && before.is_some() && before == device.number;
                let is_lost = is_retired || at != instead;
                match goes_on || is_lost && (device.length == 0 || fits(&ledger, found)?) {
                    true if is_retired => Ok(Kept::Retired),
                    true => Ok(Kept::Useless),
                    false => Err(fault.into()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// An enrolled phone has a use for another code, which is for this, when the chain has retired its device.
    async fn expect_retired(
        &self,
        number: DeviceId,
        found: &CodeTerms,
        address: &Address,
        ends: &Moment,
    ) -> Result<(), SyncError> {
        let (ledger, id) = self.device()?;
        let at = self.authentication(&ledger)?;
        let servers = self.servers(&ledger, at.as_ref().unwrap_or(address), ends);
        sync_one(&*ledger, &servers, id).await?;
        if ledger.device(id)?.frozen.is_some() {
            return Ok(());
        }
        match found.predecessor {
            Some(before) if before.device == number => Err(SyncError::Chain(ChainFault {
                code: "predecessor_not_retired".into(),
                message: format!(
                    "The code goes on from device {number}, and nobody proves yet that this is retired. It was not used."
                ),
                passing: true,
            })),
            _ => Err(enrolled_already(number).into()),
        }
    }

    /// Makes sure that the present device may redeem this code, and that it has kept it. Says whether the device was made for that.
    /// With `may_fit`, one that is there is used if it was made for the same.
    fn make_ready(
        &self,
        found: &CodeTerms,
        code: &EnrolmentCode,
        address: &Address,
        may_fit: bool,
    ) -> Result<bool, Error> {
        let terms = Terms::from(found);
        let candidate = Candidate {
            predecessor: found.predecessor,
            recipient: found.participant_key.map(|key| key.0),
            code,
            authentication: address.as_str(),
        };
        let (ledger, is_new) = match self.ledger() {
            Some(ledger) if may_fit && may_redeem(&ledger, found)? => {
                ledger.keep_code(ledger.current()?, code, address.as_str())?;
                (ledger, false)
            }
            Some(ledger) => (Arc::new(ledger.go_on(&terms, &candidate)?), true),
            None => {
                let checkpoints = self.checkpoints.clone();
                let begun = Ledger::begin(&self.opened, checkpoints, &terms, &candidate)?;
                (Arc::new(begun), true)
            }
        };
        *self.ledger.lock() = Some(ledger);
        *self.servers.lock() = None;
        Ok(is_new)
    }

    /// Erases a device whose code was of no use, unless something was sealed with it: the phone is as it was before.
    fn take_back(&self, ledger: &Ledger<S>, id: LocalId) -> Result<(), Error> {
        let device = ledger.device(id)?;
        if device.length > 0 || device.proved {
            return Ok(());
        }
        if !ledger.take_back(id)? {
            *self.ledger.lock() = None;
        }
        *self.servers.lock() = None;
        Ok(())
    }

    /// The present device's place. Error: `not_enrolled`.
    fn device(&self) -> Result<(Arc<Ledger<S>>, LocalId), Error> {
        let ledger = self.ledger().ok_or(Error::NotEnrolled)?;
        let id = ledger.current()?;
        Ok((ledger, id))
    }

    fn present(&self, address: &Address) -> Result<Present, Error> {
        let Some(ledger) = self.ledger() else {
            return Ok(Present::Nothing);
        };
        let device = ledger.device(ledger.current()?)?;
        if device.frozen.is_some() {
            return Ok(Present::Nothing);
        }
        if let Some(number) = device.number.filter(|_| device.proved) {
            return Ok(Present::Enrolled(number));
        }
        let at = self.authentication(&ledger)?;
        Ok(match ledger.code(device.id)? {
            Some(kept) => Present::Begun(kept, at.unwrap_or_else(|| address.clone())),
            None => Present::Nothing,
        })
    }

    fn has_redeemed(&self, code: &EnrolmentCode) -> Result<bool, Error> {
        let (ledger, id) = self.device()?;
        ledger.has_redeemed(id, code)
    }
}

/// Whether the present device can redeem a code for this, as far as the device knows. A secret that is sealed to a former key of the
/// auditor is as good as none: the chain would refuse it.
fn fits<S: PhoneStore>(ledger: &Ledger<S>, found: &CodeTerms) -> Result<bool, Error> {
    let device = ledger.device(ledger.current()?)?;
    let same_epoch = device.auditor_epoch == found.auditor_epoch;
    Ok(same_epoch && is_for(ledger, found, &device))
}

/// Whether the present device is to redeem a code for this. One with which something was sealed tries, whichever key of the auditor its
/// secret is sealed to: the chain may have it, by a code that its server has forgotten.
fn may_redeem<S: PhoneStore>(ledger: &Ledger<S>, found: &CodeTerms) -> Result<bool, Error> {
    let device = ledger.device(ledger.current()?)?;
    let may_try = device.length > 0 || device.auditor_epoch == found.auditor_epoch;
    Ok(may_try && is_for(ledger, found, &device))
}

fn is_for<S: PhoneStore>(ledger: &Ledger<S>, found: &CodeTerms, device: &DeviceRecord) -> bool {
    let is_open = device.frozen.is_none() && !device.proved;
    is_open && compare(found, ledger.terms(), device).is_ok()
}

fn another_chain() -> ChainRefusal {
    ChainRefusal::before_the_chain(
        "another_chain",
        "The authentication server enrols on another chain than the one that this app is for. The code was not used. Report this to \
         the study.",
    )
}

fn enrolled_already(number: DeviceId) -> ChainRefusal {
    ChainRefusal::before_the_chain(
        "already_enrolled",
        format!("The phone is enrolled as device {number}. This code was not used."),
    )
}
