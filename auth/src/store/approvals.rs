// SPDX-License-Identifier: Apache-2.0

//! Requests that a second person decides.

use mhealth_server::rows::{signed, unsigned};
use mhealth_server::{StoreError, WriteTransaction};
use sqlx::any::AnyRow;
use sqlx::Row as _;

use super::{Admin, Store};
use crate::approvals::{Approval, ApprovalState, Request};
use crate::log::Note;

const OPEN: i64 = 0;
const APPROVED: i64 = 1;
const REJECTED: i64 = 2;
const ENDED: i64 = 3;

/// What a second person says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Approved,
    /// Do not.
    Rejected,
}

/// A second person's word on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The request.
    pub asked: Approval,
    /// Who decides.
    pub by: String,
    /// How.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
}

impl Store {
    /// Stores a request as it was asked.
    pub async fn ask(
        &self,
        admin: &Admin,
        request: Request,
        why: String,
        expires_at: u64,
        now: u64,
    ) -> Result<Approval, StoreError> {
        let text = serde_json::to_string(&request).expect("numbers have a JSON form; qed");
        let mut transaction = self.database.begin().await?;
        let (id,): (i64,) = sqlx::query_as(
            "INSERT INTO approvals (request, asked_by, why, asked_at, expires_at, state) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        )
        .bind(text)
        .bind(admin.name.clone())
        .bind(why.clone())
        .bind(signed(now))
        .bind(signed(expires_at))
        .bind(OPEN)
        .fetch_one(&mut *transaction)
        .await?;
        let subject = match request.change() {
            Some((device, _)) => format!("request {id}, device {device}"),
            None => format!("request {id}"),
        };
        let note = Note {
            at: now,
            actor: &admin.name,
            action: &format!("{} asked", request.name()),
            subject: &subject,
            why: &why,
        };
        self.append(&mut transaction, note).await?;
        transaction.commit().await?;
        Ok(Approval {
            id: unsigned(id)?,
            request,
            asked_by: admin.name.clone(),
            why,
            asked_at: now,
            expires_at,
            state: ApprovalState::Open,
            decided_by: None,
            decided_at: None,
        })
    }

    /// A request; none when nobody asked.
    pub async fn approval(&self, id: u64, now: u64) -> Result<Option<Approval>, StoreError> {
        let Ok(number) = i64::try_from(id) else {
            return Ok(None);
        };
        let row = sqlx::query("SELECT * FROM approvals WHERE id = $1")
            .bind(number)
            .fetch_optional(self.database.pool())
            .await?;
        row.map(|row| read(&row, now)).transpose()
    }

    /// Up to `limit` requests after number `after`.
    pub async fn approvals(
        &self,
        after: u64,
        limit: u32,
        now: u64,
    ) -> Result<Vec<Approval>, StoreError> {
        let rows = sqlx::query("SELECT * FROM approvals WHERE id > $1 ORDER BY id LIMIT $2")
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(self.database.pool())
            .await?;
        rows.iter().map(|row| read(row, now)).collect()
    }

    /// Rejects a request; false when it is not open any more.
    pub async fn reject(&self, decision: &Decision, now: u64) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        let decided = self.decide(&mut transaction, decision, now).await?;
        if decided {
            transaction.commit().await?;
        }
        Ok(decided)
    }

    /// Writes down a decision, within the transaction that does what was decided; false when the request is not open any more, or
    /// whoever decides is the one who asked. This comes first in the transaction, before the log is locked.
    pub(super) async fn decide(
        &self,
        transaction: &mut WriteTransaction,
        decision: &Decision,
        now: u64,
    ) -> Result<bool, StoreError> {
        let (state, verdict) = match decision.verdict {
            Verdict::Approved => (APPROVED, "approved"),
            Verdict::Rejected => (REJECTED, "rejected"),
        };
        let changed = sqlx::query(
            "UPDATE approvals SET state = $1, decided_by = $2, decided_at = $3 \
             WHERE id = $4 AND state = $5 AND expires_at > $3 AND asked_by <> $2",
        )
        .bind(state)
        .bind(decision.by.clone())
        .bind(signed(now))
        .bind(signed(decision.asked.id))
        .bind(OPEN)
        .execute(&mut **transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        let note = Note {
            at: now,
            actor: &decision.by,
            action: &format!("{} {verdict}", decision.asked.request.name()),
            subject: &format!("request {}", decision.asked.id),
            why: &decision.why,
        };
        self.append(transaction, note).await?;
        Ok(true)
    }

    /// Ends the requests that nobody decided in time, and logs it.
    pub async fn end_approvals(&self, now: u64) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let ended: Vec<(i64,)> = sqlx::query_as(
            "UPDATE approvals SET state = $1 WHERE state = $2 AND expires_at <= $3 RETURNING id",
        )
        .bind(ENDED)
        .bind(OPEN)
        .bind(signed(now))
        .fetch_all(&mut *transaction)
        .await?;
        for (id,) in &ended {
            let note = Note {
                at: now,
                actor: "server",
                action: "request ended",
                subject: &format!("request {id}"),
                why: "nobody decided it in time",
            };
            self.append(&mut transaction, note).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Ends all requests that nobody decided, within a transaction that logs it.
    pub(super) async fn end_open_approvals(
        &self,
        transaction: &mut WriteTransaction,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE approvals SET state = $1 WHERE state = $2")
            .bind(ENDED)
            .bind(OPEN)
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }
}

fn read(row: &AnyRow, now: u64) -> Result<Approval, StoreError> {
    let request: String = row.try_get("request")?;
    let expires_at = unsigned(row.try_get("expires_at")?)?;
    let decided_at: Option<i64> = row.try_get("decided_at")?;
    let state = match row.try_get::<i64, _>("state")? {
        OPEN if expires_at <= now => ApprovalState::Ended,
        OPEN => ApprovalState::Open,
        APPROVED => ApprovalState::Approved,
        REJECTED => ApprovalState::Rejected,
        ENDED => ApprovalState::Ended,
        _ => return Err(StoreError::Corrupt("the state of a request")),
    };
    Ok(Approval {
        id: unsigned(row.try_get("id")?)?,
        request: serde_json::from_str(&request)
            .map_err(|_| StoreError::Corrupt("a request for approval"))?,
        asked_by: row.try_get("asked_by")?,
        why: row.try_get("why")?,
        asked_at: unsigned(row.try_get("asked_at")?)?,
        expires_at,
        state,
        decided_by: row.try_get("decided_by")?,
        decided_at: decided_at.map(unsigned).transpose()?,
    })
}
