// SPDX-License-Identifier: Apache-2.0

//! Words that programs tell each other: why the chain refused something, where a run is, whether a device may write.
//!
//! Each is an enum with one stable name in `snake_case`. A peer that is newer may send a word that this version does not
//! know: it is kept as `Unknown` and passed on as it came.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;
use core::str::FromStr;

use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// Most bytes of a word.
pub const MAX_WORD_LENGTH: usize = 64;

/// A text that cannot be a word of any version: words are 1 to [`MAX_WORD_LENGTH`] of `a` to `z`, `0` to `9`, `_` and `.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a word of 1 to {MAX_WORD_LENGTH} lower-case letters, digits, dots and underscores"
)]
pub struct NotAWord;

macro_rules! words {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word that this version does not know.
            Unknown(String),
        }

        impl $name {
            /// Every word that this version knows.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant),*];

            /// The word. Stable.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Unknown(word) => word,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = NotAWord;

            fn from_str(text: &str) -> Result<Self, NotAWord> {
                Ok(match text {
                    $($word => Self::$variant,)*
                    text if is_word(text) => Self::Unknown(text.to_owned()),
                    _ => return Err(NotAWord),
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!($($doc),*).trim()))
                    .enum_values(Some([$($word),*]))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

fn is_word(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    (1..=MAX_WORD_LENGTH).contains(&text.len()) && text.bytes().all(fits)
}

words! {
    /// Where a run is on its way into the chain.
    RunState {
        /// Stored durably; not yet sent to the chain.
        Pending = "pending",
        /// In an extrinsic that is on its way into a block.
        Submitted = "submitted",
        /// Registered in a finalised block, by this extrinsic or before.
        Finalised = "finalised",
        /// Refused by the chain. The run and its envelopes are kept.
        Refused = "refused",
        /// Refused because it contradicts what is registered. The run and its envelopes are kept as evidence.
        Conflicting = "conflicting",
    }
}

words! {
    /// Whether a device may register entries.
    DeviceStatus {
        /// Its runs are accepted.
        Active = "active",
        /// Its runs are refused until the study lifts the suspension.
        Suspended = "suspended",
        /// Its hashchain has ended; a successor may go on.
        Retired = "retired",
    }
}

words! {
    /// Why the chain refused something: a run, an enrolment, or a change of a device's status.
    Refusal {
        /// The run has no entry.
        EmptyRun = "empty_run",
        /// Sequences start at 1 and end at 2⁶⁴ − 1.
        InvalidSequence = "invalid_sequence",
        /// No device has this number.
        UnknownDevice = "unknown_device",
        /// The account is neither a relay of the device's study nor the device itself.
        NotARelayOfThisStudy = "not_a_relay_of_this_study",
        /// The study takes no entries any more.
        StudyClosed = "study_closed",
        /// The device is suspended.
        DeviceSuspended = "device_suspended",
        /// The device is retired.
        DeviceRetired = "device_retired",
        /// Entries before this run are missing.
        Gap = "gap",
        /// The run names a previous link that is not the stored head.
        PreviousIsNotHead = "previous_is_not_head",
        /// The run differs from what is registered at the same sequence.
        Fork = "fork",
        /// The study asks for the device's signature.
        SignatureMissing = "signature_missing",
        /// The signature is not the device's over this run's last link.
        BadSignature = "bad_signature",
        /// The run ends too long before the head to be compared within one call.
        BeyondReach = "beyond_reach",
        /// The study has registered as many entries or bytes as it may.
        StudyAllowanceUsed = "study_allowance_used",
        /// The device has as many entries as one may have in its study.
        DeviceAllowanceUsed = "device_allowance_used",

        /// No study has this number.
        UnknownStudy = "unknown_study",
        /// The account is no authentication server of the study.
        NotAnAuthenticationServer = "not_an_authentication_server",
        /// The account is neither the study's sponsor nor one of its authentication servers.
        NotTheStudysOffice = "not_the_studys_office",
        /// A device was enrolled with this key before.
        KeyInUse = "key_in_use",
        /// A key for which anybody can make signatures.
        WeakKey = "weak_key",
        /// The device's key did not agree to this enrolment.
        KeyProofFails = "key_proof_fails",
        /// The enrolment has no escrow.
        EscrowMissing = "escrow_missing",
        /// The escrow is for a former key of the study's auditor, or for none of its keys.
        OtherAuditorEpoch = "other_auditor_epoch",
        /// The predecessor is not a retired device of the same study.
        PredecessorNotRetired = "predecessor_not_retired",
        /// The predecessor has a successor already.
        PredecessorHasSuccessor = "predecessor_has_successor",
        /// The chain has given out all device numbers.
        TooManyDevices = "too_many_devices",
        /// Only an active device can be suspended.
        NotActive = "not_active",
        /// Only a suspended device can be resumed.
        NotSuspended = "not_suspended",
        /// The device's key signed two histories.
        ForkedDeviceCannotResume = "forked_device_cannot_resume",
        /// Only the chain itself suspends for a fork.
        ForkNeedsProof = "fork_needs_proof",
        /// The journal entry is not this device's, or has left the state.
        NotAnEntryOfThisDevice = "not_an_entry_of_this_device",
        /// The authentication server has changed the status of as many devices as one may within an hour.
        TooManyStatusChanges = "too_many_status_changes",
        /// Only the study's sponsor may do this: distrust entries, veto a retirement, or write down an erasure.
        OnlyTheSponsor = "only_the_sponsor",
        /// The device is to retire, and that does not hold yet.
        RetirementPending = "retirement_pending",
        /// No retirement of the device is pending.
        NoRetirementPending = "no_retirement_pending",
        /// Runs stand at the top of an extrinsic, never within another call.
        RunsWithinAnotherCall = "runs_within_another_call",
        /// Only of a suspended or retired device it is written down that its data were erased.
        StillActive = "still_active",
        /// It is written down already that the device's data were erased.
        AlreadyErased = "already_erased",
        /// The device's data were erased on record.
        DeviceErased = "device_erased",

        /// The account that submitted it has no role on the chain.
        NoRole = "no_role",
        /// The account that submitted it is that of a suspended or retired device.
        DeviceShutOut = "device_shut_out",
        /// The account that submitted it is a device's and may send its own runs only.
        NotOwnRuns = "not_own_runs",
        /// None of the roles of the account that submitted it may make this call.
        NotItsCall = "not_its_call",
        /// The motion asks for another number of ayes than its call needs.
        OtherThreshold = "other_threshold",
        /// Too much of what the account that submitted it sent was refused of late.
        TooMuchRefused = "too_much_refused",
        /// As many transactions of the account that submitted it wait as may.
        TooManyWaiting = "too_many_waiting",
        /// The transaction is too large or too heavy for a block.
        TooHeavy = "too_heavy",
        /// The node's pool refused the transaction for another reason.
        PoolRefused = "pool_refused",
        /// What the server was to submit was not complete.
        Incomplete = "incomplete",
    }
}

impl Refusal {
    /// Whether time alone, or somebody else, can take the reason away: the same run may be accepted later.
    pub fn passes_by_itself(&self) -> bool {
        matches!(
            self,
            Self::NotARelayOfThisStudy
                | Self::StudyClosed
                | Self::DeviceSuspended
                | Self::Gap
                | Self::StudyAllowanceUsed
                | Self::DeviceAllowanceUsed
        )
    }

    /// Whether the run does not fit the chain's head: the device has to compare the two and send from the head on.
    pub fn asks_to_resend(&self) -> bool {
        matches!(
            self,
            Self::Gap | Self::PreviousIsNotHead | Self::Fork | Self::BeyondReach
        )
    }
}

impl RunState {
    /// Whether it is still open what becomes of the run. A state that this version does not know is.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Submitted | Self::Unknown(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_as_it_was_written() {
        for refusal in Refusal::KNOWN {
            let json = serde_json::to_string(refusal).unwrap();
            assert_eq!(serde_json::from_str::<Refusal>(&json).unwrap(), *refusal);
            assert!(is_word(refusal.as_str()), "{refusal}");
        }
    }

    #[test]
    fn a_newer_peers_word_is_kept_and_passed_on() {
        let state: RunState = serde_json::from_str("\"archived\"").unwrap();
        assert_eq!(state, RunState::Unknown("archived".into()));
        assert_eq!(serde_json::to_string(&state).unwrap(), "\"archived\"");
        assert!(state.is_open());
    }

    #[test]
    fn what_no_version_would_say_is_refused() {
        for text in [
            "",
            "Gap",
            "two words",
            "<b>",
            &"a".repeat(MAX_WORD_LENGTH + 1),
            "ü",
        ] {
            assert_eq!(text.parse::<Refusal>(), Err(NotAWord), "{text}");
        }
    }
}
