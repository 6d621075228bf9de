// SPDX-License-Identifier: Apache-2.0

//! One relay: sending it a device's runs, and asking it until they are finalised.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use hashchain::DeviceId;
use mhealth_api::{BlockRef, Code, Head, Refusal, RunState, RunStatus};

use super::{
    address::Address,
    http::{refusal, Failure},
    inner::Inner,
    prepared::PreparedRun,
    relay::Relay,
};
use crate::{
    chain::{ChainFault, ChainRefusal},
    key::DeviceKey,
};

/// How often one relay is sent runs from before once more, because it lacks them.
const MOST_REWINDS: u32 = 3;

/// How often one relay is sent runs anew that it accepted and then knew nothing of.
const MOST_LOSSES: u32 = 3;

/// What a relay said to an upload.
enum Posted {
    Accepted(RunStatus, Instant),
    /// It lacks what comes before; its head.
    Gap(Head),
    Refused(ChainRefusal),
}

/// What became of a run at a relay.
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

/// Why a relay did not get a device's runs.
#[derive(Debug)]
pub(super) enum DeliveryError {
    /// The relay is away or has too much to do.
    Relay(ChainFault, Option<Duration>),
    /// The relay works and has no room for this device at present.
    Device(ChainFault, Option<Duration>),
    /// This device cannot use the relay.
    Unusable(ChainFault),
    /// No relay can help.
    Hopeless(ChainFault),
}

/// Runs that the relay accepted, by their places, with the times at which they were sent.
pub(super) type Accepted = BTreeMap<usize, Instant>;

/// Brings one device's runs to one relay.
pub(super) struct Carrier<'a> {
    pub(super) inner: &'a Inner,
    pub(super) device: DeviceId,
    pub(super) key: &'a DeviceKey,
    pub(super) runs: &'a [PreparedRun],
    pub(super) relay: &'a Relay,
}

