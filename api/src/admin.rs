// SPDX-License-Identifier: Apache-2.0

//! What staff ask of an authentication server with an admin credential.

use alloc::string::String;
use hashchain::DeviceId;
use serde::{Deserialize, Serialize};

use crate::Key;

/// `POST /v1/admin/codes`: what a code is to be for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCode {
    /// The participant's pseudonym. It must not name the person.
    pub participant: String,
    /// X25519 key of the participant, to which payloads are sealed; none in studies with plain envelopes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_key: Option<Key>,
    /// The retired device whose hashchain the new one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u32>))]
    pub predecessor: Option<DeviceId>,
    /// Seconds until the code expires: from a minute to 90 days, 7 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// What to do when the participant has an open code or a device already. Refused when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub another: Option<Another>,
}

/// Why a participant gets a code who has one already, or a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Another {
    /// The participant uses several devices at a time. Everything stays as it is.
    Additional,
    /// The new device takes the place of those before it, none of which is active any more. Open codes are taken back.
    Replace,
}

/// A code, shown this once.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedCode {
    /// Names the code without revealing it.
    pub id: u64,
    /// The code, to be handed to the participant. Whoever asked for it compares its pin with the chain and the participant's key
    /// ([`EnrolmentCode::is_for`](crate::EnrolmentCode::is_for)): this server may be the thief's.
    pub code: String,
    /// Seconds since 1970.
    pub expires_at: u64,
}
