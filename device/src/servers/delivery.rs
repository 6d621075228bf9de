// SPDX-License-Identifier: Apache-2.0
//! Bringing a device's runs to as many relays as are to hold them, and waiting for finality.
//!
//! A device has as many *lanes* as its runs are to have copies. A lane turns to one relay at a time, which no other lane
//! of the device uses. When its relay does not answer, it goes to another one and sends the same bytes there; what the
//! chain has already is a success.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future;
use mhealth_api::{BlockRef, Refusal, RunState, RunStatus};

use super::{
    carrying::Accepted,
    parcel::Parcel,
    relay::{preference, Relay},
    witness::disagreement,
    Address, Inner,
};
use crate::{
    chain::{ChainFault, ChainRefusal, Receipt, Upload, Verdict},
    DeviceKey,
};

/// A device's runs on their way.
pub(super) struct Delivery {
    pub(super) inner: Arc<Inner>,
    pub(super) device: u32,
    pub(super) key: DeviceKey,
    pub(super) parcels: Vec<Parcel>,
    relays: Vec<Arc<Relay>>,
    /// Which of them a lane uses, or has got its answers from.
    taken: Mutex<HashSet<usize>>,
}

/// What a lane found out about a run.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The chain has it, says this relay.
    Finalised(Address, Option<BlockRef>),
    /// This relay acknowledged it earlier.
    Held(Address),
    /// The relay or the chain refused it.
    Refused(Address, ChainRefusal),
    /// The chain has something else in its place, says this relay.
    Contradicted(Address, ChainRefusal),
}

/// What ended a lane's time with a relay.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The relay is away or has too much to do.
    Relay(ChainFault, Option<Duration>),
    /// The relay works and has no room for this device at present.
    Device(ChainFault, Option<Duration>),
    /// The relay is none that this device can use.
    Unusable(ChainFault),
    /// No relay can help.
    Hopeless(ChainFault),
}

/// Delivers one device's runs. One verdict a run, in their order.
pub(super) async fn deliver(
    inner: Arc<Inner>,
    upload: Upload,
) -> Result<Vec<Verdict<Receipt>>, ChainFault> {
    let device = upload.device;
    let parcels: Vec<Parcel> = upload
        .runs
        .into_iter()
        .map(|run| Parcel::of(device, run))
        .collect();
    // Before the relays are chosen, because the authentication server may be the one that names them.
    if let Err(refusal) = inner.token(device, &upload.key).await? {
        return Ok(vec![Err(refusal); parcels.len()]);
    }
    let delivery = Delivery {
        relays: preference(&inner.relays()?, device),
        device,
        key: upload.key,
        parcels,
        taken: Mutex::default(),
        inner,
    };
    let lanes = (0..delivery.inner.settings.copies.max(1)).map(|_| delivery.lane());
    let lanes = future::join_all(lanes).await;
    delivery.judge(lanes)
}

/// The answers to a device's runs, in their order, and why some are missing.
type Lane = (Vec<Option<Answer>>, Option<ChainFault>);

impl Delivery {
    async fn lane(&self) -> Lane {
        let patience = &self.inner.settings.patience;
        let mut answers = vec![None; self.parcels.len()];
        let mut banned = HashSet::new();
        // By relay, so that one that was away is not sent what it has already.
        let mut accepted: HashMap<usize, Accepted> = HashMap::new();
        let (mut begun, mut failures) = (Instant::now(), 0);
        let mut fault = None;
        while let Some(place) = self.take(&banned).await {
            let relay = &self.relays[place];
            let with_relay = accepted.entry(place).or_default();
            let before = answers.iter().flatten().count() + with_relay.len();
            let Err(trouble) = self.carry(relay, &mut answers, with_relay).await else {
                return (answers, None);
            };
            if answers.iter().flatten().count() + with_relay.len() > before {
                (begun, failures) = (Instant::now(), 0);
            }
            tracing::debug!(relay = %relay.address, device = self.device, ?trouble, "not delivered");
            self.release(place);
            let wait = match trouble {
                Trouble::Relay(found, asked) => {
                    relay.failed(patience, &found, asked);
                    fault = Some(found);
                    Duration::ZERO
                }
                Trouble::Device(found, asked) => {
                    failures += 1;
                    fault = Some(found);
                    patience.backoff(failures, asked)
                }
                Trouble::Unusable(found) => {
                    tracing::warn!(fault = %found, "this relay is not turned to again");
                    banned.insert(place);
                    fault = Some(found);
                    Duration::ZERO
                }
                Trouble::Hopeless(found) => return (answers, Some(found)),
            };
            if begun.elapsed() + wait >= patience.give_up {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        (answers, fault)
    }

    /// The relay to turn to: the first of the device's order that need not be left alone, or the one that can be asked
    /// soonest. `None` when there is none that other lanes do not use.
    async fn take(&self, banned: &HashSet<usize>) -> Option<usize> {
        loop {
            let rest = {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                let free =
                    (0..self.relays.len()).filter(|i| !taken.contains(i) && !banned.contains(i));
                let rests = free.map(|place| (self.relays[place].rest(), place));
                let (rest, place) = rests.min_by_key(|(rest, _)| *rest)?;
                if rest.is_zero() {
                    taken.insert(place);
                    return Some(place);
                }
                rest
            };
            tokio::time::sleep(rest).await;
        }
    }

    fn release(&self, place: usize) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&place);
    }

