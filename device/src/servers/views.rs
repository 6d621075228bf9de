// SPDX-License-Identifier: Apache-2.0

//! What relays show of the chain.
//!
//! Whatever a relay shows is worth what its proof is worth. As many relays are asked as are to hold a run, and the newest of
//! what is proved counts; whoever shows something else is remembered, and turned to last.

use alloc::sync::Arc;
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use mhealth_api::{Code, DeviceOnChain, DeviceStatus};
use mhealth_evidence::HeadProof;

use super::{
    http::Failure,
    inner::Inner,
    relay::{preference, Relay},
};
use crate::{
    chain::{ChainDevice, ChainFault, Checked, FinalHead, HeadChecker, Question},
    host::{Request, Transport},
    key::PublicKey,
};
use hashchain::{hex::Hex, DeviceId};

/// Answers that lead to later authorities only, before a relay is not asked any more. Each leads over 64 changes of them.
const MOST_STEPS: u32 = 256;

/// Why a relay's answer is no proof.
#[derive(Debug)]
pub(super) enum Unproved {
    /// It does not answer, or has no proof at present.
    Unanswered(ChainFault, Option<Duration>),
    /// It says that it shows an older block than another relay did, or shows that nobody has the device's number. Honest relays do
    /// either; a liar may, too.
    NotYet(ChainFault),
    /// It shows what is no proof.
    Wrong(ChainFault),
}

impl Unproved {
    pub(super) fn into_fault(self) -> ChainFault {
        match self {
            Self::Unanswered(fault, _) | Self::NotYet(fault) | Self::Wrong(fault) => fault,
        }
    }
}

impl<T: Transport> Inner<T> {
    /// The number of the device with a key; none if no relay that answers knows such a device.
    pub(super) async fn number(
        &self,
        checker: &HeadChecker,
        key: &PublicKey,
    ) -> Result<Option<DeviceId>, ChainFault> {
        // The order in which relays are asked differs from device to device, here by its key.
        let first = u32::from_be_bytes([key.0[0], key.0[1], key.0[2], key.0[3]]);
        let path = format!("/v1/keys/{key}");
        let patience = &self.settings.patience;
        let begun = self.http.senses.moment();
        let mut attempts = 0;
        loop {
            let (mut unknown, mut fault) = (false, None);
            for relay in self.in_turn(first)? {
                self.http.transport.sleep(relay.rest()).await;
                let request = self.ask(&relay, &path);
                match self.http.send::<DeviceOnChain>(request).await {
                    Ok(told) => {
                        relay.worked();
                        let question = Question {
                            device: told.device,
                            key: *key,
                            record: true,
                        };
                        match self.head_from(&relay, checker, &question).await {
                            Ok(head) if head.is_of(key) => return Ok(Some(told.device)),
                            Ok(_) => {
                                let found = other_device(&relay, &path);
                                relay.doubt(self.http.senses.now(), &found);
                                fault = Some(found);
                            }
                            Err(unproved) => fault = Some(unproved.into_fault()),
                        }
                    }
                    Err(failure) if failure.refusal() == Some(Code::UnknownDevice) => {
                        relay.worked();
                        unknown = true;
                    }
                    Err(failure) => fault = Some(self.failed(&relay, failure)),
                }
            }
            attempts += 1;
            let wait = patience.backoff(attempts, None, self.http.senses.chance());
            match fault {
                None => return Ok(None),
                Some(_) if unknown => return Ok(None),
                Some(fault) if begun.elapsed() + wait >= patience.give_up => return Err(fault),
                Some(_) => self.http.transport.sleep(wait).await,
            }
        }
    }

    /// A device's final head: the newest that as many relays prove as are to hold a run, if so many do.
    pub(super) async fn head(
        &self,
        checker: &HeadChecker,
        question: &Question,
    ) -> Result<FinalHead, ChainFault> {
        let patience = &self.settings.patience;
        let wanted = self.settings.copies.max(1) as usize;
        let begun = self.http.senses.moment();
        let mut attempts = 0;
        loop {
            let mut heads: Vec<FinalHead> = Vec::new();
            let mut fault: Option<ChainFault> = None;
            for relay in self.in_turn(question.device.0)? {
                let rest = relay.rest();
                if heads.len() == wanted || (!rest.is_zero() && !heads.is_empty()) {
                    break; // One answer now is better than two later.
                }
                self.http.transport.sleep(rest).await;
                match self.head_from(&relay, checker, question).await {
                    Ok(head) => heads.push(head),
                    Err(Unproved::NotYet(found)) => fault = fault.or(Some(found)),
                    Err(Unproved::Unanswered(found, wait)) => {
                        relay.failed(patience, &found, wait);
                        // A failure that may pass is the better reason to ask again.
                        fault = match fault {
                            Some(earlier @ ChainFault { passing: true, .. }) => Some(earlier),
                            _ => Some(found),
                        };
                    }
                    Err(Unproved::Wrong(found)) => {
                        relay.doubt(self.http.senses.now(), &found);
                        fault = fault.or(Some(found));
                    }
                }
            }
            let newest = |head: &FinalHead| (head.block(), head.head().length);
            if let Some(head) = heads.into_iter().max_by_key(newest) {
                return Ok(head);
            }
            attempts += 1;
            let wait = patience.backoff(attempts, None, self.http.senses.chance());
            let fault = fault.unwrap_or_else(nobody);
            if !fault.passing || begun.elapsed() + wait >= patience.give_up {
                return Err(fault);
            }
            self.http.transport.sleep(wait).await;
        }
    }

