// SPDX-License-Identifier: Apache-2.0

//! The authentication server: codes, enrolments, tokens.

use alloc::string::ToString;
use alloc::sync::Arc;
use core::{cmp::Ordering, future::Future};

use hashchain::{DeviceId, StudyId};
use mhealth_api::{
    enrolment_message, key_proof_message, Base64, Code, CodeTerms, CodeTermsRequest, EnrolRequest,
    Enrolled, Hash, Head, Key, Problem, SignatureBytes, StudyTerms, TokenAnswer, TokenRequest,
};
use serde::{de::DeserializeOwned, Serialize};
use zeroize::Zeroizing;

use super::{
    address::Address,
    http::{quote, refusal, Failure, Http},
    patience::Patience,
};
use crate::{
    book::{DeviceRecord, EnrolmentCode, Terms},
    chain::{ChainDevice, ChainFault, ChainRefusal, Decision, Enrolment},
    host::{Request, Transport},
    key::DeviceKey,
    senses::Senses,
};

/// How many times longer a device waits for a server that has too many of them.
const PATIENCE_IN_A_QUEUE: u32 = 20;

/// A study's authentication server.
#[derive(Debug)]
pub struct AuthenticationServer<T> {
    address: Address,
    http: Arc<Http<T>>,
    patience: Patience,
}

impl<T: Transport> AuthenticationServer<T> {
    /// A server by its base address.
    pub fn at(address: Address, patience: Patience, transport: T, senses: Senses) -> Self {
        let http = Http::new(transport, senses, &patience);
        Self::with(address, Arc::new(http), patience)
    }

    pub(super) fn with(address: Address, http: Arc<Http<T>>, patience: Patience) -> Self {
        Self {
            address,
            http,
            patience,
        }
    }

    /// A study as the server sees it; `None` if there is none of this number.
    pub async fn study(&self, study: StudyId) -> Result<Option<StudyTerms>, ChainFault> {
        let address = self.address.at(&format!("/v1/studies/{study}"));
        let answer = self
            .insist(|| self.http.send(self.http.get(address.clone())))
            .await?;
        match answer {
            Ok(terms) => Ok(Some(terms)),
            Err(problem) if problem.known_code() == Some(Code::UnknownStudy) => Ok(None),
            Err(problem) => Err(self.fault(problem)),
        }
    }

    /// What a code is for. It is not used up by asking. Refused where the server calls itself by another address: whoever used the
    /// code would get no token. Of the chain and the participant's key the server is not believed: the code has their pin.
    pub async fn code_terms(
        &self,
        code: &EnrolmentCode,
    ) -> Result<Decision<CodeTerms>, ChainFault> {
        let request = CodeTermsRequest {
            code: code.reveal().to_string(),
        };
        let told: Decision<CodeTerms> = self.request("/v1/code", &request, None).await?;
        Ok(told.and_then(|terms| match self.address.is(&terms.issuer) {
            true => pinned(code, terms),
            false => Err(self.another_address(&terms.issuer)),
        }))
    }

    /// Enrols a device with its code, and waits until that is finalised. What the code is for is compared with what
    /// the device was made for before the code is used.
    pub(super) async fn enrol(
        &self,
        terms: &Terms,
        enrolment: &Enrolment,
    ) -> Result<Decision<ChainDevice>, ChainFault> {
        let Some(code) = &enrolment.code else {
            return Ok(Err(ChainRefusal::before_the_chain(
                "no_code",
                "The device has no enrolment code. Ask the study's staff for one.",
            )));
        };
        // A server says of a used code, too, what it was for: this device may have used it, and not got the answer.
        let found = match self.code_terms(code).await? {
            Ok(found) => found,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = compare(&found, terms, &enrolment.device) {
            return Ok(Err(refusal));
        }
        let request = enrol_request(terms, &found.server, enrolment, code);
        let answer: Decision<Enrolled> = self.request("/v1/enrol", &request, None).await?;
        Ok(match answer {
            Ok(enrolled) if enrolled.study != terms.study => Err(ChainRefusal::before_the_chain(
                Code::WrongStudy.as_str(),
                format!("The device was enrolled in study {}.", enrolled.study),
            )),
            Ok(enrolled) => Ok(ChainDevice {
                number: enrolled.device,
                genesis: enrolled.genesis,
                head: Head {
                    hash: enrolled.genesis,
                    length: 0,
                },
                retired: false,
            }),
            Err(refusal) => Err(refusal),
        })
    }

    /// A new token for a device that proves that it possesses its key, or why it gets none.
    pub(super) async fn token(
        &self,
        device: DeviceId,
        key: &DeviceKey,
    ) -> Result<Result<TokenAnswer, Problem>, ChainFault> {
        let address = self.address.at("/v1/token");
        let body =
            serde_json::to_vec(&TokenRequest { device }).expect("a number always serialises; qed");
        let ask = || self.http.post_proven(&address, &body, key, None);
        self.insist(ask).await
    }

    /// Posts a message of the interface to one of the server's addresses, in the name of whoever has the credential.
    /// Asked again as long as patience lasts. A device needs no credential; programs of the study's staff do.
    pub async fn request<A: DeserializeOwned>(
        &self,
        path: &str,
        message: &impl Serialize,
        credential: Option<&str>,
    ) -> Result<Decision<A>, ChainFault> {
        let body =
            serde_json::to_vec(message).expect("messages of the interface always serialise; qed");
        let send = || {
            let mut request = Request {
                patience: self.patience.enrolment,
                waits: true,
                ..self.http.post(self.address.at(path), body.clone())
            };
            if let Some(credential) = credential {
                let value = Zeroizing::new(format!("Bearer {credential}"));
                request.headers.push(("authorization", value));
            }
            self.http.send(request)
        };
        let answer = self.insist(send).await?;
        Ok(answer.map_err(|problem| refusal(&problem)))
    }

    /// Asks until there is an answer, with waits in between, as long as patience lasts.
    async fn insist<A, F: Future<Output = Result<A, Failure>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<Result<A, Problem>, ChainFault> {
        let begun = self.http.senses.moment();
        let mut failures = 0;
        loop {
            match ask().await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(Failure::Refused(problem)) => return Ok(Err(problem)),
                Err(failure) => {
                    failures += 1;
                    let chance = self.http.senses.chance();
                    let wait = self.patience.backoff(failures, failure.wait(), chance);
                    // A server that says "later" to a cohort is there, and gets to everybody in the end.
                    let patience = match failure.is_later() {
                        true => self.patience.give_up * PATIENCE_IN_A_QUEUE,
                        false => self.patience.give_up,
                    };
                    let over = begun.elapsed() + wait > patience;
                    if over || !failure.may_pass() {
                        return Err(failure.at(&self.address));
                    }
                    self.http.transport.sleep(wait).await;
                }
            }
        }
    }

