// SPDX-License-Identifier: Apache-2.0
//! One relay: sending it a device's runs, and asking it until they are finalised.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use mhealth_api::{Code, Head, RunStatus};

use super::{
    delivery::{Answer, Delivery, Trouble},
    http::{refusal, Failure},
    parcel::Parcel,
    relay::Relay,
};
use crate::chain::{ChainFault, ChainRefusal};

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

/// Runs that the relay accepted, by their places, with the times at which they were sent.
pub(super) type Accepted = BTreeMap<usize, Instant>;

impl Delivery {
    /// Brings a relay what it has not accepted yet, and waits until it says that everything is finalised or refused.
    pub(super) async fn carry(
        &self,
        relay: &Relay,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<(), Trouble> {
        for _ in 0..MOST_LOSSES {
            self.send(relay, answers, accepted).await?;
            if self.await_finality(relay, answers, accepted).await? {
                return Ok(());
            }
            tracing::warn!(relay = %relay.address, "it lost what it had accepted; sending it again");
            self.inner.tally.repeated();
        }
        Err(forgetful(relay))
    }

    async fn send(
        &self,
        relay: &Relay,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<(), Trouble> {
        // Places that are sent again although they are answered, because the relay lacks them.
        let mut again = HashSet::new();
        let (mut next, mut rewinds) = (0, 0);
        while let Some(parcel) = self.parcels.get(next) {
            let held = parcel.holders.iter().any(|h| h == relay.address.as_str());
            if held && answers[next].is_none() {
                answers[next] = Some(Answer::Held(relay.address.clone()));
            }
            let done = answers[next].is_some() || accepted.contains_key(&next);
            if done && !again.contains(&next) {
                next += 1;
                continue;
            }
            match self.post(relay, parcel).await? {
                Posted::Accepted(status, sent) => {
                    match self.settled(relay, parcel, &status)? {
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
                        .parcels
                        .iter()
                        .position(|p| p.first <= lacking && lacking <= p.last)
                        .filter(|from| *from < next);
                    // What the device does not have any more is finalised; the relay has not seen that yet.
                    let from = from.ok_or_else(|| behind(relay))?;
                    if rewinds == MOST_REWINDS {
                        return Err(forgetful(relay));
                    }
                    rewinds += 1;
                    again.extend(from..next);
                    next = from;
                }
                Posted::Refused(refusal) => {
                    answers[next] = Some(Answer::Refused(relay.address.clone(), refusal));
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends one run. A token that the relay does not take is replaced once.
    async fn post(&self, relay: &Relay, parcel: &Parcel) -> Result<Posted, Trouble> {
        let inner = &self.inner;
        let http = &inner.http;
        let mut renewed = false;
        if let Some(pace) = &inner.pace {
            pace.turn().await;
        }
        inner.tally.begin();
        loop {
            let token = match inner.token(self.device, &self.key).await {
                Ok(Ok(token)) => token,
                Ok(Err(refusal)) => return Ok(Posted::Refused(refusal)),
                Err(fault) => return Err(Trouble::Hopeless(fault)),
            };
            let request = http
                .post(relay.address.at("/v1/runs"), parcel.body.clone())
                .bearer_auth(token.expose());
            let seat = http.seat().await;
            let sent = Instant::now();
            let answer: Result<RunStatus, _> =
                http.send_for(request, inner.settings.patience.answer).await;
            drop(seat);
            let failure = match answer {
                Ok(status) => {
                    relay.worked();
                    inner.tally.accepted(parcel.entries(), sent.elapsed());
                    return Ok(Posted::Accepted(status, sent));
                }
                Err(failure) => failure,
            };
            inner.tally.repeated();
            if failure.refusal().is_some_and(is_about_the_token) && !renewed {
                inner.tokens.forget(self.device, &token);
                renewed = true;
                continue;
            }
            return self.refused(relay, parcel, failure);
        }
    }

    /// What it means for the device that a relay did not take a run.
    fn refused(&self, relay: &Relay, parcel: &Parcel, failure: Failure) -> Result<Posted, Trouble> {
        let wait = failure.wait();
        let problem = match failure {
            Failure::Refused(problem) => problem,
            failure if failure.is_later() => {
                return Err(Trouble::Device(failure.at(&relay.address), wait));
            }
            failure if failure.may_pass() => {
                return Err(Trouble::Relay(failure.at(&relay.address), wait));
            }
            failure => return Err(Trouble::Unusable(failure.at(&relay.address))),
        };
        relay.worked();
        match (problem.known_code(), problem.head) {
            (Some(Code::Gap), Some(head)) if head.length + 1 < parcel.first => {
                Ok(Posted::Gap(head))
            }
            // The relay has not seen the block of the enrolment yet, or its clock lags.
            (Some(Code::UnknownDevice | Code::TokenNotYetValid), _) => {
                let fault = Failure::Refused(problem).at(&relay.address);
                Err(Trouble::Device(
                    ChainFault {
                        passing: true,
                        ..fault
                    },
                    wait,
                ))
            }
            (Some(code), _) if is_about_the_relay(code) => Err(Trouble::Unusable(
                Failure::Refused(problem).at(&relay.address),
            )),
            _ => Ok(Posted::Refused(refusal(&problem))),
        }
    }

    /// Asks for what was accepted until all of it is settled. `false`: the relay has lost it.
    async fn await_finality(
        &self,
        relay: &Relay,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<bool, Trouble> {
        let inner = &self.inner;
        let mut first = true;
        // The entries of the latest run stand on those of all others: once it is finalised, so are they.
        while let Some((latest, sent)) = accepted
            .iter()
            .max_by_key(|(place, _)| self.parcels[**place].last)
            .map(|(place, sent)| (*place, *sent))
        {
            let (soonest, next) = inner.expectation.waits();
            let wait = match std::mem::take(&mut first) {
                true => soonest.saturating_sub(sent.elapsed()),
                false => next,
            };
            tokio::time::sleep(wait.mul_f64(0.9 + 0.2 * rand::random::<f64>())).await;
            match self.look(relay, latest).await? {
                None => {
                    accepted.clear();
                    return Ok(false);
                }
                Some(None) => {
                    if sent.elapsed() > inner.settings.patience.finality {
                        return Err(Trouble::Hopeless(stalled(sent.elapsed())));
                    }
                }
                Some(Some(answer @ Answer::Finalised(..))) => {
                    inner.expectation.learn(sent.elapsed());
                    for (place, sent) in std::mem::take(accepted) {
                        inner.tally.finalised(sent.elapsed());
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
                        if let Some(Some(answer)) = self.look(relay, place).await? {
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
    async fn look(&self, relay: &Relay, place: usize) -> Result<Option<Option<Answer>>, Trouble> {
        let http = &self.inner.http;
        let parcel = &self.parcels[place];
        let address = relay.address.at(&format!("/v1/runs/{}", parcel.run));
        match http.send::<RunStatus>(http.get(address)).await {
            Ok(status) => {
                relay.worked();
                self.settled(relay, parcel, &status).map(Some)
            }
            Err(failure) if failure.refusal() == Some(Code::UnknownRun) => Ok(None),
            Err(failure) if failure.may_pass() => {
                let wait = failure.wait();
                Err(Trouble::Relay(failure.at(&relay.address), wait))
            }
            Err(failure) => Err(Trouble::Unusable(failure.at(&relay.address))),
        }
    }
}

fn is_about_the_token(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        InvalidToken | TokenExpired | TokenNotYetValid | MissingCredentials | InvalidCredentials
    )
}

/// Refusals that another relay may not share.
fn is_about_the_relay(code: Code) -> bool {
    use Code::*;
    is_about_the_token(code)
        || matches!(
            code,
            UnknownIssuer
                | WrongAudience
                | WrongChain
                | NotFound
                | MethodNotAllowed
                | NotChainedHere
        )
}

fn forgetful(relay: &Relay) -> Trouble {
    Trouble::Unusable(ChainFault {
        code: "relay_loses_runs".into(),
        message: format!(
            "{}: it accepts runs and knows nothing of them afterwards.",
            relay.address
        ),
        passing: true,
    })
}

fn behind(relay: &Relay) -> Trouble {
    let fault = ChainFault {
        code: "relay_behind".into(),
        message: format!(
            "{}: it has not seen what the chain has finalised.",
            relay.address
        ),
        passing: true,
    };
    Trouble::Device(fault, None)
}

fn stalled(waited: Duration) -> ChainFault {
    ChainFault {
        code: "chain_stalled".into(),
        message: format!(
            "A relay accepted the entries {} seconds ago, and the chain has not finalised them. The relay keeps them.",
            waited.as_secs()
        ),
        passing: true,
    }
}
