// SPDX-License-Identifier: Apache-2.0

//! One relay: sending it a device's runs. [`super::waiting`] has the rest: asking it until they are proved to be final.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use mhealth_api::{Code, Head, RunStatus};

use super::{
    address::Address,
    http::{refusal, Failure},
    inner::Inner,
    prepared::PreparedRun,
    relay::Relay,
    waiting::Said,
};
use crate::{
    chain::{ChainFault, ChainRefusal, FinalHead, HeadChecker, Question},
    host::Transport,
    key::DeviceKey,
    senses::Moment,
};

/// How often one relay is sent runs from before once more, because it lacks them.
const MOST_REWINDS: u32 = 3;

/// How often one relay is sent runs anew that it accepted and then knew nothing of.
const MOST_LOSSES: u32 = 3;

/// What a relay said to an upload.
enum Posted {
    Accepted(RunStatus, Moment),
    /// It lacks what comes before; its head.
    Gap(Head),
    Refused(ChainRefusal),
}

/// What became of a run at a relay.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The chain has as many entries of the device, as this head shows. The relay took the run.
    Final(Address, FinalHead),
    /// It is final, and this relay acknowledged it earlier.
    Held(Address),
    /// The relay says that it or the chain refused it.
    Refused(ChainRefusal),
}

/// Why a relay did not get a device's runs.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// The relay is away or has too much to do.
    Relay(ChainFault, Option<Duration>),
    /// The relay works and has no room for this device at present.
    Device(ChainFault, Option<Duration>),
    /// This device cannot use the relay.
    Unusable(ChainFault),
    /// The relay did not do what it said: it keeps runs back, loses them, or shows what is no proof.
    Doubtful(ChainFault),
    /// The relay had its share of the call's time. It may be slow and no more.
    Late(ChainFault),
    /// The relay says that the run of this place is refused. Others may say something else.
    Refused(usize, ChainRefusal),
    /// No relay can help.
    Hopeless(ChainFault),
}

/// Runs that the relay accepted, by their places, with the times at which they were sent.
pub(super) type Accepted = BTreeMap<usize, Moment>;

/// Brings one device's runs to one relay.
pub(super) struct Carrier<'a, T> {
    pub(super) inner: &'a Inner<T>,
    pub(super) checker: &'a HeadChecker,
    pub(super) question: Question,
    pub(super) key: &'a DeviceKey,
    pub(super) runs: &'a [PreparedRun],
    pub(super) relay: &'a Relay,
    /// Whether another relay could be turned to.
    pub(super) has_others: bool,
}

