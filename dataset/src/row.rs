// SPDX-License-Identifier: Apache-2.0

//! A row of a dataset: one registered night, with where it comes from.

use hashchain::{
    open_envelope, Content, DataDigest, DeviceId, Envelope, LinkHash, OpenError, PART_MEDIA_TYPE,
};
use mhealth_api::Key;
use mhealth_auditor::verdict::JudgedEntry;
use mhealth_auditor::Verdict;
use mhealth_device::payload::{corrected, DATA_POINT_MEDIA_TYPE, MEDIA_TYPE};
use serde_json::Value;
use time::Date;

use crate::audit::AuditedDevice;
use crate::keys::check_pseudonym;
use crate::measures::Measures;
use crate::owners::{Names, Owner};
use crate::told::{named, Told};

/// Why a row has no values, or does not count. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// No export that was given has the entry's envelope, or it is erased. Only in flagged rows.
    NoEnvelope,
    /// The folder has no key for the device.
    NoKey,
    /// The envelope has no form that this version knows, or no content inside.
    EnvelopeUnreadable,
    /// It does not open with the key that the device named when it enrolled, or the device named none.
    Undecipherable,
    /// The payload is of a type that this version does not know. It is kept as it is.
    UnknownMediaType,
    /// The payload is not what its type says. It is kept as it is.
    PayloadUnreadable,
    /// The payload names another participant than the one whose key opens it; or it is plain, and names one who has a key. It is
    /// kept as it is, but not in a person's own package.
    AnotherParticipant,
    /// It corrects itself, a later entry, or another night.
    BadCorrection,
    /// A part of the record is not there, or not among what the dataset takes. What is there is kept as it is.
    PartMissing,
    /// All parts of the record are there, and are not the record that they name. They are kept as they are.
    PartsDiffer,
    /// The entry says that it is a part of a record, and is none. It is kept as it is.
    PartMalformed,
}

impl Problem {
    /// The problem as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Problem::NoEnvelope => "no_envelope",
            Problem::NoKey => "no_key",
            Problem::EnvelopeUnreadable => "envelope_unreadable",
            Problem::Undecipherable => "undecipherable",
            Problem::UnknownMediaType => "unknown_media_type",
            Problem::PayloadUnreadable => "payload_unreadable",
            Problem::AnotherParticipant => "another_participant",
            Problem::BadCorrection => "bad_correction",
            Problem::PartMissing => "part_missing",
            Problem::PartsDiffer => "parts_differ",
            Problem::PartMalformed => "part_malformed",
        }
    }
}

/// A payload that is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) media_type: String,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    fn of(content: &Content<'_>) -> Self {
        Raw {
            media_type: content.media_type().into(),
            payload: content.payload().into(),
        }
    }
}

/// What an envelope holds beside the values that its row took.
pub(crate) enum Inside {
    /// It could not be opened.
    Closed,
    /// A record by itself, whose payload is kept as it came if it has no values.
    Record(Option<Raw>),
    /// A part of a record.
    Part(Raw),
}

/// The entries of a record that is in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InParts {
    /// The entry of its first part.
    pub first: u64,
    /// The entry of its last part.
    pub last: u64,
    /// How many of its parts the dataset has. If it is whole, all from the first to the last.
    pub found: u64,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Whose night, as far as that is known.
    pub participant: Option<String>,
    /// The day on which the participant got up.
    pub night: Option<Date>,
    /// The device.
    pub device: DeviceId,
    /// Its place in the device's hashchain, from 1.
    pub sequence: u64,
    /// Its link.
    pub link: LinkHash,
    /// Digest of its envelope.
    pub digest: DataDigest,
    /// What the audit says of it.
    pub verdict: Verdict,
    /// Whether it is on the chain.
    pub registered: bool,
    /// The block that registered it, or brought it.
    pub block: Option<u64>,
    /// The account that brought it there.
    pub submitter: Option<Key>,
    /// The exports that held it at the audit.
    pub held_by: Vec<String>,
    /// When the block was made that enrolled the device, in seconds since 1970: its phone sealed nothing before.
    pub not_before: Option<u64>,
    /// When the block was made that registered it, in seconds since 1970: it was sealed by then.
    pub not_after: Option<u64>,
    /// When the first relay stored it, in seconds since 1970, as that relay says.
    pub received_at: Option<u64>,
    /// The entries that it is in, if the record is in parts. The row stands at the last of them that is there.
    pub in_parts: Option<InParts>,
    /// What the payload is: `night`, `data_point`, `other`, `part` of a record that cannot be put together; nothing if it could not
    /// be read.
    pub content: Option<&'static str>,
    /// The entry of the same device that it takes the place of.
    pub corrects: Option<u64>,
    /// The entry that takes its place.
    pub corrected_by: Option<u64>,
    /// Whether it counts: valid, readable, and not corrected.
    pub current: bool,
    /// Whether it is the night: of a participant's night, one row at most of all that count.
    pub main: bool,
    /// Why it has no values, or does not count.
    pub problem: Option<Problem>,
    /// Its values.
    pub measures: Measures,
    /// Its data points, as they came.
    pub points: Vec<Value>,
}

