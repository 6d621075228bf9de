// SPDX-License-Identifier: Apache-2.0

//! From a redeemed code to a device on the chain.
//!
//! The claim — this code, this key, this commitment, this escrow — is durable before the chain is asked, and binds the code
//! for good. Whoever asks again with the same content gets the same answer, through crashes of either side.

use mhealth_api::{
    enrolment_message, BlockRef, Code, CodeTerms, DeviceStatus, EnrolRequest, Enrolled, Hash, Key,
    Predecessor, Refusal,
};
use mhealth_server::{ApiError, Database, WriteTransaction};

use crate::codes::{self, CodeRecord, CodeSecret};
use crate::log::{self, hash_of, Note};
use crate::office::{hash, Finalised, Office};
use crate::orders::{Action, Order, Outcome};
use crate::tokens::is_signed;

/// What a device redeemed its code with.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The device's key.
    pub key: Key,
    /// Commitment to its secret.
    pub commitment: Hash,
    /// Its secret, sealed to the auditor.
    pub escrow: Vec<u8>,
    /// The device that it goes on from.
    pub predecessor: Option<u32>,
    /// The participant's pseudonym.
    pub participant: String,
}

impl Office {
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
            study: self.terms.study,
            policy: study.policy,
            auditor_key: Key(study.auditor_key),
            participant_key: record.view.participant_key,
            predecessor,
            expires_at: record.view.expires_at,
        })
    }

    /// Enrols a device and answers when that is finalised.
    pub async fn enrol(&self, request: &EnrolRequest) -> Result<Enrolled, ApiError> {
        let record = self.code(&request.code).await?;
        let code = record.view.id as i64;
        self.check(request)?;
        if !record.claimed {
            refuse_unless_open(&record, self.now())?;
            let study = self.study(self.terms.study).await?;
            if !study.open {
                return Err(Code::StudyClosed.into());
            }
            let key_is_known = self
                .chain
                .device_by_key(request.device_key.0)
                .await?
                .is_some();
            // The same request, sent twice, may have been faster.
            if key_is_known && !self.code(&request.code).await?.claimed {
                return Err(Code::KeyInUse.into());
            }
            self.claim(code, request).await?;
        }
        let claim = load(&self.database, code).await?;
        if !claim.is_of(request) {
            return Err(Code::CodeUsed.into());
        }
        let order = self.orders.of_code(code).await?;
        if record.claimed {
            self.orders.try_again(order).await?;
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
        let secret: CodeSecret = text.parse().map_err(|_| Code::UnknownCode)?;
        codes::find(&self.database, &secret, self.now()).await
    }

    fn check(&self, request: &EnrolRequest) -> Result<(), ApiError> {
        if hashchain::is_weak_device_key(&request.device_key.0) {
            return Err(Code::WeakKey.into());
        }
        if request.escrow.0.len() != hashchain::ESCROW_LENGTH {
            return Err(Code::InvalidEscrow.into());
        }
        let message = enrolment_message(&self.terms.chain, self.terms.study, request);
        match is_signed(&request.device_key.0, &message, &request.proof.0) {
            true => Ok(()),
            false => Err(Code::InvalidProof.into()),
        }
    }

    /// Binds the code to this request. When another request was faster, that one's claim stands, and the caller looks at it.
    async fn claim(&self, code: i64, request: &EnrolRequest) -> Result<(), ApiError> {
        let now = self.now();
        let mut transaction = self.database.begin().await?;
        let won = sqlx::query(
            "UPDATE codes SET claimed_at = $1 \
             WHERE id = $2 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $1",
        )
        .bind(now as i64)
        .bind(code)
        .execute(&mut *transaction)
        .await?;
        if won.rows_affected() == 0 {
            return Ok(());
        }
        let inserted = sqlx::query(
            "INSERT INTO enrolments (code, device_key, commitment, escrow) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (device_key) DO NOTHING",
        )
        .bind(code)
        .bind(request.device_key.0.to_vec())
        .bind(request.secret_commitment.0.to_vec())
        .bind(request.escrow.0.clone())
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            // Another code was redeemed with this key; this one stays open.
            return Err(Code::KeyInUse.into());
        }
        let order = Order {
            id: 0,
            action: Action::Enrol,
            code: Some(code),
            device: None,
            actor: "device".into(),
            why: format!("code {code}"),
        };
        self.orders.place(&mut transaction, &order, now).await?;
        let subject = format!("code {code}");
        let why = format!("device key {}", request.device_key);
        let note = Note {
            at: now,
            actor: "device",
            action: "code redeemed",
            subject: &subject,
            why: &why,
        };
        log::append(&self.database, &mut transaction, note).await?;
        transaction.commit().await?;
        self.orders.wake();
        Ok(())
    }

    async fn enrolled(&self, code: i64) -> Result<Enrolled, ApiError> {
        let (device, genesis, number, block): (i64, Vec<u8>, i64, Vec<u8>) = sqlx::query_as(
            "SELECT device, genesis, block_number, block_hash FROM enrolments WHERE code = $1",
        )
        .bind(code)
        .fetch_one(self.database.pool())
        .await?;
        Ok(Enrolled {
            device: device as u32,
            study: self.terms.study,
            genesis: hash_of(genesis)?,
            block: BlockRef {
                number: number as u64,
                hash: hash_of(block)?,
            },
        })
    }

    /// A retired device that a new one may go on from; `invalid_state` when it is not retired or has a successor.
    pub async fn predecessor(&self, device: u32) -> Result<Predecessor, ApiError> {
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
                    "The predecessor is not retired.",
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
        Ok(Predecessor {
            device,
            head: hash(head),
        })
    }
}

