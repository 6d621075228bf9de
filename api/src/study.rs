// SPDX-License-Identifier: Apache-2.0

//! What devices know of their study.

use alloc::string::String;
use hashchain::StudyId;
use serde::{Deserialize, Serialize};

use crate::{Hash, Key};

/// What the chain demands of a study's runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// That they follow the head.
    HashchainOnly,
    /// That they follow the head and carry the device's signature.
    DeviceSigned,
}

/// `GET /v1/studies/{study}` of authentication servers and relays: a study as it stands finalised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StudyTerms {
    /// Hash of the chain's genesis block.
    pub chain: Hash,
    /// The study's number.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// Its title.
    pub title: String,
    /// What the chain demands of its runs.
    pub policy: Policy,
    /// X25519 key to which devices escrow their secrets.
    pub auditor_key: Key,
    /// How many keys the study's auditor had before: the epoch of devices that enrol now.
    pub auditor_epoch: u32,
    /// Whether it takes entries.
    pub open: bool,
}
