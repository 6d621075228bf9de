// SPDX-License-Identifier: Apache-2.0

//! Errors as `application/problem+json` (RFC 9457), each with a stable code.

use alloc::{boxed::Box, string::String};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Head;

/// The media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong. The texts are part of the interface and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One sentence for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

impl Code {
    /// Whether it says something about a proof of possession, and nothing about the token or the request.
    pub fn is_about_a_proof(self) -> bool {
        use Code::*;
        matches!(
            self,
            MissingProof
                | MalformedProof
                | InvalidProof
                | ProofByAnotherKey
                | ProofForAnotherMethod
                | ProofForAnotherAddress
                | ProofForAnotherToken
                | UseDpopNonce
                | ReplayedProof
        )
    }
}

codes! {
    /// The body is not JSON.
    MalformedJson = "malformed_json", 400, "The body is not JSON.";
    /// The JSON is not the message that this address takes.
    InvalidMessage = "invalid_message", 422, "A member of the message is missing, unknown or of the wrong form.";
    /// A parameter of the address is not what it should be.
    InvalidParameter = "invalid_parameter", 400, "A parameter of the address has the wrong form.";
    /// Not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be application/json.";
    /// A `Content-Encoding` other than gzip.
    UnsupportedEncoding = "unsupported_encoding", 415, "The body must be sent as it is, or as gzip.";
    /// JSON in another encoding than UTF-8.
    UnsupportedCharset = "unsupported_charset", 415, "The body must be in UTF-8.";
    /// A trusted proxy names no address for which it asks.
    InvalidForwarding = "invalid_forwarding", 400, "The proxy in front of this server does not say for whom it asks.";
    /// A web page of an origin that the operator does not list.
    OriginNotAllowed = "origin_not_allowed", 403, "Web pages of this origin may not use this server.";
    /// The body exceeds the limit.
    BodyTooLarge = "body_too_large", 413, "The body is larger than this server takes.";
    /// Nothing is at this address.
    NotFound = "not_found", 404, "Nothing is at this address.";
    /// The address takes another method.
    MethodNotAllowed = "method_not_allowed", 405, "This address takes another method.";
    /// The request did not arrive in time.
    RequestTimeout = "request_timeout", 408, "The request did not arrive in time.";
    /// More requests than this caller may send.
    TooManyRequests = "too_many_requests", 429, "Too many requests; wait as long as Retry-After says.";
    /// A queue is full.
    Overloaded = "overloaded", 503, "The server is at capacity; wait as long as Retry-After says.";
    /// The chain cannot be reached.
    ChainUnavailable = "chain_unavailable", 503, "The chain cannot be reached at present.";
    /// The database does not answer.
    StorageUnavailable = "storage_unavailable", 503, "The database does not take anything at present.";
    /// A part of the server is not as it should be.
    NotReady = "not_ready", 503, "The server cannot do all of its work at present.";
    /// The server stops.
    ShuttingDown = "shutting_down", 503, "The server is stopping.";
    /// The server's node has no proof at present.
    ProofUnavailable = "proof_unavailable", 503, "There is no proof of this at present; ask again, or another relay.";
    /// The authorities were changed in a way that cannot be proved from the set on that was named.
    SetNotBridged = "set_not_bridged", 409, "No proof leads on from this set of authorities.";
    /// A fault of the server.
    Internal = "internal", 500, "The server failed; what it acknowledged before is not affected.";

    /// No credentials.
    MissingCredentials = "missing_credentials", 401, "Credentials are missing.";
    /// Credentials that nobody has.
    InvalidCredentials = "invalid_credentials", 401, "The credentials are not valid.";
    /// A good credential, for something else.
    NotAllowed = "not_allowed", 403, "The credential is not good for this.";
    /// A login of staff that is over.
    SessionExpired = "session_expired", 401, "The session is over; log in again.";
    /// No session has this number, or it is over.
    UnknownSession = "unknown_session", 404, "No session has this number.";
    /// Somebody came back from the login provider with something that this server did not begin, or that does not hold.
    LoginFailed = "login_failed", 401, "The login did not succeed; begin again.";
    /// The provider by which staff log in cannot be reached.
    LoginUnavailable = "login_unavailable", 503, "The login provider cannot be reached at present.";
    /// Nobody asked for this.
    UnknownApproval = "unknown_approval", 404, "No request for approval has this number.";
    /// The one who asked decides.
    NeedsAnotherPerson = "needs_another_person", 403, "Another person with the same duty has to decide this.";
    /// It was decided before, or nobody decided it in time.
    ApprovalClosed = "approval_closed", 409, "This request was decided before, or its time is over.";
    /// Not a token that this server's authentication servers signed.
    InvalidToken = "invalid_token", 401, "The token is not valid.";
    /// Its time is over.
    TokenExpired = "token_expired", 401, "The token has expired; get a new one.";
    /// Its time has not come.
    TokenNotYetValid = "token_not_yet_valid", 401, "The token is not valid yet; compare the clocks.";
    /// Issued by a server that this relay does not trust.
    UnknownIssuer = "unknown_issuer", 401, "The token's issuer is not one that this relay trusts.";
    /// The keys of a trusted issuer cannot be read.
    IssuerUnavailable = "issuer_unavailable", 503, "The keys of the token's issuer cannot be read at present.";
    /// Issued for another audience.
    WrongAudience = "wrong_audience", 401, "The token does not list this relay.";
    /// Issued for another chain.
    WrongChain = "wrong_chain", 409, "This is for another chain.";
    /// Issued for another device.
    WrongDevice = "wrong_device", 403, "The token is another device's.";
    /// Issued for another study.
    WrongStudy = "wrong_study", 403, "The device belongs to another study.";

    /// A symbol of the code was left out, doubled or mistyped.
    MalformedCode = "malformed_code", 422, "This is not an enrolment code; compare it with the paper, symbol by symbol.";
    /// Nobody issued this code.
    UnknownCode = "unknown_code", 404, "No such enrolment code was issued.";
    /// The code's time is over.
    CodeExpired = "code_expired", 410, "The enrolment code has expired.";
    /// The code was used by another device, or with another content.
    CodeUsed = "code_used", 409, "The enrolment code was used before.";
    /// Staff took the code back.
    CodeRevoked = "code_revoked", 410, "The enrolment code was revoked.";
    /// The participant has a code that can be redeemed.
    ParticipantHasCode = "participant_has_code", 409, "The participant has an open enrolment code already; say another.";
    /// The participant has a device that is not retired.
    ParticipantHasDevice = "participant_has_device", 409, "The participant has a device already; say another, or suspend or retire it first.";
    /// The key is enrolled already.
    KeyInUse = "key_in_use", 409, "A device with this key is enrolled already.";
    /// A key that nobody can prove anything with.
    WeakKey = "weak_key", 422, "The device key is weak and proves nothing.";
    /// To this participant key nothing can be sealed that only the participant opens.
    WeakParticipantKey = "weak_participant_key", 422, "The participant's key is weak: everybody could open what is sealed to it.";
    /// The device seals its data to another key than the code is for.
    AnotherParticipantKey = "another_participant_key", 409, "The code is for another participant's key.";
    /// The device sealed its secret to a former key of the study's auditor, or to none of its keys.
    OtherAuditorEpoch = "other_auditor_epoch", 409, "The study's auditor has another key by now; seal the secret anew.";
    /// The signature is not the device's.
    InvalidProof = "invalid_proof", 401, "The proof of possession is not a signature by the device's key.";
    /// No proof of possession where one is needed.
    MissingProof = "missing_proof", 401, "The proof of possession is missing.";
    /// More than one proof, or something that is none.
    MalformedProof = "malformed_proof", 401, "This is not one proof of possession as servers take it.";
    /// Made by another key than the token is bound to, or than the device's.
    ProofByAnotherKey = "proof_by_another_key", 401, "The proof of possession was made by another key.";
    /// Made for another method.
    ProofForAnotherMethod = "proof_for_another_method", 401, "The proof of possession is for another method.";
    /// Made for another address.
    ProofForAnotherAddress = "proof_for_another_address", 401, "The proof of possession is for another address.";
    /// Made for another token.
    ProofForAnotherToken = "proof_for_another_token", 401, "The proof of possession is for another token.";
    /// Made too long ago, or in the future, by the server's clock; or the nonce is not one of the server's, or too old.
    UseDpopNonce = "use_dpop_nonce", 401, "Make a new proof with the nonce in the header DPoP-Nonce.";
    /// The proof was seen before.
    ReplayedProof = "replayed_proof", 401, "This proof was used before; make a new one.";
    /// The device's key did not agree to be enrolled by this server.
    InvalidKeyProof = "invalid_key_proof", 422, "The proof for the chain is not a signature by the device's key over this enrolment.";
    /// The escrow has the wrong length.
    InvalidEscrow = "invalid_escrow", 422, "The escrow does not have the length of an escrowed secret.";

    /// No such device.
    UnknownDevice = "unknown_device", 404, "No device has this number.";
    /// No such study.
    UnknownStudy = "unknown_study", 404, "No study has this number.";
    /// No such run.
    UnknownRun = "unknown_run", 404, "This server has no such run.";
    /// The device is suspended.
    DeviceSuspended = "device_suspended", 403, "The device is suspended.";
    /// The device is retired.
    DeviceRetired = "device_retired", 403, "The device is retired.";
    /// The device's data were erased.
    DeviceErased = "device_erased", 403, "The device's data were erased; nothing of it is taken any more.";
    /// The study takes no entries.
    StudyClosed = "study_closed", 403, "The study is closed.";
    /// What was asked does not fit the device's state.
    InvalidState = "invalid_state", 409, "The device's state does not allow this.";
    /// The chain refused what the server submitted.
    RefusedByChain = "refused_by_chain", 409, "The chain refused this.";

    /// A run without entries.
    EmptyRun = "empty_run", 422, "The run has no entry.";
    /// A run with too many entries.
    RunTooLong = "run_too_long", 422, "The run has more entries than a run may have.";
    /// Sequences start at 1.
    InvalidSequence = "invalid_sequence", 422, "Sequences start at 1 and end at 2^63 - 1.";
    /// The envelope is not what its digest says.
    DigestMismatch = "digest_mismatch", 422, "An envelope does not have the digest that its entry says.";
    /// The study asks for a signature.
    MissingSignature = "missing_signature", 422, "Runs of this study carry the device's signature.";
    /// The signature is not the device's over the last link.
    BadSignature = "bad_signature", 422, "The signature is not the device's over the run's last link.";
    /// Entries before the run are missing.
    Gap = "gap", 409, "Entries before this run are missing; send from the head on.";
    /// The device has too many rivals of its own history stored.
    TooManyConflicts = "too_many_conflicts", 409, "This device has as many conflicting runs as the relay keeps.";
    /// As many of the device's entries wait for the chain as may.
    DeviceQueueFull = "device_queue_full", 429, "Enough of this device's entries wait for the chain; wait as long as Retry-After says.";
    /// The device has sent as many bytes as it may for now.
    DeviceBytesUsed = "device_bytes_used", 429, "The device has sent as much as it may for now; wait as long as Retry-After says.";
    /// The relay keeps as many bytes of the device as it may.
    DeviceStorageFull = "device_storage_full", 403, "The relay keeps as much of this device as it may.";
    /// The relay does not chain on behalf of devices.
    NotChainedHere = "not_chained_here", 403, "This relay takes chained runs only.";

    /// Somebody else ordered an erasure.
    NotTheHolder = "not_the_holder", 403, "The order is by somebody else than the holder of the participants' keys.";
    /// The holder did not sign this.
    BadOrderSignature = "bad_order_signature", 422, "The signature is not the holder's over this order.";
    /// A device of an order is another participant's.
    OtherParticipant = "other_participant", 409, "A device of the order is another participant's.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or(())
    }
}

