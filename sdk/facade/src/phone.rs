// SPDX-License-Identifier: Apache-2.0

//! What a phone says, in types that every language has. Both facades make theirs of these.

use mhealth_device::host::{PhoneStore, StoreFault, Transport};
use mhealth_device::{Advice, Change, Error, Phone, Record, Sealed, Standing, Status, SyncError};
use mhealth_evidence::{Checkpoint, NotACheckpoint};
use serde::Serialize;

use crate::error::SdkError;

/// How a phone goes about it. The defaults are right for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct PhoneOptions {
    /// How many relays are to hold each run, at least 1.
    #[cfg_attr(feature = "bindings", uniffi(default = 1))]
    pub copies: u32,
    /// Whether relays' words are taken for proofs. Only for development chains that have no proofs: whoever is asked can then make
    /// entries vanish and stop the phone.
    #[cfg_attr(feature = "bindings", uniffi(default = false))]
    pub trust_relays: bool,
    /// Blocks that the consortium names, each written `0x…@NUMBER`, over which proofs may lead where the chain's authorities were
    /// changed by force. They come with the app or in a letter, and never from a server.
    #[cfg_attr(feature = "bindings", uniffi(default = []))]
    pub checkpoints: Vec<String>,
    /// Hash of the first block of the chain that the app is for, written `0x…`. Codes of any other are refused (`another_chain`), and so
    /// is a phone that is on another (`state_of_another_chain`). None: the chain that the code was made for.
    #[cfg_attr(feature = "bindings", uniffi(default = None))]
    pub chain: Option<String>,
}

impl PhoneOptions {
    /// As the core takes them. Errors: `not_a_checkpoint`, `not_a_chain`.
    pub fn to_core(&self) -> Result<mhealth_device::Options, SdkError> {
        Ok(mhealth_device::Options {
            copies: self.copies.max(1),
            trust_relays: self.trust_relays,
            checkpoints: checkpoints(&self.checkpoints)?,
            chain: self.chain.as_deref().map(first_block).transpose()?,
            ..Default::default()
        })
    }
}

/// Blocks that are trusted, as people write them.
pub(crate) fn checkpoints(written: &[String]) -> Result<Vec<Checkpoint>, SdkError> {
    let read = written.iter().map(|text| text.trim().parse::<Checkpoint>());
    let read: Result<Vec<Checkpoint>, NotACheckpoint> = read.collect();
    read.map_err(|error| SdkError::new("not_a_checkpoint", error.to_string()))
}

/// The hash of a chain's first block, as people write it.
fn first_block(written: &str) -> Result<[u8; 32], SdkError> {
    let digits = written.trim().strip_prefix("0x").unwrap_or_default();
    let mut hash = [0; 32];
    match hex::decode_to_slice(digits, &mut hash) {
        Ok(()) => Ok(hash),
        Err(_) => Err(SdkError::new(
            "not_a_chain",
            "the hash of a chain's first block is 0x and 64 hexadecimal digits",
        )),
    }
}

/// How a phone stands, for a screen. Times are in seconds since 1970 by the phone's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct PhoneStatus {
    /// The phone's key on the chain, 32 bytes; none before it began to enrol.
    #[serde(with = "crate::digits::optional")]
    pub key: Option<Vec<u8>>,
    /// The study's number; none before the phone began to enrol.
    pub study: Option<u32>,
    /// The number that the chain gave the phone; none before it is enrolled.
    pub device: Option<u32>,
    /// Entries sealed. All of them are safe on this phone.
    pub sealed: u64,
    /// Of these, entries that the chain is proved to have.
    pub finalised: u64,
    /// Of these, entries that are still to be sent or proved.
    pub queued: u64,
    /// Entries of devices that this phone had before, which were stopped: nobody sends them any more. They stay on this phone.
    pub left_behind: u64,
    /// The block in whose state the phone's entries were proved last.
    pub proved_in: Option<u32>,
    /// When a server last answered.
    pub last_contact: Option<i64>,
    /// When trying again is of use at the earliest.
    pub next_try: Option<i64>,
    /// Why the phone was stopped, if it was: `foreign_head`, `restored_backup`, `other_enrolment`, `another_participant_key`,
    /// `device_retired`, `never_enrolled`.
    pub stopped: Option<String>,
    /// Code of what went wrong when the phone last tried; none when it went well.
    pub last_fault: Option<String>,
    /// What the person should do: `nothing`, `wait`, `enrol`, `ask_for_code`, `connect`, `set_clock`, `make_room`, `unlock`,
    /// `close_other`, `update_app`, `enrol_anew`, `hand_over` (what the two exports give), `handed_over` (they gave it; it is not
    /// registered), `tell_study`. `advice_sentence` has the words.
    pub advice: String,
}