impl<T: Transport> Carrier<'_, T> {
    /// Brings a relay what it has not accepted yet, and waits until it is proved that everything is final.
    pub(super) async fn carry(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<(), DeliveryError> {
        for _ in 0..MOST_LOSSES {
            self.send(answers, accepted).await?;
            if self.await_finality(answers, accepted).await? {
                return Ok(());
            }
            tracing::warn!(relay = %self.relay.address, "it lost what it had accepted; sending it again");
            self.inner.observer.repeated();
        }
        Err(DeliveryError::Doubtful(forgetful(self.relay)))
    }

    async fn send(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<(), DeliveryError> {
        // Places that are sent again although they are answered, because the relay lacks them.
        let mut again = BTreeSet::new();
        let (mut next, mut rewinds) = (0, 0);
        while let Some(run) = self.runs.get(next) {
            let held = run.holders.iter().any(|h| h == self.relay.address.as_str());
            if held && answers[next].is_none() {
                answers[next] = Some(Answer::Held(self.relay.address.clone()));
            }
            let done = answers[next].is_some() || accepted.contains_key(&next);
            if done && !again.contains(&next) {
                next += 1;
                continue;
            }
            match self.post(run).await? {
                Posted::Accepted(status, sent) => {
                    if let Said::Refused(refusal) = self.said(run, &status)? {
                        // What follows cannot be recorded. What went before may be under way.
                        self.await_finality(answers, accepted).await?;
                        return Err(DeliveryError::Refused(next, refusal));
                    }
                    if answers[next].is_none() {
                        accepted.insert(next, sent);
                    }
                    next += 1;
                }
                Posted::Gap(head) => {
                    let lacking = head.length.saturating_add(1);
                    let from = self
                        .runs
                        .iter()
                        .position(|run| run.first <= lacking && lacking <= run.last)
                        .filter(|from| *from < next);
                    // What the device does not have any more is finalised; the relay has not seen that yet.
                    let from = from.ok_or_else(|| lagging(self.relay))?;
                    if rewinds == MOST_REWINDS {
                        return Err(DeliveryError::Doubtful(forgetful(self.relay)));
                    }
                    rewinds += 1;
                    again.extend(from..next);
                    next = from;
                }
                Posted::Refused(refusal) => {
                    self.await_finality(answers, accepted).await?;
                    return Err(DeliveryError::Refused(next, refusal));
                }
            }
        }
        Ok(())
    }

    /// Sends one run. A token that the relay does not take is replaced once.
    async fn post(&self, run: &PreparedRun) -> Result<Posted, DeliveryError> {
        let (inner, relay) = (self.inner, self.relay);
        let http = &inner.http;
        let mut renewed = false;
        inner.observer.turn().await;
        loop {
            let token = match inner.token(self.question.device, self.key).await {
                Ok(Ok(token)) => token,
                Ok(Err(refusal)) => return Ok(Posted::Refused(refusal)),
                Err(fault) => return Err(DeliveryError::Hopeless(fault)),
            };
            let address = relay.address.at("/v1/runs");
            let sent = inner.http.senses.moment();
            let answer: Result<RunStatus, _> = http
                .post_proven(&address, &run.body, self.key, Some(&token))
                .await;
            let failure = match answer {
                Ok(status) => {
                    relay.worked();
                    inner.observer.accepted(run.entries(), sent.elapsed());
                    return Ok(Posted::Accepted(status, sent));
                }
                Err(failure) => failure,
            };
            inner.observer.repeated();
            if failure.refusal().is_some_and(is_about_the_token) && !renewed {
                inner.tokens.forget(self.question.device, &token);
                renewed = true;
                continue;
            }
            return self.refused(run, failure);
        }
    }

    /// What it means for the device that a relay did not take a run.
    fn refused(&self, run: &PreparedRun, failure: Failure) -> Result<Posted, DeliveryError> {
        let wait = failure.wait();
        let problem = match failure {
            Failure::Refused(problem) => problem,
            failure if failure.is_later() => {
                return Err(DeliveryError::Device(failure.at(&self.relay.address), wait));
            }
            failure if failure.may_pass() => {
                return Err(DeliveryError::Relay(failure.at(&self.relay.address), wait));
            }
            failure => return Err(DeliveryError::Unusable(failure.at(&self.relay.address))),
        };
        self.relay.worked();
        match (problem.known_code(), problem.head) {
            (Some(Code::Gap), Some(head)) if head.length.saturating_add(1) < run.first => {
                Ok(Posted::Gap(head))
            }
            // The relay has not seen the block of the enrolment yet, or its clock lags.
            (Some(Code::UnknownDevice | Code::TokenNotYetValid), _) => {
                let fault = Failure::Refused(problem).at(&self.relay.address);
                Err(DeliveryError::Device(
                    ChainFault {
                        passing: true,
                        ..fault
                    },
                    wait,
                ))
            }
            (Some(code), _) if is_about_the_relay(code) => Err(DeliveryError::Unusable(
                Failure::Refused(problem).at(&self.relay.address),
            )),
            _ => Ok(Posted::Refused(refusal(&problem))),
        }
    }
}

fn is_about_the_token(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        InvalidToken
            | TokenExpired
            | TokenNotYetValid
            | MissingCredentials
            | InvalidCredentials
            | WrongAudience
    )
}

/// Refusals that another relay may not share.
fn is_about_the_relay(code: Code) -> bool {
    use Code::*;
    is_about_the_token(code)
        || code.is_about_a_proof()
        || matches!(
            code,
            UnknownIssuer | WrongChain | NotFound | MethodNotAllowed | NotChainedHere
        )
}

fn forgetful(relay: &Relay) -> ChainFault {
    ChainFault {
        code: "relay_loses_runs".into(),
        message: format!(
            "{}: it accepts runs and afterwards does not know them.",
            relay.address
        ),
        passing: true,
    }
}

fn lagging(relay: &Relay) -> DeliveryError {
    let fault = ChainFault {
        code: "relay_behind".into(),
        message: format!(
            "{}: it has not seen what the chain has finalised.",
            relay.address
        ),
        passing: true,
    };
    DeliveryError::Device(fault, None)
}
