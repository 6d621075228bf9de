// SPDX-License-Identifier: Apache-2.0

//! What the server is to do on the chain. An order is stored before the chain is asked, and stays until it is known what
//! became of it; the [`desk`](crate::desk) does it.

use hashchain::{DeviceId, LinkHash};
use mhealth_api::{BlockRef, Refusal};
use serde::{Deserialize, Serialize};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Enrol the device that redeemed the code.
    Enrol,
    /// Keep a device from registering entries.
    Suspend {
        /// The reason, as the chain knows it.
        reason: Reason,
    },
    /// Let it again.
    Resume,
    /// End its hashchain.
    Retire {
        /// How many of its entries the study trusts; none: all.
        trusted_length: Option<u64>,
    },
}

/// Why a device is suspended, as the chain says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The device was lost.
    Lost,
    /// Key or secret may be in other hands.
    Compromised,
    /// The participant has left the study or paused.
    Withdrawn,
    /// Another one, which is in the log.
    #[default]
    Administrative,
}

/// An order that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number, from when it is stored.
    pub id: u64,
    /// What to do.
    pub action: Action,
    /// The code that was redeemed, of an enrolment.
    pub code: Option<u64>,
    /// The device, of everything else.
    pub device: Option<DeviceId>,
    /// Who gave it.
    pub actor: String,
    /// Why.
    pub why: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Outcome {
    /// It is on the chain.
    Done {
        /// A finalised block that has it.
        block: BlockRef,
    },
    /// The chain refused it.
    Refused {
        /// Why.
        why: Refusal,
    },
}

/// How an order ended.
pub struct Settled {
    /// What became of it.
    pub outcome: Outcome,
    /// Number and link 0 of a device that was enrolled.
    pub enrolled: Option<(DeviceId, LinkHash)>,
}

impl Settled {
    /// A finalised block has it.
    pub fn done(block: BlockRef) -> Self {
        Self {
            outcome: Outcome::Done { block },
            enrolled: None,
        }
    }

    /// The chain refused it.
    pub fn refused(why: Refusal) -> Self {
        Self {
            outcome: Outcome::Refused { why },
            enrolled: None,
        }
    }
}

impl Action {
    /// As the log says it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Enrol => "enrol",
            Action::Suspend { .. } => "suspend",
            Action::Resume => "resume",
            Action::Retire { .. } => "retire",
        }
    }
}