    /// Puts what the lanes found together.
    fn judge(&self, lanes: Vec<Lane>) -> Result<Vec<Verdict<Receipt>>, ChainFault> {
        let mut verdicts = Vec::with_capacity(self.parcels.len());
        for (place, parcel) in self.parcels.iter().enumerate() {
            let answers = lanes
                .iter()
                .filter_map(|(answers, _)| answers[place].as_ref());
            match self.judge_one(parcel, answers)? {
                Some(verdict) => verdicts.push(verdict),
                // It follows one that was refused.
                None if matches!(verdicts.last(), Some(Err(_))) => {
                    verdicts.extend(verdicts.last().cloned());
                }
                // It is finalised, and could not be brought to a further relay this time.
                None if !parcel.holders.is_empty() => verdicts.push(Ok(Receipt::default())),
                None => {
                    let fault = lanes.into_iter().find_map(|(_, fault)| fault);
                    return Err(fault.unwrap_or_else(no_answer));
                }
            }
        }
        Ok(verdicts)
    }

    fn judge_one<'a>(
        &self,
        parcel: &Parcel,
        answers: impl Iterator<Item = &'a Answer>,
    ) -> Result<Option<Verdict<Receipt>>, ChainFault> {
        let mut receipt: Option<Receipt> = None;
        let mut finalised: Option<&Address> = None;
        let mut refused: Option<(&Address, &ChainRefusal, bool)> = None;
        for answer in answers {
            match answer {
                Answer::Finalised(relay, block) => {
                    if let Some(block) = block {
                        self.inner.witness.see(relay, *block)?;
                    }
                    finalised = finalised.or(Some(relay));
                    let receipt = receipt.get_or_insert_with(Receipt::default);
                    receipt.holders.push(relay.to_string());
                    receipt.head = Some(parcel.head);
                }
                Answer::Held(relay) => {
                    let receipt = receipt.get_or_insert_with(Receipt::default);
                    receipt.holders.push(relay.to_string());
                }
                Answer::Refused(relay, refusal) => {
                    refused = refused.or(Some((relay, refusal, false)));
                }
                Answer::Contradicted(relay, refusal) => refused = Some((relay, refusal, true)),
            }
        }
        match (finalised, refused) {
            (Some(one), Some((other, refusal, true))) => {
                let says = format!(
                    "device {}'s entry {} is registered",
                    self.device, parcel.last
                );
                Err(disagreement(one, &says, other, &refusal.code))
            }
            (_, Some((_, refusal, _))) if receipt.is_none() => Ok(Some(Err(refusal.clone()))),
            _ => Ok(receipt.map(Ok)),
        }
    }

    /// What a status says of a run; `None` while it is under way. A status of another run shows that the relay is not
    /// what it should be.
    pub(super) fn settled(
        &self,
        relay: &Relay,
        parcel: &Parcel,
        status: &RunStatus,
    ) -> Result<Option<Answer>, Trouble> {
        if !parcel.is_of(status, self.device) {
            return Err(Trouble::Unusable(ChainFault {
                code: "receipt_mismatch".into(),
                message: format!(
                    "{}: its receipt is not for the run that was sent.",
                    relay.address
                ),
                passing: false,
            }));
        }
        let address = relay.address.clone();
        let refusal = || match &status.reason {
            Some(reason) => {
                ChainRefusal::by_chain(reason.clone(), format!("The chain refused it: {reason}."))
            }
            None => ChainRefusal::before_the_chain(
                "refused",
                "The relay says that the chain refused it, and not why.",
            ),
        };
        match status.state {
            // A state that only newer relays have is no end.
            RunState::Pending | RunState::Submitted | RunState::Unknown(_) => Ok(None),
            RunState::Finalised => Ok(Some(Answer::Finalised(address, status.block))),
            // Another relay may serve the study.
            RunState::Refused if status.reason == Some(Refusal::NotARelayOfThisStudy) => {
                Err(Trouble::Unusable(ChainFault {
                    code: refusal().code,
                    message: format!("{address}: it does not serve this study."),
                    passing: false,
                }))
            }
            RunState::Refused => Ok(Some(Answer::Refused(address, refusal()))),
            RunState::Conflicting => Ok(Some(Answer::Contradicted(address, refusal()))),
        }
    }
}

fn no_answer() -> ChainFault {
    ChainFault {
        code: "server_unreachable".into(),
        message: "No relay answered.".into(),
        passing: true,
    }
}
