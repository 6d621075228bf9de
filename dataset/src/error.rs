// SPDX-License-Identifier: Apache-2.0

//! What can go wrong, each with a stable code. No message has a key or a value of a participant in it.

use std::io;
use std::path::Path;

use hashchain::{DeviceId, StudyId};
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
    /// Another program uses the folder.
    #[error("another program uses the key folder {0}; try again when it has ended")]
    KeyFolderInUse(String),
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
    /// Others than its owner may look into a folder with keys.
    #[error(
        "others can look into {folder}, which has keys in it (mode {mode:03o}): run `chmod 700 {folder}`, and think of who may have done so"
    )]
    FolderOpenToOthers {
        /// The folder.
        folder: String,
        /// Its mode.
        mode: u32,
    },
    /// The folder is another study's.
    #[error("these keys are of study {study} of the chain {chain}, and not of what was asked for")]
    AnotherStudy {
        /// The folder's chain.
        chain: Hash,
        /// The folder's study.
        study: StudyId,
    },
    /// A pseudonym that no participant can have.
    #[error(
        "{0:?} cannot be a pseudonym: that has 1 to 64 bytes, no blank, nothing that is not seen, no Latin letter beside one of an alphabet \
         with the same shapes, and does not begin like a formula, with one of = + - @"
    )]
    BadPseudonym(String),
    /// A pseudonym that is taken for another.
    #[error("{name:?} and {other:?}, who has or had a key, look alike; no two participants may be taken for one another")]
    LooksAlike {
        /// The one.
        name: String,
        /// The one that was there before.
        other: String,
    },
    /// There is a key already.
    #[error("{0} has a key already; it was left as it is")]
    KeyExists(String),
    /// Two keys for one participant.
    #[error("{0} has another key in the folder than in the file; nothing was taken from the file")]
    AnotherKey(String),
    /// One key for two participants.
    #[error("{name} and {other} would have one and the same key, which is one participant's alone; if both are one person, keep one name")]
    SameKey {
        /// The one.
        name: String,
        /// The other.
        other: String,
    },
    /// There is no such key.
    #[error("{0} has no key in this folder")]
    NoSuchParticipant(String),
    /// The participant's key was destroyed on record, or the participant erased who had none.
    #[error("{0} was erased on record, or the key of {0} destroyed: nothing of it is taken back")]
    Destroyed(String),
    /// There is no key to sign with.
    #[error(
        "the folder has no holder.key, so nothing can be signed; `mhealth-data keys new` with --genesis and --study makes one"
    )]
    NoHolderKey,
    /// No key can be made.
    #[error("the system gives no randomness, without which no key is made: {0}")]
    NoRandomness(String),
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

    /// The program was told to end.
    #[error("the program was told to end; what it had written of a dataset is taken away")]
    Interrupted,

    /// The output is there already.
    #[error("{0} is there already; a dataset is written into a new folder")]
    OutputExists(String),

    /// A file is no audit, or a damaged one.
    #[error(
        "{file} is no audit's JSON report of a version that is known, or it is damaged: {why}"
    )]
    NotAnAudit {
        /// The file.
        file: String,
        /// What is wrong with it. Nothing of its content.
        why: String,
    },
    /// The audit's report is not as a trusted auditor signed it.
    #[error("{file}: {why}")]
    Report {
        /// The report.
        file: String,
        /// Why.
        why: mhealth_auditor::signature::ReportFault,
    },
    /// The audit is of another chain.
    #[error("the audit is of the chain {0}, and not of the one that was asked for")]
    AnotherChain(Hash),
    /// A file is no evidence of a known version.
    #[error("{file}: {why}")]
    NotEvidence {
        /// The file.
        file: String,
        /// Why.
        why: mhealth_auditor::evidence::FormatError,
    },
    /// Evidence does not hold.
    #[error("{file}: {why}")]
    EvidenceRefused {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// The evidence does not reach as far as the audit.
    #[error(
        "the evidence is of block {evidence} and the audit of block {audit}, which is later; make the evidence anew with \
         `mhealth-auditor prove`"
    )]
    EvidenceTooOld {
        /// The block of the evidence.
        evidence: u64,
        /// The block of the audit.
        audit: u64,
    },
    /// A device is in no evidence that was given.
    #[error("device {0} is in none of the evidence that was given")]
    EvidenceLacks(DeviceId),
    /// Audit and evidence say different things of one place.
    #[error(
        "device {device}, entry {sequence}: the audit has another entry there than the evidence"
    )]
    EvidenceContradicts {
        /// The device.
        device: DeviceId,
        /// The place.
        sequence: u64,
    },
    /// A relay's export cannot be used.
    #[error("{file} is no export of a relay: {why}")]
    BadExport {
        /// The file.
        file: String,
        /// Why.
        why: &'static str,
    },
    /// Envelopes of valid entries are not in the exports.
    #[error(
        "{count} entries that the audit calls valid have no envelope in the exports that were given; the first is device {device}, \
         entry {sequence}, which {held_by} showed to the audit. Give that export"
    )]
    EnvelopesMissing {
        /// How many.
        count: u64,
        /// The first one's device.
        device: DeviceId,
        /// Its place.
        sequence: u64,
        /// The exports that had it.
        held_by: String,
    },
    /// A device is not this participant's.
    #[error("device {0} is not this participant's: it is of another study, seals to no key of theirs, or its data name another")]
    DeviceOfAnother(DeviceId),
    /// Keys of participants are lacking.
    #[error(
        "the folder has no key for {count} devices of the study, such as device {device}; bring the keys back, or say \
         --allow-missing-keys, and their rows are flagged"
    )]
    MissingKeys {
        /// How many.
        count: usize,
        /// The first.
        device: DeviceId,
    },

    /// A folder is no dataset.
    #[error("{0} is no dataset: it has no dataset.json with its signature")]
    NotADataset(String),
    /// The manifest is not what the holder signed.
    #[error("dataset.json or dataset.json.sig is not what the holder of this key signed")]
    BadSignature,
    /// The manifest cannot be read.
    #[error("dataset.json is not of a version that is known: {0}")]
    UnknownManifest(String),
    /// A file is not as it was signed.
    #[error("{0} was altered: it is not the file that was signed")]
    FileAltered(String),
    /// A file is gone.
    #[error("{0} is missing from the dataset")]
    FileMissing(String),
    /// There is a file more.
    #[error("{0} is not part of the dataset that was signed")]
    FileUnlisted(String),
    /// A row is not the registered entry.
    #[error("{file}, row {row}: device {device}, entry {sequence} is not what the evidence has in this place")]
    RowNotRegistered {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// The device that it names.
        device: DeviceId,
        /// The place that it names.
        sequence: u64,
    },
    /// A row cannot be what the manifest says.
    #[error("{file}, row {row}: {why}")]
    BadRow {
        /// The file.
        file: String,
        /// The row, from 1.
        row: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The dataset is of another chain.
    #[error("the dataset is of the chain {0}, and not of the one that was asked for")]
    DatasetOfAnotherChain(Hash),
    /// The audit is another one.
    #[error("{0} is not the audit that the dataset was made from")]
    AnotherAudit(String),
    /// It says otherwise than the audit, or than it says itself.
    #[error(transparent)]
    Contradiction(#[from] crate::verify::Contradiction),
}

impl DataError {
    /// An error of a file or folder.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> DataError + '_ {
        move |why| DataError::File {
            file: path.display().to_string(),
            why,
        }
    }

    /// The exit status: a dataset does not hold, something is left to be done, or nothing was done.
    pub fn status(&self) -> u8 {
        match self {
            DataError::ErasureOpen { .. } => 2,
            _ if self.is_refusal() => 1,
            _ => 3,
        }
    }

    /// The error as one word. Stable.
    pub fn code(&self) -> &'static str {
        match self {
            DataError::File { why, .. } if is_full(why.kind()) => "disk_full",
            DataError::File { .. } => "unusable_file",
            DataError::Usage(_) => "bad_input",
            DataError::NoKeyFolder(_) => "no_key_folder",
            DataError::KeyFolderInUse(_) => "key_folder_in_use",
            DataError::KeyFolderDamaged { .. } => "key_folder_damaged",
            DataError::SecretFile(error) => error.code(),
            DataError::FolderOpenToOthers { .. } => "file_readable_by_others",
            DataError::AnotherStudy { .. } => "keys_of_another_study",
            DataError::BadPseudonym(_) => "bad_pseudonym",
            DataError::LooksAlike { .. } => "names_look_alike",
            DataError::KeyExists(_) => "key_exists",
            DataError::AnotherKey(_) => "another_key",
            DataError::SameKey { .. } => "same_key",
            DataError::NoSuchParticipant(_) => "no_such_participant",
            DataError::Destroyed(_) => "key_destroyed",
            DataError::NoHolderKey => "no_holder_key",
            DataError::NoRandomness(_) => "no_randomness",
            DataError::BadKeyLine { .. } => "bad_key_line",
            DataError::UnknownDevices(_) => "unknown_devices",
            DataError::NotABackUp => "not_a_back_up",
            DataError::NoAge(_) => "age_not_found",
            DataError::AgeFailed => "age_failed",
            DataError::BadShare { .. } => "bad_share",
            DataError::TooFewShares { .. } => "too_few_shares",
            DataError::Place { code, .. } => code,
            DataError::ErasureOpen { .. } => "erasure_open",
            DataError::Interrupted => "interrupted",
            DataError::OutputExists(_) => "output_exists",
            DataError::NotAnAudit { .. } => "not_an_audit",
            DataError::Report { why, .. } => why.code(),
            DataError::AnotherChain(_) | DataError::DatasetOfAnotherChain(_) => "another_chain",
            DataError::NotEvidence { .. } => "not_evidence",
            DataError::EvidenceRefused { .. } => "evidence_refused",
            DataError::EvidenceTooOld { .. } => "evidence_too_old",
            DataError::EvidenceLacks(_) => "evidence_lacks_device",
            DataError::EvidenceContradicts { .. } => "evidence_contradicts_audit",
            DataError::BadExport { .. } => "bad_export",
            DataError::EnvelopesMissing { .. } => "envelopes_missing",
            DataError::DeviceOfAnother(_) => "device_of_another",
            DataError::MissingKeys { .. } => "missing_keys",
            DataError::NotADataset(_) => "not_a_dataset",
            DataError::BadSignature => "bad_signature",
            DataError::UnknownManifest(_) => "unknown_manifest",
            DataError::FileAltered(_) => "file_altered",
            DataError::FileMissing(_) => "file_missing",
            DataError::FileUnlisted(_) => "file_unlisted",
            DataError::RowNotRegistered { .. } => "row_not_registered",
            DataError::BadRow { .. } => "bad_row",
            DataError::AnotherAudit(_) => "another_audit",
            DataError::Contradiction(contradiction) => contradiction.code(),
        }
    }

    /// Whether a dataset was looked at, and is not what the holder signed or the chain has.
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            DataError::NotADataset(_)
                | DataError::BadSignature
                | DataError::UnknownManifest(_)
                | DataError::FileAltered(_)
                | DataError::FileMissing(_)
                | DataError::FileUnlisted(_)
                | DataError::RowNotRegistered { .. }
                | DataError::BadRow { .. }
                | DataError::DatasetOfAnotherChain(_)
                | DataError::AnotherAudit(_)
                | DataError::Contradiction(_)
        )
    }
}

/// Whether there is no room: on the disk, or within what this user or this program may take of it.
fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::*;
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}
