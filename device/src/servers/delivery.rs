// SPDX-License-Identifier: Apache-2.0

//! Bringing a device's runs to as many relays as are to hold them, and waiting until it is proved that they are final.
//!
//! A device has as many *workers* as its runs are to have copies. A worker turns to one relay at a time, which no other
//! worker of the device uses. When its relay does not answer, refuses, keeps what it took back, or says what it does not
//! prove, it goes to another one and sends the same bytes there; what the chain has already is a success.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use alloc::{string::ToString, vec::Vec};
use core::time::Duration;

use futures_util::future;

use super::{
    carrier::{Accepted, Answer, Carrier, DeliveryError},
    inner::Inner,
    prepared::PreparedRun,
    relay::{preference, Relay},
};
use crate::{
    chain::{
        ChainFault, ChainRefusal, Decision, FinalHead, HeadChecker, Question, Receipt, Upload,
    },
    host::Transport,
    key::DeviceKey,
    lock::Mutex,
    senses::Moment,
};

/// How long a relay that had its share of a call is left alone, so that others come first.
const AFTER_OTHERS: Duration = Duration::from_secs(1);

/// A device's runs on their way.
struct Delivery<T> {
    inner: Arc<Inner<T>>,
    checker: HeadChecker,
    question: Question,
    key: DeviceKey,
    runs: Vec<PreparedRun>,
    relays: Vec<Arc<Relay>>,
    /// Which of them a worker uses, or has got its answers from.
    taken: Mutex<BTreeSet<usize>>,
}

