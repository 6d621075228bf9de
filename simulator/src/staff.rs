// SPDX-License-Identifier: Apache-2.0

//! What the study's staff ask of an authentication server.

use std::time::Duration;

use mhealth_api::{Another, Code, Hash, IssuedCode, Key, NewCode};
use mhealth_device_host::{
    chain::{ChainFault, ChainRefusal, Decision},
    payload::Participant,
    servers::AuthenticationServer,
    EnrolmentCode,
};

/// The code, if it was made for this chain and this participant's key. A server that is not honest would make it for a chain or a key of
/// its own.
fn check(text: &str, chain: &Hash, participant_key: Option<&Key>) -> Decision<EnrolmentCode> {
    let refuse = |code: Code, message: &str| ChainRefusal::before_the_chain(code.as_str(), message);
    let code: EnrolmentCode = text.parse().map_err(|_| {
        let message = "The authentication server gave a code that is none.";
        refuse(Code::MalformedCode, message)
    })?;
    match code.is_for(chain, participant_key) {
        true => Ok(code),
        false => Err(refuse(
            Code::AnotherParticipantKey,
            "The authentication server made the code for another participant's key than was asked for, or for another chain. Do not \
             hand it out, and report this to the study.",
        )),
    }
}

/// Has a code issued for a participant, on the chain whose first block has this hash, as the member of the staff who has this admin
/// credential.
pub async fn issue_code(
    server: &AuthenticationServer,
    credential: &str,
    chain: [u8; 32],
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
    let key = participant_key.map(Key);
    Ok(issued.and_then(|issued| check(&issued.code, &Hash(chain), key.as_ref())))
}