impl Row {
    /// A row of a judged entry, without its content.
    pub(crate) fn of(entry: &JudgedEntry, device: &AuditedDevice) -> Self {
        let made = |block: u64| device.block_times.get(&block).copied();
        let registered_in = entry.block.filter(|_| entry.registered);
        Row {
            participant: None,
            night: None,
            device: device.device,
            sequence: entry.sequence,
            link: entry.link,
            digest: entry.digest,
            verdict: entry.verdict,
            registered: entry.registered,
            block: entry.block,
            submitter: entry.submitter,
            held_by: entry.held_by.clone(),
            not_before: made(device.enrolled_at),
            not_after: registered_in.and_then(made),
            received_at: entry.received_at,
            in_parts: None,
            content: None,
            corrects: None,
            corrected_by: None,
            current: false,
            main: false,
            problem: None,
            measures: Measures::default(),
            points: Vec::new(),
        }
    }

    /// Whether it may count for its night.
    pub(crate) fn is_usable(&self) -> bool {
        self.verdict == Verdict::Valid && self.problem.is_none()
    }

    /// Opens the envelope, and takes what is inside.
    pub(crate) fn open(
        &mut self,
        envelope: Option<&[u8]>,
        key: &Key,
        owner: &Owner<'_>,
        names: &Names,
    ) -> Inside {
        if let Owner::Key(participant, _) | Owner::Plain(participant) = owner {
            self.participant = Some(participant.0.clone());
        }
        // Of who was erased nothing is read, whatever the audit says of it.
        let Some(envelope) = envelope.filter(|_| !matches!(owner, Owner::Erased)) else {
            return self.closed(Problem::NoEnvelope);
        };
        match (Envelope::parse(envelope), owner) {
            (Err(_), _) => self.closed(Problem::EnvelopeUnreadable),
            // The device has told the chain that it seals to a key: without that nobody knows whose data these are.
            (Ok(_), Owner::Unknown | Owner::Destroyed) => self.closed(Problem::NoKey),
            (Ok(Envelope::Plain { content, .. }), _) => self.take_entry(&content, names),
            (Ok(Envelope::Sealed { .. }), Owner::Key(_, private)) => {
                match open_envelope(private, &key.0, self.sequence, envelope) {
                    Ok(opened) => self.take_entry(&opened.content(), names),
                    Err(OpenError::Content(_)) => self.closed(Problem::EnvelopeUnreadable),
                    Err(_) => self.closed(Problem::Undecipherable),
                }
            }
            // The device has told the chain that it seals to nobody: there is no key that anybody could bring.
            (Ok(Envelope::Sealed { .. }), Owner::Nobody | Owner::Plain(_) | Owner::Erased) => {
                self.closed(Problem::Undecipherable)
            }
        }
    }

    fn closed(&mut self, problem: Problem) -> Inside {
        self.problem = Some(problem);
        Inside::Closed
    }

    fn take_entry(&mut self, content: &Content<'_>, names: &Names) -> Inside {
        match content.media_type() {
            PART_MEDIA_TYPE => {
                self.content = Some("part");
                Inside::Part(Raw::of(content))
            }
            _ => Inside::Record(self.take(content, names)),
        }
    }

    /// Takes a record's values. Gives its payload back if it has none.
    pub(crate) fn take(&mut self, content: &Content<'_>, names: &Names) -> Option<Raw> {
        let (media_type, corrects) = corrected(content.media_type());
        self.corrects = corrects;
        let payload = content.payload();
        let read = match media_type {
            MEDIA_TYPE => {
                self.content = Some("night");
                self.fill(payload, Told::by_night(payload), names)
            }
            DATA_POINT_MEDIA_TYPE => {
                self.content = Some("data_point");
                self.fill(payload, Told::by_data_point(payload), names)
            }
            _ => {
                self.content = Some("other");
                Err(Problem::UnknownMediaType)
            }
        };
        match read {
            Ok(()) => None,
            Err(problem) => {
                self.problem = Some(problem);
                Some(Raw::of(content))
            }
        }
    }

    fn fill(&mut self, payload: &[u8], told: Option<Told>, names: &Names) -> Result<(), Problem> {
        let name = match &told {
            Some(told) => Some(told.participant.clone()),
            None => named(payload),
        };
        let is_own = name.is_none_or(|name| match &self.participant {
            Some(owner) => *owner == name,
            // The phone's own word.
            None => !names.has(&name),
        });
        if !is_own {
            return Err(Problem::AnotherParticipant);
        }
        // Plain data may say anything.
        let told = told.filter(|told| check_pseudonym(&told.participant).is_ok());
        let told = told.ok_or(Problem::PayloadUnreadable)?;
        self.participant = Some(told.participant);
        self.night = Some(told.night);
        self.measures = Measures::of(&told.points, told.sleep_records);
        self.points = told.points;
        Ok(())
    }
}
