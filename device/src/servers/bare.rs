// SPDX-License-Identifier: Apache-2.0

//! Bare records: the topologies of the paper's Figures 2a and 2b, in which phones do not chain.
//!
//! The device sends its data alone, and a relay chains them on its behalf. Nothing protects them on their way, and a
//! device cannot tell whether what is registered is what it sent. It always turns to the same relay: a second one would
//! chain them a second time.

use alloc::sync::Arc;
use alloc::{string::ToString, vec::Vec};

use mhealth_api::{BareRecord, Base64, Code};

use super::{
    http::{refusal, Failure},
    inner::Inner,
    relay::{preference, Relay},
    views::Unproved,
};
use crate::{
    chain::{ChainFault, Decision, FinalHead, HeadChecker, OutgoingRun, Question, Receipt, Upload},
    host::Transport,
};

/// Sends a device's entries as bare records and waits until so many are registered. One decision a run.
pub(super) async fn deliver_bare<T: Transport>(
    inner: Arc<Inner<T>>,
    checker: HeadChecker,
    upload: Upload,
) -> Result<Vec<Decision<Receipt>>, ChainFault> {
    if let Err(refused) = inner.token(upload.device, &upload.key).await? {
        return Ok(vec![Err(refused); upload.runs.len()]);
    }
    let relays = preference(&inner.relays()?, upload.device.0, 0);
    let Some(relay) = relays.first() else {
        return Ok(Vec::new());
    };
    let mut decisions: Vec<Decision<Receipt>> = Vec::new();
    for outgoing in &upload.runs {
        let decision = match decisions.last() {
            Some(Err(refused)) => Err(refused.clone()),
            _ => send_run(&inner, relay, &upload, outgoing).await?,
        };
        decisions.push(decision);
    }
    let sent = upload.runs.iter().zip(&decisions);
    let last = sent
        .filter(|(_, decision)| decision.is_ok())
        .filter_map(|(out, _)| out.run.last_sequence());
    if let Some(last) = last.max() {
        let known = await_length(&inner, &checker, relay, &upload.question(), last).await?;
        for receipt in decisions.iter_mut().flatten() {
            receipt.head = Some(known.clone());
        }
    }
    Ok(decisions)
}

async fn send_run<T: Transport>(
    inner: &Inner<T>,
    relay: &Relay,
    upload: &Upload,
    OutgoingRun { run, envelopes, .. }: &OutgoingRun,
) -> Result<Decision<Receipt>, ChainFault> {
    for (sequence, envelope) in (run.first_sequence..).zip(envelopes) {
        let record = BareRecord {
            device: upload.device,
            sequence,
            envelope: Base64(envelope.clone()),
        };
        let body = serde_json::to_vec(&record).expect("bytes and numbers always serialise; qed");
        if let Err(problem) = insist(inner, relay, upload, body).await? {
            return Ok(Err(refusal(&problem)));
        }
    }
    Ok(Ok(Receipt {
        holders: vec![relay.address.to_string()],
        head: None,
    }))
}

/// Sends one record until the relay takes or refuses it.
async fn insist<T: Transport>(
    inner: &Inner<T>,
    relay: &Relay,
    upload: &Upload,
    body: Vec<u8>,
) -> Result<Result<(), mhealth_api::Problem>, ChainFault> {
    let patience = &inner.settings.patience;
    let begun = inner.http.senses.moment();
    let (mut failures, mut renewed) = (0, false);
    inner.observer.turn().await;
    loop {
        let token = match inner.token(upload.device, &upload.key).await? {
            Ok(token) => token,
            Err(refused) => {
                return Err(ChainFault {
                    code: refused.code,
                    message: refused.message,
                    passing: false,
                })
            }
        };
        let address = relay.address.at("/v1/records");
        let sent = inner.http.senses.moment();
        let answer: Result<serde_json::Value, _> = inner
            .http
            .post_proven(&address, &body, &upload.key, Some(&token))
            .await;
        let failure = match answer {
            Ok(_) => {
                inner.observer.accepted(1, sent.elapsed());
                return Ok(Ok(()));
            }
            Err(failure) => failure,
        };
        inner.observer.repeated();
        match failure {
            Failure::Refused(problem)
                if problem.known_code() == Some(Code::TokenExpired) && !renewed =>
            {
                inner.tokens.forget(upload.device, &token);
                renewed = true;
            }
            Failure::Refused(problem) if problem.known_code() != Some(Code::UnknownDevice) => {
                return Ok(Err(problem));
            }
            failure => {
                failures += 1;
                let wait = patience.backoff(failures, failure.wait(), inner.http.senses.chance());
                let hopeless = matches!(failure, Failure::Nonsense(_));
                if hopeless || begun.elapsed() + wait >= patience.give_up {
                    return Err(failure.at(&relay.address));
                }
                inner.http.transport.sleep(wait).await;
            }
        }
    }
}

/// Waits until it is proved that the chain has so many entries of the device.
async fn await_length<T: Transport>(
    inner: &Inner<T>,
    checker: &HeadChecker,
    relay: &Relay,
    question: &Question,
    length: u64,
) -> Result<FinalHead, ChainFault> {
    let begun = inner.http.senses.moment();
    let mut first = true;
    loop {
        let at_once = core::mem::take(&mut first);
        let wait = inner.pause(at_once, begun.elapsed());
        inner.http.transport.sleep(wait).await;
        match inner.head_from(relay, checker, question).await {
            Ok(known) if known.head().length >= length => {
                inner.expectation.learn(begun.elapsed(), at_once);
                inner.observer.finalised(begun.elapsed());
                return Ok(known);
            }
            Err(Unproved::Wrong(fault)) => return Err(fault),
            _ if begun.elapsed() > inner.settings.patience.finality => {
                return Err(ChainFault {
                    code: "chain_stalled".into(),
                    message: format!(
                        "{}: it accepted the records, and there is no proof that the chain has finalised them.",
                        relay.address
                    ),
                    passing: true,
                });
            }
            _ => {}
        }
    }
}
