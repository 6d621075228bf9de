// SPDX-License-Identifier: Apache-2.0

//! From nights to sealed entries.

use hashchain::Envelope;
use mhealth_device_host::{
    payload::{corrected, Night, MEDIA_TYPE},
    store::{Change, FreezeReason},
    Error, Store,
};
use mhealth_simulator::cohort::{
    csv::{Dialect, NightRows},
    generator::Trial,
    intake::{review, Intake, IntakeError, Sealing},
    participants::ParticipantKeys,
    source::{Nights, SourceError, SourceNight},
    survey::Survey,
};
use rand::rngs::StdRng;
use time::macros::date;

use crate::support::{assert_verifies, rng, store_in_memory, word};

const FILE: &str = "Id,Day,TotalSleepRecords,TotalMinutesAsleep,TotalTimeInBed
4388161847,2016-04-17,2,619,641
4388161847,2016-04-18,1,99,104
4388161847,2016-04-18,1,99,104
4445114986,2016-04-12,2,429,457
";

fn measured() -> Nights<&'static [u8]> {
    nights(FILE)
}

fn nights(file: &str) -> Nights<&[u8]> {
    Nights::Csv(NightRows::new(file.as_bytes(), Dialect::default()).expect("a header"))
}

/// The nights sealed, and those corrected that were sealed before with other values.
fn seal_nights(
    store: &Store,
    nights: impl Iterator<Item = Result<(u64, SourceNight), SourceError>>,
    group: usize,
    keys: Option<&mut ParticipantKeys>,
    rng: &mut StdRng,
    seen: impl FnMut(),
) -> Result<Intake, IntakeError> {
    let how = Sealing {
        group,
        change: Change::Refuse,
        keys,
    };
    mhealth_simulator::cohort::intake::seal_nights(store, nights, how, rng, seen)
}

#[test]
fn a_file_becomes_one_device_a_person_and_one_entry_a_night() {
    for group in [1, 2, 100] {
        let store = store_in_memory();
        let mut seen = 0;
        let intake = seal_nights(&store, measured(), group, None, &mut rng(1), || seen += 1);
        let expected = Intake {
            sealed: 3,
            before: 1,
            ..Intake::default()
        };
        assert_eq!((intake.expect("sealed"), seen), (expected, 4));
        // The same file again: every night is known.
        let again = seal_nights(&store, measured(), group, None, &mut rng(2), || ());
        assert_eq!(
            again.expect("nothing new"),
            Intake {
                before: 4,
                ..Intake::default()
            }
        );
        let devices = store.devices().expect("devices");
        assert_eq!(
            devices
                .iter()
                .map(|device| device.length)
                .collect::<Vec<_>>(),
            [2, 1]
        );
        devices
            .iter()
            .for_each(|device| assert_verifies(&store, device.id));
    }
}

#[test]
fn a_payload_names_its_participant_by_pseudonym_only() {
    let store = store_in_memory();
    seal_nights(&store, measured(), 10, None, &mut rng(1), || ()).expect("sealed");
    let device = &store.devices().expect("devices")[0];
    let envelope = store
        .envelope(device.id, 1)
        .expect("read")
        .expect("it is there");
    let Ok(Envelope::Plain { content, .. }) = Envelope::parse(&envelope) else {
        panic!("a plain envelope");
    };
    assert_eq!(content.media_type(), MEDIA_TYPE);
    let night = Night::from_json(content.payload()).expect("a night");
    assert_eq!(night.participant, device.participant);
    assert_eq!(
        (night.night, night.sleep_records),
        (date!(2016 - 04 - 17), Some(2))
    );
    assert_eq!(night.time_in_bed.body.time_in_bed.value, 641);
    assert!(!String::from_utf8_lossy(&envelope).contains("4388161847"));
}

#[test]
fn envelopes_for_participants_open_with_the_keys_of_the_key_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("participants");
    let store = store_in_memory();
    let mut keys = ParticipantKeys::open(&path).expect("made");
    seal_nights(&store, measured(), 2, Some(&mut keys), &mut rng(1), || ()).expect("sealed");
    let keys = ParticipantKeys::read(&path).expect("opened");
    for device in store.devices().expect("devices") {
        let key = keys.opening_key(&device.participant).expect("a key");
        for sequence in 1..=device.length {
            let envelope = store
                .envelope(device.id, sequence)
                .expect("read")
                .expect("there");
            let opened = hashchain::open_envelope(key, &device.key.0, sequence, &envelope);
            let opened = opened.expect("it was sealed to this key");
            Night::from_json(opened.content().payload()).expect("a night");
        }
        assert_verifies(&store, device.id);
    }
}