impl Carrier<'_> {
    /// Brings a relay what it has not accepted yet, and waits until it says that everything is finalised or refused.
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
        Err(forgetful(self.relay))
    }

    async fn send(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<(), DeliveryError> {
        // Places that are sent again although they are answered, because the relay lacks them.
        let mut again = HashSet::new();
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
                    match self.settled(run, &status)? {
                        None => {
                            accepted.insert(next, sent);
                        }
                        Some(answer) => {
                            let refused = !matches!(answer, Answer::Finalised(..));
                            answers[next] = Some(answer);
                            if refused {
                                break; // What follows cannot be recorded.
                            }
                        }
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
                        return Err(forgetful(self.relay));
                    }
                    rewinds += 1;
                    again.extend(from..next);
                    next = from;
                }
                Posted::Refused(refusal) => {
                    answers[next] = Some(Answer::Refused(self.relay.address.clone(), refusal));
                    break;
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
            let token = match inner.token(self.device, self.key).await {
                Ok(Ok(token)) => token,
                Ok(Err(refusal)) => return Ok(Posted::Refused(refusal)),
                Err(fault) => return Err(DeliveryError::Hopeless(fault)),
            };
            let address = relay.address.at("/v1/runs");
            let permit = http.permit().await;
            let sent = Instant::now();
            let patience = inner.settings.patience.answer;
            let answer: Result<RunStatus, _> = http
                .post_proven(&address, &run.body, self.key, Some(&token), patience)
                .await;
            drop(permit);
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
                inner.tokens.forget(self.device, &token);
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

    /// Asks for what was accepted until all of it is settled. `false`: the relay has lost it.
    async fn await_finality(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<bool, DeliveryError> {
        let inner = self.inner;
        let mut first = true;
        // The entries of the latest run follow those of all others: once it is finalised, so are they.
        while let Some((latest, sent)) = accepted
            .iter()
            .max_by_key(|(place, _)| self.runs[**place].last)
            .map(|(place, sent)| (*place, *sent))
        {
            let (soonest, next) = inner.expectation.waits();
            let wait = match std::mem::take(&mut first) {
                true => soonest.saturating_sub(sent.elapsed()),
                false => next,
            };
            tokio::time::sleep(wait.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
            match self.look(latest).await? {
                None => {
                    accepted.clear();
                    return Ok(false);
                }
                Some(None) => {
                    if sent.elapsed() > inner.settings.patience.finality {
                        return Err(DeliveryError::Hopeless(stalled(sent.elapsed())));
                    }
                }
                Some(Some(answer @ Answer::Finalised(..))) => {
                    inner.expectation.learn(sent.elapsed());
                    for (place, sent) in std::mem::take(accepted) {
                        inner.observer.finalised(sent.elapsed());
                        answers[place] = Some(match &answer {
                            Answer::Finalised(by, _) if place != latest => {
                                Answer::Finalised(by.clone(), None)
                            }
                            other => other.clone(),
                        });
                    }
                }
                Some(Some(_)) => {
                    // One of those before it may be the cause; each is asked for.
                    for place in accepted.keys().copied().collect::<Vec<_>>() {
                        if let Some(Some(answer)) = self.look(place).await? {
                            answers[place] = Some(answer);
                            accepted.remove(&place);
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    /// Asks for one run: `None` if the relay does not know it, an inner `None` while it is under way.
    async fn look(&self, place: usize) -> Result<Option<Option<Answer>>, DeliveryError> {
        let http = &self.inner.http;
        let run = &self.runs[place];
        let address = self.relay.address.at(&format!("/v1/runs/{}", run.id));
        match http.send::<RunStatus>(http.get(address)).await {
            Ok(status) => {
                self.relay.worked();
                self.settled(run, &status).map(Some)
            }
            Err(failure) if failure.refusal() == Some(Code::UnknownRun) => Ok(None),
            Err(failure) if failure.may_pass() => {
                let wait = failure.wait();
                Err(DeliveryError::Relay(failure.at(&self.relay.address), wait))
            }
            Err(failure) => Err(DeliveryError::Unusable(failure.at(&self.relay.address))),
        }
    }

    /// What a status says of a run; `None` while it is under way. A status of another run shows that the relay is not
    /// what it should be.
    fn settled(
        &self,
        run: &PreparedRun,
        status: &RunStatus,
    ) -> Result<Option<Answer>, DeliveryError> {
        if !run.is_of(status, self.device) {
            return Err(DeliveryError::Unusable(ChainFault {
                code: "receipt_mismatch".into(),
                message: format!(
                    "{}: its receipt is not for the run that was sent.",
                    self.relay.address
                ),
                passing: false,
            }));
        }
        let address = self.relay.address.clone();
        let refusal = || match &status.reason {
            Some(reason) => {
                ChainRefusal::by_chain(reason.clone(), format!("The chain refused it: {reason}."))
            }
            None => ChainRefusal::before_the_chain(
                "refused",
                "The relay says that the chain refused it, but not why.",
            ),
        };
        match status.state {
            // A state that only newer relays have is no end.
            RunState::Pending | RunState::Submitted | RunState::Unknown(_) => Ok(None),
            RunState::Finalised => Ok(Some(Answer::Finalised(address, status.block))),
            // Another relay may serve the study.
            RunState::Refused if status.reason == Some(Refusal::NotARelayOfThisStudy) => {
                Err(DeliveryError::Unusable(ChainFault {
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

fn is_about_the_proof(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        MissingProof
            | MalformedProof
            | InvalidProof
            | ProofByAnotherKey
            | ProofForAnotherMethod
            | ProofForAnotherAddress
            | ProofForAnotherToken
            | UseDpopNonce
            | ReplayedProof
    )
}

/// Refusals that another relay may not share.
fn is_about_the_relay(code: Code) -> bool {
    use Code::*;
    is_about_the_token(code)
        || is_about_the_proof(code)
        || matches!(
            code,
            UnknownIssuer | WrongChain | NotFound | MethodNotAllowed | NotChainedHere
        )
}

fn forgetful(relay: &Relay) -> DeliveryError {
    DeliveryError::Unusable(ChainFault {
        code: "relay_loses_runs".into(),
        message: format!(
            "{}: it accepts runs and afterwards does not know them.",
            relay.address
        ),
        passing: true,
    })
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

fn stalled(waited: Duration) -> ChainFault {
    ChainFault {
        code: "chain_stalled".into(),
        message: format!(
            "A relay accepted the entries {} seconds ago, but the chain has not finalised them. The relay keeps them.",
            waited.as_secs()
        ),
        passing: true,
    }
}
