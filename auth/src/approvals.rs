// SPDX-License-Identifier: Apache-2.0

//! What one person asks for and another one has to agree to, where the study says so.
//!
//! The request is stored as it was asked. Whoever has the same duty and is not the one who asked approves it, and it is done then, or
//! rejects it; after a day it ends by itself.

use hashchain::DeviceId;
use mhealth_api::{Code, DeviceOnChain};
use mhealth_server::{ApiError, Duty};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::orders::Action;
use crate::routes::devices::Retired;
use crate::store::{Admin, Decision, Verdict};

/// How long a request waits for the second person, in seconds.
pub const LIFETIME: u64 = 24 * 3_600;

/// What a study can have two people for. Not for a suspension, which is what one does at once when a phone is stolen, and not for
/// a code, which is shown to who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Act {
    /// Resuming a device.
    Resume,
    /// Retiring a device.
    Retire,
    /// Rotating the keys that sign tokens.
    Keys,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", tag = "what", deny_unknown_fields)]
pub enum Request {
    /// To let a suspended device register entries again.
    Resume {
        /// Its number.
        #[schema(value_type = u32)]
        device: DeviceId,
    },
    /// To end a device's hashchain.
    Retire {
        /// Its number.
        #[schema(value_type = u32)]
        device: DeviceId,
        /// How many of its entries the study trusts; none: all.
        trusted_length: Option<u64>,
    },
    /// To make a new key that signs tokens.
    Keys {},
}

impl Request {
    /// What it needs a second person for, where the study says so.
    pub fn act(&self) -> Act {
        match self {
            Request::Resume { .. } => Act::Resume,
            Request::Retire { .. } => Act::Retire,
            Request::Keys {} => Act::Keys,
        }
    }

    /// The duty of both people.
    pub fn duty(&self) -> Duty {
        match self {
            Request::Resume { .. } => Duty::Suspend,
            Request::Retire { .. } => Duty::Retire,
            Request::Keys {} => Duty::Keys,
        }
    }

    /// As the log says it.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Resume { .. } => "resume",
            Request::Retire { .. } => "retire",
            Request::Keys {} => "key rotation",
        }
    }

    /// The change of a device, if it is one.
    pub fn change(&self) -> Option<(DeviceId, Action)> {
        match *self {
            Request::Resume { device } => Some((device, Action::Resume)),
            Request::Retire {
                device,
                trusted_length,
            } => Some((device, Action::Retire { trusted_length })),
            Request::Keys {} => None,
        }
    }
}

/// How a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has decided it.
    Open,
    /// Another person approved it, and it was done or ordered.
    Approved,
    /// Another person rejected it.
    Rejected,
    /// Nobody decided it in time.
    Ended,
}

/// A request for approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its number.
    pub id: u64,
    /// What was asked for.
    pub request: Request,
    /// Who asked.
    pub asked_by: String,
    /// Why.
    pub why: String,
    /// Seconds since 1970.
    pub asked_at: u64,
    /// When it ends if nobody decides it, in seconds since 1970.
    pub expires_at: u64,
    /// How it stands.
    pub state: ApprovalState,
    /// Who decided it.
    pub decided_by: Option<String>,
    /// Seconds since 1970.
    pub decided_at: Option<u64>,
}

/// A signing key was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Its name in the key set.
    pub kid: String,
}

/// What came of asking for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device, when its change is finalised.
    Device(Box<DeviceOnChain>),
    /// How the device retires, when that is finalised.
    Retired(Box<Retired>),
    /// The new key.
    Key(NewKey),
    /// Nothing yet: another person has to agree.
    Asked(Box<Approval>),
}

impl App {
    /// Does it, or asks for approval if the study has two people for that.
    pub async fn do_or_ask(
        &self,
        admin: &Admin,
        request: Request,
        why: String,
    ) -> Result<Answer, ApiError> {
        if !self.settings().second_approval.contains(&request.act()) {
            return self.carry_out(&admin.name, request, why, None).await;
        }
        if let Some((device, action)) = request.change() {
            self.fitting(device, &action).await?;
        }
        let now = self.now();
        let asked = self.store.ask(admin, request, why, now + LIFETIME, now);
        Ok(Answer::Asked(Box::new(asked.await?)))
    }

    /// Approves a request of another person, and does what was asked for.
    pub async fn approve(
        &self,
        admin: &Admin,
        id: u64,
        why: String,
    ) -> Result<(Approval, Answer), ApiError> {
        let asked = self.decidable(admin, id).await?;
        let decision = Decision {
            asked: asked.clone(),
            by: admin.name.clone(),
            verdict: Verdict::Approved,
            why,
        };
        let (by, request) = (asked.asked_by, asked.request);
        let answer = self.carry_out(&by, request, asked.why, Some(decision));
        let answer = answer.await?;
        let approval = self.store.approval(id, self.now()).await?;
        Ok((approval.ok_or(Code::UnknownApproval)?, answer))
    }

    /// Rejects a request of another person.
    pub async fn reject(&self, admin: &Admin, id: u64, why: String) -> Result<Approval, ApiError> {
        let decision = Decision {
            asked: self.decidable(admin, id).await?,
            by: admin.name.clone(),
            verdict: Verdict::Rejected,
            why,
        };
        if !self.store.reject(&decision, self.now()).await? {
            return Err(Code::ApprovalClosed.into());
        }
        let approval = self.store.approval(id, self.now()).await?;
        Ok(approval.ok_or(Code::UnknownApproval)?)
    }

    /// A request that this person may decide.
    async fn decidable(&self, admin: &Admin, id: u64) -> Result<Approval, ApiError> {
        let found = self.store.approval(id, self.now()).await?;
        let asked = found.ok_or(Code::UnknownApproval)?;
        admin
            .scopes
            .check(&[asked.request.duty()], self.terms.study)?;
        if asked.asked_by == admin.name {
            return Err(Code::NeedsAnotherPerson.into());
        }
        match asked.state {
            ApprovalState::Open => Ok(asked),
            _ => Err(Code::ApprovalClosed.into()),
        }
    }

    async fn carry_out(
        &self,
        by: &str,
        request: Request,
        why: String,
        decision: Option<Decision>,
    ) -> Result<Answer, ApiError> {
        if let Request::Retire {
            device,
            trusted_length,
        } = request
        {
            let retired = self.retire_device(by, device, trusted_length, why, decision);
            return Ok(Answer::Retired(Box::new(retired.await?)));
        }
        match request.change() {
            Some((device, action)) => {
                let changed = self.change_device(by, device, action, why, decision);
                Ok(Answer::Device(Box::new(changed.await?)))
            }
            None => {
                let made = self.keys.make(&why, by, self.now(), decision.as_ref());
                let kid = made.await?.ok_or(Code::ApprovalClosed)?;
                Ok(Answer::Key(NewKey { kid }))
            }
        }
    }
}