#[test]
fn made_up_nights_say_that_they_are_made_up() {
    let store = store_in_memory();
    let trial = Trial {
        devices: 2,
        nights: 5,
        seed: 7,
        start: date!(2026 - 01 - 05),
    };
    let nights = || {
        trial.participants().flat_map(|diarist| {
            let id = diarist.id.clone();
            diarist.map(move |entry| Ok((0, SourceNight::MadeUp(id.clone(), entry))))
        })
    };
    let first = seal_nights(&store, nights(), 3, None, &mut rng(1), || ()).expect("sealed");
    let again = seal_nights(&store, nights(), 3, None, &mut rng(2), || ()).expect("sealed");
    assert_eq!((again.sealed, again.before), (0, first.sealed));
    let device = store.devices().expect("devices")[0].id;
    let envelope = store
        .envelope(device, 1)
        .expect("read")
        .expect("it is there");
    let text = String::from_utf8_lossy(&envelope).into_owned();
    assert!(text.contains("urn:mhealth-chain:device:sleep-diary-generator:1"));
    assert!(text.contains("csd_core_8"));
}

#[test]
fn nights_of_a_stopped_device_are_counted_and_not_sealed() {
    let store = store_in_memory();
    seal_nights(&store, measured().take(1), 1, None, &mut rng(1), || ()).expect("sealed");
    let device = store.devices().expect("devices")[0].id;
    store
        .freeze(device, FreezeReason::ForeignHead, &word(&store, 0, 1))
        .expect("frozen");
    let intake = seal_nights(&store, measured(), 10, None, &mut rng(2), || ()).expect("sealed");
    assert_eq!(
        intake,
        Intake {
            sealed: 1,
            before: 1,
            stopped: 2,
            ..Intake::default()
        }
    );
}

#[test]
fn a_night_that_was_scored_anew_is_named_and_a_correction_names_the_entry_that_it_corrects() {
    let store = store_in_memory();
    seal_nights(&store, measured(), 10, None, &mut rng(1), || ()).expect("sealed");
    let anew = FILE.replace("2,619,641", "2,600,641");
    let reviewed = |change| -> Result<Survey, Error> {
        let mut survey = Survey::default();
        review(&store, nights(&anew), change, &mut survey)?;
        Ok(survey)
    };
    let survey = reviewed(Change::Refuse).expect("read");
    assert_eq!(
        (survey.wrong, survey.errors[0].code()),
        (1, "differs_from_sealed")
    );
    let message = survey.errors[0].to_string();
    assert!(
        message.starts_with("line 2: the night 2016-04-17 ") && message.contains("entry 1 "),
        "{message}"
    );
    // Whoever does not look first seals nothing either.
    let unseen = seal_nights(&store, nights(&anew), 10, None, &mut rng(2), || ());
    assert_eq!(unseen.expect_err("refused").code(), "differs_from_sealed");

    assert_eq!(reviewed(Change::Correct).expect("read").wrong, 0);
    let correct = || {
        let how = Sealing {
            group: 10,
            change: Change::Correct,
            keys: None,
        };
        let seal = mhealth_simulator::cohort::intake::seal_nights;
        seal(&store, nights(&anew), how, &mut rng(3), || ()).expect("sealed")
    };
    let expected = Intake {
        sealed: 1,
        corrections: 1,
        before: 3,
        stopped: 0,
    };
    assert_eq!(correct(), expected);
    let again = Intake {
        before: 4,
        ..Intake::default()
    };
    assert_eq!(correct(), again);
    let device = &store.devices().expect("devices")[0];
    assert_eq!(device.length, 3);
    let envelope = store.envelope(device.id, 3).expect("read").expect("there");
    let Ok(Envelope::Plain { content, .. }) = Envelope::parse(&envelope) else {
        panic!("a plain envelope");
    };
    assert_eq!(corrected(content.media_type()), (MEDIA_TYPE, Some(1)));
    let night = Night::from_json(content.payload()).expect("a night");
    assert_eq!(
        night
            .sleep_episode
            .body
            .total_sleep_time
            .map(|time| time.value),
        Some(600)
    );
    assert_verifies(&store, device.id);
}
