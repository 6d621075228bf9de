// SPDX-License-Identifier: Apache-2.0

//! Enrolment with an authentication server.

use alloc::{string::String, vec::Vec};
use hashchain::{DeviceId, LinkHash, StudyId};
use serde::{Deserialize, Serialize};

use crate::{Base64, BlockRef, Hash, Key, Policy, SignatureBytes};

/// `POST /v1/code`: asks what an enrolment code is for, without using it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeTermsRequest {
    /// The code, as staff handed it out.
    pub code: String,
}

/// What a device must know before it can make the link 0 of its hashchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeTerms {
    /// Hash of the chain's genesis block. The code has its pin.
    pub chain: Hash,
    /// Base address of this server, as proofs of possession for it have to name it. A device that reaches it by another one
    /// would use the code up and then get no token.
    pub issuer: String,
    /// Account of this server on the chain, which the device names in its [`EnrolRequest::key_proof`].
    pub server: Key,
    /// The study that the code is for.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// What the chain demands of the study's runs.
    pub policy: Policy,
    /// X25519 key to which the device escrows its secret.
    pub auditor_key: Key,
    /// How many keys the study's auditor had before.
    pub auditor_epoch: u32,
    /// X25519 key of the participant, to which payloads are sealed; none in studies with plain envelopes. The code has its pin.
    pub participant_key: Option<Key>,
    /// The retired device whose hashchain this one goes on from.
    pub predecessor: Option<Predecessor>,
    /// When the code expires, in seconds since 1970.
    pub expires_at: u64,
}

/// A retired device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Predecessor {
    /// Its number on the chain.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// Link of its last trusted entry.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub head: LinkHash,
}

/// `POST /v1/enrol`: a new device redeems its code. Asking again with the same key and content gives the same answer.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrolRequest {
    /// The code, as staff handed it out.
    pub code: String,
    /// The device's Ed25519 public key.
    pub device_key: Key,
    /// `H("secret", S)`.
    pub secret_commitment: Hash,
    /// S, sealed to the study's auditor.
    pub escrow: Base64,
    /// Which of the auditor's keys that was: [`CodeTerms::auditor_epoch`].
    pub auditor_epoch: u32,
    /// `H("participant", key)` of the key to which the device will seal its payloads; of an empty part if to none.
    pub participant: Hash,
    /// The device's signature over [`enrolment_message`]: it possesses the key.
    pub proof: SignatureBytes,
    /// The device's signature over [`key_proof_message`], for the chain: it agrees to be enrolled by this server, and by no other.
    pub key_proof: SignatureBytes,
}

/// The device stands on the chain, finalised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolled {
    /// Its number on the chain.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub device: DeviceId,
    /// The study that it belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = u32))]
    pub study: StudyId,
    /// Link 0 of its hashchain, computed by the chain. The device compares it with its own.
    #[cfg_attr(feature = "openapi", schema(value_type = Hash))]
    pub genesis: LinkHash,
    /// A finalised block that has it.
    pub block: BlockRef,
}

/// What a device signs to enrol: `enc("enrol", chain, u32 study, code, key, commitment, H("escrow", escrow))`.
///
/// The label sets it apart from the head of a run, so neither signature passes for the other.
pub fn enrolment_message(chain: &Hash, study: StudyId, request: &EnrolRequest) -> Vec<u8> {
    let escrow = hashchain::escrow_commitment::<hashchain::Native>(&request.escrow.0);
    hashchain::encoding::encode(
        "enrol",
        &[
            &chain.0,
            &study.0.to_be_bytes(),
            request.code.as_bytes(),
            &request.device_key.0,
            &request.secret_commitment.0,
            &escrow,
        ],
    )
}

/// What a device signs so that the chain takes its key from this server: `enc("key-proof", chain, u32 study, server, key, u32
/// predecessor or nothing, commitment, H("escrow", escrow), u32 epoch, auditor key, participant)`. The chain sees it, so it says
/// nothing of the code.
pub fn key_proof_message(
    chain: &Hash,
    study: StudyId,
    server: &Key,
    auditor_key: &Key,
    predecessor: Option<DeviceId>,
    request: &EnrolRequest,
) -> Vec<u8> {
    let escrow = hashchain::escrow_commitment::<hashchain::Native>(&request.escrow.0);
    hashchain::key_proof_message(&hashchain::KeyProof {
        chain: &chain.0,
        study,
        server: &server.0,
        device_key: &request.device_key.0,
        predecessor,
        secret_commitment: &request.secret_commitment.0,
        escrow_commitment: &escrow,
        auditor_epoch: request.auditor_epoch,
        auditor_key: &auditor_key.0,
        participant: &request.participant.0,
    })
}
