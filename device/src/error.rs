// SPDX-License-Identifier: Apache-2.0

//! What can go wrong on the device itself.

use alloc::string::String;
use hashchain::StudyId;

use crate::{freeze::FreezeReason, key::PublicKey};

/// Why the device's own state could not be read or written, or would not go on.
///
/// The message is for the person in front of the program; [`code`](Self::code) is for scripts and stays the same
/// between versions. Neither contains patient data or secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened, created, read or written.
    #[error("The state file {path} cannot be used: {reason}.")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// There is no such file, and the caller did not ask to make one.
    #[error("There is no state file {0}.")]
    Missing(String),
    /// There is nothing in the file: the program that made it was ended before it had finished.
    #[error("The state file {0} is empty.")]
    Unfinished(String),
    /// The file is damaged, or something in it does not fit the rest.
    #[error(
        "The state file {path} is damaged: {what}. Nothing was changed. Keep the file. Restore a copy only to read \
         it; to go on sealing, enrol anew."
    )]
    Corrupt {
        /// The file.
        path: String,
        /// What does not fit.
        what: String,
    },
    /// The file is a database of some other program.
    #[error("The file {0} is not a state file of this program.")]
    NotOurs(String),
    /// The file was written by a newer version of this program.
    #[error(
        "The state file {path} has version {found}; this program knows versions up to {known}. Update the program."
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// The devices of the file are enrolled on another chain.
    #[error(
        "The state file belongs to another chain: it was made for genesis {found}, this chain has {expected}."
    )]
    OtherChain {
        /// Genesis hash of the present chain.
        expected: String,
        /// Genesis hash that the file was made for.
        found: String,
    },
    /// The devices of the file belong to another study.
    #[error("The state file belongs to study {found}, not to study {expected}.")]
    OtherStudy {
        /// The study asked for.
        expected: StudyId,
        /// The study of the file.
        found: StudyId,
    },
    /// The study's auditor key is not the one that the escrows of the file are sealed to.
    #[error(
        "The study's auditor key is not the one that the devices of this state file were made for. Use a new file."
    )]
    OtherAuditor,
    /// The file does not hold the device that the caller expects in it.
    #[error("The state file belongs to another device: it does not hold the key {0}.")]
    OtherDevice(PublicKey),
    /// Another program has the file open and does not let go of it.
    #[error("The state file {0} is in use by another program. Try again when it has ended.")]
    InUse(String),
    /// The disk is full.
    #[error("The disk of the state file {0} is full. Nothing that was sealed is lost; make room and run again.")]
    DiskFull(String),
    /// The device has been stopped, see [`FreezeReason`].
    #[error("The device {key} was stopped: {reason}")]
    Frozen {
        /// The device.
        key: PublicKey,
        /// Why.
        reason: FreezeReason,
    },
    /// The payload was to be sealed to another key than the device is enrolled with, or than its other entries are sealed to.
    #[error(
        "The key is not the participant's with which this device was made. Nothing was sealed. Report this to the study: somebody \
         may want to read what only the participant should."
    )]
    AnotherParticipantKey,
    /// The participant's key is a point of small order.
    #[error("The participant's key is weak: everybody could open what is sealed to it. Nothing was sealed.")]
    WeakParticipantKey,
    /// A payload is longer than readers put together. It was not sealed.
    #[error(
        "The payload has more than {most} bytes, which is what a record in parts may have. It was not sealed. Seal it as \
         several records."
    )]
    TooLarge {
        /// Bytes that a payload may have.
        most: usize,
    },
    /// What is secret in the state was wrapped by another key store: the state is a copy from another phone, or the key store was
    /// reset.
    #[error(
        "The state file {0} cannot be opened on this phone: its keys are in the key store of another one, or the key store was \
         reset. What the chain holds is safe. Begin with a new state file, and ask the study's staff for a new enrolment code."
    )]
    WrongKeystore(String),
    /// The key store does not open at present.
    #[error("The phone is locked, and its key store with it. Unlock it and try again.")]
    KeystoreLocked,
    /// The key store failed.
    #[error("The phone's key store failed: {0}.")]
    KeystoreFailed(String),
    /// The system gives no random bytes. Nothing was made or sealed.
    #[error(
        "The system gives no random bytes. Nothing was sealed. Restart the phone and try again."
    )]
    NoRandom,
    /// Nobody has said yet which study the phone is for.
    #[error(
        "The phone is in no study yet. Enter the enrolment code that the study's staff handed out."
    )]
    NotEnrolled,
    /// A payload cannot be sealed, because its media type is none or its recipient's key is no key.
    #[error("The payload cannot be sealed: {0}.")]
    Unsealable(String),
}

impl Error {
    /// Stable name of the kind of error, for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "state_unreadable",
            Self::Missing(_) => "state_missing",
            Self::Unfinished(_) => "state_unfinished",
            Self::Corrupt { .. } => "state_corrupt",
            Self::NotOurs(_) => "state_not_ours",
            Self::Newer { .. } => "state_newer",
            Self::OtherChain { .. } => "state_of_another_chain",
            Self::OtherStudy { .. } => "state_of_another_study",
            Self::OtherAuditor => "state_of_another_auditor",
            Self::OtherDevice(_) => "state_of_another_device",
            Self::InUse(_) => "state_in_use",
            Self::DiskFull(_) => "state_disk_full",
            Self::Frozen { .. } => "device_frozen",
            Self::AnotherParticipantKey => "another_participant_key",
            Self::WeakParticipantKey => "weak_participant_key",
            Self::TooLarge { .. } => "payload_too_large",
            Self::WrongKeystore(_) => "wrong_keystore",
            Self::KeystoreLocked => "keystore_locked",
            Self::KeystoreFailed(_) => "keystore_failed",
            Self::NoRandom => "no_random",
            Self::NotEnrolled => "not_enrolled",
            Self::Unsealable(_) => "payload_unsealable",
        }
    }
}