/// Delivers one device's runs. One decision a run, in their order.
pub(super) async fn deliver<T: Transport>(
    inner: Arc<Inner<T>>,
    checker: HeadChecker,
    upload: Upload,
) -> Result<Vec<Decision<Receipt>>, ChainFault> {
    let (device, question) = (upload.device, upload.question());
    let runs = upload.runs.into_iter();
    let runs: Vec<PreparedRun> = runs.map(PreparedRun::of).collect();
    // Before the relays are chosen, because the authentication server may be the one that names them.
    if let Err(refusal) = inner.token(device, &upload.key).await? {
        return Ok(vec![Err(refusal); runs.len()]);
    }
    let delivery = Delivery {
        relays: preference(&inner.relays()?, device.0, inner.http.senses.now()),
        checker,
        question,
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

/// Which relay a worker got.
enum Taken {
    /// This one.
    Relay(usize),
    /// None within the worker's patience; this one after that.
    Later(usize, Duration),
    /// None that other workers do not use.
    None,
}

/// The same fault, with the time before which it is of no use to come again.
fn put_off(fault: ChainFault, wait: Duration) -> ChainFault {
    let seconds = wait.as_secs() + 1;
    ChainFault {
        message: format!(
            "{} It is to be left alone for {seconds} seconds.",
            fault.message
        ),
        ..fault
    }
}

impl<T: Transport> Delivery<T> {
    async fn work(&self) -> Findings {
        let inner = &*self.inner;
        let patience = &inner.settings.patience;
        let mut answers = vec![None; self.runs.len()];
        // Relays that are not turned to again for these runs, and those that are to be left alone for a while.
        let (mut banned, mut resting) = (BTreeSet::new(), BTreeMap::new());
        // By relay, so that one that was away is not sent what it has already.
        let mut accepted: BTreeMap<usize, Accepted> = BTreeMap::new();
        // The first refusal of each run. Whether it is more than a word shows when others are asked.
        let mut refusals: BTreeMap<usize, (usize, ChainRefusal)> = BTreeMap::new();
        let (mut begun, mut failures) = (inner.http.senses.moment(), 0);
        let mut fault = None;
        loop {
            let left = patience.give_up.saturating_sub(begun.elapsed());
            let place = match self.take(&banned, &resting, left).await {
                Taken::Relay(place) => place,
                Taken::Later(place, wait) => {
                    let found = fault.take().or_else(|| self.relays[place].fault());
                    fault = found.map(|found| put_off(found, wait));
                    break;
                }
                Taken::None => break,
            };
            let relay = &self.relays[place];
            let with_relay = accepted.entry(place).or_default();
            let before = answers.iter().flatten().count() + with_relay.len();
            let carrier = self.carrier(place, &banned);
            let turn = inner.turn(relay);
            let carried = carrier.carry(&mut answers, with_relay).await;
            turn.ended();
            let Err(error) = carried else {
                for (other, (teller, refusal)) in &refusals {
                    if matches!(answers[*other], Some(Answer::Final(..))) {
                        self.doubt(*teller, &refusal.code);
                    }
                }
                return (answers, None);
            };
            if answers.iter().flatten().count() + with_relay.len() > before {
                (begun, failures) = (inner.http.senses.moment(), 0);
            }
            tracing::debug!(relay = %relay.address, device = %self.question.device, ?error, "not delivered");
            self.release(place);
            match error {
                DeliveryError::Relay(found, asked) => {
                    relay.failed(patience, &found, asked);
                    fault = Some(found);
                }
                DeliveryError::Device(found, asked) => {
                    failures += 1;
                    fault = Some(found);
                    let wait = patience.backoff(failures, asked, inner.http.senses.chance());
                    resting.insert(place, inner.http.senses.moment().after(wait));
                }
                DeliveryError::Unusable(found) => {
                    tracing::warn!(fault = %found, "this relay is not turned to again");
                    banned.insert(place);
                    fault = Some(found);
                }
                DeliveryError::Doubtful(found) => {
                    relay.doubt(self.inner.http.senses.now(), &found);
                    banned.insert(place);
                    // It took its time. Others have theirs.
                    begun = inner.http.senses.moment();
                    fault = Some(found);
                }
                DeliveryError::Late(found) => {
                    relay.doubt(inner.http.senses.now(), &found);
                    // After others, and as long as there is time, it is asked again.
                    resting.insert(place, inner.http.senses.moment().after(AFTER_OTHERS));
                    begun = inner.http.senses.moment();
                    fault = Some(found);
                }
                DeliveryError::Refused(of, refusal) => {
                    banned.insert(place);
                    refusals.entry(of).or_insert((place, refusal));
                }
                DeliveryError::Hopeless(found) => return (answers, Some(found)),
            }
            if begun.elapsed() >= patience.give_up {
                break;
            }
        }
        // Everybody was asked. What was refused, and what follows it, stays queued.
        if let Some((first, (_, refusal))) = refusals.into_iter().next() {
            for answer in answers.iter_mut().skip(first) {
                answer.get_or_insert(Answer::Refused(refusal.clone()));
            }
        }
        (answers, fault)
    }

    /// A relay refused what another one brought to the chain.
    fn doubt(&self, teller: usize, code: &str) {
        let relay = &self.relays[teller];
        let fault = ChainFault {
            code: "refused_what_is_final".into(),
            message: format!(
                "{}: it refused with {code} what the chain has taken.",
                relay.address
            ),
            passing: true,
        };
        relay.doubt(self.inner.http.senses.now(), &fault);
    }

    fn carrier(&self, place: usize, banned: &BTreeSet<usize>) -> Carrier<'_, T> {
        let taken = self.taken.lock();
        let mut others = (0..self.relays.len()).filter(|other| *other != place);
        let has_others = others.any(|other| !banned.contains(&other) && !taken.contains(&other));
        Carrier {
            inner: &self.inner,
            checker: &self.checker,
            question: self.question,
            key: &self.key,
            runs: &self.runs,
            relay: &self.relays[place],
            has_others,
        }
    }

    /// The relay to turn to: the first of the device's order that need not be left alone, or the one that can be asked
    /// soonest, if that is within `patience`.
    async fn take(
        &self,
        banned: &BTreeSet<usize>,
        resting: &BTreeMap<usize, Moment>,
        patience: Duration,
    ) -> Taken {
        let begun = self.inner.http.senses.moment();
        loop {
            let rest = {
                let mut taken = self.taken.lock();
                let free =
                    (0..self.relays.len()).filter(|i| !taken.contains(i) && !banned.contains(i));
                let rests = free.map(|place| {
                    let until = resting.get(&place);
                    let own = until.map_or(Duration::ZERO, Moment::left);
                    (self.relays[place].rest().max(own), place)
                });
                let Some((rest, place)) = rests.min_by_key(|(rest, _)| *rest) else {
                    return Taken::None;
                };
                if rest.is_zero() {
                    taken.insert(place);
                    return Taken::Relay(place);
                }
                if begun.elapsed() + rest > patience {
                    return Taken::Later(place, rest);
                }
                rest
            };
            self.inner.http.transport.sleep(rest).await;
        }
    }

    fn release(&self, place: usize) {
        let mut taken = self.taken.lock();
        taken.remove(&place);
    }

    /// Puts together what the workers found.
    fn decide(&self, findings: Vec<Findings>) -> Result<Vec<Decision<Receipt>>, ChainFault> {
        let mut decisions: Vec<Decision<Receipt>> = Vec::with_capacity(self.runs.len());
        for (place, run) in self.runs.iter().enumerate() {
            let answers = findings
                .iter()
                .filter_map(|(answers, _)| answers[place].as_ref());
            match decide_one(answers) {
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
}

fn decide_one<'a>(answers: impl Iterator<Item = &'a Answer>) -> Option<Decision<Receipt>> {
    let mut receipt: Option<Receipt> = None;
    let mut refused: Option<&ChainRefusal> = None;
    for answer in answers {
        match answer {
            Answer::Final(relay, known) => {
                let receipt = receipt.get_or_insert_with(Receipt::default);
                receipt.holders.push(relay.to_string());
                let newest = |head: &FinalHead| (head.block(), head.head().length);
                let before = receipt.head.take();
                receipt.head = before.into_iter().chain([known.clone()]).max_by_key(newest);
            }
            Answer::Held(relay) => {
                let receipt = receipt.get_or_insert_with(Receipt::default);
                receipt.holders.push(relay.to_string());
            }
            Answer::Refused(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    match (receipt, refused) {
        (None, Some(refusal)) => Some(Err(refusal.clone())),
        (receipt, _) => receipt.map(Ok),
    }
}

fn no_answer() -> ChainFault {
    ChainFault {
        code: "server_unreachable".into(),
        message: "No relay answered.".into(),
        passing: true,
    }
}