    /// A device's final head as one relay proves it.
    pub(super) async fn head_from(
        &self,
        relay: &Relay,
        checker: &HeadChecker,
        question: &Question,
    ) -> Result<FinalHead, Unproved> {
        if checker.trusts_words() {
            return self.word_from(relay, checker, question).await;
        }
        let device = question.device;
        for _ in 0..MOST_STEPS {
            let set = checker.set();
            let from = set.map_or_else(String::new, |set| format!("set={set}&"));
            let trusted = checker.checkpoints();
            let trusted: Vec<_> = trusted.iter().map(|it| Hex(&it.hash).to_string()).collect();
            let over = match trusted.is_empty() {
                true => String::new(),
                false => format!("&checkpoints={}", trusted.join(",")),
            };
            let path = format!(
                "/v1/devices/{device}/proof?{from}record={}{over}",
                question.record
            );
            let request = Request {
                longest_answer: HeadProof::LARGEST,
                ..self.ask(relay, &path)
            };
            let proof = self.http.send_bytes(request).await;
            let proof = proof.map_err(|failure| unproved(relay, failure))?;
            relay.worked();
            match checker.check(question, &proof) {
                Ok(Checked::Head(head)) => return Ok(head),
                Ok(Checked::OnTheWay) => {}
                // Meanwhile another proof led to later authorities.
                Err(_) if checker.set() != set => {}
                Err(refused) => {
                    let behind = match refused.is_of_a_laggard() {
                        true => " It is behind, or shows what was true once. On a development chain that was begun anew, begin with a new state file.",
                        false => "",
                    };
                    let fault = ChainFault {
                        code: refused.code.into(),
                        message: format!("{}: {refused}{behind}", relay.address),
                        passing: true,
                    };
                    // A number that a server made up, or whose block this relay has not seen; or of two honest relays one hears
                    // of a block before the other, and their answers come in any order.
                    return match refused.is_of_nobody() || refused.is_of_a_laggard() {
                        true => Err(Unproved::NotYet(fault)),
                        false => Err(Unproved::Wrong(fault)),
                    };
                }
            }
        }
        Err(Unproved::Wrong(ChainFault {
            code: "proof_too_long".into(),
            message: format!("{}: its proofs lead to no head.", relay.address),
            passing: true,
        }))
    }

    /// The same by the relay's word, for chains that have no proofs.
    async fn word_from(
        &self,
        relay: &Relay,
        checker: &HeadChecker,
        question: &Question,
    ) -> Result<FinalHead, Unproved> {
        let path = format!("/v1/devices/{}", question.device);
        let request = self.ask(relay, &path);
        let told = self.http.send::<DeviceOnChain>(request).await;
        let told = told.map_err(|failure| unproved(relay, failure))?;
        relay.worked();
        if told.device != question.device || told.key.0 != question.key.0 {
            return Err(Unproved::Wrong(other_device(relay, &path)));
        }
        let told = ChainDevice {
            number: told.device,
            genesis: told.genesis,
            head: told.chain.head,
            retired: told.status == DeviceStatus::Retired,
        };
        checker
            .take_word(told.number, told.head, Some(&told))
            .map_err(Unproved::Wrong)
    }

    /// The relays in the order in which a device turns to them; those that need not be left alone first.
    pub(super) fn in_turn(&self, first: u32) -> Result<Vec<Arc<Relay>>, ChainFault> {
        let relays = preference(&self.relays()?, first, self.http.senses.now());
        let (mut ready, resting): (Vec<_>, Vec<_>) =
            relays.into_iter().partition(|relay| relay.rest().is_zero());
        ready.extend(resting);
        Ok(ready)
    }

    /// What a failure of a relay means to the others, and to whoever asked.
    pub(super) fn failed(&self, relay: &Relay, failure: Failure) -> ChainFault {
        let (passing, wait) = (failure.may_pass(), failure.wait());
        let fault = failure.at(&relay.address);
        match passing {
            true => relay.failed(&self.settings.patience, &fault, wait),
            false => tracing::warn!(%fault, "a relay does not answer the question"),
        }
        fault
    }
}

/// What it means that there is no proof.
fn unproved(relay: &Relay, failure: Failure) -> Unproved {
    let wait = failure.wait();
    match failure.refusal() {
        // It has not seen the block of the enrolment yet, or says so.
        Some(Code::UnknownDevice) => {
            relay.worked();
            let fault = failure.at(&relay.address);
            return Unproved::Unanswered(
                ChainFault {
                    passing: true,
                    ..fault
                },
                wait,
            );
        }
        // An honest relay may have to say so. Whether all of them do shows when they are asked.
        Some(Code::SetNotBridged) => return Unproved::Unanswered(failure.at(&relay.address), wait),
        _ => {}
    }
    match failure.may_pass() {
        true => Unproved::Unanswered(failure.at(&relay.address), wait),
        false => Unproved::Wrong(ChainFault {
            passing: true,
            ..failure.at(&relay.address)
        }),
    }
}

fn other_device(relay: &Relay, path: &str) -> ChainFault {
    ChainFault {
        code: "nonsense_answer".into(),
        message: format!(
            "{}: it answered {path} with something that was not asked for.",
            relay.address
        ),
        passing: true,
    }
}

fn nobody() -> ChainFault {
    ChainFault {
        code: "server_unreachable".into(),
        message: "No relay answered.".into(),
        passing: true,
    }
}
