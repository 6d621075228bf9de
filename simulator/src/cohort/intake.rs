// SPDX-License-Identifier: Apache-2.0

//! From nights of a source to sealed entries.

use mhealth_device::{
    payload::{DiaryEntry, Night, Participant, MEDIA_TYPE},
    store::Group,
    Device, Error, Recipient, Record, Sealed, Store,
};
use rand::{CryptoRng, RngCore};
use time::Date;

use super::{
    csv::{CsvError, NightRow},
    generator::Trial,
    participants::{ParticipantKeys, ParticipantsError},
};

/// A night as its source gives it.
#[derive(Clone, Debug)]
pub enum SourceNight {
    /// A row of a CSV file.
    Measured(NightRow),
    /// An entry of a made-up diary, with the generator's name for the person.
    MadeUp(String, DiaryEntry),
}

impl SourceNight {
    /// The source's name for the person.
    fn person(&self) -> &str {
        match self {
            Self::Measured(row) => &row.id,
            Self::MadeUp(person, _) => person,
        }
    }

    /// The day that the night belongs to: together with the person, what is sealed at most once.
    fn day(&self) -> Date {
        match self {
            Self::Measured(row) => row.day,
            Self::MadeUp(_, entry) => entry.out_of_bed.date(),
        }
    }

    fn into_night(self, participant: Participant, rng: &mut impl RngCore) -> Night {
        match self {
            Self::Measured(row) => row.into_night(participant, rng),
            Self::MadeUp(_, entry) => entry
                .into_night(participant, vec![Trial::datasheet()], rng)
                .expect("the generator makes entries that do not contradict themselves; qed"),
        }
    }
}

/// What sealing a source's nights came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Sealed now.
    pub sealed: u64,
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
    Csv(#[from] CsvError),
    /// The file of the participants' keys.
    #[error(transparent)]
    Participants(#[from] ParticipantsError),
}

impl IntakeError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Device(error) => error.code(),
            Self::Csv(error) => error.code(),
            Self::Participants(error) => error.code(),
        }
    }
}

/// Seals nights, each on its person's device, `group` of them in one transaction. With `keys`, envelopes are sealed to
/// the participants; without, they are plain. `seen` is called once a night.
pub fn seal_nights<R: CryptoRng + RngCore>(
    store: &Store,
    nights: impl Iterator<Item = Result<SourceNight, CsvError>>,
    group: usize,
    mut keys: Option<&mut ParticipantKeys>,
    rng: &mut R,
    mut seen: impl FnMut(),
) -> Result<Intake, IntakeError> {
    let mut intake = Intake::default();
    let mut nights = nights.peekable();
    while nights.peek().is_some() {
        let open = store.group()?;
        for night in nights.by_ref().take(group.max(1)) {
            let sealed = seal_night(store, &open, night?, keys.as_deref_mut(), rng);
            match sealed {
                Ok(Sealed::New(_)) => intake.sealed += 1,
                Ok(Sealed::Before(_)) => intake.before += 1,
                Err(Error::Frozen { .. }) => intake.stopped += 1,
                Err(error) => return Err(error.into()),
            }
            seen();
        }
        if let Some(keys) = keys.as_deref_mut() {
            keys.save()?;
        }
        open.commit()?;
    }
    Ok(intake)
}

fn seal_night<R: CryptoRng + RngCore>(
    store: &Store,
    group: &Group<'_>,
    night: SourceNight,
    keys: Option<&mut ParticipantKeys>,
    rng: &mut R,
) -> Result<Sealed, Error> {
    let participant = store.pseudonym(night.person());
    let device = Device::of(store, &participant, rng)?;
    let source = night.day().to_string();
    let recipient = keys.map(|keys| keys.sealing_key(&participant, rng));
    let payload = night.into_night(participant, rng).to_json();
    let record = Record {
        source: &source,
        media_type: MEDIA_TYPE,
        payload: &payload,
    };
    let recipient = recipient
        .as_ref()
        .map_or(Recipient::Anybody, Recipient::Participant);
    group.seal(device.id(), &record, recipient, rng)
}
