// SPDX-License-Identifier: Apache-2.0

//! Envelopes and escrows: what another implementation sealed is opened, what is wrong is refused by name, and
//! what is sealed here opens again, but only in its own place.

use hashchain::{
    open_envelope, open_escrow, seal_envelope, seal_escrow, secret_commitment, Content, Envelope,
    EnvelopeError, Native, OpenError, OpeningKey, SealError, SealingKey, Secret, ESCROW_LENGTH,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::{rngs::StdRng, SeedableRng};
use serde::Deserialize;

use crate::making::flip;
use crate::vector_file::Bytes;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SealedFile {
    schema: String,
    #[serde(rename = "generator")]
    _generator: String,
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum Group {
    Plain {
        tests: Vec<Test>,
    },
    Sealed {
        participant_private: Bytes,
        participant_public: Bytes,
        device_key: Bytes,
        sequence: u64,
        tests: Vec<Test>,
    },
    Escrow {
        auditor_private: Bytes,
        auditor_public: Bytes,
        device_key: Bytes,
        secret_commitment: Bytes,
        tests: Vec<Test>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    tc_id: u32,
    comment: String,
    #[serde(flatten)]
    expected: Outcome,
    #[serde(alias = "escrow")]
    envelope: Bytes,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(
    tag = "result",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
enum Outcome {
    Valid {
        random: Option<Bytes>,
        media_type: Option<String>,
        payload: Option<Bytes>,
        secret: Option<Bytes>,
    },
    Invalid {
        error: String,
    },
}

impl Outcome {
    fn content(random: Option<&[u8; 32]>, content: &Content<'_>) -> Self {
        Self::Valid {
            random: random.map(|bytes| Bytes(bytes.to_vec())),
            media_type: Some(content.media_type().to_owned()),
            payload: Some(Bytes(content.payload().to_vec())),
            secret: None,
        }
    }

    fn secret(secret: &Secret) -> Self {
        let secret = Some(Bytes(secret.expose().to_vec()));
        Self::Valid {
            random: None,
            media_type: None,
            payload: None,
            secret,
        }
    }

    fn error(error: &str) -> Self {
        Self::Invalid {
            error: error.to_owned(),
        }
    }
}

#[test]
fn every_envelope_of_another_implementation_is_judged_as_it_says() {
    let file: SealedFile =
        serde_json::from_str(include_str!("../vectors/envelopes-v1.json")).expect("a vector file");
    assert_eq!(file.schema, "envelopes-v1");
    let mut ran = 0;
    for group in &file.test_groups {
        let tests = match group {
            Group::Plain { tests } | Group::Sealed { tests, .. } | Group::Escrow { tests, .. } => {
                tests
            }
        };
        for test in tests {
            let outcome = open(group, &test.envelope.0);
            assert_eq!(
                outcome, test.expected,
                "test {}: {}",
                test.tc_id, test.comment
            );
            ran += 1;
        }
    }
    assert_eq!(ran, file.number_of_tests);
}

fn open(group: &Group, bytes: &[u8]) -> Outcome {
    match group {
        Group::Plain { .. } => match Envelope::parse(bytes) {
            Ok(Envelope::Plain { random, content }) => Outcome::content(Some(random), &content),
            Ok(Envelope::Sealed { .. }) => Outcome::error("sealed"),
            Err(error) => Outcome::error(error.as_str()),
        },
        Group::Sealed {
            participant_private,
            participant_public,
            device_key,
            sequence,
            ..
        } => {
            let participant = OpeningKey::from_bytes(&participant_private.array());
            assert_eq!(participant.sealing_key().0[..], participant_public.0);
            match open_envelope(&participant, &device_key.array(), *sequence, bytes) {
                Ok(opened) => Outcome::content(None, &opened.content()),
                Err(error) => Outcome::error(error.as_str()),
            }
        }
        Group::Escrow {
            auditor_private,
            auditor_public,
            device_key,
            secret_commitment,
            ..
        } => {
            let auditor = OpeningKey::from_bytes(&auditor_private.array());
            assert_eq!(auditor.sealing_key().0[..], auditor_public.0);
            let commitment = secret_commitment.array();
            match open_escrow(&auditor, &device_key.array(), &commitment, bytes) {
                Ok(secret) => Outcome::secret(&secret),
                Err(error) => Outcome::error(error.as_str()),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only(
        (key, device_key, seed) in any::<([u8; 32], [u8; 32], u64)>(), sequence in any::<u64>(),
        payload in vec(any::<u8>(), 0..200), bit in any::<Index>(), cut in any::<Index>(),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let participant = OpeningKey::from_bytes(&key);
        let content = Content::new("application/json", &payload).expect("a media type");
        let to = participant.sealing_key();
        let envelope =
            seal_envelope(&to, &device_key, sequence, &content, &mut rng).expect("a usable key");
        let opened = open_envelope(&participant, &device_key, sequence, &envelope);
        let opened = opened.expect("its own place");
        prop_assert_eq!(opened.content(), content);

        let refused = |key: &OpeningKey, device_key, sequence, envelope: &[u8]| {
            open_envelope(key, device_key, sequence, envelope).expect_err("another place")
        };
        let undecipherable = OpenError::Undecipherable;
        let mut other = device_key;
        flip(&mut other, bit);
        prop_assert_eq!(refused(&participant, &other, sequence, &envelope), undecipherable);
        let elsewhere = sequence ^ (1 << bit.index(64));
        prop_assert_eq!(refused(&participant, &device_key, elsewhere, &envelope), undecipherable);
        let stranger = OpeningKey::from_bytes(&other_key(&key));
        prop_assert_eq!(refused(&stranger, &device_key, sequence, &envelope), undecipherable);
        let mut altered = envelope.clone();
        flip(&mut altered[1..], bit);
        prop_assert_eq!(refused(&participant, &device_key, sequence, &altered), undecipherable);
        let shorter = &envelope[..cut.index(envelope.len())];
        let error = refused(&participant, &device_key, sequence, shorter);
        prop_assert!(matches!(error, OpenError::Form(EnvelopeError::TooShort) | OpenError::Undecipherable));
        let mut of_another_form = envelope.clone();
        of_another_form[0] = 2;
        prop_assert_eq!(
            refused(&participant, &device_key, sequence, &of_another_form),
            OpenError::Form(EnvelopeError::UnknownForm(2))
        );
        // An envelope is not an escrow, not even one whose associated data would fit.
        let commitment = [0; 32];
        prop_assert_eq!(
            open_escrow(&participant, &device_key, &commitment, &envelope).expect_err("an envelope"),
            undecipherable
        );
    }

    #[test]
    fn an_escrow_gives_the_auditor_the_secret_that_was_committed_to(
        (key, device_key, secret, seed) in any::<([u8; 32], [u8; 32], [u8; 32], u64)>(),
        bit in any::<Index>(),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let auditor = OpeningKey::from_bytes(&key);
        let secret = Secret::from_bytes(&secret);
        let commitment = secret_commitment::<Native>(&secret);
        let to = auditor.sealing_key();
        let escrow = seal_escrow(&to, &device_key, &secret, &mut rng).expect("a usable key");
        prop_assert_eq!(escrow.len(), ESCROW_LENGTH);
        let opened = open_escrow(&auditor, &device_key, &commitment, &escrow);
        let opened = opened.expect("its own escrow");
        prop_assert_eq!(opened.expose(), secret.expose());

        let mut other = commitment;
        flip(&mut other, bit);
        prop_assert_eq!(
            open_escrow(&auditor, &device_key, &other, &escrow).expect_err("another commitment"),
            OpenError::NotTheSecret
        );
        let mut other = device_key;
        flip(&mut other, bit);
        prop_assert_eq!(
            open_escrow(&auditor, &other, &commitment, &escrow).expect_err("another device"),
            OpenError::Undecipherable
        );
    }
}

/// Some other private key, also once its bits are clamped.
fn other_key(key: &[u8; 32]) -> [u8; 32] {
    let mut other = *key;
    other[16] ^= 1;
    other
}

#[test]
fn sealing_to_a_key_that_hides_nothing_is_refused() {
    let mut rng = StdRng::seed_from_u64(0);
    let content = Content::new("text/plain", b"night").expect("a media type");
    for weak in [
        [0; 32],
        *b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let weak = SealingKey(weak);
        assert_eq!(
            seal_envelope(&weak, &[7; 32], 1, &content, &mut rng),
            Err(SealError::UnusableKey)
        );
        let secret = Secret::from_bytes(&[1; 32]);
        assert_eq!(
            seal_escrow(&weak, &[7; 32], &secret, &mut rng),
            Err(SealError::UnusableKey)
        );
    }
}

#[test]
fn printing_keys_and_contents_shows_nothing_of_them() {
    let key = OpeningKey::from_bytes(&[0xa5; 32]);
    assert_eq!(format!("{key:?}"), "OpeningKey(redacted)");
    let content = Content::new("text/plain", b"slept badly").expect("a media type");
    assert_eq!(format!("{content:?}"), "Content(text/plain, 11 bytes)");
    let mut rng = StdRng::seed_from_u64(0);
    let sealed =
        seal_envelope(&key.sealing_key(), &[7; 32], 1, &content, &mut rng).expect("a usable key");
    let opened = open_envelope(&key, &[7; 32], 1, &sealed).expect("its own place");
    assert_eq!(format!("{opened:?}"), "Content(text/plain, 11 bytes)");
}
