// SPDX-License-Identifier: Apache-2.0

//! What the study's staff ask of an authentication server.

use std::time::Duration;

use mhealth_api::{Another, IssuedCode, Key, NewCode};
use mhealth_device::{
    chain::{ChainFault, Decision},
    payload::Participant,
    servers::AuthenticationServer,
    EnrolmentCode,
};

/// Has a code issued for a participant, as the member of the staff who has this admin credential.
pub async fn issue_code(
    server: &AuthenticationServer,
    credential: &str,
    participant: &Participant,
    participant_key: Option<[u8; 32]>,
    expires_in: Duration,
) -> Result<Decision<EnrolmentCode>, ChainFault> {
    let new = NewCode {
        participant: participant.0.clone(),
        participant_key: participant_key.map(Key),
        predecessor: None,
        expires_in: Some(expires_in.as_secs()),
        // A cohort may be played again at the same server.
        another: Some(Another::Additional),
    };
    let issued: Decision<IssuedCode> = server
        .request("/v1/admin/codes", &new, Some(credential))
        .await?;
    Ok(issued.map(|issued| EnrolmentCode::from(issued.code)))
}
