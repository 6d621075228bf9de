// SPDX-License-Identifier: Apache-2.0

//! What can go wrong, each with a stable code. No message has a key or a value of a participant in it.

use std::io;
use std::path::Path;

use hashchain::StudyId;
use mhealth_api::Hash;

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder cannot be read or written.
    #[error("{file}: {why}")]
    File {
        /// Its name.
        file: String,
        /// Why.
        why: io::Error,
    },
    /// A wrong command line.
    #[error("{0}")]
    Usage(String),

    /// The folder is no key folder.
    #[error("{0} is no key folder: it has no study.json; make one with `mhealth-data keys new`")]
    NoKeyFolder(String),
    /// A file of the key folder is damaged.
    #[error("{file} is damaged: {why}")]
    KeyFolderDamaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file with keys is not fit to be read, or cannot be written.
    #[error("{}", .0.sentence())]
    SecretFile(#[from] mhealth_chain_client::SecretFileError),
    /// The folder is another study's.
    #[error("these keys are of study {study} of the chain {chain}, and not of what was asked for")]
    AnotherStudy {
        /// The folder's chain.
        chain: Hash,
        /// The folder's study.
        study: StudyId,
    },
    /// A pseudonym that no participant can have.
    #[error("a pseudonym has 1 to 64 characters without blanks or control characters, and {0:?} does not")]
    BadPseudonym(String),
    /// There is a key already.
    #[error("{0} has a key already; it was left as it is")]
    KeyExists(String),
    /// Two keys for one participant.
    #[error("{0} has another key in the folder than in the file; nothing was taken from the file")]
    AnotherKey(String),
    /// There is no such key.
    #[error("{0} has no key in this folder")]
    NoSuchParticipant(String),
    /// The participant's key was destroyed on record.
    #[error("the key of {0} was destroyed on record and is not taken back")]
    Destroyed(String),
    /// There is no key to sign with.
    #[error(
        "the folder has no holder.key, so nothing can be signed; `mhealth-data keys new` makes one"
    )]
    NoHolderKey,
    /// A line of a file of keys is wrong.
    #[error("{file}, line {line}: expected a pseudonym, a blank and 64 hexadecimal digits")]
    BadKeyLine {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// It is not known which devices a participant had.
    #[error("it is not known which devices {0} had; name them with --device, or say --no-device")]
    UnknownDevices(String),

    /// A back-up is none.
    #[error("this is no back-up of a key folder, or it is damaged")]
    NotABackUp,
    /// The program `age` is not there.
    #[error("the program `age` cannot be run: {0}; on Debian, apt-get install age")]
    NoAge(io::Error),
    /// The program `age` failed.
    #[error("`age` ended with an error; what it said is above")]
    AgeFailed,
    /// A file is no share.
    #[error("{file} is no share of a key folder: {why}")]
    BadShare {
        /// The file.
        file: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Too few shares.
    #[error("{given} shares are too few: this folder was split so that {needed} are needed")]
    TooFewShares {
        /// How many were given.
        given: usize,
        /// How many are needed.
        needed: u8,
    },

    /// Relays or a chain cannot be turned to as the command line says.
    #[error("{why}")]
    Place {
        /// Why, in one word.
        code: &'static str,
        /// Why.
        why: String,
    },
    /// Something of an erasure is left to be done.
    #[error(
        "{open} of what the erasure needs is open, as said above; the same command goes on with it"
    )]
    ErasureOpen {
        /// How many relays and devices.
        open: usize,
    },

    /// The output is there already.
    #[error("{0} is there already; a dataset is written into a new folder")]
    OutputExists(String),
}

impl DataError {
    /// An error of a file or folder.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
        move |why| DataError::File {
            file: path.display().to_string(),
            why,
        }
    }

    /// The exit status: something was done, or nothing.
    pub fn status(&self) -> u8 {
        match self {
            DataError::ErasureOpen { .. } => 2,
            _ => 3,
        }
    }

    /// The error as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            DataError::File { why, .. } if why.kind() == io::ErrorKind::StorageFull => "disk_full",
            DataError::File { .. } => "unusable_file",
            DataError::Usage(_) => "bad_input",
            DataError::NoKeyFolder(_) => "no_key_folder",
            DataError::KeyFolderDamaged { .. } => "key_folder_damaged",
            DataError::SecretFile(error) => error.code(),
            DataError::AnotherStudy { .. } => "keys_of_another_study",
            DataError::BadPseudonym(_) => "bad_pseudonym",
            DataError::KeyExists(_) => "key_exists",
            DataError::AnotherKey(_) => "another_key",
            DataError::NoSuchParticipant(_) => "no_such_participant",
            DataError::Destroyed(_) => "key_destroyed",
            DataError::NoHolderKey => "no_holder_key",
            DataError::BadKeyLine { .. } => "bad_key_line",
            DataError::UnknownDevices(_) => "unknown_devices",
            DataError::NotABackUp => "not_a_back_up",
            DataError::NoAge(_) => "age_not_found",
            DataError::AgeFailed => "age_failed",
            DataError::BadShare { .. } => "bad_share",
            DataError::TooFewShares { .. } => "too_few_shares",
            DataError::Place { code, .. } => code,
            DataError::ErasureOpen { .. } => "erasure_open",
            DataError::OutputExists(_) => "output_exists",
        }
    }
}