impl Claim {
    fn is_of(&self, request: &EnrolRequest) -> bool {
        self.key == request.device_key
            && self.commitment == request.secret_commitment
            && self.escrow == request.escrow.0
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
        Refusal::UnknownDevice => Code::UnknownDevice,
        Refusal::NotActive
        | Refusal::NotSuspended
        | Refusal::DeviceRetired
        | Refusal::ForkedDeviceCannotResume
        | Refusal::PredecessorHasSuccessor => Code::InvalidState,
        _ => Code::RefusedByChain,
    };
    ApiError::new(code, format!("The chain refused this: {why}."))
}

/// The claim on a code.
pub async fn load(database: &Database, code: i64) -> Result<Claim, ApiError> {
    type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Option<i64>, String);
    let row: Option<Row> = sqlx::query_as(
        "SELECT e.device_key, e.commitment, e.escrow, c.predecessor, c.participant \
         FROM enrolments e JOIN codes c ON c.id = e.code WHERE e.code = $1",
    )
    .bind(code)
    .fetch_optional(database.pool())
    .await?;
    // Revoked or expired at the very moment when it was to be claimed.
    let (key, commitment, escrow, predecessor, participant) = row.ok_or(Code::CodeExpired)?;
    Ok(Claim {
        key: Key(hash_of(key)?.0),
        commitment: hash_of(commitment)?,
        escrow,
        predecessor: predecessor.map(|device| device as u32),
        participant,
    })
}

/// Writes down that the device of a code stands on the chain.
pub(crate) async fn complete(
    transaction: &mut WriteTransaction,
    code: i64,
    device: u32,
    genesis: Hash,
    block: BlockRef,
    now: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE enrolments SET device = $1, genesis = $2, block_number = $3, block_hash = $4, enrolled_at = $5 \
         WHERE code = $6 AND device IS NULL",
    )
    .bind(i64::from(device))
    .bind(genesis.0.to_vec())
    .bind(block.number as i64)
    .bind(block.hash.0.to_vec())
    .bind(now as i64)
    .bind(code)
    .execute(&mut **transaction)
    .await
    .map(drop)
}
