// SPDX-License-Identifier: Apache-2.0

//! Bringing a device's runs to as many relays as are to hold them, and waiting for finality.
//!
//! A device has as many *workers* as its runs are to have copies. A worker turns to one relay at a time, which no other
//! worker of the device uses. When its relay does not answer, it goes to another one and sends the same bytes there; what the
//! chain has already is a success.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::future;
use hashchain::DeviceId;

use super::{
    address::Address,
    carrier::{Accepted, Answer, Carrier, DeliveryError},
    inner::Inner,
    prepared::PreparedRun,
    relay::{preference, Relay},
    witness::disagreement,
};
use crate::{
    chain::{ChainFault, ChainRefusal, Decision, Receipt, Upload},
    key::DeviceKey,
};

/// A device's runs on their way.
struct Delivery {
    inner: Arc<Inner>,
    device: DeviceId,
    key: DeviceKey,
    runs: Vec<PreparedRun>,
    relays: Vec<Arc<Relay>>,
    /// Which of them a worker uses, or has got its answers from.
    taken: Mutex<HashSet<usize>>,
}

/// Delivers one device's runs. One decision a run, in their order.
pub(super) async fn deliver(
    inner: Arc<Inner>,
    upload: Upload,
) -> Result<Vec<Decision<Receipt>>, ChainFault> {
    let device = upload.device;
    let runs = upload.runs.into_iter();
    let runs: Vec<PreparedRun> = runs.map(PreparedRun::of).collect();
    // Before the relays are chosen, because the authentication server may be the one that names them.
    if let Err(refusal) = inner.token(device, &upload.key).await? {
        return Ok(vec![Err(refusal); runs.len()]);
    }
    let delivery = Delivery {
        relays: preference(&inner.relays()?, device.0),
        device,
        key: upload.key,
        runs,
        taken: Mutex::default(),
        inner,
    };
    let workers = (0..delivery.inner.settings.copies.max(1)).map(|_| delivery.work());
    let findings = future::join_all(workers).await;
    delivery.decide(findings)
}

/// The answers to a device's runs, in their order, and why some are missing.
type Findings = (Vec<Option<Answer>>, Option<ChainFault>);

impl Delivery {
    async fn work(&self) -> Findings {
        let patience = &self.inner.settings.patience;
        let mut answers = vec![None; self.runs.len()];
        let mut banned = HashSet::new();
        // By relay, so that one that was away is not sent what it has already.
        let mut accepted: HashMap<usize, Accepted> = HashMap::new();
        let (mut begun, mut failures) = (Instant::now(), 0);
        let mut fault = None;
        while let Some(place) = self.take(&banned).await {
            let relay = &self.relays[place];
            let with_relay = accepted.entry(place).or_default();
            let before = answers.iter().flatten().count() + with_relay.len();
            let carried = self.carrier(relay).carry(&mut answers, with_relay).await;
            let Err(error) = carried else {
                return (answers, None);
            };
            if answers.iter().flatten().count() + with_relay.len() > before {
                (begun, failures) = (Instant::now(), 0);
            }
            tracing::debug!(relay = %relay.address, device = %self.device, ?error, "not delivered");
            self.release(place);
            let wait = match error {
                DeliveryError::Relay(found, asked) => {
                    relay.failed(patience, &found, asked);
                    fault = Some(found);
                    Duration::ZERO
                }
                DeliveryError::Device(found, asked) => {
                    failures += 1;
                    fault = Some(found);
                    patience.backoff(failures, asked)
                }
                DeliveryError::Unusable(found) => {
                    tracing::warn!(fault = %found, "this relay is not turned to again");
                    banned.insert(place);
                    fault = Some(found);
                    Duration::ZERO
                }
                DeliveryError::Hopeless(found) => return (answers, Some(found)),
            };
            if begun.elapsed() + wait >= patience.give_up {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        (answers, fault)
    }

    fn carrier<'a>(&'a self, relay: &'a Relay) -> Carrier<'a> {
        Carrier {
            inner: &self.inner,
            device: self.device,
            key: &self.key,
            runs: &self.runs,
            relay,
        }
    }

    /// The relay to turn to: the first of the device's order that need not be left alone, or the one that can be asked
    /// soonest. `None` when there is none that other workers do not use.
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

    /// Puts together what the workers found.
    fn decide(&self, findings: Vec<Findings>) -> Result<Vec<Decision<Receipt>>, ChainFault> {
        let mut decisions = Vec::with_capacity(self.runs.len());
        for (place, run) in self.runs.iter().enumerate() {
            let answers = findings
                .iter()
                .filter_map(|(answers, _)| answers[place].as_ref());
            match self.decide_one(run, answers)? {
                Some(decision) => decisions.push(decision),
                // It follows one that was refused.
                None if matches!(decisions.last(), Some(Err(_))) => {
                    decisions.extend(decisions.last().cloned());
                }
                // It is finalised, and could not be brought to a further relay this time.
                None if !run.holders.is_empty() => decisions.push(Ok(Receipt::default())),
                None => {
                    let fault = findings.into_iter().find_map(|(_, fault)| fault);
                    return Err(fault.unwrap_or_else(no_answer));
                }
            }
        }
        Ok(decisions)
    }

    fn decide_one<'a>(
        &self,
        run: &PreparedRun,
        answers: impl Iterator<Item = &'a Answer>,
    ) -> Result<Option<Decision<Receipt>>, ChainFault> {
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
                    receipt.head = Some(run.head);
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
                let says = format!("device {}'s entry {} is registered", self.device, run.last);
                Err(disagreement(one, &says, other, &refusal.code))
            }
            (_, Some((_, refusal, _))) if receipt.is_none() => Ok(Some(Err(refusal.clone()))),
            _ => Ok(receipt.map(Ok)),
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
