// SPDX-License-Identifier: Apache-2.0

//! From a redeemed code to a device on the chain.
//!
//! The claim — this code, this key, this commitment, this escrow — is durable before the chain is asked, and binds the code
//! for good. Whoever asks again with the same content gets the same answer, through crashes of either side. A database that was put
//! back from an older copy has forgotten claims. The chain has not: what it has of a device, exactly as a request wants it, is done.

use hashchain::{is_strictly_signed, participant_digest, DeviceId, Native};
use mhealth_api::{
    enrolment_message, key_proof_message, Code, CodeTerms, DeviceStatus, EnrolRequest, Enrolled,
    EnrolmentCode, Key, Predecessor, Refusal,
};
use mhealth_chain_client::StudyView;
use mhealth_server::ApiError;

use crate::app::{App, Finalised};
use crate::codes::CodeRecord;
use crate::desk::has_enrolled;
use crate::orders::Outcome;
use crate::store::{Claim, Redemption};

/// What is known of a device that somebody wants to enrol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Its code was redeemed.
    Claimed,
    /// The chain has it, just as the request wants it.
    Enrolled,
    /// The chain has its key with something else.
    Otherwise,
    /// Nothing.
    New,
}

impl App {
    /// What a code is for, without using it. Also of a code that was redeemed: a device that was killed in between asks
    /// again before it goes on.
    pub async fn code_terms(&self, text: &str) -> Result<CodeTerms, ApiError> {
        let record = self.code(text).await?;
        if !record.claimed {
            refuse_unless_open(&record, self.now())?;
        }
        let study = self.study(self.terms.study).await?;
        let predecessor = match record.view.predecessor {
            Some(device) => Some(self.predecessor(device).await?),
            None => None,
        };
        Ok(CodeTerms {
            chain: self.terms.chain,
            issuer: self.terms.issuer.clone(),
            server: self.terms.server,
            study: self.terms.study,
            policy: study.policy,
            auditor_key: Key(study.auditor_key),
            auditor_epoch: study.auditor_epoch(),
            participant_key: record.view.participant_key,
            predecessor,
            expires_at: record.view.expires_at,
        })
    }

    /// Enrols a device and answers when that is finalised.
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<Enrolled, ApiError> {
        let record = self.code(&request.code).await?;
        let code = record.view.id;
        let study = self.study(self.terms.study).await?;
        self.check(request, &record)?;
        let known = self.known(request, &record).await?;
        self.check_key_proof(request, &record, &study, known)?;
        if !record.claimed {
            refuse_unless_open(&record, self.now())?;
            if !study.open && known != Known::Enrolled {
                return Err(Code::StudyClosed.into());
            }
            // The same request, sent twice, may have been faster.
            if known == Known::Otherwise && !self.code(&request.code).await?.claimed {
                return Err(Code::KeyInUse.into());
            }
            match self.store.redeem(code, request, self.now()).await? {
                Redemption::Redeemed => self.orders.wake(),
                // When another request was faster, that one's claim holds.
                Redemption::TooLate => {}
                Redemption::KeyInUse => return Err(Code::KeyInUse.into()),
            }
        }
        // None: revoked or expired at the very moment when it was to be redeemed.
        let claim = self.store.claim(code).await?.ok_or(Code::CodeExpired)?;
        if !claim.is_of(request) {
            return Err(Code::CodeUsed.into());
        }
        if record.claimed {
            // Of the account that this server has now, which may be another than when the code was claimed.
            self.store.renew_key_proof(code, &request.key_proof).await?;
        }
        let order = self.store.order_of_code(code).await?;
        // The reason why the chain refused it may have passed.
        if record.claimed && self.store.try_again(order, self.now()).await? {
            self.orders.wake();
        }
        match self
            .orders
            .outcome(order, self.terms.patience, &self.stop)
            .await?
        {
            Outcome::Done { .. } => self.enrolled(code).await,
            Outcome::Refused { why } => Err(refusal(&why)),
        }
    }

    async fn code(&self, text: &str) -> Result<CodeRecord, ApiError> {
        let code: EnrolmentCode = text.parse().map_err(|_| Code::MalformedCode)?;
        let found = self.store.code(&code, self.now()).await?;
        found.ok_or_else(|| Code::UnknownCode.into())
    }

    /// Whether the request holds in itself. Strict, as everybody is who takes a signature before the chain does.
    fn check(&self, request: &EnrolRequest, record: &CodeRecord) -> Result<(), ApiError> {
        if hashchain::is_weak_device_key(&request.device_key.0) {
            return Err(Code::WeakKey.into());
        }
        if request.escrow.0.len() != hashchain::ESCROW_LENGTH {
            return Err(Code::InvalidEscrow.into());
        }
        let message = enrolment_message(&self.terms.chain, self.terms.study, request);
        if !is_strictly_signed(&request.device_key.0, &message, &request.proof.0) {
            return Err(Code::InvalidProof.into());
        }
        let participant_key = record.view.participant_key.map(|key| key.0);
        if request.participant.0 != participant_digest::<Native>(participant_key.as_ref()) {
            return Err(Code::AnotherParticipantKey.into());
        }
        Ok(())
    }

