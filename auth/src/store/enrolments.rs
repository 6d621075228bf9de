// SPDX-License-Identifier: Apache-2.0

//! What devices redeemed their codes with, and what became of it.

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{BlockRef, EnrolRequest, Hash, Key, SignatureBytes};
use mhealth_server::rows::{hash, signed, unsigned};
use mhealth_server::{StoreError, WriteTransaction};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

use super::Store;
use crate::log::Note;
use crate::orders::{Action, Order};

/// What a device redeemed its code with.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The device's key.
    pub key: Key,
    /// Commitment to its secret.
    pub commitment: Hash,
    /// Its secret, sealed to the auditor.
    pub escrow: Vec<u8>,
    /// Which of the auditor's keys that was.
    pub auditor_epoch: u32,
    /// Key of the participant, to which it seals its data.
    pub participant_key: Option<Key>,
    /// Its signature, by which the chain knows that it agreed to this enrolment.
    pub key_proof: SignatureBytes,
    /// The device that it goes on from.
    pub predecessor: Option<DeviceId>,
    /// The participant's pseudonym.
    pub participant: String,
}

impl Claim {
    /// Whether this request made it.
    pub fn is_of(&self, request: &EnrolRequest) -> bool {
        self.key == request.device_key
            && self.commitment == request.secret_commitment
            && self.escrow == request.escrow.0
            && self.auditor_epoch == request.auditor_epoch
    }
}

/// What came of redeeming a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// The code is bound to this request, and the device's enrolment is ordered.
    Redeemed,
    /// The code was no longer open: another request was faster, or staff took it back.
    TooLate,
    /// Another code was redeemed with this key; this one stays open.
    KeyInUse,
}

/// A device that this server enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolledDevice {
    /// Its number on the chain.
    #[schema(value_type = u32)]
    pub device: DeviceId,
    /// Its Ed25519 public key.
    pub key: Key,
    /// The participant's pseudonym; none for who may not read it.
    pub participant: Option<String>,
    /// The code that it redeemed.
    pub code: u64,
    /// The device that it goes on from.
    #[schema(value_type = Option<u32>)]
    pub predecessor: Option<DeviceId>,
    /// Seconds since 1970.
    pub enrolled_at: u64,
}

