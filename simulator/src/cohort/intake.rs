// SPDX-License-Identifier: Apache-2.0

//! From nights of a source to sealed entries.

use mhealth_device_host::{
    store::{Change, Group},
    Device, Error, Recipient, Record, Sealed, Store,
};
use rand::{CryptoRng, RngCore};

use super::{
    csv::likeness,
    participants::{ParticipantKeys, ParticipantsError},
    source::{SourceError, SourceNight},
    survey::Survey,
};

/// What sealing a source's nights came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Sealed now.
    pub sealed: u64,
    /// Those of them that correct an earlier entry.
    pub corrections: u64,
    /// Sealed before: by an earlier run of the program, or by an earlier row that says the same.
    pub before: u64,
    /// Not sealed, because the device was stopped.
    pub stopped: u64,
}

/// Why an intake ended early. What was sealed up to then is durable.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The device's own state.
    #[error(transparent)]
    Device(#[from] Error),
    /// The file of nights.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file of the participants' keys.
    #[error(transparent)]
    Participants(#[from] ParticipantsError),
}

impl IntakeError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Device(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::Participants(error) => error.code(),
        }
    }
}

/// How nights are sealed.
#[derive(Debug)]
pub struct Sealing<'k> {
    /// Entries that become durable together.
    pub group: usize,
    /// What becomes of a night that was sealed before with other values.
    pub change: Change,
    /// To whom envelopes are sealed; without, they are plain.
    pub keys: Option<&'k mut ParticipantKeys>,
}

/// Compares a file's nights with what the state file has, and writes into the survey what is wrong. Nothing is sealed.
pub fn review(
    store: &Store,
    nights: impl Iterator<Item = Result<(u64, SourceNight), SourceError>>,
    change: Change,
    survey: &mut Survey,
) -> Result<(), Error> {
    for night in nights {
        match night {
            Ok((line, night)) => {
                if let Some(error) = reviewed(store, line, &night, change)? {
                    survey.note(error);
                }
            }
            Err(error) => survey.note(error),
        }
    }
    Ok(())
}

fn reviewed(
    store: &Store,
    line: u64,
    night: &SourceNight,
    change: Change,
) -> Result<Option<SourceError>, Error> {
    let participant = store.pseudonym(night.person());
    let Some(id) = store.device_of(&participant)? else {
        let known = store.noted_likeness(&likeness(night.person()))?;
        let other = known.is_some_and(|known| known != participant);
        return Ok(other.then_some(SourceError::LooksAlike { line, other: None }));
    };
    if change == Change::Correct {
        return Ok(None);
    }
    let before = store.sealed_before(id, &night.source(), &night.content())?;
    Ok(match before {
        Some(Sealed::Differs(sequence)) => Some(differs(line, night, sequence)),
        _ => None,
    })
}

fn differs(line: u64, night: &SourceNight, sequence: u64) -> SourceError {
    SourceError::Differs {
        line,
        night: night.day(),
        sequence,
    }
}

/// Seals nights, each on its person's device. `seen` is called once a night.
pub fn seal_nights<R: CryptoRng + RngCore>(
    store: &Store,
    nights: impl Iterator<Item = Result<(u64, SourceNight), SourceError>>,
    mut how: Sealing<'_>,
    rng: &mut R,
    mut seen: impl FnMut(),
) -> Result<Intake, IntakeError> {
    let mut intake = Intake::default();
    let mut nights = nights.peekable();
    while nights.peek().is_some() {
        let open = store.group()?;
        for night in nights.by_ref().take(how.group.max(1)) {
            let (line, night) = night?;
            seal_night(store, &open, (line, night), &mut how, rng, &mut intake)?;
            seen();
        }
        if let Some(keys) = how.keys.as_deref_mut() {
            keys.save()?;
        }
        open.commit()?;
    }
    Ok(intake)
}

fn seal_night<R: CryptoRng + RngCore>(
    store: &Store,
    group: &Group<'_>,
    (line, night): (u64, SourceNight),
    how: &mut Sealing<'_>,
    rng: &mut R,
    intake: &mut Intake,
) -> Result<(), IntakeError> {
    let participant = store.pseudonym(night.person());
    let device = match store.device_of(&participant)? {
        Some(id) => id,
        None => {
            store.note_likeness(&likeness(night.person()), &participant)?;
            Device::of(store, &participant, rng)?.id()
        }
    };
    let (source, content, media_type) = (night.source(), night.content(), night.media_type());
    let before = store.sealed_before(device, &source, &content)?;
    match before {
        Some(Sealed::Before(_)) => {
            intake.before += 1;
            return Ok(());
        }
        Some(Sealed::Differs(sequence)) if how.change == Change::Refuse => {
            return Err(differs(line, &night, sequence).into());
        }
        _ => {}
    }
    let recipient = how
        .keys
        .as_deref_mut()
        .map(|keys| keys.sealing_key(&participant, rng));
    let payload = night.payload(participant, store.now(), rng);
    let record = Record {
        source: &source,
        media_type,
        payload: &payload,
    };
    let recipient = recipient
        .as_ref()
        .map_or(Recipient::Anybody, Recipient::Participant);
    match group.seal_content(device, &record, &content, how.change, recipient, rng) {
        Ok(_) => {
            intake.sealed += 1;
            intake.corrections += u64::from(before.is_some());
        }
        Err(Error::Frozen { .. }) => intake.stopped += 1,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