    /// What is known of the device that a request is to enrol.
    async fn known(&self, request: &EnrolRequest, record: &CodeRecord) -> Result<Known, ApiError> {
        if record.claimed {
            return Ok(Known::Claimed);
        }
        let chain = self.chain.client()?;
        let Some(number) = chain.device_by_key(request.device_key.0).await? else {
            return Ok(Known::New);
        };
        let found = chain.device(number).await?;
        let claim = Claim {
            key: request.device_key,
            commitment: request.secret_commitment,
            escrow: request.escrow.0.clone(),
            auditor_epoch: request.auditor_epoch,
            participant_key: record.view.participant_key,
            key_proof: request.key_proof,
            predecessor: record.view.predecessor,
            participant: String::new(),
        };
        let is_done = found.is_some_and(|found| has_enrolled(self, &found, &claim));
        Ok(match is_done {
            true => Known::Enrolled,
            false => Known::Otherwise,
        })
    }

    /// Whether the device agreed to be enrolled by this server, with an escrow that the study's auditor can open.
    fn check_key_proof(
        &self,
        request: &EnrolRequest,
        record: &CodeRecord,
        of_chain: &StudyView,
        known: Known,
    ) -> Result<(), ApiError> {
        let (chain, study, server) = (&self.terms.chain, self.terms.study, &self.terms.server);
        // Whoever was enrolled, or is to be, before the key was changed asks for the answer again.
        let is_former = matches!(known, Known::Claimed | Known::Enrolled);
        let auditor_key = of_chain.auditor_key_of(request.auditor_epoch);
        let is_present = request.auditor_epoch == of_chain.auditor_epoch();
        let auditor_key = auditor_key
            .filter(|_| is_present || is_former)
            .map(Key)
            .ok_or(Code::OtherAuditorEpoch)?;
        let predecessor = record.view.predecessor;
        let message = key_proof_message(chain, study, server, &auditor_key, predecessor, request);
        if !is_strictly_signed(&request.device_key.0, &message, &request.key_proof.0) {
            return Err(Code::InvalidKeyProof.into());
        }
        Ok(())
    }

    async fn enrolled(&self, code: u64) -> Result<Enrolled, ApiError> {
        let (device, genesis, block) = self.store.enrolled(code).await?;
        Ok(Enrolled {
            device,
            study: self.terms.study,
            genesis,
            block,
        })
    }

    /// A retired device that a new one may go on from; `invalid_state` when it is not retired.
    pub async fn predecessor(&self, device: DeviceId) -> Result<Predecessor, ApiError> {
        let Finalised { view, .. } = self.finalised().await?;
        let found = view.device(device).await?.ok_or(Code::UnknownDevice)?;
        if found.study != self.terms.study {
            return Err(Code::WrongStudy.into());
        }
        let trusted = match (found.status, found.trusted_length) {
            (DeviceStatus::Retired, Some(trusted)) => trusted,
            _ => {
                return Err(ApiError::new(
                    Code::InvalidState,
                    "The predecessor is not retired, or its retirement does not hold yet.",
                ))
            }
        };
        let head = match trusted {
            0 => found.genesis,
            length if length == found.length => found.head,
            length => {
                let entries = view.entries(device, length, 1).await?;
                entries
                    .first()
                    .ok_or_else(|| ApiError::internal("a trusted entry is missing"))?
                    .hash
            }
        };
        Ok(Predecessor { device, head })
    }
}

fn refuse_unless_open(record: &CodeRecord, now: u64) -> Result<(), ApiError> {
    if record.revoked {
        return Err(Code::CodeRevoked.into());
    }
    match record.view.expires_at <= now {
        true => Err(Code::CodeExpired.into()),
        false => Ok(()),
    }
}

/// What became of an order, in the words of the interface.
pub(crate) fn refusal(why: &Refusal) -> ApiError {
    let code = match why {
        Refusal::StudyClosed => Code::StudyClosed,
        Refusal::KeyInUse => Code::KeyInUse,
        Refusal::OtherAuditorEpoch => Code::OtherAuditorEpoch,
        Refusal::UnknownDevice => Code::UnknownDevice,
        Refusal::NotActive
        | Refusal::NotSuspended
        | Refusal::DeviceRetired
        | Refusal::ForkedDeviceCannotResume
        | Refusal::RetirementPending
        | Refusal::PredecessorHasSuccessor => Code::InvalidState,
        _ => Code::RefusedByChain,
    };
    ApiError::new(code, format!("The chain refused this: {why}."))
}