    fn another_address(&self, issuer: &str) -> ChainRefusal {
        let (address, issuer) = (&self.address, quote(issuer));
        ChainRefusal::before_the_chain(
            "other_address",
            format!(
                "The authentication server is {address} to this device and {issuer} to itself, and takes proofs for its own \
                 name only. Use {issuer}, or have the server's --issuer changed. The code was not used."
            ),
        )
    }

    fn fault(&self, problem: Problem) -> ChainFault {
        Failure::Refused(problem).at(&self.address)
    }
}

/// What a device must be made for to redeem a code.
impl From<&CodeTerms> for Terms {
    fn from(found: &CodeTerms) -> Self {
        Self {
            chain: found.chain.0,
            study: found.study,
            auditor_key: found.auditor_key.0,
            auditor_epoch: found.auditor_epoch,
        }
    }
}

/// The terms, if they name the chain and the key that the code is for. Which of the two differs, the pin does not tell.
fn pinned(code: &EnrolmentCode, terms: CodeTerms) -> Decision<CodeTerms> {
    let key = terms.participant_key.as_ref();
    if !code.is_for(&terms.chain, key) {
        return Err(ChainRefusal::before_the_chain(
            Code::AnotherParticipantKey.as_str(),
            "The authentication server names another participant's key than the code is for, or another chain. The code was not used. \
             Report this to the study: who holds that other key could read what only the participant should, and nobody vouches for \
             another chain.",
        ));
    }
    if key.is_some_and(|key| hashchain::is_weak_sealing_key(&key.0)) {
        return Err(ChainRefusal::before_the_chain(
            Code::WeakParticipantKey.as_str(),
            Code::WeakParticipantKey.title(),
        ));
    }
    Ok(terms)
}

/// Whether a code is for what the device was made for.
pub(crate) fn compare(
    found: &CodeTerms,
    terms: &Terms,
    device: &DeviceRecord,
) -> Result<(), ChainRefusal> {
    let differs = if found.chain.0 != terms.chain {
        "chain"
    } else if found.study != terms.study {
        "study"
    } else if !is_auditor_key(found, device) {
        "auditor key"
    } else if found.participant_key.map(|key| key.0) != device.recipient {
        return Err(ChainRefusal::before_the_chain(
            Code::AnotherParticipantKey.as_str(),
            "The enrolment code is for another participant's key than the device seals to. The code was not used.",
        ));
    } else if found.predecessor != device.predecessor {
        "predecessor"
    } else {
        return Ok(());
    };
    Err(ChainRefusal::before_the_chain(
        "other_terms",
        format!(
            "The enrolment code names another {differs} than the device was made for. The code was not used."
        ),
    ))
}

/// Whether the key to which the device's secret is escrowed may be the study's: the one that is named, or one before it.
fn is_auditor_key(found: &CodeTerms, device: &DeviceRecord) -> bool {
    match found.auditor_epoch.cmp(&device.auditor_epoch) {
        Ordering::Less => false,
        Ordering::Equal => found.auditor_key.0 == device.auditor_key,
        // Whether it still takes that one, the chain decides.
        Ordering::Greater => true,
    }
}

/// The same device and code always make the same request to the same server.
fn enrol_request(
    terms: &Terms,
    server: &Key,
    enrolment: &Enrolment,
    code: &EnrolmentCode,
) -> EnrolRequest {
    let device = &enrolment.device;
    let mut request = EnrolRequest {
        code: code.reveal().to_string(),
        device_key: Key(device.key.0),
        secret_commitment: Hash(device.secret_commitment),
        escrow: Base64(device.escrow.clone()),
        auditor_epoch: device.auditor_epoch,
        participant: Hash(device.participant_digest()),
        proof: SignatureBytes([0; 64]),
        key_proof: SignatureBytes([0; 64]),
    };
    let chain = Hash(terms.chain);
    let message = enrolment_message(&chain, terms.study, &request);
    request.proof = SignatureBytes(enrolment.key.sign(&message).0);
    let predecessor = device.predecessor.map(|before| before.device);
    let auditor = Key(device.auditor_key);
    let message = key_proof_message(&chain, terms.study, server, &auditor, predecessor, &request);
    request.key_proof = SignatureBytes(enrolment.key.sign(&message).0);
    request
}
