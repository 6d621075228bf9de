// SPDX-License-Identifier: Apache-2.0

//! The one place where the chain's reasons become the words that programs tell each other.
//!
//! A variant of the chain without a word does not compile. Errors of other pallets, and of runtimes that are newer than this
//! program, keep their own name as an unknown word.

use mhealth_api::Refusal;

use crate::pool::PoolRefusal;
use crate::runtime::api::runtime_types::pallet_client_hashchain::pallet::Error as HashchainError;
use crate::runtime::api::runtime_types::pallet_client_hashchain::types::RefusalReason;

macro_rules! same_words {
    ($from:ident { $($variant:ident),* $(,)? }) => {
        impl From<$from> for Refusal {
            fn from(reason: $from) -> Self {
                match reason {
                    $($from::$variant => Self::$variant,)*
                }
            }
        }
    };
}

same_words!(RefusalReason {
    EmptyRun,
    InvalidSequence,
    UnknownDevice,
    NotARelayOfThisStudy,
    StudyClosed,
    DeviceSuspended,
    DeviceRetired,
    Gap,
    PreviousIsNotHead,
    Fork,
    SignatureMissing,
    BadSignature,
    BeyondReach,
    StudyAllowanceUsed,
    DeviceAllowanceUsed,
});

same_words!(HashchainError {
    EmptyRun,
    InvalidSequence,
    UnknownDevice,
    NotARelayOfThisStudy,
    StudyClosed,
    DeviceSuspended,
    DeviceRetired,
    Gap,
    PreviousIsNotHead,
    Fork,
    SignatureMissing,
    BadSignature,
    BeyondReach,
    StudyAllowanceUsed,
    DeviceAllowanceUsed,
    UnknownStudy,
    NotAnAuthenticationServer,
    NotTheStudysOffice,
    KeyInUse,
    WeakKey,
    KeyProofFails,
    EscrowMissing,
    OtherAuditorEpoch,
    PredecessorNotRetired,
    PredecessorHasSuccessor,
    TooManyDevices,
    NotActive,
    NotSuspended,
    ForkedDeviceCannotResume,
    ForkNeedsProof,
    NotAnEntryOfThisDevice,
    TooManyStatusChanges,
    OnlyTheSponsor,
    RetirementPending,
    NoRetirementPending,
    RunsWithinAnotherCall,
    StillActive,
    AlreadyErased,
    DeviceErased,
});

impl From<&PoolRefusal> for Refusal {
    fn from(refusal: &PoolRefusal) -> Self {
        match refusal {
            PoolRefusal::NoRole => Self::NoRole,
            PoolRefusal::DeviceShutOut => Self::DeviceShutOut,
            PoolRefusal::NotOwnRuns => Self::NotOwnRuns,
            PoolRefusal::NotItsCall => Self::NotItsCall,
            PoolRefusal::OtherThreshold => Self::OtherThreshold,
            PoolRefusal::TooMuchRefused => Self::TooMuchRefused,
            PoolRefusal::TooManyWaiting => Self::TooManyWaiting,
            PoolRefusal::TooHeavy => Self::TooHeavy,
            PoolRefusal::Stale
            | PoolRefusal::Future
            | PoolRefusal::BadSignature
            | PoolRefusal::Ancient
            | PoolRefusal::Outbid
            | PoolRefusal::PoolFull
            | PoolRefusal::Banned
            | PoolRefusal::AlreadyThere
            | PoolRefusal::KeysChangedToday
            | PoolRefusal::LastKeys
            | PoolRefusal::Other { .. } => Self::PoolRefused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::unknown_word as unknown;

    #[test]
    fn every_reason_of_the_chain_has_the_word_of_its_name() {
        let metadata = include_bytes!("../metadata/mhealth.scale");
        let metadata = subxt::Metadata::decode_from(metadata).expect("the file is metadata");
        let pallet = metadata.pallet_by_name("ClientHashchain").expect("ours");
        let errors = pallet.error_variants().expect("it has errors");
        assert!(errors.len() > 20);
        for error in errors {
            let word = unknown(&error.name);
            assert!(Refusal::KNOWN.contains(&word), "{} has no word", error.name);
        }
    }

    #[test]
    fn an_error_that_has_no_variant_here_keeps_its_name() {
        let word = |name| unknown(name).as_str().to_owned();
        assert_eq!(word("Studies.NotSponsor"), "studies.not_sponsor");
        assert_eq!(word("BadOrigin"), "bad_origin");
        assert_eq!(
            unknown("ClientHashchain"),
            Refusal::Unknown("client_hashchain".into())
        );
        assert_eq!(word("Token(FundsUnavailable)"), "unreadable");
    }
}