impl From<Status> for PhoneStatus {
    fn from(status: Status) -> Self {
        Self {
            key: status.key.map(|key| key.0.to_vec()),
            study: status.study.map(|study| study.0),
            device: status.device.map(|device| device.0),
            sealed: status.sealed,
            finalised: status.finalised,
            queued: status.queued,
            left_behind: status.left_behind,
            proved_in: status.proved_in,
            last_contact: status.last_contact,
            next_try: status.next_try,
            stopped: status.stopped.map(|reason| reason.code().into()),
            last_fault: status.last_fault,
            advice: status.advice.code().into(),
        }
    }
}

/// What became of a record that was to be sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct SealedEntry {
    /// Its place among the phone's entries, from 1.
    pub sequence: u64,
    /// `new`; `before`: this source with this content was sealed before; `differs`: this source was sealed before with other
    /// content, and nothing was sealed now.
    pub outcome: String,
}

impl From<Sealed> for SealedEntry {
    fn from(sealed: Sealed) -> Self {
        let (sequence, outcome) = match sealed {
            Sealed::New(entry) => (entry.sequence, "new"),
            Sealed::Before(sequence) => (sequence, "before"),
            Sealed::Differs(sequence) => (sequence, "differs"),
        };
        Self {
            sequence,
            outcome: outcome.into(),
        }
    }
}

/// How the phone stands to the chain after a sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(uniffi::Record))]
pub struct PhoneStanding {
    /// `level`: the chain has all; `queued`; `unenrolled`; `frozen`: the phone was stopped.
    pub state: String,
    /// Entries that are still to be sent or proved.
    pub queued: u64,
    /// Why the phone was stopped, as in the status.
    pub stopped: Option<String>,
}

impl From<Standing> for PhoneStanding {
    fn from(standing: Standing) -> Self {
        let (state, queued, stopped) = match standing {
            Standing::Level => ("level", 0, None),
            Standing::Queued(queued) => ("queued", queued, None),
            Standing::Unenrolled => ("unenrolled", 0, None),
            Standing::Frozen(reason) => ("frozen", 0, Some(reason.code().into())),
        };
        Self {
            state: state.into(),
            queued,
            stopped,
        }
    }
}

/// Seals a payload that was recorded from this source. `content` is what the source said, where payloads that are made of it twice
/// differ in identifiers and times; the payload itself if there is none.
pub fn seal<S: PhoneStore, T: Transport>(
    phone: &Phone<S, T>,
    source: String,
    media_type: String,
    payload: Vec<u8>,
    content: Option<Vec<u8>>,
    correct: bool,
) -> Result<Sealed, Error> {
    let record = Record {
        source: &source,
        media_type: &media_type,
        payload: &payload,
    };
    let change = if correct {
        Change::Correct
    } else {
        Change::Refuse
    };
    match content {
        Some(content) => phone.seal_content(&record, &content, change),
        None => phone.seal(&record, change),
    }
}

/// What is left on a stopped phone: one JSON object a line, as relays export runs, or as
/// [`UnenrolledRun`](mhealth_device::UnenrolledRun) has it.
pub fn lines<R: Serialize>(runs: &[R]) -> String {
    runs.iter()
        .map(|run| serde_json::to_string(run).expect("a run always serialises; qed") + "\n")
        .collect()
}

impl From<Error> for SdkError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Frozen { reason, .. } => Some(reason.code().to_owned()),
            _ => None,
        };
        Self::Failed {
            code: error.code().into(),
            reason,
            advice: error.advice().code().into(),
            detail: error.to_string(),
        }
    }
}

/// As the core says it of a store that it asked itself.
impl From<StoreFault> for SdkError {
    fn from(fault: StoreFault) -> Self {
        let path = "storage".to_owned();
        let error = match fault {
            StoreFault::Full => Error::DiskFull(path),
            StoreFault::InUse => Error::InUse(path),
            StoreFault::Unusable(reason) => Error::Unreadable { path, reason },
            StoreFault::Damaged(what) => Error::Corrupt { path, what },
        };
        error.into()
    }
}

impl From<SyncError> for SdkError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Device(error) => error.into(),
            error => Self::Failed {
                code: error.code().into(),
                reason: None,
                advice: error.advice().code().into(),
                detail: error.to_string(),
            },
        }
    }
}

/// The words for [`PhoneStatus::advice`] are there for all of these.
pub fn advices() -> impl Iterator<Item = &'static str> {
    Advice::ALL.into_iter().map(Advice::code)
}