/// An error as a client sees it. Inner details stay with the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} ({code})")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:mhealth-chain:problem:` and the code.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// The code's sentence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this very request.
    pub detail: String,
    /// The stable code, listed in `docs/protocol/device-api.md`.
    pub code: String,
    /// With `gap`: the relay's head of the device, from which to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// With `token_not_yet_valid`: the server's clock, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_time: Option<u64>,
    /// With `device_retired` for a token: base addresses of the study's relays, any of which proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub relays: Option<Box<[String]>>,
}

impl Problem {
    /// A problem that its code explains.
    pub fn new(code: Code) -> Self {
        Self::with_detail(code, code.title())
    }

    /// A problem with a sentence on this very request. It must not contain patient data, secrets or inner errors.
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:mhealth-chain:problem:{code}"),
            title: code.title().into(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().into(),
            head: None,
            server_time: None,
            relays: None,
        }
    }

    /// The code; none if this library does not know it.
    pub fn known_code(&self) -> Option<Code> {
        self.code.parse().ok()
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_from_its_text() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!((400..600).contains(&code.status()), "{code}");
        }
        assert_eq!("no_such_code".parse::<Code>(), Err(()));
    }

    #[test]
    fn a_problem_is_read_back_as_it_was_written() {
        for code in Code::ALL {
            let problem = Problem {
                relays: Some(Box::new([String::from("https://relay.example.org")])),
                ..Problem::new(*code)
            };
            let json = serde_json::to_string(&problem).unwrap();
            assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
            assert_eq!(problem.known_code(), Some(*code));
        }
    }
}