impl Store {
    /// Binds a code to this request, for good, and orders the enrolment.
    pub async fn redeem(
        &self,
        code: u64,
        request: &EnrolRequest,
        now: u64,
    ) -> Result<Redemption, StoreError> {
        let mut transaction = self.database.begin().await?;
        let won = sqlx::query(
            "UPDATE codes SET claimed_at = $1 \
             WHERE id = $2 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $1",
        )
        .bind(signed(now))
        .bind(signed(code))
        .execute(&mut *transaction)
        .await?;
        if won.rows_affected() == 0 {
            return Ok(Redemption::TooLate);
        }
        let inserted = sqlx::query(
            "INSERT INTO enrolments (code, device_key, commitment, escrow, auditor_epoch, key_proof) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (device_key) DO NOTHING",
        )
        .bind(signed(code))
        .bind(request.device_key.0.to_vec())
        .bind(request.secret_commitment.0.to_vec())
        .bind(request.escrow.0.clone())
        .bind(i64::from(request.auditor_epoch))
        .bind(request.key_proof.0.to_vec())
        .execute(&mut *transaction)
        .await?;
        if inserted.rows_affected() == 0 {
            return Ok(Redemption::KeyInUse);
        }
        let subject = format!("code {code}");
        let order = Order {
            id: 0,
            action: Action::Enrol,
            code: Some(code),
            device: None,
            actor: "device".into(),
            why: subject.clone(),
        };
        self.place(&mut transaction, &order, now).await?;
        let note = Note {
            at: now,
            actor: "device",
            action: "code redeemed",
            subject: &subject,
            why: &format!("device key {}", request.device_key),
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(Redemption::Redeemed)
    }

    /// Takes a newer proof for the claim on a code, as long as the device is not on the chain.
    pub async fn renew_key_proof(
        &self,
        code: u64,
        key_proof: &SignatureBytes,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE enrolments SET key_proof = $1 WHERE code = $2 AND device IS NULL AND key_proof <> $1";
        let mut transaction = self.database.begin().await?;
        sqlx::query(sql)
            .bind(key_proof.0.to_vec())
            .bind(signed(code))
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The claim on a code; none when it was not redeemed.
    pub async fn claim(&self, code: u64) -> Result<Option<Claim>, StoreError> {
        let row = sqlx::query(
            "SELECT e.device_key, e.commitment, e.escrow, e.auditor_epoch, e.key_proof, c.predecessor, c.participant, \
             c.participant_key \
             FROM enrolments e JOIN codes c ON c.id = e.code WHERE e.code = $1",
        )
        .bind(signed(code))
        .fetch_optional(self.database.pool())
        .await?;
        let claim = row.map(|row| {
            let predecessor: Option<i64> = row.try_get("predecessor")?;
            let participant_key: Option<Vec<u8>> = row.try_get("participant_key")?;
            Ok(Claim {
                key: hash(row.try_get("device_key")?)?,
                commitment: hash(row.try_get("commitment")?)?,
                escrow: row.try_get("escrow")?,
                auditor_epoch: unsigned(row.try_get("auditor_epoch")?)?,
                participant_key: participant_key.map(hash).transpose()?,
                key_proof: signature(row.try_get("key_proof")?)?,
                predecessor: predecessor.map(unsigned).transpose()?,
                participant: row.try_get("participant")?,
            })
        });
        claim.transpose()
    }

    /// Number and link 0 of the device of a code, and the finalised block that has it. The enrolment must be done.
    pub async fn enrolled(&self, code: u64) -> Result<(DeviceId, LinkHash, BlockRef), StoreError> {
        let (device, genesis, number, block): (i64, Vec<u8>, i64, Vec<u8>) = sqlx::query_as(
            "SELECT device, genesis, block_number, block_hash FROM enrolments WHERE code = $1",
        )
        .bind(signed(code))
        .fetch_one(self.database.pool())
        .await?;
        let block = BlockRef {
            number: unsigned(number)?,
            hash: hash(block)?,
        };
        Ok((unsigned(device)?, hash(genesis)?, block))
    }

    /// Up to `limit` devices after this one, by number; none begins with the first.
    pub async fn enrolled_devices(
        &self,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Vec<EnrolledDevice>, StoreError> {
        let first = after.map_or(0, |after| i64::from(after) + 1);
        self.devices(first, i64::MAX, limit).await
    }

    /// A device, if this server enrolled it.
    pub async fn enrolled_device(
        &self,
        device: DeviceId,
    ) -> Result<Option<EnrolledDevice>, StoreError> {
        let device = i64::from(device);
        Ok(self.devices(device, device, 1).await?.pop())
    }

    async fn devices(
        &self,
        first: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<EnrolledDevice>, StoreError> {
        type Row = (i64, Vec<u8>, String, i64, Option<i64>, i64);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT e.device, e.device_key, c.participant, e.code, c.predecessor, e.enrolled_at \
             FROM enrolments e JOIN codes c ON c.id = e.code \
             WHERE e.device BETWEEN $1 AND $2 ORDER BY e.device LIMIT $3",
        )
        .bind(first)
        .bind(last)
        .bind(i64::from(limit))
        .fetch_all(self.database.pool())
        .await?;
        let devices = rows.into_iter().map(
            |(device, key, participant, code, predecessor, enrolled_at)| {
                Ok(EnrolledDevice {
                    device: unsigned(device)?,
                    key: hash(key)?,
                    participant: Some(participant),
                    code: unsigned(code)?,
                    predecessor: predecessor.map(unsigned).transpose()?,
                    enrolled_at: unsigned(enrolled_at)?,
                })
            },
        );
        devices.collect()
    }

    /// Writes down that the device of a code is on the chain.
    pub(super) async fn complete(
        &self,
        transaction: &mut WriteTransaction,
        code: u64,
        device: DeviceId,
        genesis: LinkHash,
        block: BlockRef,
        now: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE enrolments SET device = $1, genesis = $2, block_number = $3, block_hash = $4, enrolled_at = $5 \
             WHERE code = $6 AND device IS NULL",
        )
        .bind(i64::from(device))
        .bind(genesis.0.to_vec())
        .bind(signed(block.number))
        .bind(block.hash.0.to_vec())
        .bind(signed(now))
        .bind(signed(code))
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Forgets that the device of this order is on the chain, if it is an enrolment.
    pub(super) async fn undo(
        &self,
        transaction: &mut WriteTransaction,
        order: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE enrolments SET device = NULL, genesis = NULL, block_number = NULL, block_hash = NULL, enrolled_at = NULL \
             WHERE code = (SELECT code FROM orders WHERE id = $1)",
        )
        .bind(signed(order))
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

fn signature(bytes: Vec<u8>) -> Result<SignatureBytes, StoreError> {
    let bytes = <[u8; 64]>::try_from(bytes);
    bytes
        .map(SignatureBytes)
        .map_err(|_| StoreError::Corrupt("a signature"))
}
