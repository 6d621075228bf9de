// SPDX-License-Identifier: Apache-2.0

//! One-time enrolment codes: single use, expiring, stored as hashes.

use hashchain::DeviceId;
use mhealth_api::{Code, EnrolmentCode, Hash, Key};
use mhealth_server::ApiError;
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use mhealth_api::{IssuedCode, NewCode};

/// When staff do not say how long a code is good.
pub const DEFAULT_LIFETIME: u64 = 7 * 24 * 3_600;
/// Shortest and longest that they may say.
pub const LIFETIMES: std::ops::RangeInclusive<u64> = 60..=90 * 24 * 3_600;
/// Longest pseudonym, in bytes.
pub const MAX_PARTICIPANT_LENGTH: usize = 128;

/// What became of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeState {
    /// It can be redeemed.
    Open,
    /// Its time was over before anybody redeemed it.
    Expired,
    /// Staff took it back.
    Revoked,
    /// A device redeemed it.
    Redeemed,
}

/// A code as staff see it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeView {
    /// Names the code without revealing it.
    pub id: u64,
    /// The participant's pseudonym; none for who may not read it.
    pub participant: Option<String>,
    /// X25519 key of the participant.
    pub participant_key: Option<Key>,
    /// The retired device whose hashchain the new one goes on from.
    #[schema(value_type = Option<u32>)]
    pub predecessor: Option<DeviceId>,
    /// Who issued it.
    pub created_by: String,
    /// Seconds since 1970.
    pub created_at: u64,
    /// Seconds since 1970.
    pub expires_at: u64,
    /// What became of it.
    pub state: CodeState,
}

/// A code as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// What staff see.
    pub view: CodeView,
    /// Whether staff took it back.
    pub revoked: bool,
    /// Whether a device redeemed it.
    pub claimed: bool,
}

/// A new code, of the operating system's randomness, for this chain, and for data that are sealed to this key.
pub(crate) fn new_code(
    chain: &Hash,
    participant_key: Option<&Key>,
) -> Result<EnrolmentCode, rand::rand_core::OsError> {
    let mut secret = Zeroizing::new([0; 13]);
    rand::rngs::OsRng.try_fill_bytes(&mut *secret)?;
    Ok(EnrolmentCode::new(&secret, chain, participant_key))
}

/// How long the code is to be good, in seconds; `invalid_message` when something does not have its bounds, and
/// `weak_participant_key`.
pub(crate) fn checked_lifetime(new: &NewCode) -> Result<u64, ApiError> {
    let lifetime = new.expires_in.unwrap_or(DEFAULT_LIFETIME);
    let is_name = (1..=MAX_PARTICIPANT_LENGTH).contains(&new.participant.len())
        && !new.participant.chars().any(char::is_control)
        && new.participant.trim() == new.participant;
    if !is_name {
        let detail = "The member participant has 1 to 128 bytes, no control characters and no space around it.";
        return Err(ApiError::new(Code::InvalidMessage, detail));
    }
    if !LIFETIMES.contains(&lifetime) {
        let detail = "The member expires_in is from 60 to 7776000 seconds.";
        return Err(ApiError::new(Code::InvalidMessage, detail));
    }
    let key = new.participant_key.as_ref();
    if key.is_some_and(|key| hashchain::is_weak_sealing_key(&key.0)) {
        return Err(Code::WeakParticipantKey.into());
    }
    Ok(lifetime)
}
