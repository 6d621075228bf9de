// SPDX-License-Identifier: Apache-2.0

//! Why a device was stopped.

use core::fmt;

/// Why a device was stopped. It seals and sends nothing more; re-enrolment gives its participant a new device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FreezeReason {
    /// The chain's entries in the device's name are not the device's.
    ForeignHead,
    /// The chain goes on from the device's state with entries made with its own secret.
    RestoredBackup,
    /// The chain has the device's key enrolled with another secret, escrow, predecessor or study.
    OtherEnrolment,
    /// The chain has the device enrolled with another participant's key.
    AnotherParticipantKey,
    /// The study has retired the device on the chain.
    Retired,
    /// The device could not be enrolled, and another one was made for the next code.
    NeverEnrolled,
}

impl FreezeReason {
    /// Stable name, for scripts and for the store.
    pub fn code(self) -> &'static str {
        match self {
            Self::ForeignHead => "foreign_head",
            Self::RestoredBackup => "restored_backup",
            Self::OtherEnrolment => "other_enrolment",
            Self::AnotherParticipantKey => "another_participant_key",
            Self::Retired => "device_retired",
            Self::NeverEnrolled => "never_enrolled",
        }
    }

    /// The reason of a stable name; none if there is no such reason.
    pub fn from_code(code: &str) -> Option<Self> {
        [
            Self::ForeignHead,
            Self::RestoredBackup,
            Self::OtherEnrolment,
            Self::AnotherParticipantKey,
            Self::Retired,
            Self::NeverEnrolled,
        ]
        .into_iter()
        .find(|reason| reason.code() == code)
    }
}

impl fmt::Display for FreezeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForeignHead => {
                "the chain holds entries in its name that are not in this state file. Most likely the state file is an old \
                 copy, restored from a backup, and sealed again before it was compared with the chain. Otherwise somebody \
                 else wrote for the device, or a relay altered what it sent. Report this to the study; the auditor can tell \
                 from the escrowed secret which entries are whose, and a new enrolment goes on from the last trusted one. \
                 What is left in the file can be taken out for the auditor."
            }
            Self::RestoredBackup => {
                "the chain goes on from this state with entries made with its own secret. The state file is an old \
                 copy, most likely restored from a backup, or somebody else holds a copy of it. Enrol the device \
                 anew; nothing that the chain holds is lost."
            }
            Self::AnotherParticipantKey => {
                "the chain has another participant's key on record than the one that its payloads are sealed to. Report this to \
                 the study: who holds that other key could read what only the participant should."
            }
            Self::Retired => {
                "the study has retired it on the chain, which takes no more entries of it. A new enrolment goes on from the last \
                 trusted one. What is left in the file can be taken out for the auditor."
            }
            Self::NeverEnrolled => {
                "it could not be enrolled with its code, and another device was made for the next one. What was sealed with it stays \
                 on the phone."
            }
            Self::OtherEnrolment => {
                "the chain has its key enrolled under other terms than this state file. The state file is not the one \
                 that was enrolled."
            }
        })
    }
}
