// SPDX-License-Identifier: Apache-2.0

//! One relay: asking it what became of the runs that it took, and having it prove that they are final.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use mhealth_api::{Code, Refusal, RunState, RunStatus};

use super::{
    carrier::{Accepted, Answer, Carrier, DeliveryError},
    prepared::PreparedRun,
    views::Unproved,
};
use crate::{
    chain::{ChainFault, ChainRefusal, FinalHead},
    host::Transport,
};

/// What a relay says of a run.
pub(super) enum Said {
    /// It is under way.
    UnderWay,
    /// The chain has it.
    Final,
    /// It or the chain refused it.
    Refused(ChainRefusal),
}

impl<T: Transport> Carrier<'_, T> {
    /// Asks for what was accepted until all of it is proved to be final. `false`: the relay has lost it.
    pub(super) async fn await_finality(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<bool, DeliveryError> {
        let inner = self.inner;
        let (mut first, mut refused) = (true, None);
        // The entries of the latest run follow those of all others: once it is final, so are they.
        while let Some((latest, sent)) = accepted
            .iter()
            .max_by_key(|(place, _)| self.runs[**place].last)
            .map(|(place, sent)| (*place, sent.clone()))
        {
            let at_once = core::mem::take(&mut first);
            let wait = inner.pause(at_once, sent.elapsed());
            let wait = wait.mul_f64(0.9 + 0.2 * inner.http.senses.chance());
            inner.http.transport.sleep(wait).await;
            let waited = sent.elapsed();
            let over = waited > inner.settings.patience.finality;
            let late = over || (self.has_others && inner.is_late(waited));
            match self.look(latest).await? {
                None => {
                    accepted.clear();
                    return Ok(false);
                }
                Some(Said::UnderWay) if late => return Err(self.kept(over, waited, None)),
                Some(Said::UnderWay) => {}
                Some(Said::Final) => {
                    let proved = self.prove(answers, accepted).await?;
                    if accepted.is_empty() {
                        inner.expectation.learn(sent.elapsed(), at_once);
                    } else if late {
                        return Err(self.kept(over, waited, proved));
                    }
                }
                Some(Said::Refused(refusal)) => {
                    // One of those before it may be the cause. What went before that one may be final.
                    let mut cause = (latest, refusal);
                    for place in accepted.keys().copied().filter(|place| *place != latest) {
                        if let Some(Said::Refused(refusal)) = self.look(place).await? {
                            cause = (place, refusal);
                            break;
                        }
                    }
                    accepted.retain(|place, _| *place < cause.0);
                    refused = Some(cause);
                }
            }
        }
        match refused {
            Some((place, refusal)) => Err(DeliveryError::Refused(place, refusal)),
            None => Ok(true),
        }
    }

    /// Has the relay prove what it says is final. `Some`: why it has no proof at present.
    async fn prove(
        &self,
        answers: &mut [Option<Answer>],
        accepted: &mut Accepted,
    ) -> Result<Option<ChainFault>, DeliveryError> {
        let inner = self.inner;
        let known = match self.checker.trusts_words() {
            true => self.word(accepted),
            false => {
                let proof = inner.head_from(self.relay, self.checker, &self.question);
                proof.await
            }
        };
        let known = match known {
            Ok(known) => known,
            Err(Unproved::Unanswered(fault, _) | Unproved::NotYet(fault)) => {
                return Ok(Some(fault))
            }
            Err(Unproved::Wrong(fault)) => return Err(DeliveryError::Doubtful(fault)),
        };
        let length = known.head().length;
        let done = accepted
            .iter()
            .filter(|(place, _)| self.runs[**place].last <= length);
        for (place, sent) in done.map(|(p, s)| (*p, s.clone())).collect::<Vec<_>>() {
            accepted.remove(&place);
            inner.observer.finalised(sent.elapsed());
            answers[place] = Some(Answer::Final(self.relay.address.clone(), known.clone()));
            self.relay.delivered();
        }
        Ok(None)
    }

    /// The relay's word that the latest run is final, for chains that have no proofs.
    fn word(&self, accepted: &Accepted) -> Result<FinalHead, Unproved> {
        let latest = accepted
            .keys()
            .next_back()
            .expect("a word is asked for runs; qed");
        self.checker
            .take_word(self.question.device, self.runs[*latest].head, None)
            .map_err(Unproved::Wrong)
    }

    /// Asks what the relay says of one run: `None` if it does not know it.
    async fn look(&self, place: usize) -> Result<Option<Said>, DeliveryError> {
        let run = &self.runs[place];
        let path = format!("/v1/runs/{}", run.id);
        let request = self.inner.ask(self.relay, &path);
        match self.inner.http.send::<RunStatus>(request).await {
            Ok(status) => {
                self.relay.worked();
                self.said(run, &status).map(Some)
            }
            Err(failure) if failure.refusal() == Some(Code::UnknownRun) => Ok(None),
            Err(failure) if failure.may_pass() => {
                let wait = failure.wait();
                Err(DeliveryError::Relay(failure.at(&self.relay.address), wait))
            }
            Err(failure) => Err(DeliveryError::Unusable(failure.at(&self.relay.address))),
        }
    }

    /// What a status says of a run. A status of another run shows that the relay is not what it should be.
    pub(super) fn said(
        &self,
        run: &PreparedRun,
        status: &RunStatus,
    ) -> Result<Said, DeliveryError> {
        if !run.is_of(status, self.question.device) {
            return Err(DeliveryError::Doubtful(ChainFault {
                code: "receipt_mismatch".into(),
                message: format!(
                    "{}: its receipt is not for the run that was sent.",
                    self.relay.address
                ),
                passing: false,
            }));
        }
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
            RunState::Pending | RunState::Submitted | RunState::Unknown(_) => Ok(Said::UnderWay),
            RunState::Finalised => Ok(Said::Final),
            // Another relay may serve the study.
            RunState::Refused if status.reason == Some(Refusal::NotARelayOfThisStudy) => {
                Err(DeliveryError::Unusable(ChainFault {
                    code: refusal().code,
                    message: format!("{}: it does not serve this study.", self.relay.address),
                    passing: false,
                }))
            }
            RunState::Refused | RunState::Conflicting => Ok(Said::Refused(refusal())),
        }
    }

    /// The relay keeps runs for longer than the device's patience, or (not `over`) than its share of the call.
    fn kept(&self, over: bool, waited: Duration, why: Option<ChainFault>) -> DeliveryError {
        let fault = self.stalled(waited, why);
        match over {
            true => DeliveryError::Doubtful(fault),
            false => DeliveryError::Late(fault),
        }
    }

    /// The relay took runs, and there is no proof that the chain has them.
    fn stalled(&self, waited: Duration, why: Option<ChainFault>) -> ChainFault {
        let why = why.map_or_else(String::new, |why| format!(" {why}"));
        ChainFault {
            code: "chain_stalled".into(),
            message: format!(
                "{}: it accepted the entries {} seconds ago, and there is no proof that the chain has finalised them.{why}",
                self.relay.address,
                waited.as_secs()
            ),
            passing: true,
        }
    }
}
